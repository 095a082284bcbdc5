"""What depends on effects given the draws of everything else: effects themselves, and densities of units left out."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from bayes_alliance.collapse.density import share_points
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.quadrature.density import Density, make_density
from bayes_alliance.quadrature.kernel.draws import drawer
from bayes_alliance.quadrature.kernel.evaluate import CUMULATIVE, NEGATIVE_BINOMIAL, NO_FLAVOUR
from bayes_alliance.quadrature.kernel.pointwise import pointwise
from bayes_alliance.quadrature.parameters import Parameters, list_parameters
from bayes_alliance.quadrature.stack import kind_of, row_constants, stack_units


def draw_effects(design: Design, points: np.ndarray, rung: int, seed: int, cores: int = 1) -> dict[str, np.ndarray]:
    """Return one draw of all group effects given each vector, by factor, shape (draw, level, effect).

    Outer effects are drawn with those of their units integrated out, then these given them.

    Parameters
    ----------
    design : Design
        Without obstacles.
    points : ndarray, shape (draw, parameter)
        Sampled vectors, SDs as positive numbers.
    rung : int
        The nodes that integrals take.
    seed : int
        The sampler's: effects come out the same every time, on any number of cores.
    cores : int
        Threads.
    """
    if not design.factors:
        return {}
    density, whole = _at_points(design, points, rung)
    stacked = density.stacked
    inner_factor, outer_factor = stacked.inner, stacked.outer
    assert inner_factor is not None
    units, groups, size = len(stacked.rows.weight), len(stacked.rows.group) - 1, stacked.effects
    inner, outer = np.zeros((len(points), units, size)), np.zeros((len(points), groups))
    seeds = np.random.SeedSequence(seed).spawn(2)[1].generate_state(len(points)).astype(np.int64)
    nodes, sizes = density.nodes, density.sizes

    def run(part: slice) -> None:
        drawer()(
            sizes, stacked.rows, whole[part], seeds[part], inner[part], outer[part], density.modes,
            density.outer_modes, nodes.inner, nodes.logs,
        )  # fmt: skip

    share_points(run, len(points), cores, density.at_once)
    found = {inner_factor.factor: inner[:, stacked.members]}
    if outer_factor is not None:
        found[outer_factor.factor] = outer[:, stacked.groups, None]
    return found


def _at_points(design: Design, points: np.ndarray, rung: int) -> tuple[Density, np.ndarray]:
    """Return the log-density of rows that are not pooled, modes looked for near the mean of points, and the points."""
    stacked = stack_units(design, pool=False)
    parameters = list_parameters(design, stacked)
    plain = np.zeros(len(parameters.sd), dtype=bool)
    density = make_density(stacked, parameters).at_rung(rung).near(points.mean(axis=0), plain)
    return density, parameters.kernel_points(points, plain)


def densities_given_others(design: Design, points: np.ndarray, rung: int, factor: str, cores: int = 1) -> np.ndarray:
    """Return the log-density of every level of a factor given all others and a vector, shape (draw, level).

    Effects of the level and of what lies inside it are integrated out, those it shares with others given these.

    Parameters
    ----------
    design : Design
        Without obstacles.
    points : ndarray, shape (draw, parameter)
        Sampled vectors, SDs as positive numbers.
    rung : int
        The nodes that integrals take.
    factor : str
        The inner or the outer factor.
    cores : int
        Threads.
    """
    density, whole = _at_points(design, points, rung)
    stacked, nodes, sizes = density.stacked, density.nodes, density.sizes
    inner = np.empty((len(points), len(stacked.rows.weight)))
    outer = np.empty((len(points), len(stacked.rows.group) - 1))

    def run(part: slice) -> None:
        pointwise()(
            sizes, stacked.rows, whole[part], inner[part], outer[part], density.modes, density.outer_modes,
            nodes.inner, nodes.logs, nodes.outer, nodes.outer_logs,
        )  # fmt: skip

    share_points(run, len(points), cores, density.at_once)
    if stacked.outer is not None and stacked.outer.factor == factor:
        return np.asarray(outer[:, stacked.groups] + _beside(design, stacked.outer, density.parameters, whole))
    assert stacked.inner is not None
    return np.asarray(inner[:, stacked.members] + _beside(design, stacked.inner, density.parameters, whole))


def _beside(design: Design, factor: FactorDesign, parameters: Parameters, whole: np.ndarray) -> np.ndarray:
    """Return what the kernel leaves out of the log-density of a factor's levels, shape (draw, level)."""
    e, start = design.equation, len(parameters.coef)
    level = next(group for group in e.groups if group.factor == factor.factor).code
    fixed = np.bincount(level, row_constants(e), minlength=len(factor.levels))
    kind = kind_of(e)
    if kind.flavour == NO_FLAVOUR:
        return np.broadcast_to(fixed, (len(whole), len(fixed)))
    values, which = np.unique(e.scale.category(e.y) if kind.flavour == CUMULATIVE else e.y, return_inverse=True)
    if kind.flavour == NEGATIVE_BINOMIAL:
        shape = whole[:, [start]]
        each = gammaln(values + shape) - gammaln(shape)
    else:  # between two thresholds; the lowest and the highest category have one
        cuts = whole[:, start : start + parameters.thresholds]
        gap = np.zeros((len(whole), parameters.thresholds + 1))
        gap[:, 1:-1] = np.log(-np.expm1(cuts[:, :-1] - cuts[:, 1:]))
        each = gap[:, values.astype(int)]
    counts = np.zeros((len(values), len(factor.levels)))
    np.add.at(counts, (which.reshape(-1), level), 1.0)
    return np.asarray(fixed + each @ counts)
