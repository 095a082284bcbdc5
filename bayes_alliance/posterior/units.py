"""Therapists, groups or patients one by one: shrunken estimates, ranks, and how surely one is among the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import INTERCEPT, coef_label, effect_dim, effects_name, factor_key, predictor_label
from bayes_alliance.outcome.families import find_family
from bayes_alliance.posterior.summary import IntervalKind, check_interval, interval
from bayes_alliance.posterior.variance import fitted_factors, fitted_moments, formulas_of

type Direction = Literal["higher", "lower"]


@dataclass(frozen=True, eq=False)
class UnitEffect:
    """Draws of one effect of a factor: ``values`` over (level, chain, draw), its unit, and whose it is."""

    values: xr.DataArray
    outcome: str
    label: str
    unit: str
    gated: bool


def unit_effect(fit: Fit, factor: str, effect: str | None) -> UnitEffect:
    """Return the draws of one effect of a factor's levels; the first effect where none is named."""
    factors = fitted_factors(fit)
    if factor not in factors:
        raise FitError(unknown("grouping factor", factor, factors))
    draws = fit.effects[effects_name(factor)]
    dim, moments = effect_dim(factor), fitted_moments(fit)
    full = [str(label) for label in draws[dim].values]
    whose = {predictor_label(p, outcome): outcome for outcome, own in moments.items() for p in formulas_of(own)}
    owned = _owned(moments, factor)
    owners = [owned[label] for label in full]
    labels = [label[len(coef_label(owner, "")) :] for label, owner in zip(full, owners, strict=True)]
    place = _place_of(factor, effect, full, labels, owners)
    owner = owners[place]
    unit = _unit(moments, owner)
    own = [label for label, other in zip(labels, owners, strict=True) if other == owner]
    gated = len(own) == 1 and labels[place].endswith("]")
    values = draws.isel({dim: place}).transpose(factor_key(factor), "chain", "draw")
    return UnitEffect(values, whose.get(owner, owner), labels[place], unit, gated)


def _owned(moments: Mapping[str, xr.Dataset], factor: str) -> dict[str, str]:
    """Return whose every effect of a factor is, by its whole label: an outcome, or a parameter such as sigma(score)."""
    found: dict[str, str] = {}
    for outcome, own in moments.items():
        products = f"zz_{factor_key(factor)}"
        if products in own:
            found |= dict.fromkeys(map(str, own[products][effect_dim(factor)].values), outcome)
        for parameter in formulas_of(own):
            of_formula = f"formula_{parameter}_{factor_key(factor)}_effect"
            if of_formula in own:
                found |= dict.fromkeys(map(str, own[of_formula].values), predictor_label(parameter, outcome))
    return found


def _unit(moments: Mapping[str, xr.Dataset], owner: str) -> str:
    """Return what effects on a linear predictor are in."""
    for outcome, own in moments.items():
        family = find_family(own.attrs["family"], own.attrs.get("link"))
        if owner == outcome:
            return family.unit
        for parameter in family.parameters:
            if owner == predictor_label(parameter.name, outcome):
                return parameter.unit
    raise FitError(f"No linear predictor is called {owner!r}.")


def first_effects(fit: Fit, factor: str) -> dict[str, str]:
    """Return the whole label of a factor's first effect on each outcome, or parameter, that it has effects on."""
    found: dict[str, str] = {}
    for label, owner in _owned(fitted_moments(fit), factor).items():
        found.setdefault(owner, label)
    return found


def _place_of(factor: str, effect: str | None, full: list[str], labels: list[str], owners: list[str]) -> int:
    """Return the place of an effect: by its whole label, or by its short one where that is one outcome's."""
    several = len(set(owners)) > 1
    if effect is None:
        if several:
            raise FitError(f"{factor} has effects on several outcomes: {quote(full)}. State effect=.")
        return 0
    if effect in full:
        return full.index(effect)
    named = [i for i, label in enumerate(labels) if label == effect]
    if not named:
        raise FitError(unknown(f"effect of {factor}", effect, full if several else labels))
    if len(named) > 1:
        raise FitError(f"{effect!r} is an effect on several outcomes: {quote(full[i] for i in named)}. State one.")
    return named[0]


