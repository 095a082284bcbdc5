"""Whether a model makes data like those observed, in the respects that matter in therapy research."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.outcomes import replicate, row_densities
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed

CELL = 5
"""Rows that an arm needs at a session for its mean to be looked at."""

PILED = 0.02
"""Share of rows at the lowest or highest value from which these look like a floor or a ceiling."""

EXTREME = 0.01
"""Two-sided tail probability of an observed figure that counts as a misfit."""

COURSE = "means by arm and session"
"""The kind of the figures of a course."""

PIT_DRAWS = 500
"""Draws that leave-one-out probabilities are worked out from."""


@dataclass(frozen=True)
class Figure:
    """One figure of an outcome: its name, how it comes from outcomes of shape (…, obs), what to do about a misfit.

    ``kind`` is what figures that are judged together have in common; its name where it stands alone.
    """

    name: str
    of: Callable[[np.ndarray], np.ndarray]
    remedy: str
    kind: str = ""


def predictive_checks(fit: Fit, *, draws: int = 400, seed: int = 1) -> pd.DataFrame:
    """Compare figures of the observed outcomes with those of outcomes drawn from the fit for the same patients.

    Parameters
    ----------
    fit : Fit
        With its design.
    draws : int
        Replicated data sets.
    seed : int
        For their residuals.

    Returns
    -------
    DataFrame
        A line per outcome and figure: ``outcome, figure, observed, predicted`` (mean), ``eti95_lb, eti95_ub``, ``p``
        (two tails: how often replicates lie as far out), ``remedy`` and ``kind`` (figures that are judged together).
        Figures are the mean per arm and session (share
        of ones, for 0/1 outcomes), the SD within patients and its lag-1 correlation, the SD of therapists' and groups'
        means, and the shares at the lowest and highest value.

    Raises
    ------
    FitError
        If the fit has no design.

    References
    ----------
    gelman1996
    """
    check_seed(seed)
    design, flat = draws_with_effects(fit, draws)
    made = replicate(design, flat, np.random.default_rng(np.random.SeedSequence(seed)))
    rows = []
    for e in map(seen_rows, design.equations):
        drawn_rows = made[e.outcome][:, design.find(e.outcome).seen]
        for figure in figures(e):
            observed, drawn = float(figure.of(e.y)), figure.of(drawn_rows + e.offset)
            low, high = np.quantile(drawn, [0.025, 0.975])
            tail = min((drawn >= observed).mean(), (drawn <= observed).mean())
            rows.append(
                {
                    "outcome": e.outcome,
                    "figure": figure.name,
                    "observed": observed,
                    "predicted": float(drawn.mean()),
                    "eti95_lb": float(low),
                    "eti95_ub": float(high),
                    "p": float(min(1.0, 2 * (tail * len(drawn) + 1) / (len(drawn) + 1))),
                    "remedy": figure.remedy,
                    "kind": figure.kind or figure.name,
                }
            )
    return pd.DataFrame(rows)


def loo_pit(fit: Fit, *, seed: int = 1) -> dict[str, tuple[np.ndarray, float]]:
    """Return how probable it is to lie below each row, predicted without it, and a p-value of uniformity.

    Parameters
    ----------
    fit : Fit
        With its design.
    seed : int
        For replicates, and for the randomisation of 0/1 outcomes.

    Returns
    -------
    dict of str to (ndarray, float)
        By outcome: probabilities of shape (obs,), uniform if the model's spread is right everywhere; and the p-value
        of a test that allows for their dependence (``pot_c`` of arviz-stats).
    """
    check_seed(seed)
    design, flat = draws_with_effects(fit, PIT_DRAWS)
    made = replicate(design, flat, np.random.default_rng(np.random.SeedSequence(seed)))
    densities, found = row_densities(design, flat), {}
    for e in design.equations:
        dims = ("chain", "draw", "obs")
        own, anew = densities[e.outcome][:, e.seen], made[e.outcome][:, e.seen]
        tree = xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset({"sigma": (("chain", "draw"), np.zeros((1, len(densities[e.outcome]))))}),
                "log_likelihood": xr.Dataset({"y": (dims, own[None])}),
                "posterior_predictive": xr.Dataset({"y": (dims, anew[None])}),
                "observed_data": xr.Dataset({"y": (("obs",), e.y[e.seen])}),
            }
        )
        pit = azs.loo_pit(tree, random_state=seed)["y"]
        # beyond all draws is not impossible: half a draw lies further out
        least = 0.5 / len(densities[e.outcome])
        pit = pit.clip(least, 1 - least)
        p, *_ = pit.azstats.uniformity_test(dim="obs", method="pot_c")
        found[e.outcome] = (np.asarray(pit.values), float(p))
    return found


def seen_rows(e: EquationDesign) -> EquationDesign:
    """Return what figures read of an equation, over the rows with an observed outcome; ``y`` is in outcome units."""
    if e.seen.all():
        return replace(e, y=e.y + e.offset)
    groups = tuple(replace(g, code=g.code[e.seen], inside=g.inside[e.seen], ids=g.units[e.seen]) for g in e.groups)
    arms = None if e.arms is None else replace(e.arms, code=e.arms.code[e.seen])
    y = e.y[e.seen] + e.offset
    made = replace(e, y=y, patient=e.patient[e.seen], session=e.session[e.seen], arms=arms, modelled=None)
    return made.with_mean(groups=groups)


def draws_with_effects(fit: Fit, draws: int) -> tuple[Design, xr.Dataset]:
    """Return a fit's design and some of its draws, effects among them.

    Raises
    ------
    FitError
        If the fit has no design.
    """
    return design_of(fit), stack_draws(with_effects(fit), draws)


def figures(e: EquationDesign) -> Iterator[Figure]:
    """Yield the figures that can be worked out for an outcome."""
    yield from _trajectory(e)
    for group in e.groups:
        if group.factor in ("therapist", "group", "site") and len(group.levels) > 2:
            level = np.where(group.inside, group.code, -1)
            yield Figure(
                f"SD of {group.factor}s' means",
                partial(_between, level=level),
                f"Look at the SD of {group.factor}s and its prior; a few {group.factor}s may lie far out.",
            )
    if e.kind.binary:
        return
    code, order = _patients(e)
    if np.bincount(code).max() > 1:
        yield Figure(
            "SD within patients",
            partial(_within, code=code),
            "Let the residual SD differ by condition (sigma), or look for outlying sessions."
            if e.kind.spread
            else "Let more than the mean differ by patient: add slopes, or look for outlying sessions.",
        )
        yield Figure(
            "lag-1 correlation within patients",
            partial(_autocorrelation, code=code, order=order),
            "Sessions hang together in time: add a trend, slopes by patient, or the session before.",
        )
    low, high = e.y.min(), e.y.max()
    for name, share, bound in (
        ("lowest", (e.y <= low).mean(), low),
        ("highest", (e.y >= high).mean(), high),
    ):
        if share >= PILED and e.kind.linear:
            sign = 1 if name == "lowest" else -1
            yield Figure(
                f"share at or beyond the {name} value",
                partial(_beyond, bound=float(bound), sign=sign),
                "The scale has an edge that a normal outcome ignores: take a family for bounded scores.",
            )


def _trajectory(e: EquationDesign) -> Iterator[Figure]:
    arm = e.arms.code if e.arms is not None else np.zeros(len(e.y), dtype=int)
    levels = e.arms.levels if e.arms is not None else ("all",)
    session = np.nan_to_num(e.session, nan=-1.0)
    for a, level in enumerate(levels):
        for s in np.unique(session):
            cell = np.flatnonzero((arm == a) & (session == s))
            if len(cell) < CELL or (e.kind.link == "identity" and len(np.unique(session)) == 1):
                continue
            where = f"{level}, session {s:g}" if s >= 0 else level
            yield Figure(
                f"mean, {where}",
                partial(_mean, cell=cell),
                "The course over sessions has another shape: try log time, pieces, or session as a factor.",
                kind=COURSE,
            )


def _patients(e: EquationDesign) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's patient as a code, and rows ordered by patient and session."""
    code = pd.factorize(e.patient, sort=True)[0]
    return code, np.lexsort([e.session, code])


