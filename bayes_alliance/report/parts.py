"""Sections of a report that are told model by model, each from the run's record alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bayes_alliance._messages import count_of, quote
from bayes_alliance.outcome.families import find_family
from bayes_alliance.report.document import Block, Cell, Code, Equation, Picture, Points, Prose, Section, Table, words
from bayes_alliance.report.sentences import REFER, coefficient_sentence, estimand_sentence, stated

type Model = Mapping[str, Any]

COLUMNS: Final = {
    "name": "Parameter",
    "mean": "Mean",
    "sd": "SD",
    "median": "Median",
    "eti95_lb": "2.5 %",
    "eti95_ub": "97.5 %",
    "r_hat": "R-hat",
    "ess_bulk": "ESS bulk",
    "ess_tail": "ESS tail",
    "p_above": "P(above)",
    "p_rope": "P(within)",
    "mcse": "MCSE",
    "unit": "Unit",
}
"""Columns of summaries and what a reader calls them."""

ENGINES: Final = {
    "collapsed": (
        "by the collapsed engine: variances and correlations were sampled, coefficients and effects drawn exactly"
    ),
    "quadrature": "by the quadrature engine: effects were integrated out, all other parameters sampled independently",
}
"""How engines other than NUTS fit."""

MANY: Final = 40
"""Lines of a table in a report; the files beside it have all."""


def models_section(
    models: Mapping[str, Model], specs: Mapping[str, str], pictures: Mapping[str, Mapping[str, bytes]]
) -> Section:
    """Return what is claimed: each model in words, as equations, and as its file."""
    parts: list[Block] = []
    for label, model in models.items():
        facts = model["facts"]
        blocks: list[Block] = [Prose(words(f"{facts['title']}. {facts['question']}"))]
        for e in facts["equations"]:
            levels = ", ".join(f"{count:,} {factor}s" for factor, count in e["levels"].items())
            pooled = f" Effects of {levels} are drawn from distributions whose SDs are estimated." if levels else ""
            kind = find_family(e["family"], e.get("link")).words
            blocks.append(
                Prose(
                    words(
                        f"{e['outcome']}: one row per {e['unit']}; given its predictors it is {kind}. "
                        f"{e['rows_used']:,} of {e['rows_read']:,} rows are used.{pooled}"
                    )
                )
            )
            blocks.append(Equation(f"{e['outcome']} ~ {e['formula']}", e["latex"]))
        blocks += _pictures(label, pictures[label], "graph", "What predicts what")
        named = model["provenance"]["columns"]
        if named:
            read = ", ".join(f"{name} is the column {column!r}" for name, column in named.items())
            blocks.append(Prose(words(f"In the equations, {read}.")))
        blocks.append(Code(specs[label], "The model's file"))
        parts.append(Section(label, tuple(blocks), f"model-{label}"))
    return Section("Models", tuple(parts), "models")


def priors_section(models: Mapping[str, Model], pictures: Mapping[str, Mapping[str, bytes]]) -> Section:
    """Return every prior as numbers with its reason, and what they claim together."""
    parts: list[Block] = [
        Prose(
            words(
                "A prior says what was thought possible before these data were seen. Those called default are "
                "weakly informative: they exclude what cannot be and leave the rest to the data."
            )
        )
    ]
    for label, model in models.items():
        priors = model["provenance"]["priors"]
        lines = [
            {"Parameter": p["parameter"], "Prior": p["distribution"], "From": p["source"], "Reason": p["reason"]}
            for p in priors
        ]
        blocks: list[Block] = [Table(tuple(lines), f"Priors of {label}")]
        claims = model["facts"]["claims"]
        if claims:
            blocks.append(
                Table(
                    _named(
                        claims, {"name": "Quantity", "scale": "Scale", "q5": "5 %", "median": "Median", "q95": "95 %"}
                    ),
                    "What they claim together, by draws from them (before any data)",
                )
            )
        blocks += _pictures(label, pictures[label], "prior-", "Data drawn from the priors, beside those observed")
        parts.append(Section(label, tuple(blocks), f"priors-{label}"))
    return Section("Priors", tuple(parts), "priors")


def computation_section(record: Mapping[str, Any]) -> Section:
    """Return how the posterior was computed, and whether it can be believed."""
    packages = record["versions"]["packages"]
    parts: list[Block] = []
    for label, model in record["models"].items():
        engine = model["provenance"]["engine"]
        how = ENGINES.get(engine, f"by NUTS (nutpie {packages['nutpie']}, PyMC {packages['pymc']})")
        text = (
            f"Fitted {how}; {model['chains']} chains of {model['draws_per_chain']:,} draws after "
            f"{record['settings']['tune']:,} of tuning, seed {record['seed']}, without thinning."
        )
        facts = model["facts"]
        checks = [
            {"Check": c["name"], "Result": "passed" if c["passed"] else "LOOK", "What was found": _said(c)}
            for c in facts["checks"]
        ]
        parts.append(
            Section(
                label,
                (
                    Prose(words(text)),
                    Prose(words(facts["verdict"]), "good" if facts["passed"] else "bad"),
                    Table(tuple(checks), f"Checks of {label}"),
                ),
                f"computation-{label}",
            )
        )
    software = (
        f"bayes_alliance {packages['bayes-alliance']}, Python {record['versions']['python']}, "
        f"{record['versions']['blas']}, {record['versions']['platform']}."
    )
    return Section("Computation", (Prose(words(software)), *parts), "computation")


def findings_section(models: Mapping[str, Model], pictures: Mapping[str, Mapping[str, bytes]]) -> Section:
    """Return what each model found: a sentence per estimand, tables, pictures."""
    parts: list[Block] = [Prose(words(REFER))]
    for label, model in models.items():
        facts = model["facts"]
        blocks: list[Block] = []
        if not facts["passed"]:
            blocks.append(
                Prose(words("The sampling of this model failed its checks; nothing here is to be believed."), "bad")
            )
        if facts["estimands"]:
            blocks += [Prose(estimand_sentence(row, label)) for row in facts["estimands"]]
            blocks += [
                Prose(
                    words(
                        f"No difference in practice, {row['name']}: {stated(row['rope'][0])} to "
                        f"{stated(row['rope'][1])}. "
                        f"{row['reason']}"
                    )
                )
                for row in facts["estimands"]
                if row["rope"]
            ]
            middle = ["mean"] if all(row["mean"] is not None for row in facts["estimands"]) else ["mean", "median"]
            keep = ["name", *middle, "sd", "eti95_lb", "eti95_ub", "p_above", "p_rope"]
            keep += ["mcse", "r_hat", "ess_bulk", "ess_tail", "unit"]
            lines = _named(facts["estimands"], {c: COLUMNS[c] for c in keep})
            blocks.append(Table(lines, f"Estimands of {label}", label))
        else:
            blocks.append(
                Prose(words("The model states no estimand: its coefficients are given. State one to have it reported."))
            )
            shown = [row for row in facts["summary"] if row["name"] in facts["coefficients"]]
            blocks += [Prose(coefficient_sentence(row, label)) for row in shown[:12]]
        blocks += _pictures(label, pictures[label], "estimands", "Estimands, by unit")
        lines = _named(facts["summary"], {c: COLUMNS[c] for c in facts["summary"][0] if c in COLUMNS})
        note = (
            "" if len(lines) <= MANY else f"The first {MANY} of {len(lines)}; all are in results/{label}/summary.csv."
        )
        blocks.append(Table(lines[:MANY], f"Posterior of {label}", label, note))
        for start, caption in _PICTURES.items():
            blocks += _pictures(label, pictures[label], start, caption)
        parts.append(Section(label, tuple(blocks), f"findings-{label}"))
    return Section("Findings", tuple(parts), "findings")


def predictions_section(models: Mapping[str, Model], pictures: Mapping[str, Mapping[str, bytes]]) -> Section:
    """Return whether the models make data like those observed."""
    parts: list[Block] = [
        Prose(
            words(
                "Data were drawn anew from each fitted model. Where they look unlike those observed, the model is "
                "wrong there."
            )
        )
    ]
    for label, model in models.items():
        table = model["facts"]["predictive"]
        blocks: list[Block] = []
        if table:
            columns = {"outcome": "Outcome", "figure": "Figure", "observed": "Observed", "predicted": "Predicted"}
            columns |= {"eti95_lb": "2.5 %", "eti95_ub": "97.5 %", "p": "p"}
            blocks.append(Table(_named(table, columns)[:MANY], f"Predictions of {label}"))
            blocks += _pictures(
                label, pictures[label], "predictive", "Figures of the data, beside those of data drawn anew"
            )
        else:
            blocks += _notes(model)
        parts.append(Section(label, tuple(blocks), f"predictions-{label}"))
    return Section("Predictions", tuple(parts), "predictions")


def sensitivity_section(models: Mapping[str, Model], pictures: Mapping[str, Mapping[str, bytes]]) -> Section:
    """Return how far conclusions hang on priors."""
    parts: list[Block] = [
        Prose(
            words(
                "Each block of priors was made to count a little more and a little less. Where an estimate moves with "
                "it (0.05 and more), the prior has a say in it; where prior and posterior overlap nearly wholly, the "
                "data said nothing."
            )
        )
    ]
    for label, model in models.items():
        facts = model["facts"]
        blocks: list[Block] = []
        moved = [row for row in facts["sensitivity"] if row["reading"]]
        if facts["sensitivity"]:
            columns = {"block": "Priors", "quantity": "Quantity", "prior": "Moves with the prior"}
            columns |= {"likelihood": "Moves with the data", "reading": "Reading"}
            if moved:
                blocks.append(Table(_named(moved, columns)[:MANY], f"What priors move in {label}"))
            else:
                largest = max(row["prior"] or 0.0 for row in facts["sensitivity"])
                blocks.append(
                    Prose(
                        words(
                            f"No block of priors moves any quantity of {label}; the largest sensitivity is "
                            f"{largest:.3f}."
                        )
                    )
                )
        else:
            blocks += _notes(model)
        if facts["overlap"]:
            lines = _named(facts["overlap"], {"quantity": "Quantity", "overlap": "Overlap of prior and posterior"})
            blocks.append(Table(lines[:MANY], f"Prior and posterior of {label}, 1 where they are the same"))
        blocks += _pictures(label, pictures[label], "posterior-and-prior", "Priors and posteriors")
        parts.append(Section(label, tuple(blocks), f"sensitivity-{label}"))
    return Section("Sensitivity", tuple(parts), "sensitivity")


def comparison_section(comparisons: Sequence[Mapping[str, Any]]) -> Section:
    """Return how models compare by prediction."""
    if not comparisons:
        return Section("Comparison", (Prose(words("No models were compared.")),), "comparison")
    parts: list[Block] = [
        Prose(
            words(
                "elpd is the expected log predictive density, in nats: higher predicts better. A difference within "
                "two of its standard errors is noise, and the best of several is not thereby the true one."
            )
        )
    ]
    columns = {"model": "Model", "elpd": "elpd", "se": "SE", "elpd_diff": "Difference", "dse": "SE of the difference"}
    columns |= {"weight": "Stacking weight", "bad_k": "Units not dependable", "remark": "Remark"}
    for number, one in enumerate(comparisons, start=1):
        caption = f"Comparison {number}: {quote(one['models'])}, a {one['unit']} predicted from the others"
        parts.append(Table(_named(one["table"], columns), caption) if one["table"] else Prose(words(caption)))
        if one["messages"]:
            parts.append(Points(tuple(one["messages"])))
    return Section("Comparison", tuple(parts), "comparison")


_PICTURES: Final = {
    "surface": "Response surface",
    "paths": "Slopes along the paths from a predictor to the last outcome",
    "trajectories": "Fitted trajectories with 95 % bands, and observed means",
    "effects": "Coefficients",
    "variance-shares": "Shares of variance by level",
    "therapist-effects": "Therapists, shrunken estimates",
    "group-effects": "Groups, shrunken estimates",
    "site-effects": "Sites, shrunken estimates",
}


def _pictures(label: str, files: Mapping[str, bytes], start: str, caption: str) -> list[Block]:
    return [
        Picture(content, f"{label}-{name}", f"{caption} ({label}{_of(name, start)})")
        for name, content in files.items()
        if name.startswith(start)
    ]


def _of(name: str, start: str) -> str:
    rest = name.removeprefix(start).removesuffix(".png").strip("-")
    return f", {rest}" if rest else ""


def _named(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> tuple[dict[str, Cell], ...]:
    """Return lines with a reader's names of columns; columns that are empty throughout are left out."""
    lines = list(rows)
    kept = {c: name for c, name in columns.items() if any(line.get(c) not in (None, "") for line in lines)}
    return tuple({name: _whole(c, line.get(c)) for c, name in kept.items()} for line in lines)


def _whole(column: str, value: Cell) -> Cell:
    """Return effective draws as a whole number, R-hat with three places, everything else as it is."""
    if column == "r_hat" and isinstance(value, float):
        return f"{value:.3f}"  # the limit has as many places
    return round(value) if column.startswith("ess_") and isinstance(value, float) else value


def _notes(model: Model) -> list[Block]:
    notes = model["facts"]["notes"]
    return [Points(tuple(notes))] if notes else [Prose(words("Nothing was worked out."))]


def _said(check: Mapping[str, Any]) -> str:
    return f"{check['sentence']} {check['remedy']}".strip()


def names_of(models: Mapping[str, Model]) -> str:
    """Return how many models there are, and their labels."""
    return f"{count_of(len(models), 'model')} ({', '.join(models)})"