def unit_estimates(
    fit: Fit,
    *,
    factor: str = "therapist",
    better: Direction,
    effect: str | None = None,
    ci_prob: float = 0.95,
    ci_kind: IntervalKind = "eti",
) -> pd.DataFrame:
    """Estimate every level of a grouping factor, with its rank and how surely it is among the best or worst third.

    Parameters
    ----------
    fit : Fit
        With its rows, which caseloads are counted from.
    factor : str
        Such as ``"therapist"``.
    better : {"higher", "lower"}
        Which direction of the outcome is an improvement. There is no default: a scale of symptoms and one of the
        alliance point in different directions.
    effect : str, optional
        Which effect, by its label (``"Intercept"``, ``"week"``, or ``"phq9, week"`` where the factor has effects on
        several outcomes, one of which must then be stated); the first one unless stated.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density.

    Returns
    -------
    DataFrame
        One row per level, best first: ``<factor>``, ``effect`` (the outcome and the term) and its ``unit``, its
        ``patients`` and ``rows``, ``mean, sd, eti95_lb, eti95_ub`` of its deviation from the population in that unit
        (shrunken: with few rows it lies near 0), ``p_best_third`` and ``p_worst_third``, ``rank_median, rank_lb,
        rank_ub`` (1 is best) with the same probability. The probabilities of the best third add up to the number of
        levels in it. Columns of a level's rows count those of the equation the effect belongs to.

    Raises
    ------
    FitError
        If there is no such factor or effect, the fit has no rows, or there are fewer than three levels.

    Notes
    -----
    Ranks are worked out in every draw, so they know how much levels differ (Goldstein and Spiegelhalter 1996): with
    small caseloads most therapists have ranks from near the first to near the last.
    """
    check_interval(ci_prob, ci_kind)
    if better not in ("higher", "lower"):
        raise FitError(f"better = {better!r}: state which direction of the outcome is better, 'higher' or 'lower'.")
    chosen = unit_effect(fit, factor, effect)
    values = chosen.values.values.reshape(chosen.values.shape[0], -1)
    levels = [str(level) for level in chosen.values[factor_key(factor)].values]
    if len(levels) < 3:
        raise FitError(f"{factor!r} has {len(levels)} levels; thirds need three or more.")
    rank = (-values if better == "higher" else values).argsort(axis=0, kind="stable").argsort(axis=0) + 1
    third = len(levels) // 3
    tails = [0.5, (1 - ci_prob) / 2, (1 + ci_prob) / 2]
    middle, low, high = np.quantile(rank, tails, axis=1, method="nearest")
    bounds = np.array([interval(row.values, ci_prob, ci_kind) for row in chosen.values])
    width = f"{ci_kind}{100 * ci_prob:g}"
    counts = count_caseload(design_of(fit), factor, chosen.outcome)
    table = pd.DataFrame(
        {
            factor: levels,
            "effect": coef_label(chosen.outcome, chosen.label),
            "unit": chosen.unit,
            "patients": [counts[level][0] for level in levels],
            "rows": [counts[level][1] for level in levels],
            "mean": values.mean(axis=1),
            "sd": values.std(axis=1, ddof=1),
            f"{width}_lb": bounds[:, 0],
            f"{width}_ub": bounds[:, 1],
            "p_best_third": (rank <= third).mean(axis=1),
            "p_worst_third": (rank > len(levels) - third).mean(axis=1),
            "rank_median": middle.astype(int),
            "rank_lb": low.astype(int),
            "rank_ub": high.astype(int),
        }
    )
    return table.sort_values("mean", ascending=better == "lower", kind="stable").reset_index(drop=True)


def count_caseload(design: Design, factor: str, outcome: str) -> dict[str, tuple[int, int]]:
    """Return patients and rows of every level of a factor, in the equation of an outcome."""
    equation = design.find(outcome)
    counts = dict.fromkeys(find_factor(design.factors, factor).levels, (0, 0))
    of_parameters = [group for own in equation.parameters.values() for group in own.groups if group.factor == factor]
    groups = [group for group in equation.groups if group.factor == factor]
    for group in groups or of_parameters[:1]:
        rows = pd.DataFrame({"code": group.code, "patient": equation.patient})[group.inside]
        for code, own in rows.groupby("code")["patient"]:
            before = counts[group.levels[int(str(code))]]
            counts[group.levels[int(str(code))]] = (before[0] + own.nunique(), before[1] + len(own))
    return counts


def effect_text(effect: UnitEffect) -> str:
    """Return what an effect is of, for an axis: nothing more for an intercept."""
    if effect.label == INTERCEPT:
        return ""
    return f", in {effect.label}" if effect.gated else f" per unit of {effect.label}"