def _apart(y: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Return deviations from each unit's mean, shape (…, obs)."""
    count = np.bincount(code)
    flat = y.reshape(-1, y.shape[-1])
    sums = np.stack([np.bincount(code, row, len(count)) for row in flat])
    return np.asarray((flat - (sums / count)[:, code]).reshape(y.shape))


def _mean(y: np.ndarray, cell: np.ndarray) -> np.ndarray:
    return np.asarray(y[..., cell].mean(axis=-1))


def _beyond(y: np.ndarray, bound: float, sign: int) -> np.ndarray:
    return np.asarray((sign * y <= sign * bound).mean(axis=-1))


def _within(y: np.ndarray, code: np.ndarray) -> np.ndarray:
    degrees = len(code) - len(np.unique(code))
    return np.asarray(np.sqrt((_apart(y, code) ** 2).sum(axis=-1) / max(degrees, 1)))


def _autocorrelation(y: np.ndarray, code: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the correlation of deviations with those of the patient's row before, whatever the gap."""
    apart = _apart(y, code)[..., order]
    same = code[order][1:] == code[order][:-1]
    before, after = apart[..., :-1][..., same], apart[..., 1:][..., same]
    return np.asarray((before * after).sum(axis=-1) / np.sqrt((before**2).sum(axis=-1) * (after**2).sum(axis=-1)))


def _between(y: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the SD of levels' means; rows outside are left out."""
    inside = level >= 0
    _, code = np.unique(level[inside], return_inverse=True)
    own = y[..., inside]
    means = own - _apart(own, code)
    first = np.unique(code, return_index=True)[1]
    return np.asarray(means[..., first].std(axis=-1, ddof=1))
