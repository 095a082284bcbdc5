"""A run's record as a document, in the order of the Bayesian Analysis Reporting Guidelines (Kruschke 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bayes_alliance._messages import count_of
from bayes_alliance.findings import StepKind
from bayes_alliance.report.checklists import fill_checklists
from bayes_alliance.report.document import Block, Cell, Code, Document, Flow, Points, Prose, Section, Table, words
from bayes_alliance.report.parts import (
    comparison_section,
    computation_section,
    findings_section,
    models_section,
    names_of,
    predictions_section,
    priors_section,
    sensitivity_section,
)
from bayes_alliance.report.sentences import plain_sentence
from bayes_alliance.run.record import Run

FEW: Final = 20
"""Therapists, groups or sites below which their SD hangs on its prior."""

STEPS: Final[Mapping[StepKind, str]] = {
    "read": "{} in the file",
    "numbering": "{} after rows were numbered",
    "questionnaire": "{} after answers became columns of items",
    "wide": "{} after columns of sessions became rows",
    "dates": "{} after dates became session numbers",
    "cells": "{} after cells were read as numbers and words",
    "sides": "{} after tables of units were joined",
    "scores": "{} after items were scored",
    "selection": "{} selected",
}
"""What the box of a step says."""

GLOSSARY: Final = (
    (
        "Posterior",
        "what is known of a quantity after the data, given the model and its priors: a probability for each value.",
    ),
    (
        "95 % interval",
        "the middle 95 % of the posterior, 2.5 % cut off at either end. Given model and priors, the quantity lies in "
        "it with a probability of 95 %.",
    ),
    ("Estimand", "the quantity that answers the question, named before it is estimated, with its unit."),
    ("P(above)", "the probability that the quantity lies above the value that means no difference."),
    ("P(within)", "the probability that it lies within what was stated to be no difference in practice."),
    ("Prior", "what was held possible before the data were seen; Sensitivity says where that matters."),
    (
        "SD, shares of variance",
        "how far patients, therapists or sessions lie apart, and how much of all differences that is.",
    ),
    ("R-hat", "whether independent computations agree; at most 1.01 is asked of every quantity."),
    ("ESS", "how many independent draws the computation is worth; 100 per chain are asked of every quantity."),
    ("elpd", "how well a model predicts what it has not seen; only differences are of interest."),
)


def compose(run: Run) -> Document:
    """Return the document of a finished run.

    Every number comes from the record; those in prose say which parameter of which model they are.
    """
    record = run.record
    models = record["models"]
    pictures = {label: run.pictures(label) for label in run.labels}
    sections = (
        _question(record),
        _data(record),
        models_section(models, record["specs"], pictures),
        priors_section(models, pictures),
        computation_section(record),
        findings_section(models, pictures),
        predictions_section(models, pictures),
        sensitivity_section(models, pictures),
        comparison_section(record["comparisons"]),
        _limits(record),
        _again(run),
        Section("How to read this", (Points(tuple(f"{what}: {text}" for what, text in GLOSSARY)),), "glossary"),
        _checklists(record),
    )
    subtitle = f"Run finished {record['finished']} · seed {record['seed']} · {names_of(models)}"
    return Document(record["title"], subtitle, _lead(record), sections)


def _lead(record: Mapping[str, Any]) -> tuple[Block, ...]:
    """Return what a reader sees first: the question, what was found, and whether it can be believed."""
    blocks: list[Block] = []
    if record["question"]:
        blocks.append(Prose(words(record["question"])))
    failed = [label for label, model in record["models"].items() if not model["facts"]["passed"]]
    if failed:
        blocks.append(
            Prose(
                words(
                    f"The sampling of {', '.join(failed)} failed its checks. What is said of "
                    f"{'it' if len(failed) == 1 else 'them'} below is not to be reported: see Computation."
                ),
                "bad",
            )
        )
    else:
        checks = sum(len(model["facts"]["checks"]) for model in record["models"].values())
        look = [c for model in record["models"].values() for c in model["facts"]["checks"] if not c["passed"]]
        told = (
            f"; {len(look)} of {checks} checks ask for a look (Computation)" if look else f", and all {checks} checks"
        )
        blocks.append(Prose(words(f"The sampling of every model passed{told}."), "plain" if look else "good"))
    found = [
        f"{plain_sentence(row, passed=model['facts']['passed'])} ({label})"
        for label, model in record["models"].items()
        for row in model["facts"]["estimands"]
    ]
    if found:
        blocks.append(Points(tuple(found[:12])))
        if len(found) > 12:
            blocks.append(Prose(words(f"{len(found) - 12} more are in Findings.")))
    else:
        blocks.append(Prose(words("No model states an estimand; Findings has their coefficients.")))
    return tuple(blocks)


def _question(record: Mapping[str, Any]) -> Section:
    asked = [f"{label}: {model['facts']['question']}" for label, model in record["models"].items()]
    why = (
        "The answer is given as a posterior: probabilities of the values a quantity may have, so that differences, "
        "absence of differences, and quantities worked out from several parameters are told with their uncertainty."
    )
    whole = record["question"] or "The analysis file states no question of its own; those of its models are:"
    return Section("Question", (Prose(words(whole)), Points(tuple(asked)), Prose(words(why))), "question")


def _data(record: Mapping[str, Any]) -> Section:
    counts = record["counts"]
    units = ", ".join(count_of(count, role) for role, count in counts.items() if role != "session")
    blocks: list[Block] = [_flow(record, units)]
    told = {message for step in record["steps"] for message in step["messages"]}
    rest = tuple(message for message in record["messages"] if message not in told)
    if rest:
        blocks.append(Points(rest))
    for label, model in record["models"].items():
        missing = [row for row in model["facts"]["missing"] if row["missing"]]
        if missing:
            blocks.append(Table(tuple(missing), f"Missing values in {label}"))
        more = [m for m in model["facts"]["messages"] if m not in record["messages"]]
        if more:
            blocks.append(Section(f"What was noted of {label}", (Points(tuple(more)),), f"notes-{label}"))
    digest = f"Fingerprint of the rows: {record['fingerprint'][:16]}… (sha256). Identifiers are codes."
    return Section("Data and exclusions", (*blocks, Prose(words(digest))), "data")


def _flow(record: Mapping[str, Any], units: str) -> Flow:
    boxes = [(STEPS[step["kind"]].format(count_of(step["rows"], "row")), step["messages"]) for step in record["steps"]]
    boxes.append((f"{count_of(record['rows_selected'], 'row')} for the models: {units}", ()))
    branches = []
    for label, model in record["models"].items():
        for e in model["facts"]["equations"]:
            gone = tuple(f"{count:,}: {why}" for why, count in e["left_out"].items() if count)
            levels = ", ".join(f"{n:,} {factor}s" for factor, n in e["levels"].items())
            text = f"{label}, {e['outcome']}: {e['rows_used']:,} of {e['rows_read']:,} rows per {e['unit']}"
            branches.append((f"{text}{f' ({levels})' if levels else ''}", gone))
    return Flow(tuple((text, tuple(told)) for text, told in boxes), tuple(branches))


def _limits(record: Mapping[str, Any]) -> Section:
    """Return what the record itself says against believing too much."""
    points = [
        "Estimates are conditional on model and priors. A coefficient is an association unless its predictor was "
        "randomised; what was not measured can still account for it.",
    ]
    for label, model in record["models"].items():
        facts = model["facts"]
        for e in facts["equations"]:
            few = [f"{count} {factor}s" for factor, count in e["levels"].items() if factor != "patient" and count < FEW]
            if few:
                points.append(
                    f"{label}: with {' and '.join(few)} the SD between them is known only roughly, and its prior "
                    f"counts; the study says little of others than these."
                )
            gone = e["rows_read"] - e["rows_used"]
            if gone:
                points.append(
                    f"{label}: {gone:,} of {e['rows_read']:,} rows of {e['outcome']} were left out. The estimates "
                    f"hold for all if, given the predictors, being left out says nothing of the outcome."
                )
        points += [f"{label}: {c['sentence']} {c['remedy']}".strip() for c in facts["checks"] if not c["passed"]]
        points += [f"{label}: {note}" for note in facts["notes"]]
        bare = [row["name"] for row in facts["estimands"] if not row["rope"]]
        if bare:
            points.append(
                f"{label}: no region of no difference in practice was stated for {', '.join(bare)}; whether they "
                f"are large enough to matter is not answered."
            )
    return Section("Limits", (Points(tuple(dict.fromkeys(points))),), "limits")


def _again(run: Run) -> Section:
    record = run.record
    name = run.folder.name
    text = (
        "Everything in this report comes from one folder. It holds the analysis file, the models, the environment and "
        f"the draws, each with its sha256; the data are {'in it, too' if record['rows_kept'] else 'not in it'}."
    )
    steps = (
        f"bayes-alliance rerun {name}      # every model fitted again, and how the draws agree\n"
        f"bayes-alliance report {name}     # this report\n"
        f"pip install -r {name}/requirements.txt   # the same packages elsewhere"
    )
    rows = [
        {"What": "Seed", "Value": record["seed"]},
        {"What": "Engine asked for", "Value": record["engine"]},
        {"What": "Text of bayes_alliance (sha256)", "Value": record["versions"]["code"][:16]},
        *(
            {"What": f"Draws of {label} (sha256)", "Value": model["draws"][:16]}
            for label, model in record["models"].items()
        ),
    ]
    packages = [{"Package": package, "Version": version} for package, version in record["versions"]["packages"].items()]
    return Section(
        "How to run it again",
        (
            Prose(words(text)),
            Code(steps),
            Table(tuple(rows), "What identifies this run"),
            Table(tuple(packages), "Packages that draws depend on"),
            Code(run.text, "The analysis file"),
        ),
        "again",
    )


def _checklists(record: Mapping[str, Any]) -> Section:
    items = fill_checklists(record)
    parts: list[Block] = [
        Prose(
            words(
                "Filled by the program from the run's record. Items are paraphrased; what it cannot know is left "
                "to the authors."
            )
        )
    ]
    titles = {
        "BARG": "BARG (Kruschke 2021)",
        "WAMBS": "WAMBS (Depaoli and van de Schoot 2017)",
        "JARS-Bayes": "JARS, Bayesian techniques (Appelbaum et al. 2018)",
    }
    for checklist, title in titles.items():
        lines: list[dict[str, Cell]] = [
            {"Item": item.number, "Asks": item.asks, "Status": item.status, "Where, or why not": item.answer}
            for item in items
            if item.checklist == checklist
        ]
        parts.append(Table(tuple(lines), title))
    return Section("Checklists", tuple(parts), "checklists")
