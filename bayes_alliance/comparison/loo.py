"""Leave one session, patient, therapist or group out, without fitting again where weights are dependable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import arviz_stats as azs
import numpy as np
import xarray as xr

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.collapse.deletion import leave_units_out
from bayes_alliance.collapse.eligibility import find_design_obstacles
from bayes_alliance.collapse.rows import Stacked, add_units, codes_of
from bayes_alliance.collapse.split_rows import outcome_names
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.comparison.integration import integrated_factors, scored_density
from bayes_alliance.comparison.refits import leave_out, refit_without, score_exactly, score_unseen
from bayes_alliance.comparison.scores import Scores, average_density, smooth
from bayes_alliance.comparison.units import UnitName, Units, find_units, fingerprint
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.fit.exact import read_points
from bayes_alliance.fit.integrated import level_densities
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import spread_seed
from bayes_alliance.fit.settings import Progress
from bayes_alliance.names import mean_name, sd_name
from bayes_alliance.quadrature.choice import choose_engine
from bayes_alliance.spec.equation_order import predicting_outcomes
from bayes_alliance.spec.parameters import SHAPES

MOST = 4_000_000
"""Draws times units (integrated exactly) up to which all draws are used; a fourth where rows are read draw by draw."""

FEWEST = 100
"""Draws below which weights have no tail to speak of."""

LEAST = 300
"""Draws that are used whatever the number of units: with fewer, k is high in some of many units by chance."""


@dataclass(frozen=True, eq=False)
class Densities:
    """Log-densities of units left out, shape (draw, unit): of all their outcomes, those scored, and given all rows."""

    everything: np.ndarray
    scored: np.ndarray
    fitted: np.ndarray
    target: str


def loo(
    fit: Fit,
    *,
    unit: UnitName = "patient",
    outcomes: Sequence[str] | str | None = None,
    given_others: bool = False,
    refit: bool | None = None,
    draws: int | None = None,
    progress: Progress = "auto",
) -> Scores:
    """Predict every session, patient, therapist or group from all others.

    A patient left out is a new patient: group effects of the unit and of what lies inside it are integrated out, not
    those its own rows have informed. Where the collapsed engine can fit the model so are coefficients and all other
    effects, and only the variances are weighted. Where the quadrature engine can, so are the effects of what is shared,
    given all other rows. Else coefficients and the effects of what is shared are as drawn.

    Parameters
    ----------
    fit : Fit
        With its design (``with_rows`` after loading).
    unit : {"session", "patient", "therapist", "group", "site"}
        What is left out, one at a time, with all its outcomes.
    outcomes : str or sequence of str, optional
        Whose density is the score; all of the unit's, jointly, unless stated.
    given_others : bool
        Whether the unit's other outcomes are known when the stated ones are predicted.
    refit : bool, optional
        Whether units whose weights are not dependable (Pareto k) are left out by fitting anew. Unless stated, up to ten
        are where the collapsed engine fits, and none where NUTS does, which takes a minute each.
    draws : int, optional
        Use at most so many draws, evenly spread; unless stated all, fewer for tens of thousands of units.
    progress : {"auto", "off"}
        Whether a bar is shown for refits.

    Returns
    -------
    Scores
        With Pareto k and Monte Carlo error per unit.

    Raises
    ------
    FitError
        If the fit has no design, the model no such unit or only one of it, sessions feed later sessions, or the stated
        outcomes have no density of their own because others follow them.

    References
    ----------
    vehtari2017, merkle2019
    """
    design = design_of(fit)
    if draws is not None and (not isinstance(draws, int) or isinstance(draws, bool) or draws < FEWEST):
        raise FitError(f"draws must be a whole number of {FEWEST} or more; it is {draws!r}.")
    wanted = check_outcomes(design, outcomes, given_others)
    units = find_units(design, unit, wanted)
    if len(units) < 2:
        raise FitError(f"There is only one {unit}, {units.labels[0]!r}; nothing is left to predict it from.")
    exact = place_units(design, units)
    flat = _draws_of(fit, units, draws, exact is not None)
    densities = unit_densities(design, units, flat, wanted, exact=exact, given_others=given_others)
    efficiency = _efficiency(fit)
    elpd, error, k = smooth(densities.everything, densities.scored, efficiency)
    fitted = average_density(densities.fitted)[0]
    scores = Scores(
        title=fit.spec.title,
        unit=unit,
        labels=units.labels,
        outcomes=wanted,
        target=densities.target,
        method="psis",
        elpd_i=elpd,
        fitted_i=fitted,
        pareto_k=k,
        mcse_i=error,
        rows=units.count_rows(wanted),
        refitted=np.zeros(len(units), dtype=bool),
        draws=len(densities.scored),
        fingerprint=fingerprint(design, units, wanted),
        messages=units.messages,
    )
    return _refit_bad(fit, design, units, scores, refit, given_others, progress)


def check_outcomes(design: Design, outcomes: Sequence[str] | str | None, given_others: bool) -> tuple[str, ...]:
    """Return the outcomes that are scored, in the order of the model.

    Raises
    ------
    FitError
        If one is unknown, or some outcomes' density would have to be averaged over others that follow them.
    """
    every = tuple(e.outcome for e in design.equations)
    if outcomes is None:
        if given_others:
            raise FitError("given_others=True needs outcomes: which are predicted, the others being known?")
        return every
    stated = (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)
    for outcome in stated:
        if outcome not in every:
            raise FitError(unknown("outcome", str(outcome), every))
    wanted = tuple(outcome for outcome in every if outcome in stated)
    if not wanted:
        raise FitError("outcomes names none; leave it out to score all of them.")
    rest = [e for e in design.equations if e.outcome not in wanted]
    names = {e.spec.outcome: e.outcome for e in design.equations}
    free = rest if given_others else [e for e in design.equations if e.outcome in wanted]
    others = set(wanted) if given_others else {e.outcome for e in rest}
    for e in free:
        read = {names[o] for o in (*predicting_outcomes(design.spec, e.spec),) if names[o] in others}
        if read:
            raise FitError(
                f"{quote(sorted(read))} predicts {e.outcome!r}, so the density of {quote(wanted)} "
                f"{'given the others' if given_others else 'alone'} is an average over it that is not worked out. "
                f"Score all outcomes jointly, or state outcomes that nothing else follows with given_others=True."
            )
    return wanted


def unit_densities(
    design: Design,
    units: Units,
    flat: xr.Dataset,
    wanted: tuple[str, ...],
    *,
    exact: tuple[Stacked, int] | None,
    given_others: bool = False,
) -> Densities:
    """Return log-densities of all units, draw by draw, exactly where ``place_units`` found them a place."""
    rest = tuple(e.outcome for e in design.equations if e.outcome not in wanted)
    named = "all outcomes" if not rest else f"{quote(wanted)}{f' given {quote(rest)}' if given_others else ''}"
    if exact is not None:
        points = read_points(design, flat.expand_dims("chain").rename(sample="draw"))
        everything, scored, fitted = _exact_densities(design, exact, points, wanted, given_others)
        text = f"{named}, coefficients and all group effects integrated out"
        return Densities(everything, scored, fitted, text)
    factor = _level_factor(design, units)
    if factor is not None and choose_engine(design)[0] == "quadrature":
        density = level_densities(design, flat.expand_dims("chain").rename(sample="draw"), factor.factor)
        return Densities(density, density, density, f"{named}, all group effects integrated out, given coefficients")
    everything, scored = scored_density(design, units, flat, wanted, given_others=given_others)
    inside = integrated_factors(design, units)
    shared = [f.factor for f in design.factors if f.factor not in inside]
    text = f"{named}" + (f", effects of {quote(inside)} integrated out" if inside else "")
    text += f", given coefficients{f' and effects of {quote(shared)}' if shared else ''}"
    return Densities(everything, scored, scored, text)


def _exact_densities(
    design: Design, exact: tuple[Stacked, int], points: np.ndarray, wanted: tuple[str, ...], given_others: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log-densities of units' outcomes, of those that are scored, and of these given all rows.

    Values of variables whose means are latent are known throughout: they predict, and are not predicted.
    """
    every, measured = outcome_names(design), tuple(mean_name(m.label) for m in design.measured)
    target = every if given_others else (*wanted, *measured)
    known = tuple(name for name in every if name not in wanted) if given_others else measured
    found = leave_units_out(*exact, points, target if set(target) != set(every) else None)
    everything, scored, fitted = found.all_outcomes, found.without, found.within
    if known:
        other = leave_units_out(*exact, points, known)
        scored, fitted = scored - other.without, fitted - other.within
        if measured:
            own = other if known == measured else leave_units_out(*exact, points, measured)
            everything = everything - own.without
    return everything, scored, fitted


