"""The gradient that samplers are given is the gradient of the log-density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pymc.blocking import DictToArrayBijection

import bayes_alliance as ba
from bayes_alliance.build import model as model_module
from bayes_alliance.design.groups.groups import Block
from tests.conftest import ROLES

SPEC = ba.parse_model(
    """
    title = "Two outcomes"
    question = "Do therapists differ in both?"

    [[equation]]
    outcome = "score"
    unit = "session"
    formula = "week + (1 | pid) + (1 | tid)"

    [[equation]]
    outcome = "alliance"
    unit = "session"
    formula = "week + (1 | pid) + (1 | tid)"

    [groups.pid]
    correlate = ["score", "alliance"]

    [groups.tid]
    correlate = ["score", "alliance"]
    """
)


@pytest.mark.parametrize("centred", [(), (0,), (1,), (0, 1)])
def test_rewrites_leave_the_gradient_alone(
    centred: tuple[int, ...], trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled as samplers compile it, a block in any order of its members has the slopes of the graph as it was built.

    PyTensor's rewrites lose a part of the gradient of a vector that is indexed by a list and then by places; a sampler
    with such slopes hardly moves.
    """
    made = ba.make_design(SPEC, ba.read_sessions(trial, ROLES))
    factors = tuple(
        replace(factor, blocks=tuple(Block(b.members, centred, (0.5, 0.6), ()) for b in factor.blocks))
        for factor in made.factors
    )
    monkeypatch.setattr(model_module, "parametrize", lambda design: replace(design, factors=factors))
    model = ba.build_model(SPEC, made)
    start = DictToArrayBijection.map(model.initial_point())
    point = start.data + np.random.default_rng(1).normal(0.0, 0.2, len(start.data))
    slopes = []
    for mode in ("FAST_COMPILE", "NUMBA"):
        function = model.logp_dlogp_function(ravel_inputs=True, mode=mode)
        function.set_extra_values({})
        slopes.append(np.array(function(point)[1]))
    np.testing.assert_allclose(slopes[1], slopes[0], rtol=1e-8, atol=1e-8)
