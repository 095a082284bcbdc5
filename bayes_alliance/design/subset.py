"""Fewer rows of a design: columns as coded, centring constants and numbers of priors stay, empty levels go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.values import Hidden
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign, subset_variable
from bayes_alliance.design.equations.factors import FactorDesign
from bayes_alliance.design.equations.latent_columns import Follow, FollowedThere, FollowModelled, FollowSteps
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual import Residuals, line_up
from bayes_alliance.design.equations.series import line_up_series
from bayes_alliance.design.equations.visits import VisitResiduals, visits_kept
from bayes_alliance.design.groups.groups import GroupDesign
from bayes_alliance.errors import DesignError

HELD_OUT = "held out"
"""Reason in the ledger."""


def keep_rows(design: Design, keep: Mapping[str, np.ndarray]) -> Design:
    """Return a design with some of its rows.

    Parameters
    ----------
    design : Design
        Not changed.
    keep : mapping of str to ndarray of bool, shape (obs,)
        By outcome.

    Raises
    ------
    DesignError
        If an outcome is left without rows, or means of a variable are estimated from the rows that go.
    """
    modelled = [e.outcome for e in design.equations if e.modelled is not None]
    if modelled:
        raise DesignError(f"Values of {quote(modelled)} are modelled together; rows cannot be left out one by one.")
    if design.measured:
        names = quote(sorted({measured.label for measured in design.measured}))
        raise DesignError(f"Latent means of {names} are estimated from all rows, which cannot be left out one by one.")
    empty = [e.outcome for e in design.equations if not keep[e.outcome].any()]
    if empty:
        raise DesignError(f"No row of {quote(empty)} is left.")
    levels = {factor.factor: _levels_left(design, factor, keep) for factor in design.factors}
    equations = tuple(_equation(e, keep[e.outcome], levels) for e in design.equations)
    factors = tuple(_factor(factor, levels[factor.factor]) for factor in design.factors)
    digest = hashlib.sha256(design.fingerprint.encode())
    for outcome in sorted(keep):
        digest.update(np.packbits(keep[outcome]).tobytes())
    return replace(
        design,
        equations=equations,
        factors=factors,
        residual=_residual(design.residual, equations, keep),
        fingerprint=digest.hexdigest(),
    )


def _levels_left(design: Design, factor: FactorDesign, keep: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the positions of levels that some row is still inside, or follows the effects of."""
    found = [
        group.code[group.inside & keep[e.outcome]]
        for e in design.equations
        for own in e.linear_predictors
        for group in own.groups
        if group.factor == factor.factor
    ]
    for e in design.equations:
        for follow in e.follows.values():
            for name, code, values in follow.groups if isinstance(follow, FollowModelled) else ():
                if name == factor.factor:
                    found.append(code[keep[e.outcome] & (values != 0).any(axis=1)])
    return np.unique(np.concatenate(found))


def _factor(factor: FactorDesign, left: np.ndarray) -> FactorDesign:
    by = None if factor.by is None else replace(factor.by, code=factor.by.code[left])
    return replace(factor, levels=tuple(factor.levels[i] for i in left), by=by)


def _moved(code: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return codes into the levels that are left; rows outside the factor carry 0 as before."""
    return np.minimum(np.searchsorted(left, code), len(left) - 1).astype(code.dtype)


def _equation(e: EquationDesign, keep: np.ndarray, levels: Mapping[str, np.ndarray]) -> EquationDesign:
    gone = int((~keep).sum())
    return replace(
        e,
        y=e.y[keep],
        scale=e.scale.rows(keep),
        mean=_predictor(e.mean, keep, levels),
        parameters={name: _predictor(own, keep, levels) for name, own in e.parameters.items()},
        sigma_code=e.sigma_code[keep],
        arms=None if e.arms is None else replace(e.arms, code=e.arms.code[keep]),
        row=e.row[keep],
        patient=e.patient[keep],
        session=e.session[keep],
        variables={name: subset_variable(variable, keep) for name, variable in e.variables.items()},
        calls={text: own.rows(keep) for text, own in e.calls.items()},
        ledger={**e.ledger, HELD_OUT: gone + e.ledger.get(HELD_OUT, 0)} if gone else e.ledger,
        series=None if e.series is None else line_up_series(e.patient[keep], e.session[keep]),
    )


def _predictor(own: Predictor, keep: np.ndarray, levels: Mapping[str, np.ndarray]) -> Predictor:
    follows: dict[Hidden, Follow] = {}
    for mean, follow in own.follows.items():
        if isinstance(follow, FollowSteps):
            follows[mean] = replace(follow, code=follow.code[keep], plugged=follow.plugged[keep])
            continue
        assert isinstance(follow, FollowModelled)
        groups = tuple((f, _moved(code[keep], levels[f]), values[keep]) for f, code, values in follow.groups)
        inner = tuple((i, weight[keep], _inner(one, keep)) for i, weight, one in follow.inner)
        follows[mean] = FollowModelled(follow.outcome, follow.coef[keep], groups, follow.plugged[keep], inner)
    groups_left = tuple(_group(group, keep, levels) for group in own.groups)
    return replace(own, coef=own.coef.rows(keep), groups=groups_left, follows=follows)


def _inner(follow: FollowedThere, keep: np.ndarray) -> FollowSteps:
    """Return fewer rows of what a followed mean follows itself; designs with modelled values do not come here."""
    assert isinstance(follow, FollowSteps)
    return replace(follow, code=follow.code[keep], plugged=follow.plugged[keep])


def _group(group: GroupDesign, keep: np.ndarray, levels: Mapping[str, np.ndarray]) -> GroupDesign:
    left, units = levels[group.factor], group.units[keep]
    return replace(
        group,
        levels=tuple(group.levels[i] for i in left),
        code=np.where(group.inside[keep], _moved(group.code[keep], left), 0),
        columns=group.columns.rows(keep),
        inside=group.inside[keep],
        ids=None if group.ids is None else np.where(np.isin(units, left), _moved(units, left), -1),
        weight=None if group.weight is None else group.weight[keep],
    )


def _residual(
    residual: Residuals | None, equations: Sequence[EquationDesign], keep: Mapping[str, np.ndarray]
) -> Residuals | None:
    if residual is None:
        return None
    if isinstance(residual, VisitResiduals):
        return visits_kept(residual, keep[residual.outcome])
    chosen = [next(e for e in equations if e.outcome == outcome) for outcome in residual.outcomes]
    strata = [residual.beside[outcome].stratum[keep[outcome]] for outcome in residual.outcomes]
    return replace(residual, beside=line_up(chosen, strata))
