"""Steps between the categories of an ordered predictor: shares of the way from the lowest to the highest."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.latent_columns import FollowSteps


def build_steps(follow: FollowSteps, design: Design) -> TensorVariable:
    """Build the steps and return how far each category lies on the way, shape (category,), from 0 to 1.

    The shares of the steps have a Dirichlet prior (Bürkner and Charpentier 2020).
    """
    built = pm.modelcontext(None).named_vars
    if follow.name in built:
        return pt.concatenate([pt.zeros(1), pt.cumsum(built[follow.name])])
    alpha = design.priors.steps[follow.name].distribution.value("alpha")
    shares = pm.Dirichlet(follow.name, np.full(len(follow.steps), alpha), dims=step_dim(follow))
    return pt.concatenate([pt.zeros(1), pt.cumsum(shares)])


def step_dim(follow: FollowSteps) -> str:
    """Return the dim of the steps."""
    return f"{follow.name}_steps"


def step_coords(design: Design) -> dict[str, list[str]]:
    """Return the coords of all steps."""
    follows = [follow for e in design.equations for follow in e.follows.values() if isinstance(follow, FollowSteps)]
    return {step_dim(follow): list(follow.steps) for follow in follows}