def place_units(design: Design, units: Units) -> tuple[Stacked, int] | None:
    """Return stacked rows with the place of the factor that the units are levels of.

    None where the collapsed engine does not fit the model, or units cut through levels of its factors.
    """
    if find_design_obstacles(design):
        return None
    stacked, factor = stack_rows(design), _level_factor(design, units)
    if factor is not None:
        place = design.factors.index(factor)
        if place in stacked.shape.chain:
            return stacked, place
    return add_units(stacked, [units.codes[e.outcome] for e in design.equations])


def _level_factor(design: Design, units: Units) -> FactorDesign | None:
    """Return the factor whose levels are the units; None where there is none."""
    for factor in design.factors:
        if factor.factor == units.factor and tuple(map(str, factor.levels)) == units.labels:
            same = [(codes_of(e, factor) == units.codes[e.outcome]).all() for e in design.equations]
            return factor if all(same) else None
    return None


def _draws_of(fit: Fit, units: Units, draws: int | None, exact: bool) -> xr.Dataset:
    """Return the draws a score is averaged over, with the effects it needs."""
    posterior = fit.data["posterior"].to_dataset()
    budget = (MOST if exact else MOST // 4) // max(len(units), 1)
    return stack_draws(posterior if exact else with_effects(fit), max(LEAST, budget) if draws is None else draws)


def _efficiency(fit: Fit) -> float:
    """Return effective draws per draw of what is weighted: coefficients, SDs and what families have beside them."""
    posterior = fit.data["posterior"].to_dataset()
    assert fit.design is not None
    names = [sd_name(f.factor) for f in fit.design.factors] + ["sigma", "b", "threshold", *SHAPES]
    chosen = posterior[[name for name in names if name in posterior]]
    ess = azs.ess(chosen, method="mean")
    values = np.concatenate([np.ravel(ess[name].values) for name in ess.data_vars])
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    # draws of which no effective number can be worked out count as none
    return float(np.clip(np.where(np.isfinite(values), values, 0.0).mean() / total, 0.01, 1.0)) if len(values) else 1.0


def _refit_bad(
    fit: Fit, design: Design, units: Units, scores: Scores, refit: bool | None, given_others: bool, progress: Progress
) -> Scores:
    bad = np.flatnonzero(scores.bad)
    collapsed = not find_design_obstacles(design)
    if refit is None:  # means and values that rows share are estimated from all of them
        together = bool(design.measured) or any(e.modelled is not None for e in design.equations)
        refit = collapsed and not together and len(bad) <= 10
    if not len(bad):
        return scores
    if not refit:
        told = (
            f"Weights of {count_of(len(bad), scores.unit)} are not dependable: refit=True leaves them out by fitting."
        )
        return replace(scores, messages=(*scores.messages, told))
    elpd, error, refitted = scores.elpd_i.copy(), scores.mcse_i.copy(), scores.refitted.copy()
    seeds = spread_seed(int(str(fit.provenance["seed"])), len(bad))
    with counter("Refits", len(bad), progress) as advance:
        for number, one in enumerate(bad):
            left = leave_out(design, units, [int(one)])
            own = refit_without(fit, left, seeds[number])
            asked: dict[str, Any] = {"wanted": scores.outcomes, "given_others": given_others}
            density = (
                score_exactly(own, design, units, int(one), **asked)[:, None]
                if collapsed
                else score_unseen(own, design, units, [int(one)], **asked)
            )
            elpd[one], error[one] = average_density(density)[:, 0]
            refitted[one] = True
            advance(number + 1)
    return replace(scores, elpd_i=elpd, mcse_i=error, refitted=refitted)
