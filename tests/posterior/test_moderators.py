"""What slopes are multiplied by, and what no product of slopes says; right values from the same stated parameters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.posterior.test_setting import ARM, draws_of, equation, fit_of, flat, study


def indirect(fit: ba.Fit, predictor: str, name: str = "indirect", **asked: object) -> np.ndarray:
    """Return an effect in every draw."""
    draws = ba.mediation_effects(fit, predictor, **asked).draws["value"]  # type: ignore[arg-type]
    return flat(draws.sel(estimand=name))


def coefficients(fit: ba.Fit) -> dict[str, np.ndarray]:
    """Return the coefficients by their labels, shape (draw,)."""
    d = draws_of(fit)
    return {str(c): d["b"].sel(coef=c).values for c in d["coef"].values}


def test_a_moderator_in_ordered_steps_is_as_far_as_the_model_estimates() -> None:
    """The slope for a category is b + b' times its share of the way; by default, the mean share over the rows."""
    frame = study().assign(grade=lambda f: 1.0 + f["code"] + (f["session"] > 3))
    fit = fit_of(equation("alliance", "x * mo(grade)") + equation("y", "alliance + x"), frame)
    b, d = coefficients(fit), draws_of(fit)
    steps = d[next(name for name in d.data_vars if str(name).startswith("step_"))].transpose(..., "sample").values
    way = np.vstack([np.zeros(steps.shape[1]), np.cumsum(steps, axis=0)])
    shares = {"mean": way[frame["grade"].astype(int) - 1].mean(axis=0)} | {k: way[k - 1] for k in (1, 2, 3, 4)}
    for at, share in shares.items():
        right = (b["alliance, x"] + b["alliance, x:mo(grade)"] * share) * b["y, alliance"]
        for key in ("mo(grade)", "grade") if at != "mean" else ("",):
            asked = {"at": {key: at}} if key else {}
            np.testing.assert_allclose(indirect(fit, "x", **asked), right, rtol=1e-9)
    with pytest.raises(ba.FitError, match="'grade' has no category '9'"):
        ba.mediation_effects(fit, "x", at={"grade": 9})
    index = ba.moderated_mediation(fit, "x", moderator="grade", values=(1, 4)).draws["value"]
    np.testing.assert_allclose(
        flat(index.sel(estimand="indirect")), b["alliance, x:mo(grade)"] * b["y, alliance"], rtol=1e-9
    )


@pytest.mark.parametrize(
    ("written", "columns"),
    [
        ("quadratic(session)", lambda s: (("linear", s), ("square", s**2))),
        ("piecewise(session, 3)", lambda s: (("to 3", min(s, 3)), ("from 3", max(s - 3, 0)))),
        ("log(session)", lambda s: (("", np.log(s)),)),
    ],
)
def test_a_moderator_of_several_columns_has_all_of_them_at_its_value(written: str, columns) -> None:  # type: ignore[no-untyped-def]
    """The line and the square, pieces before and after, a logarithm: all at the session that is stated."""
    fit = fit_of(equation("alliance", f"x * {written}") + equation("y", "alliance + x + session"))
    b = coefficients(fit)
    for session in (1.0, 4.0, 6.0):
        slope = b["alliance, x"] + sum(
            b[f"alliance, x:{written}{f'[{piece}]' if piece else ''}"] * value for piece, value in columns(session)
        )
        np.testing.assert_allclose(indirect(fit, "x", at={"session": session}), slope * b["y, alliance"], rtol=1e-9)
        if "," not in written and "log" not in written:
            again = indirect(fit, "x", at={written: session})
            np.testing.assert_allclose(again, slope * b["y, alliance"], rtol=1e-9)
    if written.startswith("quadratic"):
        with pytest.raises(ba.FitError, match=r"no straight lines in 'session'"):
            ba.moderated_mediation(fit, "x", moderator="session")
    with pytest.raises(ba.FitError, match="are one moderator"):
        ba.mediation_effects(fit, "x", at={"session": 2, written: 2})


def test_one_moderator_of_two_steps_has_one_value() -> None:
    """Where rows differ between the equations, both steps are taken at the mean over the outcome's rows."""
    frame = study()
    frame.loc[frame["session"] > 4, "y"] = np.nan
    fit = fit_of(equation("alliance", "x * session") + equation("y", "alliance * session + x"), frame)
    b, middle = coefficients(fit), 2.5
    right = (b["alliance, x"] + b["alliance, x:session"] * middle) * (
        b["y, alliance"] + b["y, alliance:session"] * middle
    )
    np.testing.assert_allclose(indirect(fit, "x"), right, rtol=1e-9)
    both = fit_of(equation("alliance", "x * quadratic(session)") + equation("y", "alliance * session + x"), frame)
    with pytest.raises(ba.FitError, match=r"Several steps of x -> alliance -> y depend on 'session'.* State the value"):
        ba.mediation_effects(both, "x")
    assert np.isfinite(indirect(both, "x", at={"session": 3})).all()


