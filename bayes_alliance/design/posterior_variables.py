"""The variables that a model's posterior has, as records: what kind each is, and what it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.latent_columns import FollowSteps
from bayes_alliance.names import (
    RESIDUAL,
    cor_name,
    effects_name,
    global_name,
    local_name,
    mean_name,
    partial_name,
    sd_name,
    share_name,
    slab_name,
    spread_name,
    unit_means_name,
    value_name,
)
from bayes_alliance.spec.parameters import SHAPES

type Kind = Literal[
    "coefficient",
    "coefficient at the mean",
    "sd",
    "correlation",
    "residual sd",
    "threshold",
    "category share",
    "family parameter",
    "step",
    "global scale",
    "slab",
    "local scale",
    "partial correlation",
    "group effect",
    "modelled value",
    "mean",
    "spread",
    "unit mean",
    "variance share",
    "intraclass correlation",
    "estimand",
]
"""The last three are worked out of draws of the others."""

LISTED: Final[frozenset[Kind]] = frozenset(
    {
        "coefficient",
        "sd",
        "correlation",
        "residual sd",
        "threshold",
        "family parameter",
        "step",
        "global scale",
        "slab",
        "mean",
        "spread",
    }
)
"""Kinds that tables of parameters list: the others are many, or follow from those."""


UNITS: Final[frozenset[Kind]] = frozenset({"group effect", "modelled value", "unit mean"})
"""Kinds of which every unit, or row, has its own: a fit's ``effects``, not its posterior, has them."""


@dataclass(frozen=True)
class PosteriorVariable:
    """A variable of a posterior.

    ``owner`` is what it belongs to: the grouping factor, the outcome, the parameter of a family, the variable whose
    means are latent, or the shrinkage prior; empty where it holds entries of every equation.
    """

    name: str
    kind: Kind
    owner: str = ""

    @property
    def listed(self) -> bool:
        """Return whether tables of parameters list its entries."""
        return self.kind in LISTED

    def lists(self, index: tuple[int, ...]) -> bool:
        """Return whether an entry is to be listed: of a matrix of correlations, those above the diagonal."""
        return self.kind != "correlation" or index[-2] < index[-1]


def list_variables(design: Design) -> tuple[PosteriorVariable, ...]:
    """Return the variables that a posterior of a design may have, in the order of tables."""
    return tuple(dict.fromkeys(_variables(design)))


def _variables(design: Design) -> Iterator[PosteriorVariable]:
    yield PosteriorVariable("b", "coefficient")
    factors = [factor.factor for factor in design.factors]
    for factor in factors:
        yield PosteriorVariable(sd_name(factor), "sd", factor)
    for factor in factors:
        yield PosteriorVariable(cor_name(factor), "correlation", factor)
    yield PosteriorVariable("sigma", "residual sd")
    yield PosteriorVariable("threshold", "threshold")
    for shape in SHAPES:
        yield PosteriorVariable(shape, "family parameter", shape)
    for equation in design.equations:
        for follow in equation.follows.values():
            if isinstance(follow, FollowSteps):
                yield PosteriorVariable(follow.name, "step", equation.outcome)
    for group in design.priors.shrunk:
        yield PosteriorVariable(global_name(group.name), "global scale", group.name)
        yield PosteriorVariable(slab_name(group.name), "slab", group.name)
    yield PosteriorVariable(cor_name(RESIDUAL), "correlation", RESIDUAL)
    for measured in design.measured:
        yield PosteriorVariable(mean_name(measured.label), "mean", measured.label)
        yield PosteriorVariable(spread_name(measured.label), "spread", measured.label)
    for factor in factors:
        yield PosteriorVariable(effects_name(factor), "group effect", factor)
    yield from _partial_correlations(design)
    yield PosteriorVariable("b_centred", "coefficient at the mean")
    for equation in design.equations:
        yield PosteriorVariable(share_name(equation.outcome), "category share", equation.outcome)
        if equation.modelled is not None:
            yield PosteriorVariable(value_name(equation.outcome), "modelled value", equation.outcome)
    for measured in design.measured:
        for factor in measured.factors:
            yield PosteriorVariable(unit_means_name(measured.label, factor), "unit mean", measured.label)
    for group in design.priors.shrunk:
        yield PosteriorVariable(local_name(group.name), "local scale", group.name)


def _partial_correlations(design: Design) -> Iterator[PosteriorVariable]:
    for factor in design.factors:
        blocks = sum(len(block.members) > 1 for block in factor.blocks)
        strata = 1 if factor.by is None else len(factor.by.levels)
        for block, stratum in product(range(blocks), range(strata)):
            name = partial_name(factor.factor, block if blocks > 1 else None, stratum if strata > 1 else None)
            yield PosteriorVariable(name, "partial correlation", factor.factor)
    if design.residual is not None:
        strata = max(len(design.residual.by), 1)
        for stratum in range(strata):
            name = partial_name(RESIDUAL, stratum=stratum if design.residual.by else None)
            yield PosteriorVariable(name, "partial correlation", RESIDUAL)
