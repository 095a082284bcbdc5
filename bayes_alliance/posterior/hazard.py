"""Dropout, session by session, where a predictor has stated values: hazards and who is still in treatment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from scipy import sparse

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import AllianceWarning, FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import Effects, expected_means
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import Moved
from bayes_alliance.expectation.questions import ask, over_sessions
from bayes_alliance.expectation.set_variables import Setting, check_values, find_predictor, predictors_of
from bayes_alliance.expectation.survival import first_rows, hazards_of, survival
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import SESSION, level_label

type AtRisk = Literal["expected", "observed"]

VALUE = "value"


def predict_hazard(
    fit: Fit,
    predictor: str,
    *,
    values: Sequence[Setting],
    outcome: str | None = None,
    draws: int | None = 1000,
    at_risk: AtRisk = "expected",
) -> xr.Dataset:
    """Return the chance to drop out at each session, and to be there after it, at values of a predictor.

    The predictor is set in all sessions of the patients who were there at the first one; each keeps what else is known
    of them, therapists included, and units of a factor that only one arm has go with the arm. A patient's chances to
    stay are multiplied over the sessions and then averaged over patients (g-computation), so that the curve is that of
    these patients at the stated value, and not of those who were observed to be still there.

    Parameters
    ----------
    fit : Fit
        Of a model of dropout (family hazard, or bernoulli with a row per session), with its rows.
    predictor : str
        A variable, a level of a factor such as ``"arm[CBT]"`` (1 is that level, 0 the reference), or a term by its
        label, such as ``"lag(alliance)"``, which then has the value in every session.
    values : sequence of float or str
        Values in the predictor's unit, or levels of a factor.
    outcome : str, optional
        Which outcome, where several are of this kind.
    draws : int, optional
        At most so many draws are used; None uses all.
    at_risk : {"expected", "observed"}
        Whose hazards are averaged at a session: those expected to be still there at the stated value; or those observed
        to be there, with all of their predictors as they were then. The latter give no chance to be there.

    Returns
    -------
    Dataset over (draw, value, session)
        ``hazard`` (chance to drop out, of those who are there), ``staying`` (chance to be there after the session, of
        all who were there at the first one; hazard = 1 - staying / staying of the session before), and ``rows``
        (session,) observed at risk.

    Raises
    ------
    FitError
        If the model has no such outcome or predictor, the predictor cannot be set alone, or another predictor changes
        over a patient's sessions, so that its values after dropout are not known.
    """
    design = design_of(fit)
    if at_risk not in ("expected", "observed"):
        raise FitError(unknown("at_risk", str(at_risk), ("expected", "observed")))
    equation = _of_dropout(design, outcome)
    question = ask(design, outcome=equation.outcome, rows=None, at=None, grid=None, by=None)
    settings = _settings(equation, predictor, values)
    flat = stack_draws(with_effects(fit), draws)
    own: dict[str, Effects] = dict.fromkeys(question.factors, "own")
    sessions = np.unique(equation.session)
    first, told = first_rows(equation, sessions[0]) if at_risk == "expected" else (np.zeros(0, dtype=np.int64), ())
    for message in told:
        warnings.warn(message, AllianceWarning, stacklevel=2)
    found: dict[str, list[np.ndarray]] = {}
    for chosen in settings:
        if at_risk == "observed":
            found.setdefault("hazard", []).append(_observed_hazards(question.moved(chosen), flat, own, sessions))
            continue
        staying = survival(over_sessions(question, chosen), first, flat, own)
        found.setdefault("hazard", []).append(hazards_of(staying))
        found.setdefault("staying", []).append(staying)
    dims = ("draw", VALUE, SESSION)
    coords = {VALUE: list(values), SESSION: sessions}
    count = [int((equation.session == session).sum()) for session in sessions]
    data = {"rows": xr.DataArray(count, dims=(SESSION,))}
    data |= {name: xr.DataArray(np.stack(own, axis=1), dims=dims, coords=coords) for name, own in found.items()}
    attrs = {"predictor": predictor, "outcome": equation.outcome, "session": _session_label(equation)}
    return xr.Dataset(data, attrs=attrs)


def _settings(equation: EquationDesign, predictor: str, values: Sequence[Setting]) -> list[dict[str, Setting]]:
    """Return what is set, one after the other: a variable, a level of a factor, or a call by its label."""
    known = predictors_of(equation)
    for name, variable in known.items():
        labels = [level_label(variable.label, level) for level in variable.levels or ()]
        if predictor in labels and predictor not in {own.label for own in known.values()}:
            return _of_level(name, variable.levels or (), labels.index(predictor), predictor, values)
    name = find_predictor(known, predictor)
    check_values(known[name], values)
    return [{name: value} for value in values]


def _of_level(
    name: str, levels: Sequence[str], level: int, predictor: str, values: Sequence[Setting]
) -> list[dict[str, Setting]]:
    odd = [repr(value) for value in values if value not in (0, 1)]
    if odd:
        raise FitError(f"{predictor!r} is 1 for that level and 0 for {levels[0]!r}; {', '.join(odd)} cannot be set.")
    return [{name: levels[level if value == 1 else 0]} for value in values]


def _observed_hazards(
    moved: Moved, flat: xr.Dataset, groups: Mapping[str, Effects], sessions: np.ndarray
) -> np.ndarray:
    """Return the mean hazard of the rows observed at risk, shape (draw, session)."""
    code = np.searchsorted(sessions, moved.equation.session)
    weights = sparse.csr_array((1 / np.bincount(code)[code], (code, np.arange(len(code)))))
    return expected_means(moved, flat, groups, weights)


def _session_label(equation: EquationDesign) -> str:
    variable = equation.variables.get(SESSION)
    return SESSION if variable is None else variable.label


def _of_dropout(design: Design, outcome: str | None) -> EquationDesign:
    of_sessions = [e for e in design.equations if e.kind.binary and e.spec.unit == SESSION]
    names = [e.outcome for e in of_sessions]
    if outcome is not None and outcome not in names:
        raise FitError(unknown("outcome of leaving", outcome, names))
    if not of_sessions:
        raise FitError(
            "The model has no outcome of leaving by session (family hazard or bernoulli, unit session); chances of a "
            "0/1 outcome per patient are given by marginal_effects."
        )
    if outcome is None and len(names) > 1:
        raise FitError(f"The model has several outcomes of dropout: {quote(names)}. State outcome=.")
    return of_sessions[0 if outcome is None else names.index(outcome)]
