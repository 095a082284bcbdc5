"""An equation over some of its rows, all else as it was: levels, constants and what is followed stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayes_alliance.design.equations.equation import EquationDesign, subset_variable
from bayes_alliance.design.equations.latent_columns import Follow, FollowSteps, FollowValue
from bayes_alliance.design.equations.predictor import Predictor


def rows_kept(e: EquationDesign, keep: np.ndarray) -> EquationDesign:
    """Return an equation over some of its rows; ``keep`` has shape (obs,)."""
    return replace(
        e,
        y=e.y[keep],
        mean=_predictor(e.mean, keep),
        parameters={name: _predictor(own, keep) for name, own in e.parameters.items()},
        sigma_code=e.sigma_code[keep],
        row=e.row[keep],
        patient=e.patient[keep],
        session=e.session[keep],
        scale=e.scale.rows(keep),
        modelled=None,
        variables={name: subset_variable(variable, keep) for name, variable in e.variables.items()},
        calls={text: own.rows(keep) for text, own in e.calls.items()},
    )


def _predictor(own: Predictor, keep: np.ndarray) -> Predictor:
    groups = tuple(
        replace(
            g,
            code=g.code[keep],
            columns=g.columns.rows(keep),
            inside=g.inside[keep],
            weight=None if g.weight is None else g.weight[keep],
            ids=None if g.ids is None else g.ids[keep],
        )
        for g in own.groups
    )
    follows = {key: _follow(follow, keep) for key, follow in own.follows.items()}
    return replace(own, coef=own.coef.rows(keep), groups=groups, follows=follows)


def _follow(follow: Follow, keep: np.ndarray) -> Follow:
    assert isinstance(follow, FollowValue | FollowSteps)
    rows = {"code": follow.code[keep], "plugged": follow.plugged[keep]}
    if isinstance(follow, FollowValue):
        rows |= {"inside": follow.inside[keep], "filled": follow.filled[keep]}
    return replace(follow, **rows)
