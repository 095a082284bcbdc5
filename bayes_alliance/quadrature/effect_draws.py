"""Group effects drawn given the draws of everything else, from their conditional distributions."""

from __future__ import annotations

import numpy as np

from bayes_alliance.design.design import Design
from bayes_alliance.quadrature.density import Density, make_density, share_points
from bayes_alliance.quadrature.kernel.draws import drawer
from bayes_alliance.quadrature.parameters import list_parameters
from bayes_alliance.quadrature.stack import stack_units


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
    stacked = stack_units(design, pool=False)
    parameters = list_parameters(design, stacked)
    plain = np.zeros(len(parameters.sd), dtype=bool)
    density: Density = make_density(stacked, parameters).at_rung(rung)
    density = density.near(points.mean(axis=0), plain)
    whole = parameters.kernel_points(points, plain)
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

    share_points(run, len(points), cores, density.numbers)
    found = {inner_factor.factor: inner[:, stacked.members]}
    if outer_factor is not None:
        found[outer_factor.factor] = outer[:, stacked.groups, None]
    return found
