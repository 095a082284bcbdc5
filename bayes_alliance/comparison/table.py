"""Several fits weighed on the same outcomes of the same units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import combinations

import arviz_stats as azs
import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, escaped, first_few, quote
from bayes_alliance.comparison.equivalence import same_distribution
from bayes_alliance.comparison.loo import loo
from bayes_alliance.comparison.scores import Scores
from bayes_alliance.comparison.units import UnitName
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.fit.result import Fit, design_of

SMALL = 4.0
"""Difference of elpd below which its standard error is not dependable (Sivula, Magnusson and Vehtari 2023)."""

FEW = 100
"""Units below which it is not, either."""

APART = 2.0
"""Standard errors that a difference is to be away from 0."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models from the best predicting one downward.

    ``table`` has a line per model: ``elpd`` and ``se`` (nats, higher is better), ``elpd_diff`` and ``dse`` (from the
    first), ``p_loo``, ``weight`` (stacking), ``bad_k`` (units whose weights are not dependable) and ``remark``.
    """

    table: pd.DataFrame
    scores: Mapping[str, Scores]
    messages: tuple[str, ...]

    @property
    def best(self) -> str:
        """Return the model with the highest elpd, whatever its lead."""
        return str(self.table.index[0])

    @escaped
    def __repr__(self) -> str:
        shown = self.table.to_string(float_format=lambda value: f"{value:.2f}")
        return "\n".join([self._head, shown, *self.messages])

    def _repr_html_(self) -> str:
        parts = "".join(f"<p>{escape(message)}</p>" for message in self.messages)
        return f"<p><b>{escape(self._head)}</b></p>{self.table.to_html(float_format=lambda v: f'{v:.2f}')}{parts}"

    @property
    def _head(self) -> str:
        one = next(iter(self.scores.values()))
        return (
            f"{count_of(len(self.scores), 'model')}, {count_of(len(one), one.unit)} predicted; {quote(one.outcomes)}."
        )


def compare(
    fits: Mapping[str, Fit | Scores],
    *,
    unit: UnitName = "patient",
    outcomes: Sequence[str] | str | None = None,
    refit: bool | None = None,
) -> Comparison:
    """Weigh models by how well they predict the same units.

    Parameters
    ----------
    fits : mapping of str to Fit or Scores
        By name; fits are scored by ``loo``, scores taken as they are (``loo``, ``kfold`` or ``leave_future_out``).
    unit : {"session", "patient", "therapist", "group", "site"}
        What a prediction is for.
    outcomes : str or sequence of str, optional
        Whose joint density is compared; those that all fits have unless stated.
    refit : bool, optional
        As in ``loo``.

    Returns
    -------
    Comparison
        Differences with their standard errors, stacking weights (Yao et al. 2018), and remarks: what lies within noise,
        what is not distinguishable by fit, which chains did not mix.

    Raises
    ------
    FitError
        If there are fewer than two, or they predict other rows, other values (another scale, another transformation),
        other units, or by another method. All of this is told at once.

    References
    ----------
    vehtari2017, yao2018, sivula2023
    """
    if len(fits) < 2:
        raise FitError(f"A comparison needs two models or more; there {'is one' if fits else 'are none'}.")
    findings = Findings()
    common = _common(fits, outcomes, findings)
    scores = {
        name: fit if isinstance(fit, Scores) else loo(fit, unit=unit, outcomes=common, refit=refit)
        for name, fit in fits.items()
    }
    _check_alike(scores)
    table = _tabulate(scores)
    twins = _twins({name: fit for name, fit in fits.items() if isinstance(fit, Fit)})
    table["remark"] = [_remark(name, table, scores, fits, twins) for name in table.index]
    findings.note(*(m for score in scores.values() for m in score.messages))
    findings.note(
        *[f"{one} and {two} imply the same distributions: they are not distinguishable by fit." for one, two in twins]
    )
    return Comparison(table, scores, tuple(findings.messages))


def _common(
    fits: Mapping[str, Fit | Scores], outcomes: Sequence[str] | str | None, findings: Findings
) -> tuple[str, ...] | None:
    """Return the outcomes that every fit has, in the order of the first."""
    if outcomes is not None:
        return (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)
    own = [[e.outcome for e in design_of(fit).equations] for fit in fits.values() if isinstance(fit, Fit)]
    if not own:
        return None
    common = tuple(o for o in own[0] if all(o in other for other in own))
    if not common:
        raise FitError(f"The models share no outcome: {'; '.join(quote(o) for o in own)}.")
    left = sorted({o for other in own for o in other} - set(common))
    if left:
        findings.note(f"Scored on {quote(common)}, which all models have; {quote(left)} not in all of them.")
    return common


def _check_alike(scores: Mapping[str, Scores]) -> None:
    """Refuse scores of different things, saying what differs."""
    (first, one), *others = scores.items()
    problems = []
    for name, other in others:
        pair = f"{first!r} and {name!r}"
        if one.unit != other.unit:
            problems.append(Problem(f"{pair} predict different units: {one.unit}s and {other.unit}s."))
        elif one.method != other.method:
            problems.append(Problem(f"{pair} were left out by different methods: {one.method} and {other.method}."))
        elif set(one.outcomes) != set(other.outcomes):
            problems.append(Problem(f"{pair} are scored on {quote(one.outcomes)} and on {quote(other.outcomes)}."))
        elif set(one.labels) != set(other.labels):
            alone = sorted(set(one.labels) ^ set(other.labels))
            problems.append(
                Problem(
                    f"{pair} were fitted to different rows: {count_of(len(alone), one.unit)} only in one of them, "
                    f"{first_few([repr(label) for label in alone])}."
                )
            )
        elif one.fingerprint != other.fingerprint:
            rows = dict(zip(one.labels, one.rows, strict=True))
            uneven = [label for label, count in zip(other.labels, other.rows, strict=True) if rows[label] != count]
            what = (
                f"{count_of(len(uneven), one.unit)} with other numbers of rows, {first_few([repr(u) for u in uneven])}"
                if uneven
                else "the same numbers of rows, but other rows or other values of the outcome (another scale?)"
            )
            problems.append(Problem(f"{pair} were fitted to different rows: {what}."))
    if problems:
        raise FitError(
            [
                replace(problem, fix="Fit the models to the same rows, such as by compare_models.")
                for problem in problems
            ]
        )


def _tabulate(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """Return ArviZ's comparison; densities are taken less each unit's best, which its weights cannot tell."""
    first = next(iter(scores.values()))
    place = {label: i for i, label in enumerate(first.labels)}
    aligned = {name: _aligned(score, place) for name, score in scores.items()}
    highest = np.max([score.elpd_i for score in aligned.values()], axis=0)
    found = azs.compare({name: s.to_arviz(highest) for name, s in aligned.items()}, method="stacking", round_to="none")
    rows = {}
    for name in found.index:
        score = scores[str(name)]
        rows[str(name)] = {
            "rank": int(found.loc[name, "rank"]) + 1,
            "elpd": score.elpd,
            "se": score.se,
            "elpd_diff": float(found.loc[name, "elpd_diff"]),
            "dse": _error_of_difference(aligned[str(name)], aligned[str(found.index[0])]),
            "p_loo": score.p_loo,
            "weight": float(found.loc[name, "weight"]),
            "mcse": score.mcse,
            "bad_k": int(score.bad.sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _error_of_difference(score: Scores, best: Scores) -> float:
    """Return the standard error of a difference in elpd over the same units, with the degrees of freedom of ``se``."""
    apart = score.elpd_i - best.elpd_i
    return float(np.sqrt(len(apart)) * apart.std(ddof=1)) if len(apart) > 1 else float("nan")


def _aligned(score: Scores, place: Mapping[str, int]) -> Scores:
    """Return scores in the order of the first model's units."""
    order = np.argsort([place[label] for label in score.labels])
    arrays = ("elpd_i", "fitted_i", "pareto_k", "mcse_i", "rows", "refitted")
    changed = {name: getattr(score, name)[order] for name in arrays}
    return replace(score, labels=tuple(score.labels[i] for i in order), **changed)


def _remark(
    name: str,
    table: pd.DataFrame,
    scores: Mapping[str, Scores],
    fits: Mapping[str, Fit | Scores],
    twins: Sequence[tuple[str, str]],
) -> str:
    remarks = []
    fit = fits[name]
    if isinstance(fit, Fit) and not fit.passed:
        remarks.append("its chains FAILED their checks")
    diff, dse = (abs(float(table[column].to_dict()[name])) for column in ("elpd_diff", "dse"))
    best = str(table.index[0])
    if name != best:
        if any({name, best} == set(pair) for pair in twins):
            remarks.append(f"not distinguishable by fit from {best}")
        elif diff < SMALL or diff < APART * dse:
            remarks.append(f"within noise of {best}")
        elif len(scores[name]) < FEW:
            remarks.append(f"worse than {best}, but fewer than {FEW} units: its error is rough")
    if table.loc[name, "bad_k"]:
        remarks.append("Pareto k too high in some")
    return "; ".join(remarks)


def _twins(fits: Mapping[str, Fit]) -> list[tuple[str, str]]:
    """Return pairs of models that imply the same distributions of their outcomes."""
    return [(a, b) for a, b in combinations(fits, 2) if same_distribution(design_of(fits[a]), design_of(fits[b]))]
