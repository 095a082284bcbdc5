"""Natural splines and steps: columns equal to R's, knots that stay with the fit, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.design.columns.splines import natural_columns

ORACLE = Path(__file__).parents[1] / "oracles" / "splines.txt"
ROLES = {"patient": "pid", "session": "week"}
FAST = ba.SamplerSettings(draws=300, tune=300, chains=2, progress="off")


def rows(seed: int = 1) -> pd.DataFrame:
    """Return SYNTHETIC scores of 40 patients over eight weeks, curved: 3 sin(week / 2), patients' SD 1, error .5."""
    rng = np.random.default_rng(seed)
    found = [
        (f"p{p:02d}", week, ["TAU", "CBT"][p % 2], 3 * np.sin(week / 2) + level + rng.normal(0, 0.5))
        for p, level in enumerate(rng.normal(0, 1, 40))
        for week in range(1, 9)
    ]
    return pd.DataFrame(found, columns=["pid", "week", "arm", "y"])


def model(formula: str, **more: object) -> ba.ModelSpec:
    """Return a model of one equation of sessions."""
    extra = "".join(f"{name} = {value!r}\n" for name, value in more.items())
    return ba.parse_model(
        f'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "y"\nunit = "session"\n{extra}formula = \'{formula}\'\n'
    )


def columns(formula: str, frame: pd.DataFrame | None = None) -> dict[str, np.ndarray]:
    """Return the coded columns of a formula by label."""
    coef = ba.make_design(model(formula), ba.read_sessions(rows() if frame is None else frame, ROLES)).equation.coef
    return dict(zip(coef.labels, coef.values.T, strict=True))


def test_columns_are_those_of_ns_in_r() -> None:
    """Values within the ends and on the lines beyond them, to nine digits (``tests/oracles/splines.R``)."""
    lines = ORACLE.read_text().splitlines()
    x = np.array([-1, 0, 0.5, 1, 2, 3.3, 5, 8, 9.5, 10, 12])
    three = np.array([[float(cell) for cell in line.split()[1:]] for line in lines[2:13]])
    np.testing.assert_allclose(natural_columns(x, (0.0, 2.0, 5.0, 10.0)), three, atol=5e-10)
    one = np.array([float(cell) for line in lines[13:16] for cell in line.split()[1:]])
    np.testing.assert_allclose(natural_columns(x, (0.0, 10.0))[:, 0], one, atol=5e-10)
    assert np.isnan(natural_columns(np.array([np.nan, 1.0]), (0.0, 2.0))[0]).all()


def test_knots_are_quantiles_of_rows_and_are_said() -> None:
    """As in R: quantiles between the ends; of the different values where many rows share one."""
    design = ba.make_design(model("spline(session, 4) + (1 | patient)"), ba.read_sessions(rows(), ROLES))
    stated = [float(cell) for cell in ORACLE.read_text().splitlines()[-1].split()]
    assert design.equation.knots == {"spline(session, 4)": (1.0, *stated, 8.0)}
    assert any("knots at 1, 2.75, 4.5, 6.25, 8; a straight line beyond" in m for m in design.messages)
    many = rows()
    many.loc[many.index[: len(many) * 3 // 4], "x"] = 0.0
    many["x"] = many["x"].fillna(many["week"].astype(float))
    shared = ba.make_design(model("spline(x, 3)"), ba.read_sessions(many, ROLES))
    thirds = np.quantile(np.unique(many["x"]), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(shared.equation.knots["spline(x, 3)"], thirds)


def test_a_curve_is_found_and_predicted_by_the_same_knots(tmp_path: Path) -> None:
    """A spline follows the curve; a saved fit without rows gives the same numbers, at sessions beyond the last, too."""
    table = ba.read_sessions(rows(), ROLES)
    fit = ba.fit_model(
        model("condition * spline(session, 4) + (1 | patient)"),
        ba.Study(table, columns={"condition": "arm"}, reference={"condition": "TAU"}),
        seed=1,
        settings=FAST,
    )
    assert fit.provenance["engine"] == "collapsed"
    weeks = [1, 2.5, 4, 6, 8, 10]
    grid = {"session": weeks, "condition": ["TAU"]}
    here = ba.predictions(fit, grid=grid).table()["mean"].to_numpy()
    assert np.abs(here[:5] - 3 * np.sin(np.array(weeks[:5]) / 2)).max() < 0.6
    fit.save(tmp_path / "fit")
    there = ba.predictions(ba.load_fit(tmp_path / "fit"), grid=grid).table()["mean"].to_numpy()
    np.testing.assert_allclose(there, here, rtol=1e-9)
    few = pd.DataFrame({"pid": ["new", "new"], "week": [2.5, 6.0], "arm": ["TAU", "TAU"]})
    new = ba.predictions(fit, few).table()["mean"].to_numpy()
    np.testing.assert_allclose(new, here[[1, 3]], rtol=1e-9)


def test_steps_are_one_in_their_stretch() -> None:
    """form="constant": 1 above a knot and up to the next one, the first stretch the reference; many knots."""
    week = rows()["week"].to_numpy()
    got = columns('piecewise(week, 2, 4, form="constant")')
    label = 'piecewise(week, 2, 4, form="constant")'
    assert set(got) == {"Intercept", f"{label}[2 to 4]", f"{label}[from 4]"}
    np.testing.assert_array_equal(got[f"{label}[2 to 4]"], (week > 2) & (week <= 4))
    np.testing.assert_array_equal(got[f"{label}[from 4]"], week > 4)
    every = columns('piecewise(week, 1, 2, 3, 4, 5, 6, 7, form="constant")')
    assert len(every) == 8
    assert len(columns("piecewise(week, 2, 3, 4, 5, 6, 7)")) == 8


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("spline(week, 0)", r"degrees of freedom are a whole number from 1, such as spline\(session, 3\)"),
        ("spline(week, 2.5)", r"degrees of freedom are a whole number from 1"),
        ("spline(week, y2)", r"degrees of freedom are a whole number from 1"),
        ("spline(week, 8)", r"with 8 degrees of freedom needs 9 different values, and there are 8\. State at most 7"),
        ("log(spline(week, 2))", r"gives several columns and must stand alone"),
        ('spline(between(y2, patient, means="latent"), 2)', r"a spline takes observed values, not latent means"),
        ('piecewise(week, 2, form="steps")', r'form is "line" or "constant"'),
        ('piecewise(week, 8, form="constant")', r"knot 8 does not lie inside the values, which run from 1 to 8"),
    ],
)
def test_what_cannot_be(formula: str, message: str) -> None:
    """Degrees of freedom that are none, more than the values allow, and forms that are none."""
    with pytest.raises((ba.DesignError, ba.SpecError), match=message):
        columns(formula, rows().assign(y2=lambda f: f["y"] + 1))


def test_an_origin_far_from_the_rows_is_said() -> None:
    """Ages 8 to 14: intercepts and their correlation with slopes are those at age 0; centred, nothing is said."""
    frame = rows().assign(age=lambda f: 8.0 + 0.75 * f["week"], middle=lambda f: f["week"] - 4.0)
    table = ba.read_sessions(frame, ROLES)
    told = ba.make_design(model("age + (1 + age | patient)"), table).messages
    assert any(
        "Slopes of age by patient: 0 lies far from its rows (8.75 to 14), and intercepts, their SD" in message
        and "such as age - 11.4, in a column" in message
        for message in told
    )
    for name in ("middle", "week"):
        told = ba.make_design(model(f"{name} + (1 + {name} | patient)"), table).messages
        assert not any("0 lies far from its rows" in message for message in told)
