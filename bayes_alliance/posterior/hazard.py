"""Leaving, session by session, where a predictor has stated values: hazards and who is still there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.follow import FollowModelled
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import COEF, INTERCEPT
from bayes_alliance.posterior.effects import with_effects
from bayes_alliance.posterior.families import expected
from bayes_alliance.posterior.linear import add_effects, drawn_rows, linear_parts, stack_draws
from bayes_alliance.spec.families import BINARY

SESSION, VALUE = "session", "value"


def predict_hazard(
    fit: Fit, predictor: str, *, values: Sequence[float], outcome: str | None = None, draws: int | None = 1000
) -> xr.Dataset:
    """Return the chance to leave at each session, and to be there after it, at values of a predictor.

    In every session the rows at risk keep what else is known of them, their therapists included; the column of the
    predictor is set, and chances are averaged over these rows.

    Parameters
    ----------
    fit : Fit
        Of a model of leaving (family hazard, or bernoulli with a row per session), with its rows.
    predictor : str
        A term by its label, such as ``"lag(alliance)"``.
    values : sequence of float
        Values in the predictor's unit.
    outcome : str, optional
        Which outcome, where several are of this kind.
    draws : int, optional
        At most so many draws are used; None uses all.

    Returns
    -------
    Dataset over (draw, value, session)
        ``hazard`` (chance to leave, of those who are there), ``staying`` (chance to be there after the session, of all
        who were there at the first one), and ``rows`` (session,) at risk.

    Raises
    ------
    FitError
        If the model has no such outcome or term, or the term is in a product, whose columns would have to be set, too.
    """
    design = design_of(fit)
    equation = _of_leaving(design, outcome)
    place = _column(equation, predictor)
    flat = stack_draws(with_effects(fit), draws)
    rest = linear_parts(design, _without(equation, place), flat)
    linear = add_effects(rest, flat, [factor.factor for factor in design.factors])
    slope = flat["b"].sel({COEF: equation.coef_labels[place]}).values[:, None]
    rows = drawn_rows(design, equation, flat)
    sessions = np.unique(equation.session)
    hazard = np.empty((flat.sizes["sample"], len(values), len(sessions)))
    for v, value in enumerate(values):
        chance = expected(rows, linear + slope * value)
        for s, session in enumerate(sessions):
            hazard[:, v, s] = chance[:, equation.session == session].mean(axis=1)
    dims = ("draw", VALUE, SESSION)
    coords = {VALUE: np.asarray(values, dtype=float), SESSION: sessions}
    count = [int((equation.session == session).sum()) for session in sessions]
    return xr.Dataset(
        {
            "hazard": xr.DataArray(hazard, dims=dims, coords=coords),
            "staying": xr.DataArray(np.cumprod(1 - hazard, axis=2), dims=dims, coords=coords),
            "rows": xr.DataArray(count, dims=(SESSION,)),
        },
        attrs={"predictor": predictor, "outcome": equation.outcome, "session": _session_label(equation)},
    )


def _without(equation: EquationDesign, place: int) -> EquationDesign:
    """Return an equation without one of its columns, and without what that column follows."""
    odd = [key for key in equation.coef.latent[place] if not isinstance(equation.follows[key], FollowModelled)]
    if odd:
        raise FitError(
            f"{equation.coef.labels[place]!r} follows values that are estimated; hazards at stated ones are not worked "
            f"out."
        )
    values = equation.coef.values.copy()
    values[:, place] = 0.0
    latent = [{} if number == place else weights for number, weights in enumerate(equation.coef.latent)]
    return replace(equation, coef=replace(equation.coef, values=values, latent=tuple(latent)))


def _session_label(equation: EquationDesign) -> str:
    variable = equation.variables.get(SESSION)
    return SESSION if variable is None else variable.label


def _of_leaving(design: Design, outcome: str | None) -> EquationDesign:
    of_sessions = [e for e in design.equations if e.family in BINARY and e.spec.unit == SESSION]
    names = [e.outcome for e in of_sessions]
    if outcome is not None and outcome not in names:
        raise FitError(unknown("outcome of leaving", outcome, names))
    if not of_sessions:
        raise FitError(
            "The model has no outcome of leaving by session (family hazard or bernoulli, unit session); chances of a "
            "0/1 outcome per patient are given by marginal_effects."
        )
    return of_sessions[0 if outcome is None else names.index(outcome)]


def _column(equation: EquationDesign, predictor: str) -> int:
    labels = list(equation.coef.labels)
    if predictor not in labels or predictor == INTERCEPT:
        raise FitError(unknown("term", predictor, [label for label in labels if label != INTERCEPT]))
    products = [label for label in labels if label != predictor and predictor in label.split(":")]
    if products:
        raise FitError(f"{predictor!r} is in the product {products[0]!r}, which would have to be set, too.")
    varying = [group.factor for group in equation.groups if predictor in group.columns.labels]
    if varying:
        raise FitError(f"The slope of {predictor!r} varies by {varying[0]}; its effects would have to be set, too.")
    return labels.index(predictor)
