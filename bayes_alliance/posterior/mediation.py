"""What carries an effect: indirect, direct and total effects along every path of a model, as draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import escaped, quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.set_variables import Setting, with_others
from bayes_alliance.findings import Problem
from bayes_alliance.fit.estimands import mean_of_product
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import COEF, effect_dim, effects_name, factor_key
from bayes_alliance.posterior.estimands import tabulate
from bayes_alliance.posterior.mediation_sums import Entry, dataset_of, entries_of, scale_of, unit_of
from bayes_alliance.posterior.moderators import Moderators, Weight
from bayes_alliance.posterior.path_checks import check_paths
from bayes_alliance.posterior.paths import (
    Edge,
    Path,
    check_order,
    find_paths,
    last_outcome,
)
from bayes_alliance.posterior.summary import IntervalKind

type Weights = list[tuple[str, Weight]]


@dataclass(frozen=True, eq=False)
class Mediation:
    """Effects of a predictor on an outcome along the paths of a model.

    ``draws`` holds ``value[chain, draw, estimand]`` with the coords ``unit``, ``level`` and ``ratio``, as a fit's
    estimands; ``paths`` are the ways they go. ``at`` are moderators' values, ``standardised`` whether effects are in
    SDs of outcome per SD of predictor. ``levels`` are those of a factor that the paths begin with (an empty word of a
    number), or the two that are compared.
    """

    predictor: str
    outcome: str
    paths: tuple[Path, ...]
    draws: xr.Dataset
    at: Mapping[str, Setting]
    standardised: bool
    levels: tuple[str, ...] = ("",)

    def table(self, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti") -> pd.DataFrame:
        """Return one line per effect, with the columns of ``summarize_estimands``."""
        return tabulate(self.draws, ci_prob=ci_prob, ci_kind=ci_kind)

    @escaped
    def __repr__(self) -> str:
        scale = ", standardised" if self.standardised else ""
        shown = self.table()[["name", "level", "mean", "median", "eti95_lb", "eti95_ub", "r_hat"]].round(3)
        held = f" at {', '.join(f'{k} = {v}' for k, v in self.at.items())}" if self.at else ""
        return (
            f"Effects of {self.predictor} on {self.outcome}{held}{scale} (linear paths; causal only if nothing "
            f"unmeasured moves two of their variables):\n{shown.to_string(index=False)}"
        )


def mediation_effects(
    fit: Fit,
    predictor: str,
    *,
    outcome: str | None = None,
    at: Mapping[str, Setting] | None = None,
    level: str | tuple[str, str] | None = None,
    standardise: bool = False,
) -> Mediation:
    """Follow a predictor along every path of a model: the effect of each, direct, indirect and total effects.

    The effect of a path is the mean over units of the product of its slopes: where slopes vary together over
    therapists or patients, their covariances count (Isserlis 1918; Bauer, Preacher and Gil 2006). Paths carry a level
    of variation each, and effects are added up within it.

    Parameters
    ----------
    fit : Fit
        With its design.
    predictor, outcome : str
        In the model's names; the outcome may be left out where only the last equation's is no predictor of others.
    at : mapping, optional
        Values of moderators that slopes are multiplied by, by the variable; of what stands in a call that reads other
        rows, by the call (``"between(pre, patient)"``). Else their means over the rows of the outcome, or of the last
        equation that has them.
    level : str or tuple of str, optional
        Of a factor with several levels, which one is compared with the reference, or two of which the second is
        compared with the first. Unless stated all are compared with the reference, each under its name.
    standardise : bool
        In SDs of the outcome per SD of the predictor (per step, where that is a factor or 0/1).

    Returns
    -------
    Mediation
        An entry per path; ``direct``, ``indirect`` (all paths with mediators), ``total`` and ``share mediated`` (a
        ratio, given by its median) per level of variation, where there are such paths. Total = direct + indirect in
        every draw.

    Raises
    ------
    FitError
        If no path leads from one to the other, an equation on the way is not linear, a slope depends on the predictor
        or on an outcome that it changes (``counterfactual_effects`` works such effects out), a slope depends on the
        session and a later step reads other sessions, or declared variables say that a mediator was measured after the
        outcome.
    """
    design = design_of(fit)
    outcome = last_outcome(design) if outcome is None else outcome
    found = find_paths(design, predictor, outcome)
    levels = _levels(design, found, predictor, level)
    paths = tuple(path for path in found if path.edges[0].level in levels)
    check_order(design, paths)
    _check_linear(design, paths)
    settings = dict(at or {})
    check_paths(design, paths, settings, predictor, outcome)
    draws = fit.data["posterior"].to_dataset()
    scale = scale_of(design, predictor, outcome) if standardise else 1.0
    effects = {path: scale * _effect(path, _moderators(fit, path, settings), draws) for path in paths}
    unit = unit_of(design, predictor, outcome, standardise)
    if isinstance(level, tuple):
        paths, effects = _less(effects, *level)
        return Mediation(
            predictor, outcome, paths, dataset_of(entries_of(effects, unit, draws)), settings, standardise, level
        )
    entries: list[Entry] = []
    for one in levels:
        own = {path: effect for path, effect in effects.items() if path.edges[0].level == one}
        entries += entries_of(own, unit, draws, f" [{one}]" if len(levels) > 1 else "")
    return Mediation(predictor, outcome, paths, dataset_of(entries), settings, standardise, levels)


def moderated_mediation(
    fit: Fit,
    predictor: str,
    *,
    moderator: str,
    outcome: str | None = None,
    values: tuple[Setting, Setting] | None = None,
    at: Mapping[str, Setting] | None = None,
    level: str | tuple[str, str] | None = None,
    standardise: bool = False,
) -> Mediation:
    """Say by how much effects differ between two values of a moderator: the index of moderated mediation.

    Where an effect is a straight line in the moderator, its difference per unit is one number, the index (Hayes 2015).
    Where both a step to a mediator and a step from it are moderated it is none, and the two values that are compared
    must be stated.

    Parameters
    ----------
    fit, predictor, outcome, at, level, standardise
        As in ``mediation_effects``.
    moderator : str
        In the model's names: a predictor that slopes on the paths are multiplied by.
    values : tuple, optional
        Two numbers or levels, the second compared with the first; else 0 and 1, or the two levels there are.

    Returns
    -------
    Mediation
        Of every effect the value at the second less that at the first, draw by draw; without shares mediated.

    Raises
    ------
    FitError
        As ``mediation_effects``; if no slope depends on the moderator; if ``values`` are left out and differences
        depend on where they are taken.
    """
    design = design_of(fit)
    chosen = _settings(design, moderator) if values is None else values

    def effects(value: Setting) -> Mediation:
        held = dict(at or {}) | {moderator: value}
        return mediation_effects(fit, predictor, outcome=outcome, at=held, level=level, standardise=standardise)

    low, high = effects(chosen[0]), effects(chosen[1])
    moved = high.draws["value"] - low.draws["value"]
    if not np.any(np.abs(moved.where(low.draws["ratio"] == 0, 0.0)) > 0):
        raise FitError(f"No slope on a path from {predictor!r} to {low.outcome!r} depends on {moderator!r}.")
    if values is None and not isinstance(chosen[0], str):
        further = effects(float(chosen[1]) + 1.0).draws["value"] - high.draws["value"]
        bent = ~np.isclose(further, moved, rtol=1e-6, atol=1e-9 * float(np.abs(moved).max()))
        if bent[..., low.draws["ratio"].values == 0].any():
            raise FitError(
                f"Effects of {predictor!r} are no straight lines in {moderator!r}, as more than one step depends on "
                f"it: state the values that are compared, values=(low, high)."
            )
    draws = low.draws.assign(value=moved).isel(estimand=low.draws["ratio"].values == 0)
    held = dict(at or {}) | {moderator: f"{chosen[1]} less {chosen[0]}"}
    return Mediation(predictor, low.outcome, low.paths, draws, held, standardise, low.levels)


def _settings(design: Design, moderator: str) -> tuple[Setting, Setting]:
    """Return the two levels of a factor, or 0 and 1."""
    found = [e.variables[moderator] for e in design.equations if moderator in e.variables]
    if any(part == moderator for e in design.equations for parts in e.coef.parts for part, _ in parts) and not found:
        return 0.0, 1.0
    if not found:
        raise FitError(unknown("moderator", moderator, dict.fromkeys(n for e in design.equations for n in e.variables)))
    levels = found[0].levels
    if levels is None:
        return 0.0, 1.0
    if len(levels) > 2:
        raise FitError(f"{moderator!r} has the levels {quote(levels)}; state the two that are compared, values=(...).")
    return levels[0], levels[1]


def unit_effects(
    fit: Fit,
    predictor: str,
    *,
    outcome: str | None = None,
    factor: str,
    at: Mapping[str, Setting] | None = None,
    level: str | None = None,
) -> xr.DataArray:
    """Return the effect of every path for every therapist (patient, …), slopes being those of that unit.

    Parameters
    ----------
    fit, predictor, outcome, at, level
        As in ``mediation_effects``.
    factor : str
        A grouping factor by which a slope on a path varies.

    Returns
    -------
    DataArray over (chain, draw, path, <factor>)
        The product of the slopes of each unit, other factors' effects at 0.

    Raises
    ------
    FitError
        If no slope on a path varies by the factor.
    """
    design = design_of(fit)
    outcome = last_outcome(design) if outcome is None else outcome
    found_paths = find_paths(design, predictor, outcome)
    levels = _levels(design, found_paths, predictor, level)
    paths = tuple(path for path in found_paths if path.edges[0].level in levels)
    _check_linear(design, paths)
    settings = dict(at or {})
    check_paths(design, paths, settings, predictor, outcome)
    names = [f.factor for f in design.factors]
    if factor not in names:
        raise FitError(unknown("grouping factor", factor, names))
    made, draws = find_factor(design.factors, factor), with_effects(fit)
    used = {label for path in paths for edge in path.edges for label, _ in edge.columns}
    if not used & set(made.effects):
        raise FitError(f"No slope on a path from {predictor!r} to {outcome!r} varies by {factor}.")
    own = draws[effects_name(factor)]
    found: list[xr.DataArray] = []
    for path in paths:
        total = xr.ones_like(own.isel({effect_dim(factor): 0}, drop=True))
        moderators = _moderators(fit, path, settings)
        for edge in path.edges:
            slope = xr.zeros_like(total)
            for label, weight in _weights(edge, moderators):
                one = draws["b"].sel({COEF: label}, drop=True)
                if label in made.effects:
                    one = one + own.sel({effect_dim(factor): label}, drop=True)
                slope = slope + weight * one
            total = total * slope
        found.append(total.reset_coords(drop=True))
    together: xr.DataArray = xr.concat(found, dim=pd.Index([path.name for path in paths], name="path"))
    return together.transpose("chain", "draw", "path", factor_key(factor))


def path_slopes(fit: Fit, mediation: Mediation) -> dict[tuple[str, str, str], np.ndarray]:
    """Return the mean slope of every step on the paths, shape (draw,), by source, target and level of variation.

    The level is such as ``within patient``, empty where a variable is read as it is; ``a session later`` where it is
    read at an earlier session.

    Raises
    ------
    FitError
        If the effects are of several levels of a factor, or of one compared with another.
    """
    if len(mediation.levels) != 1:
        raise FitError(
            Problem(
                f"Effects are of {quote(mediation.levels)} of {mediation.predictor!r}, and slopes are those of one.",
                fix="State level= in mediation_effects.",
            )
        )
    draws = fit.data["posterior"].to_dataset()
    found: dict[tuple[str, str, str], np.ndarray] = {}
    for edge in dict.fromkeys(edge for path in mediation.paths for edge in path.edges):
        path = next(path for path in mediation.paths if edge in path.edges)
        weights = _weights(edge, _moderators(fit, path, mediation.at))
        slope = sum(
            (weight * draws["b"].sel({COEF: label}, drop=True)).transpose("chain", "draw").values.ravel()
            for label, weight in weights
        )
        way = "" if edge.how == "itself" else f"{edge.how} {edge.factor}"
        key = (edge.source, edge.target, f"{way} a session later".strip() if edge.lagged else way)
        found[key] = found[key] + slope if key in found else np.asarray(slope)
    return found


def _levels(
    design: Design, paths: Sequence[Path], predictor: str, level: str | tuple[str, str] | None
) -> tuple[str, ...]:
    """Return the levels whose paths are followed: the stated ones, or all beside the reference."""
    known = tuple(dict.fromkeys(path.edges[0].level for path in paths))
    if level is None:
        return known
    variable = next((e.variables[predictor] for e in design.equations if predictor in e.variables), None)
    reference = variable.levels[:1] if variable is not None and variable.levels else ()
    stated = level if isinstance(level, tuple) else (level,)
    allowed = (*reference, *known) if isinstance(level, tuple) else known
    odd = [one for one in stated if one not in allowed]
    if odd:
        raise FitError(unknown(f"level of {predictor!r}:", str(odd[0]), allowed))
    if isinstance(level, tuple) and (len(level) != 2 or level[0] == level[1]):
        raise FitError(f"level={level!r}: two levels of {predictor!r} are compared, level=(reference, other).")
    return tuple(one for one in stated if one in known)


def _less(
    effects: Mapping[Path, xr.DataArray], first: str, second: str
) -> tuple[tuple[Path, ...], dict[Path, xr.DataArray]]:
    """Return the paths of one level compared with another, and their effects: those of the second less the first."""
    found: dict[Path, xr.DataArray] = {}
    for path, effect in effects.items():
        start = path.edges[0]
        named = replace(start, level=f"{second} rather than {first}", columns=())
        whole = replace(path, edges=(named, *path.edges[1:]))
        own = effect if start.level == second else -effect
        found[whole] = found[whole] + own if whole in found else own
    return tuple(found), found


def _check_linear(design: Design, paths: Sequence[Path]) -> None:
    """Refuse products through links that are not linear."""
    targets = dict.fromkeys(edge.target for path in paths if len(path.edges) > 1 for edge in path.edges)
    bent = [design.find(target) for target in targets if not design.find(target).kind.linear]
    if bent:
        shown = ", ".join(f"{e.outcome!r} ({e.family})" for e in bent)
        raise FitError(
            f"A product of slopes through {shown} is no effect on any scale, as the link is not linear. Compare "
            f"predicted outcomes of one equation (marginal_effects), and report the slopes one by one."
        )


def _moderators(fit: Fit, path: Path, at: Mapping[str, Setting]) -> Moderators:
    """Return the values of moderators; means are over rows of the last equation on the path that has them."""
    design = design_of(fit)
    order = [design.find(edge.target) for edge in reversed(path.edges)]
    draws = with_effects(fit) if any(e.follows for e in order) else fit.data["posterior"].to_dataset()
    return Moderators(design, with_others(design, at), order, draws)


def _weights(edge: Edge, moderators: Moderators) -> Weights:
    """Return the coefficients a slope is made of, each with the product of what it is multiplied by."""
    e = moderators.design.find(edge.target)
    return [(label, moderators.weight(e, parts)) for label, parts in edge.columns]


def _effect(path: Path, moderators: Moderators, draws: xr.Dataset) -> xr.DataArray:
    """Return the mean over units of the product of a path's slopes."""
    factors = [factor.factor for factor in moderators.design.factors]
    total: xr.DataArray | float = 0.0
    for chosen in product(*(_weights(edge, moderators) for edge in path.edges)):
        weight: Weight = 1.0
        for _, own in chosen:
            weight = weight * own
        if isinstance(weight, xr.DataArray) or weight:
            total = total + weight * mean_of_product([label for label, _ in chosen], draws, factors)
    if not isinstance(total, xr.DataArray):
        total = xr.zeros_like(draws["b"].isel({COEF: 0}, drop=True))
    extra = [dim for dim in total.dims if dim not in ("chain", "draw")]
    if extra:
        raise FitError(
            f"Covariances of the paths differ by {extra[0]}; effects are worked out for one covariance only."
        )
    return total.reset_coords(drop=True)
