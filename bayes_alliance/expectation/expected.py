"""Expected outcomes of rows, draw by draw: with units' own effects, over new units, or with effects at 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Final, Literal

import numpy as np
import xarray as xr
from scipy import sparse

from bayes_alliance._messages import unknown
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.new_data import Moved, MovedGroup
from bayes_alliance.expectation.outcomes import rows_of
from bayes_alliance.expectation.roots import lower_root
from bayes_alliance.outcome.contract import OutcomeRows
from bayes_alliance.outcome.normal_effects import normal_rule

type Effects = Literal["own", "new", "zero"]
"""What is done with the group effects of a factor."""

EFFECTS: Final = ("own", "new", "zero")

AT_ONCE: Final = 4_000_000
"""Numbers (draws times rows) that are worked out together."""


def read_groups(groups: str | Mapping[str, str], factors: Sequence[str]) -> dict[str, Effects]:
    """Return what is done with the effects of every factor; those that are not named have new units.

    Raises
    ------
    FitError
        If there is no such factor, or no such way.
    """
    if isinstance(groups, Mapping):
        odd = [name for name in groups if name not in factors]
        if odd:
            raise FitError(unknown("grouping factor", odd[0], factors, "groups"))
        stated = {factor: groups.get(factor, "new") for factor in factors}
    else:
        if groups not in EFFECTS:
            raise FitError(unknown("groups", str(groups), EFFECTS))
        stated = dict.fromkeys(factors, groups)
    found: dict[str, Effects] = {}
    for factor, one in stated.items():
        match one:
            case "own" | "new" | "zero":
                found[factor] = one
            case _:
                raise FitError(unknown("groups", str(one), EFFECTS))
    return found


type Measure = Callable[[OutcomeRows, np.ndarray, np.ndarray], np.ndarray]
"""What is worked out of outcomes with these linear predictors, and normal effects of these variances added to them."""


def expected_rows(
    moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects], measure: Measure | None = None
) -> np.ndarray:
    """Return the expected outcome of every row, shape (draw, obs), in outcome units; of successes their share.

    Parameters
    ----------
    moved : Moved
        The rows.
    flat : Dataset over (sample, …)
        From ``stack_draws``, with effects where some are a row's own.
    groups : mapping of str to {"own", "new", "zero"}
        By factor: the drawn effects of the unit that a row is in (of a new one where it is in none that was fitted),
        effects of new units integrated out, or 0.
    measure : callable, optional
        Another figure of the outcome than its mean, such as the probability of a category.
    """
    e = moved.equation
    linear = linear_rows(moved, flat, groups)
    if e.kind.linear and measure is None:
        return linear + e.offset  # effects of mean 0 leave it as it is
    over, offset = (_mean, e.offset) if measure is None else (measure, 0.0)
    formulas = moved.parameters()
    middle = {name: linear_rows(own, flat, groups) for name, own in formulas.items()}
    of_formulas = {name: carried for name, own in formulas.items() if (carried := _carried(own, flat, groups))}
    if not of_formulas:
        rows = rows_of(e, flat, moved.of_rows(flat, middle))
        return np.asarray(over(rows, linear, variance_of_effects(moved, flat, groups))) + offset
    root = joint_root([*of_formulas.values(), _carried(moved, flat, groups)], linear)
    sizes = [float(np.sqrt((root[..., i, :] ** 2).sum(axis=-1).max(initial=0.0))) for i in range(len(of_formulas))]
    total = np.zeros_like(linear)
    for chosen in product(*(list(normal_rule(size)) for size in sizes)):
        node, weight = np.array([one for one, _ in chosen]), float(np.prod([one for _, one in chosen]))
        shift = root[..., : len(node)] @ node
        at = {name: middle[name] + shift[..., i] for i, name in enumerate(of_formulas)}
        rows = rows_of(e, flat, moved.of_rows(flat, {**middle, **at}))
        total += weight * over(rows, linear + shift[..., -1], root[..., -1, -1] ** 2)
    return total + offset


def _mean(rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return rows.expected_over(linear, variance)


def linear_rows(
    moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects], rows: np.ndarray | None = None
) -> np.ndarray:
    """Return the linear predictor, shape (draw, obs), with effects of the rows' own units where stated.

    ``rows`` are some of the rows; all unless stated.
    """
    linear = moved.linear(flat, rows)
    if "own" not in groups.values():
        return linear
    for own in moved.groups():
        if groups[own.group.factor] == "own":
            linear = linear + own.own(flat, rows)
    return linear


def expected_means(
    moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects], weights: sparse.csr_array | None = None
) -> np.ndarray:
    """Return weighted means over rows of the expected outcome, shape (draw, set).

    Parameters
    ----------
    moved, flat, groups
        As in ``expected_rows``.
    weights : csr_array of shape (set, obs), optional
        Weights of the rows in every mean, which add up to 1; one mean over all rows alike unless stated.
    """
    e = moved.equation
    if weights is None:
        weights = all_alike(len(e.y))
    if e.kind.linear:
        total = moved.means(flat, weights) + e.offset
        for own in moved.groups() if "own" in groups.values() else ():
            if groups[own.group.factor] == "own":
                total = total + own.own_means(flat, weights)
        return total
    return in_parts(lambda part: expected_rows(moved, part, groups), flat, len(e.y), weights)


def in_parts(
    function: Callable[[xr.Dataset], np.ndarray], flat: xr.Dataset, size: int, weights: sparse.csr_array | None
) -> np.ndarray:
    """Return values of rows, or their means by weights, worked out for some of the draws at a time.

    ``function`` returns values of shape (draw, obs) for some draws; ``size`` is the number of rows.
    """
    draws = max(1, AT_ONCE // max(1, size))
    found = []
    for start in range(0, flat.sizes["sample"], draws):
        values = function(flat.isel(sample=slice(start, start + draws)))
        found.append(values if weights is None else values @ weights.T)
    return np.concatenate(found)


def all_alike(size: int) -> sparse.csr_array:
    """Return the weights of one mean over all rows, shape (1, obs)."""
    return sparse.csr_array(np.full((1, size), 1 / size))


def drawn_rows(moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects], rng: np.random.Generator) -> np.ndarray:
    """Draw the outcome of every row anew, shape (draw, obs), in outcome units; successes are numbers of the trials.

    Rows of one new unit share its effects, which are drawn once per posterior draw.
    """
    e, draws = moved.equation, flat.sizes["sample"]
    standard: dict[str, np.ndarray] = {}
    members = [member for own in (moved, *moved.parameters().values()) for member in own.groups()]
    units = {member.group.factor: 0 for member in members}
    for member in members:
        units[member.group.factor] = max(units[member.group.factor], int(member.code.max()) + 1)

    def linear(own: Moved) -> np.ndarray:
        total = linear_rows(own, flat, groups)
        for member in own.groups():
            factor = member.group.factor
            values = _of_new(member, groups[factor])
            if not values.any():
                continue
            roots = member.roots(own.design, flat)
            if factor not in standard:
                standard[factor] = rng.normal(size=(draws, units[factor], roots.shape[-1]))
            z = standard[factor][:, member.code]
            total = total + np.einsum("oe,soek,sok->so", values, roots[:, member.stratum], z)
        return total

    mean = linear(moved)
    middle = {name: linear(own) for name, own in moved.parameters().items()}
    return rows_of(e, flat, moved.of_rows(flat, middle)).draw(mean, rng) + e.offset


type Carried = dict[tuple[str, int], np.ndarray]


def _carried(moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects]) -> Carried:
    """Return what standard normal variables of a new unit add to a row's predictor, (draw, obs, root), by factor."""
    found = {}
    for own in moved.groups() if set(groups.values()) & {"own", "new"} else ():
        values = _of_new(own, groups[own.group.factor])
        if values.any():
            roots = own.roots(moved.design, flat)[:, own.stratum]
            found[own.group.factor, own.group.slot] = np.einsum("oe,soek->sok", values, roots)
    return found


