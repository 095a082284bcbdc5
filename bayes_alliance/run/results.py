"""What is written of fits: tables, pictures, comparisons, and the facts that a report tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.comparison.table import compare
from bayes_alliance.comparison.units import find_units, fingerprint
from bayes_alliance.design.design import Design
from bayes_alliance.errors import AllianceError
from bayes_alliance.findings import Problem
from bayes_alliance.fit.progress import step
from bayes_alliance.fit.provenance import Plain
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.settings import Progress
from bayes_alliance.fit.spreadsheet import csv_bytes
from bayes_alliance.fit.store import write_artefact
from bayes_alliance.plot.estimands import plot_estimands
from bayes_alliance.plot.graph import plot_graph
from bayes_alliance.plot.paths import plot_paths
from bayes_alliance.plot.pictures import draw_pictures, file_names, picture_bytes
from bayes_alliance.plot.predictive import plot_predictive
from bayes_alliance.plot.prior import plot_prior_prediction
from bayes_alliance.plot.prior_posterior import plot_prior_posterior
from bayes_alliance.posterior.mediation import mediation_effects
from bayes_alliance.posterior.surfaces import all_surfaces, surface_tables
from bayes_alliance.run.analysis import Analysis, ComparisonPart
from bayes_alliance.run.facts import describe_fit, records
from bayes_alliance.run.record import RESULTS, TABLES


def write_results(
    analysis: Analysis, fits: Mapping[str, Fit], place: Path, progress: Progress, log: Callable[[str], None]
) -> dict[str, dict[str, Plain]]:
    """Write tables and pictures of every fit; return what a report says of each."""
    facts = {}
    for label, fit in fits.items():
        with step(f"Looking at {label}: predictions, priors, pictures", progress):
            facts[label] = _write_one(analysis, label, fit, place, log)
    return facts


def _write_one(analysis: Analysis, label: str, fit: Fit, place: Path, log: Callable[[str], None]) -> dict[str, Plain]:
    report = analysis.report
    facts = describe_fit(fit, seed=analysis.seed, checks=report.checks)
    files = {f"{name}.csv": csv_bytes(facts[name]) for name in ("summary", "estimands") if facts[name]}
    files |= {f"{name}.csv": csv_bytes(table) for name, table in surface_tables(all_surfaces(fit)).items()}
    if report.pictures:
        try:
            files |= draw_pictures(fit) | _more_pictures(fit, analysis.seed, facts["predictive"])
        except AllianceError as error:
            log(f"{label}: a picture could not be drawn: {error}")
    write_artefact(place / RESULTS / label, files, known=TABLES)
    log(f"{label}: {count_of(len(files), 'file')} of results.")
    return facts


def _more_pictures(fit: Fit, seed: int, predictive: Any) -> dict[str, bytes]:
    """Return what estimands, priors and predictions look like."""
    files = {"graph.png": picture_bytes(plot_graph(fit.spec))}
    if predictive:
        files["predictive.png"] = picture_bytes(plot_predictive(pd.DataFrame(predictive)))
    if "estimands" in fit.data.children:
        files["estimands.png"] = picture_bytes(plot_estimands(fit))
    assert fit.design is not None
    named = file_names([equation.outcome for equation in fit.design.equations])
    for equation in fit.design.equations:
        try:
            drawn = plot_prior_prediction(fit.design, seed=seed, outcome=equation.outcome)
        except AllianceError:
            continue  # of priors that cannot be drawn from; describe_fit says so
        files[f"prior-{named[equation.outcome]}.png"] = picture_bytes(drawn)
    for factor in fit.design.reference:
        with suppress(AllianceError):  # of a model in which no path leads from it to an outcome by way of another
            whole = mediation_effects(fit, factor)
            named = file_names(list(whole.levels))
            for level in whole.levels if any(len(path.edges) > 1 for path in whole.paths) else ():
                mediation = whole if len(whole.levels) == 1 else mediation_effects(fit, factor, level=level)
                of = "" if len(whole.levels) == 1 else f"-{named[level]}"
                files[f"paths-{file_names([factor])[factor]}{of}.png"] = picture_bytes(plot_paths(fit, mediation))
    with suppress(AllianceError):  # of priors that cannot be drawn from
        files["posterior-and-prior.png"] = picture_bytes(plot_prior_posterior(fit, seed=seed))
    return files


def compare_all(analysis: Analysis, fits: Mapping[str, Fit], log: Callable[[str], None]) -> list[dict[str, Plain]]:
    """Make the comparisons an analysis asks for."""
    found: list[dict[str, Plain]] = []
    for one in analysis.comparisons:
        line: dict[str, Plain] = {"models": list(one.models), "unit": one.unit, "table": [], "messages": []}
        try:
            result = compare({name: fits[name] for name in one.models}, unit=one.unit, outcomes=one.outcomes)
            line["table"] = records(result.table.rename_axis("model").reset_index())
            line["messages"] = list(result.messages)
            log(f"Compared: {quote(one.models)}, by {one.unit}.")
        except AllianceError as error:  # the fits are worth keeping
            line["messages"] = [f"Not compared. {problem}" for problem in error.problems]
            log(f"NOT compared: {quote(one.models)}. {error}")
        found.append(line)
    return found


def comparison_problems(one: ComparisonPart, designs: Mapping[str, Design]) -> list[Problem]:
    """Report before anything is fitted what would keep models from being compared."""
    chosen = {name: designs[name] for name in one.models}
    own = {name: [e.outcome for e in design.equations] for name, design in chosen.items()}
    shared = [o for o in own[one.models[0]] if all(o in outcomes for outcomes in own.values())]
    where = f"comparison of {quote(one.models)}"
    odd = [o for o in one.outcomes or () if o not in shared]
    if odd:
        return [unknown("outcome", name, shared, where) for name in odd]
    if not shared:
        return [Problem("the models share no outcome.", where=where)]
    wanted = one.outcomes or shared
    try:
        prints = {fingerprint(design, find_units(design, one.unit, wanted), wanted) for design in chosen.values()}
    except AllianceError as error:
        return [problem.under(where) for problem in error.problems]
    if len(prints) > 1:
        return [
            Problem(
                f"they would predict other rows or values of {quote(wanted)}.",
                where=where,
                fix=(
                    "Choose rows that all of them can use (data.shared_rows = true, or limits), or leave the "
                    "comparison out."
                ),
            )
        ]
    return []
