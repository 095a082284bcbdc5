"""What unmeasured causes of several pairs of outcomes at once would do to an effect."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, escaped, quote
from bayes_alliance.comparison.confounding import NOT_TOLD, Refits, correlation_of, say_failed, with_prior
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.set_variables import Setting
from bayes_alliance.findings import Problem
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.names import RESIDUAL
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.residual import can_hold
from bayes_alliance.study import Study, as_study
from bayes_alliance.table.sessions import SessionTable

MOST = 200
"""Fits that a grid may ask for: more are a night's work asked for by mistake."""


@dataclass(frozen=True, eq=False)
class SensitivityGrid:
    """An effect under stated correlations of the residuals of several pairs of outcomes.

    ``table`` has a line per combination: a column for each pair (``m | y``), then ``mean, sd, eti95_lb, eti95_ub,
    p_positive, passed``. ``left_out`` counts combinations that are no correlation matrix. ``under_prior`` has the
    effect, and every pair's correlation, where the whole matrix has the prior ``prior``.
    """

    predictor: str
    outcome: str
    effect: str
    pairs: tuple[tuple[str, str], ...]
    table: pd.DataFrame
    left_out: int
    prior: str | None = None
    under_prior: pd.DataFrame | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the column of each pair."""
        return tuple(" | ".join(pair) for pair in self.pairs)

    @property
    def size(self) -> pd.Series:
        """Return the largest absolute correlation of every combination."""
        return self.table[list(self.labels)].abs().max(axis=1)

    @property
    def turned(self) -> pd.DataFrame:
        """Return combinations under which the mean has not the sign it has at the smallest one, smallest first."""
        order = self.size.sort_values(kind="stable").index
        sign = np.sign(self.table["mean"][order[0]])
        return self.table.loc[[i for i in order if np.sign(self.table["mean"][i]) != sign]]

    @property
    def unclear(self) -> pd.DataFrame:
        """Return combinations under which the 95 % interval holds 0, smallest first."""
        order = self.size.sort_values(kind="stable").index
        inside = (self.table["eti95_lb"] <= 0) & (self.table["eti95_ub"] >= 0)
        return self.table.loc[[i for i in order if inside[i]]]

    @escaped
    def __repr__(self) -> str:
        whole = count_of(len(self.table), "combination")
        turns, holds = len(self.turned), len(self.unclear)
        says = f"its mean changes its sign in {turns} of {whole}" if turns else f"its mean keeps its sign in {whole}"
        if turns:
            says += f" (the smallest: {self._name(self.turned.iloc[0])})"
        zero = f"its 95% interval holds 0 in {holds}"
        if holds:
            zero += f" (the smallest: {self._name(self.unclear.iloc[0])})"
        left = f" {count_of(self.left_out, 'combination')} left out: no such correlations can hold together."
        text = (
            f"Effect {self.effect!r} of {self.predictor} on {self.outcome} by correlations of residuals: {says}; "
            f"{zero}.{left if self.left_out else ''}{say_failed(self.table)} "
            f"{NOT_TOLD.replace('this correlation', 'these correlations')}\n"
            f"{self.table.round(3).to_string(index=False)}"
        )
        if self.under_prior is None:
            return text
        shown = self.under_prior.round(3).to_string(index=False)
        return f"{text}\nUnder the prior {self.prior} of the correlations:\n{shown}"

    def _name(self, row: pd.Series) -> str:
        return ", ".join(f"{label}: {row[label]:g}" for label in self.labels)


def confounding_grid(
    spec: ModelSpec,
    study: Study[SessionTable] | SessionTable,
    *,
    predictor: str,
    correlations: Mapping[tuple[str, str], Sequence[float]],
    outcome: str | None = None,
    effect: str = "indirect",
    prior: str | None = None,
    at: Mapping[str, Setting] | None = None,
    level: str | None = None,
    seed: int,
    settings: SamplerSettings | None = None,
    progress: Progress = "auto",
) -> SensitivityGrid:
    """Refit a model at every combination of stated correlations of residuals and follow an effect through them.

    With two mediators in a row there are three pairs that may share an unmeasured cause; one at a time shows less
    than all at once can do. Combinations that are no positive-definite matrix are left out, and counted.

    Parameters
    ----------
    spec, study, settings
        As in ``fit_model``; the model states no residual correlations itself.
    predictor, outcome, at, level
        As in ``mediation_effects``.
    correlations : mapping of pairs to sequences of float
        For each pair of Gaussian outcomes, with rows of one unit, its correlations between -1 and 1. A pair that is
        not named has 0.
    effect : str
        A name that ``mediation_effects`` gives: ``indirect``, ``direct``, ``total``, or a path.
    prior : str, optional
        Of the whole matrix of the named outcomes, such as ``lkj(4)``: a further fit in which it is unknown. Where all
        predict each other its posterior is this prior, and the interval is wider by what is not known.
    seed : int
        For every fit.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    SensitivityGrid
        The effect per combination, and which combinations turn it.

    Raises
    ------
    SpecError
        If residuals of these outcomes cannot correlate.
    FitError
        If pairs or values are none or too many, the model has residual correlations, or there is no such effect.
    """
    check_seed(seed)
    pairs = [(str(one), str(two)) for one, two in correlations]
    problems = _check(spec, correlations)
    if problems:
        raise FitError(problems)
    outcomes = list(dict.fromkeys(name for pair in pairs for name in pair))
    chosen, left_out = _possible(pairs, [sorted({float(v) for v in values}) for values in correlations.values()])
    refits = Refits(as_study(study), predictor, outcome, effect, at, level, seed, settings)
    content = spec.model_dump(mode="json", exclude_defaults=True)
    labels = [" | ".join(pair) for pair in pairs]
    lines, outside = [], None
    with counter("Combinations", len(chosen) + (prior is not None), progress) as advance:
        for number, values in enumerate(chosen, start=1):
            stated: dict[str, float] = dict(zip(labels, values, strict=True))
            fit, found, line = refits.follow(
                make_model(content | {"residual": {"correlate": outcomes, "fixed": stated}}) if any(values) else spec
            )
            lines.append({**stated, **_figures(line), "passed": fit.passed})
            advance(number)
        if prior is not None:
            fit, found, line = refits.follow(with_prior(spec, outcomes, RESIDUAL, prior))
            rows: list[dict[str, float | str]] = [{"name": effect, **_figures(line)}]
            rows += [
                {"name": f"correlation {label}", **correlation_of(fit, pair, RESIDUAL)}
                for label, pair in zip(labels, pairs, strict=True)
            ]
            outside = pd.DataFrame(rows).assign(passed=fit.passed)
            advance(len(chosen) + 1)
    return SensitivityGrid(
        predictor, found.outcome, effect, tuple(pairs), pd.DataFrame(lines), left_out, prior, outside
    )


def _figures(line: pd.Series) -> dict[str, float]:
    return {str(name): float(value) for name, value in line.items()}


def _check(spec: ModelSpec, correlations: Mapping[tuple[str, str], Sequence[float]]) -> list[Problem]:
    problems = []
    if spec.residual is not None:
        problems.append(Problem("The model has [residual] correlations of its own.", fix="Leave them out here."))
    sets = {frozenset(pair) for pair in correlations}
    if len(correlations) < 2 or len(sets) < len(correlations):
        problems.append(
            Problem(
                "there are fewer than two different pairs.",
                where=f"correlations = {quote(' | '.join(pair) for pair in correlations)}",
                fix="Name two or more; for one pair use confounding_sensitivity.",
            )
        )
    for pair, values in correlations.items():
        if not len(values) or not all(-1 < value < 1 for value in values):
            problems.append(
                Problem(
                    f"{list(values)} are no correlations.",
                    where=f"correlations of {' | '.join(pair)}",
                    allowed="One or more, between -1 and 1.",
                )
            )
    asked = math.prod(max(len(set(values)), 1) for values in correlations.values())
    if asked > MOST:
        problems.append(
            Problem(f"correlations ask for {asked:,} fits; at most {MOST}.", fix="State fewer values per pair.")
        )
    return problems


def _possible(pairs: Sequence[tuple[str, str]], grid: Sequence[Sequence[float]]) -> tuple[list[tuple[float, ...]], int]:
    """Return the combinations that are correlation matrices, and how many are none."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    kept, left_out = [], 0
    for values in product(*grid):
        if can_hold(names, dict(zip(pairs, values, strict=True))):
            kept.append(values)
        else:
            left_out += 1
    if not kept:
        raise FitError("No combination of these correlations can hold together: none is a correlation matrix.")
    return kept, left_out