def _of_new(own: MovedGroup, how: Effects) -> np.ndarray:
    """Return the covariates of the effects that are integrated out, 0 elsewhere, shape (obs, effect)."""
    match how:
        case "new":
            return own.values
        case "own":
            return np.where(own.new[:, None], own.values, 0.0)
        case "zero":
            return np.zeros_like(own.values)


def variance_of_effects(moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects]) -> np.ndarray:
    """Return the variance that new units' effects add to every row's predictor, shape (draw, obs).

    It is worked out once for rows with the same covariates, such as those of one session.
    """
    total = np.zeros((flat.sizes["sample"], len(moved.equation.y)))
    for own in moved.groups() if set(groups.values()) & {"own", "new"} else ():
        values = _of_new(own, groups[own.group.factor])
        if values.any():
            alike, place = np.unique(np.column_stack([own.stratum, values]), axis=0, return_inverse=True)
            roots = own.roots(moved.design, flat)[:, alike[:, 0].astype(np.int64)]
            carried = np.einsum("ie,siek->sik", alike[:, 1:], roots)
            total += np.take((carried**2).sum(axis=2), place.ravel(), axis=1)
    return total


def joint_root(carried: Sequence[Carried], like: np.ndarray) -> np.ndarray:
    """Return lower roots of the covariance of new units' effects on several linear predictors, in every row.

    ``like`` has shape (draw, obs); the result has shape (draw, obs, predictor, predictor).
    """
    covariance = np.zeros((*like.shape, len(carried), len(carried)))
    for i, one in enumerate(carried):
        for j, other in enumerate(carried):
            for key in one.keys() & other.keys():
                covariance[..., i, j] += (one[key] * other[key]).sum(axis=2)
    return lower_root(covariance)