def test_a_mean_over_sessions_is_not_moved_as_if_all_were_one_session() -> None:
    """At a stated session the mean of the patient moves by less: no product of slopes says so, and it is refused."""
    text = equation("alliance", "condition * session + (1 | patient)")
    text += equation("y", "within(alliance, patient) + between(alliance, patient) + condition + session")
    fit, b = fit_of(text, **ARM), None
    for session in (1, 6):
        with pytest.raises(ba.FitError, match=r"y reads between\(alliance, patient\).*add_estimands"):
            ba.mediation_effects(fit, "condition", level="CBT", at={"session": session})
    # averaged over all sessions, as many of every patient, it is the slope at the mean session times that of the mean
    b = coefficients(fit)
    moved = b["alliance, arm[CBT]"] + 3.5 * b["alliance, arm[CBT]:session"]
    right = moved * b["y, between(alliance, patient)"]
    got = indirect(fit, "condition", level="CBT", name="indirect")
    np.testing.assert_allclose(got, right, rtol=1e-9)
    uneven = study()
    uneven.loc[(uneven["session"] > 2) & (uneven["arm"] == "CBT"), "y"] = np.nan
    with pytest.raises(ba.FitError, match="no product of slopes at one value"):
        ba.mediation_effects(fit_of(text, uneven, **ARM), "condition", level="CBT")


def test_an_earlier_session_has_its_own_slope() -> None:
    """lag(alliance) at session 5 is the alliance of session 4, whose slope is that of session 4: refused."""
    text = equation("alliance", "condition * session + (1 | patient)")
    text += equation("y", "lag(alliance) + condition + session")
    fit = fit_of(text, **ARM)
    for at in ({}, {"session": 5}):
        with pytest.raises(ba.FitError, match="y reads alliance of an earlier session"):
            ba.mediation_effects(fit, "condition", level="CBT", at=at)
    plain = fit_of(text.replace("condition * session", "condition + session"), **ARM)
    b = coefficients(plain)
    right = b["alliance, arm[CBT]"] * b["y, lag(alliance)"]
    np.testing.assert_allclose(indirect(plain, "condition", level="CBT"), right, rtol=1e-9)


def test_a_deviation_from_a_latent_mean_passes_on_nothing_of_what_the_mean_is_made_of() -> None:
    """The condition moves the alliance and the mean its own equation implies alike: deviations stay where they are."""
    latent = 'within(alliance, patient, means="latent")'
    text = equation("alliance", "condition + session + x + (1 | patient)")
    text += equation("y", f"lag({latent}) + condition + (1 | patient)")
    found = ba.mediation_effects(fit_of(text, **ARM), "condition", level="CBT", outcome="y")
    assert [path.name for path in found.paths] == ["condition[CBT] -> y"]
    with pytest.raises(ba.FitError, match="No path leads from 'x' to 'y'"):
        ba.mediation_effects(fit_of(text, **ARM), "x", outcome="y")


def test_a_surface_by_a_moderator_in_steps() -> None:
    """a1 at a category is the sum of both slopes and of the steps' share of their products; the prior is left open."""
    frame = study().assign(grade=lambda f: 1.0 + f["code"], other=lambda f: f["alliance"].to_numpy()[::-1])
    fit = fit_of(equation("y", "mo(grade) * surface(alliance, other, centre=4)"), frame)
    b, d = coefficients(fit), draws_of(fit)
    steps = d[next(name for name in d.data_vars if str(name).startswith("step_"))].transpose(..., "sample").values
    written = "surface(alliance, other, centre=4)"
    for grade, way in ((1, 0.0), (2, steps[0]), (3, 1.0)):
        found = ba.response_surface(fit, at={"grade": grade})
        right = sum(b[f"y, {written}[{one}]"] + way * b[f"y, mo(grade):{written}[{one}]"] for one in ("x", "y"))
        np.testing.assert_allclose(flat(found.draws["value"].sel(estimand="a1")), right, rtol=1e-9)
    assert np.isnan(ba.response_surface(fit, at={"grade": 2}).prior).all()
    assert isinstance(found.table(), pd.DataFrame)
