"""Reporting checklists filled from a run's record: each item is filled, or says why it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

type Status = Literal["filled", "not applicable", "to be filled by the authors"]


@dataclass(frozen=True)
class Item:
    """One item: which list, its number, what it asks, whether it is filled, where in the report, or why not."""

    checklist: str
    number: str
    asks: str
    status: Status
    answer: str


type _Answer = tuple[Status, str]

AUTHORS: Final[Status] = "to be filled by the authors"


def fill_checklists(record: Mapping[str, Any]) -> list[Item]:
    """Fill BARG, WAMBS and JARS-Bayes from a run's record.

    Parameters
    ----------
    record : mapping
        Of a finished run.

    Returns
    -------
    list of Item
        In the order of the lists. Items are paraphrased; the lists are those of Kruschke (2021), Depaoli and van de
        Schoot (2017), and Appelbaum et al. (2018, Table 8).
    """
    models = list(record["models"].values())
    found = []
    for name, items in (("BARG", _barg), ("WAMBS", _wambs), ("JARS-Bayes", _jars)):
        for number, asks, answer in items(record, models):
            found.append(Item(name, number, asks, *answer))
    return found


type _Items = Iterator[tuple[str, str, _Answer]]


def _barg(record: Mapping[str, Any], models: list[Any]) -> _Items:
    yield "P.A", "Why Bayesian, and the goals of the analysis", _goals(record)
    yield "1.A", "Variables: units, scales, which is predicted", _filled("Data and exclusions; Models")
    yield "1.B", "Likelihood and parameters", _filled("Models, equations")
    yield "1.C", "Priors, with reasons", _reasons(models)
    yield "1.D", "Formal specification (code)", _filled("Models, model files; model-*.toml in the run")
    yield "1.E", "Prior predictive check", _any(models, "claims", "Priors", "priors that have no draws")
    yield "2.A", "Software and packages", _filled("Computation")
    yield "2.B", "Convergence of every reported quantity", _filled("Computation; R-hat in every table")
    yield "2.C", "Resolution (ESS) of every reported quantity", _filled("Computation; ESS in every table")
    yield "2.D", "Error of methods other than MCMC", _engines(models)
    yield "3.A", "Posterior predictive check", _any(models, "predictive", "Predictions", _why_no_checks(models))
    yield "3.B", "Marginal posteriors: centre and interval, kind and mass", _filled("Findings")
    yield "3.C", "Bayes factors and posterior model probabilities", ("not applicable", "None is reported.")
    yield "4.A", "Decisions: criteria and their reasons", _ropes(record, models)
    yield "4.B", "Loss functions", ("not applicable", "No decision is taken by a loss.")
    sensitive = _any(models, "sensitivity", "Sensitivity (priors scaled by power)", _why_no_checks(models))
    yield "5.A", "Sensitivity to broader and other priors", sensitive
    yield "5.B", "Sensitivity of Bayes factors and decisions", ("not applicable", "No Bayes factor is reported.")
    yield "6.A", "Code and software are open, the analysis can be run again", _filled("How to run it again")
    yield "6.B", "Raw or synthetic data", _data(record)
    yield "6.C", "Chains are archived", _filled("fits/*/posterior.nc in the run, with sha256")
    yield "6.D", "Figures can be made again", _filled("bayes-alliance run; results/*/ in the run")


def _wambs(record: Mapping[str, Any], models: list[Any]) -> _Items:
    sensitive = _any(models, "sensitivity", "Sensitivity", _why_no_checks(models))
    yield "1", "Are the priors understood", _reasons(models)
    yield "2", "Convergence", _filled("Computation (R-hat of ranks, all chains)")
    yield (
        "3",
        "Convergence remains after the iterations are doubled",
        ("not applicable", "Rank-normalised R-hat, bulk and tail ESS of every quantity stand in its place."),
    )
    yield "4", "Enough draws for the histograms", _filled("Computation (bulk and tail ESS)")
    yield "5", "Autocorrelation", _filled("ESS counts what is left after autocorrelation, for every quantity")
    yield "6", "The posterior makes substantive sense", (AUTHORS, "Look at Findings and at the pictures.")
    yield "7", "Other priors of variances and correlations", sensitive
    yield "8", "Comparison with uninformative priors", _overlap(models)
    yield "9", "Sensitivity of informative priors", sensitive
    yield "10", "Bayesian interpretation and reporting", _filled("Findings; How to read this")


def _jars(record: Mapping[str, Any], models: list[Any]) -> _Items:
    yield "Model", "Systematic and stochastic part, functional form", _filled("Models")
    yield "Distributions", "Priors: stated, reasons where informative", _reasons(models)
    yield (
        "Sensitivity",
        "Sensitivity to priors",
        _any(models, "sensitivity", "Sensitivity", _why_no_checks(models)),
    )
    yield "Posterior", "Posterior described", _filled("Findings")
    yield "Prediction", "Predictive distribution", _any(models, "predictive", "Predictions", _why_no_checks(models))
    yield "Triplot", "Prior, likelihood, posterior plotted where priors are informative", _overlap(models)
    yield "Computation", "Chains, burn-in, thinning, convergence", _filled("Computation")
    yield "Decisions", "Utilities, sensitivity of decisions", _ropes(record, models)
    yield "Multilevel", "Exchangeability, pooling", _filled("Models (which effects are pooled over which units)")
    yield "Bayes factors", "Models, interpretation, sensitivity", ("not applicable", "None is reported.")
    yield "Averaging", "Set of models, weights", _averaging(record)


def _filled(where: str) -> _Answer:
    return "filled", where


def _goals(record: Mapping[str, Any]) -> _Answer:
    if record["question"]:
        return "filled", f"Question: {record['question']}"
    return AUTHORS, "The analysis file states no question."


def _reasons(models: list[Any]) -> _Answer:
    bare = [p["parameter"] for m in models for p in m["provenance"]["priors"] if not p["reason"]]
    if bare:
        return AUTHORS, f"No reason is stated for the priors of: {', '.join(dict.fromkeys(bare))}."
    return "filled", "Priors (each with its reason)"


def _any(models: list[Any], what: str, where: str, why: str) -> _Answer:
    return ("filled", where) if all(m["facts"][what] for m in models) else ("not applicable", f"Not worked out: {why}")


def _why_no_checks(models: list[Any]) -> str:
    return " ".join(dict.fromkeys(note for m in models for note in m["facts"]["notes"])) or "nothing to look at."


def _engines(models: list[Any]) -> _Answer:
    exact = [m for m in models if m["provenance"]["engine"] == "collapsed"]
    if exact:
        return "filled", "Coefficients and effects are drawn exactly given variances; variances are sampled with checks"
    if any(m["provenance"]["engine"] == "quadrature" for m in models):
        return "filled", "Integrals over effects take so many nodes that twice as many change nothing"
    return "not applicable", "All parameters are sampled by NUTS."


def _ropes(record: Mapping[str, Any], models: list[Any]) -> _Answer:
    if any(row["p_rope"] is not None for m in models for row in m["facts"]["estimands"]):
        return "filled", "Findings (regions of practical equivalence, with reasons where stated)"
    return "not applicable", "No region of practical equivalence was stated, and no decision is taken."


def _overlap(models: list[Any]) -> _Answer:
    return _any(models, "overlap", "Sensitivity (overlap of prior and posterior)", _why_no_checks(models))


def _data(record: Mapping[str, Any]) -> _Answer:
    if record["rows_kept"]:
        return "filled", "The rows, with codes in place of ids, are in the run (fits/*/posterior.nc)."
    return AUTHORS, "The run holds digests of the rows, not the rows; say where they can be had."


def _averaging(record: Mapping[str, Any]) -> _Answer:
    if record["comparisons"]:
        return "filled", "Comparison (stacking weights; estimates are not averaged)"
    return "not applicable", "Models are not averaged."
