"""Response surfaces: parameters and axes as the formulas say, congruence as a joint claim, forms as constraints."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.design.columns.surfaces import FORMS, MONOMIALS, PIECES
from bayes_alliance.posterior.geometry import reach
from tests.conftest import ROLES
from tests.design.test_modelled import equation, model

QUICK = ba.SamplerSettings(draws=200, chains=2, progress="off")


def ratings(n: int = 300, seed: int = 5) -> pd.DataFrame:
    """Return SYNTHETIC dyads: two ratings around 5, an arm, and three outcomes.

    Truth: ``agree`` falls by the squared difference alone; ``tilted`` is 0.3 x - 0.1 y - 0.4 x^2 + 0.3 xy - 0.1 y^2 (x
    and y less 5); ``moved`` falls by the squared difference under training only. Residual SD 0.5.
    """
    rng = np.random.default_rng(seed)
    both = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1]], n)
    x, y = both.T
    arm = np.where(np.arange(n) % 2, "trained", "standard")
    frame = pd.DataFrame({"dyad": [f"d{i}" for i in range(n)], "p": x + 5, "t": y + 5, "arm": arm})
    noise = rng.normal(0, 0.5, (3, n))
    frame["agree"] = 2 - 0.5 * (x - y) ** 2 + noise[0]
    frame["tilted"] = 2 + 0.3 * x - 0.1 * y - 0.4 * x**2 + 0.3 * x * y - 0.1 * y**2 + noise[1]
    frame["moved"] = 2 - 0.5 * (x - y) ** 2 * (arm == "trained") + noise[2]
    return frame


@pytest.fixture(scope="module")
def dyads() -> ba.SessionTable:
    """Return the dyads as a table."""
    return ba.read_sessions(ratings(), {"patient": "dyad"})


def fit(table: ba.SessionTable, outcome: str, formula: str, **given: object) -> ba.Fit:
    """Return a quick fit of one outcome."""
    return ba.fit_model(model(equation(outcome, formula)), ba.Study(table, **given), seed=1, settings=QUICK)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tilted(dyads: ba.SessionTable) -> ba.Fit:
    """Return a fit of the tilted surface."""
    return fit(dyads, "tilted", "surface(p, t, centre=5)")


def coefficients(of: ba.Fit, outcome: str, call: str = "surface(p, t, centre=5)") -> list[np.ndarray]:
    """Return the draws of b1 to b5."""
    b = of.data["posterior"]["b"]
    return [b.sel(coef=f"{outcome}, {call}[{piece}]").values for piece in MONOMIALS]


def test_parameters_and_axes_are_those_of_the_formulas(tilted: ba.Fit) -> None:
    """Sums of coefficients; the stationary point has no slope; axes as Edwards (2002) writes them, draw by draw."""
    surface = ba.response_surface(tilted)
    value = {str(name): surface.draws["value"].sel(estimand=name).values for name in surface.draws["estimand"].values}
    b1, b2, b3, b4, b5 = coefficients(tilted, "tilted")
    sums = {"a1": b1 + b2, "a2": b3 + b4 + b5, "a3": b1 - b2, "a4": b3 - b4 + b5, "a5": b3 - b5}
    for name, expected in sums.items():
        np.testing.assert_allclose(value[name], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(b1 + 2 * b3 * value["x0"] + b4 * value["y0"], 0, atol=1e-9)
    np.testing.assert_allclose(b2 + 2 * b5 * value["y0"] + b4 * value["x0"], 0, atol=1e-9)
    root = np.sqrt((b3 - b5) ** 2 + b4**2)
    np.testing.assert_allclose(value["p11"], (b5 - b3 + root) / b4, rtol=1e-8)
    np.testing.assert_allclose(value["p21"], (b5 - b3 - root) / b4, rtol=1e-8)
    np.testing.assert_allclose(value["p10"], value["y0"] - value["p11"] * value["x0"], rtol=1e-8)
    np.testing.assert_allclose(np.tan(np.radians(value["angle"] + 45)), value["p11"], rtol=1e-8)
    # the first axis passes the centre at |p10| / sqrt(1 + p11^2)
    np.testing.assert_allclose(np.abs(value["ridge"]), np.abs(value["p10"]) / np.hypot(1, value["p11"]), rtol=1e-7)
    table = surface.table().set_index("name")
    for name, truth in (("a1", 0.2), ("a2", -0.2), ("a3", 0.4), ("a4", -0.8), ("a5", -0.3)):
        assert abs(table.loc[name, "mean"] - truth) < 4 * table.loc[name, "sd"], name
    assert table.loc[["x0", "y0", "p10", "p11", "p20", "p21"], "mean"].isna().all()
    assert "not that agreement is better than disagreement" in repr(surface)


def test_congruence_is_a_joint_claim_with_its_prior(dyads: ba.SessionTable) -> None:
    """Where only the difference matters the claim is probable; where the ridge is tilted it is not."""
    made = fit(dyads, "agree", "surface(p, t, centre=5)")
    agree = ba.response_surface(made)
    checked = agree.congruence(rope=0.4).set_index("condition")
    broad, strict = (checked.loc[checked.index.str.startswith(word)].iloc[0] for word in ("broad", "strict"))
    assert broad["posterior"] > 0.9
    assert broad["prior"] < 0.05
    assert strict["posterior"] <= broad["posterior"]
    assert (checked["posterior"].between(0, 1) & checked["prior"].between(0, 1)).all()
    # each condition by hand
    b1, b2, b3, b4, b5 = (b.ravel() for b in coefficients(made, "agree"))
    assert made.design is not None
    points = made.design.equation.coef.values[:, 1:3]
    across = np.quantile(np.abs(points[:, 0] - points[:, 1]) / 2, 0.975)
    along = np.quantile(np.abs(points.sum(axis=1)) / 2, 0.975)
    sd = made.design.equation.y.std(ddof=1)
    falls = (b3 - b4 + b5) * across**2 / sd < -0.4
    level = np.abs(b1 - b2) * across / sd < 0.4
    straight = np.abs(b3 - b5) * 2 * along * across / sd < 0.4
    assert broad["posterior"] == pytest.approx((falls & level & straight).mean())
    tilted = ba.response_surface(fit(dyads, "tilted", "surface(p, t, centre=5)")).congruence(rope=0.2)
    assert tilted["posterior"][3] < 0.05
    with pytest.raises(ba.FitError, match="rope = 0: outcome SDs that count as none, above 0"):
        agree.congruence(rope=0)


def test_the_published_checklist_asks_each_interval(dyads: ba.SessionTable) -> None:
    """Four conditions of broad and six of strict congruence, each by quantiles of its draws."""
    made = fit(dyads, "agree", "surface(p, t, centre=5)")
    agree = ba.response_surface(made)
    listed = agree.checklist().set_index("condition")
    assert list(listed.index) == [
        "p10 is 0",
        "p11 is 1",
        "a4 is below 0",
        "a3 is 0",
        "broad congruence (these four)",
        "a1 is 0",
        "a2 is 0",
        "strict congruence (all six)",
    ]
    b1, b2, b3, b4, b5 = (b.ravel() for b in coefficients(made, "agree"))
    for name, values in (("a3 is 0", b1 - b2), ("a1 is 0", b1 + b2), ("a2 is 0", b3 + b4 + b5)):
        low, high = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(listed.loc[name, ["eti95_lb", "eti95_ub"]].astype(float), [low, high])
        assert listed.loc[name, "holds"] == (low <= 0 <= high)
    assert listed.loc["a4 is below 0", "holds"] == (np.quantile(b3 - b4 + b5, 0.975) < 0)
    four = ["p10 is 0", "p11 is 1", "a4 is below 0", "a3 is 0"]
    assert listed.loc["broad congruence (these four)", "holds"] == listed.loc[four, "holds"].all()
    assert listed.loc["broad congruence (these four)", "holds"]
    tilted = ba.response_surface(fit(dyads, "tilted", "surface(p, t, centre=5)")).checklist().set_index("condition")
    assert not tilted.loc["a3 is 0", "holds"]
    assert not tilted.loc["strict congruence (all six)", "holds"]
    assert "The checklist of papers asks each interval by itself" in repr(agree)
    assert "eti80_lb" in agree.checklist(ci_prob=0.8)


def test_moderated_surfaces_are_taken_at_stated_values(dyads: ba.SessionTable) -> None:
    """Per arm coefficients are sums of main effects and products; agreement matters under training alone."""
    formula = "arm * surface(p, t, centre=5)"
    made = fit(dyads, "moved", formula, reference={"arm": "standard"})
    found = {arm: ba.response_surface(made, at={"arm": arm}) for arm in ("standard", "trained")}
    b = made.data["posterior"]["b"]
    for piece in MONOMIALS:
        own = b.sel(coef=f"moved, surface(p, t, centre=5)[{piece}]")
        more = b.sel(coef=f"moved, arm[trained]:surface(p, t, centre=5)[{piece}]")
        np.testing.assert_allclose(found["standard"].coefficients.sel(monomial=piece), own)
        np.testing.assert_allclose(found["trained"].coefficients.sel(monomial=piece), own + more)
    a4 = {arm: surface.table().set_index("name").loc["a4"] for arm, surface in found.items()}
    assert abs(a4["standard"]["mean"]) < 4 * a4["standard"]["sd"]
    assert abs(a4["trained"]["mean"] + 2) < 4 * a4["trained"]["sd"]
    assert "at arm = trained" in repr(found["trained"])
    with pytest.raises(ba.FitError, match="'arm' has no level 'both'; it has"):
        ba.response_surface(made, at={"arm": "both"})


@pytest.mark.parametrize("form", [name for name in FORMS if name not in ("CA", "CL")])
def test_forms_are_the_polynomial_under_constraints(form: str, dyads: ba.SessionTable) -> None:
    """A form's columns are the sums of the whole polynomial's that its equations say, and so are its parameters."""
    full = ba.make_design(model(equation("agree", "surface(p, t, centre=5)")), dyads).equation.coef.values[:, 1:]
    call = f'surface(p, t, centre=5, form="{form}")'
    text = f"title = 'x'\nquestion = 'x?'\n[[equation]]\noutcome = 'agree'\nunit = 'patient'\nformula = '{call}'\n"
    made = ba.fit_model(ba.parse_model(text), dyads, seed=1, settings=QUICK)
    assert made.design is not None
    basis = np.array([[PIECES[piece].get(m, 0.0) for m in MONOMIALS] for piece in FORMS[form]])
    np.testing.assert_allclose(made.design.equation.coef.values[:, 1:], full @ basis.T, rtol=1e-12, atol=1e-12)
    surface = ba.response_surface(made)
    estimands = made.data["estimands"].to_dataset()["value"]
    for name in map(str, estimands["estimand"].values):
        np.testing.assert_allclose(
            estimands.sel(estimand=name), surface.draws["value"].sel(estimand=name[:2]), rtol=1e-12, atol=1e-12
        )
    # a ridge that is level by its form has no top, and a plane no axes
    assert ("x0" in surface.draws["estimand"].values) == (form in ("full", "IA"))
    assert ("p11" in surface.draws["estimand"].values) == (form != "linear")
    stated = {name[:2] for name in map(str, estimands["estimand"].values)}
    for name in {"a1", "a2", "a3", "a4", "a5"} - stated:
        np.testing.assert_allclose(surface.draws["value"].sel(estimand=name), 0, atol=1e-12)


def test_a_family_is_weighed_on_the_same_rows(dyads: ba.SessionTable) -> None:
    """Where the squared difference is the truth it comes first, and a plane comes last."""
    spec = model(equation("agree", "surface(p, t)"))
    forms = ba.surface_family(spec, forms=("full", "linear", "SQD", "RR", "CA", "CL"))
    assert forms["full"] is spec
    assert forms["SQD"].equation[0].formula == '1 + surface(p, t, form="SQD")'
    found = ba.compare_models(forms, dyads, seed=1, settings=QUICK, progress="off")
    ranked = list(found.comparison.table.index)
    assert ranked[-1] == "linear"
    assert found.comparison.table.loc["SQD", "elpd_diff"] > -2
    assert "SQD" in repr(found)
    with pytest.raises(ba.SpecError, match=r"Unknown form 'SQ'.*Did you mean 'SQD'"):
        ba.surface_family(spec, forms=("SQ",))
    with pytest.raises(ba.SpecError, match="A family is of one surface; the model has none"):
        ba.surface_family(model(equation("agree", "p + t")))
    with pytest.raises(ba.DesignError, match="Unknown form 'ridge'"):
        ba.make_design(ba.alter_model(spec, swap={"surface(p, t)": 'surface(p, t, form="ridge")'}), dyads)


def test_what_the_rows_do_not_show_is_said() -> None:
    """Where one rating is always the higher one, half of the line of incongruence is extrapolated, and is so named."""
    frame = ratings()
    frame["t"] = frame["p"] - 0.5 - np.abs(frame["t"] - 5)
    table = ba.read_sessions(frame, {"patient": "dyad"})
    surface = ba.response_surface(fit(table, "agree", "surface(p, t)"))
    shares = surface.coverage().set_index("rows")["share"]
    assert shares.sum() == pytest.approx(1)
    assert shares["second higher"] == 0
    notes = " ".join(surface.notes())
    assert "Few rows where ratings are so: " in notes
    assert "second higher (0%)" in notes
    assert "line of incongruence" in notes
    assert "extrapolated" in repr(surface)


def test_lines_run_as_far_as_rows_surround_them() -> None:
    """In a square of side 2 both lines reach its corners; rows on one side of the line of congruence end it at once."""
    corners = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1], [0.2, 0.3]])
    for low, high in reach(corners).values():
        assert (low, high) == pytest.approx((-1, 1))
    beside = np.array([[0.5, 0.0], [1.5, 0.0], [1.5, 1.0], [1.0, -0.5]])
    assert reach(beside)["congruence"] == (0.0, 0.0)


def test_dyads_have_surfaces_of_their_own() -> None:
    """The SD of a parameter over dyads is that of its weights: the root of C Psi C'."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(5, 1, (400, 2)), columns=["p", "t"])
    frame["dyad"], frame["session"] = np.repeat([f"d{i}" for i in range(40)], 10), np.tile(np.arange(10.0), 40)
    slope = np.repeat(rng.normal(0.5, 0.4, 40), 10)
    frame["y"] = slope * (frame["p"] - 5) - 0.3 * (frame["p"] - frame["t"]) ** 2 + rng.normal(0, 0.5, 400)
    table = ba.read_sessions(frame, {"patient": "dyad", "session": "session"})
    call = "surface(p, t, centre=patient)"
    made = ba.fit_model(
        model(equation("y", f"{call} + (1 + {call} | patient)", "session")), table, seed=1, settings=QUICK
    )
    surface = ba.response_surface(made)
    posterior = made.data["posterior"].to_dataset().isel(chain=0, draw=7)
    labels = [f"y, {call}[{piece}]" for piece in MONOMIALS]
    sd = posterior["sd_patient"].sel(patient_effect=labels).values
    psi = np.outer(sd, sd) * posterior["cor_patient"].sel(patient_effect=labels, patient_effect_2=labels).values
    for name, c in (("a1", [1, 1, 0, 0, 0]), ("a4", [0, 0, 1, -1, 1])):
        found = float(surface.draws["value"].sel(estimand=f"SD of {name} over patients")[0, 7])
        assert found == pytest.approx(np.sqrt(np.array(c) @ psi @ np.array(c)), rel=1e-10)
    assert surface.table().set_index("name").loc["SD of a1 over patients", "mean"] == pytest.approx(0.4, abs=0.15)


def test_what_is_no_surface_is_said(dyads: ba.SessionTable, tilted: ba.Fit) -> None:
    """No surface, several, other outcomes, forms without the ratings."""
    with pytest.raises(ba.FitError, match=r"No equation of the model has a surface\(x, y\)"):
        ba.response_surface(fit(dyads, "agree", "p + t"))
    with pytest.raises(ba.FitError, match="Unknown outcome with a surface 'agree'"):
        ba.response_surface(tilted, outcome="agree")
    two = fit(dyads, "agree", "surface(p, t) + surface(moved, tilted)")
    with pytest.raises(ba.FitError, match=r"The model has several surfaces: .*State which="):
        ba.response_surface(two)
    assert ba.response_surface(two, which="surface(p,t)").ratings == ("p", "t")
    with pytest.raises(ba.FitError, match="Unknown surface"):
        ba.response_surface(two, which="surface(t, p)")
    text = "title = 'x'\nquestion = 'x?'\n[[equation]]\noutcome = 'agree'\nunit = 'patient'\n"
    bare = ba.fit_model(
        ba.parse_model(text + "formula = 'surface(p, t, form=\"SQD\")'\n"), dyads, seed=1, settings=QUICK
    )
    surface = ba.response_surface(bare)
    assert surface.notes() == ()
    with pytest.raises(ba.FitError, match="does not hold the two ratings themselves"):
        surface.congruence()
    assert ba.plot_surface(surface).axes


def test_the_picture_has_the_rows_and_both_lines(tilted: ba.Fit) -> None:
    """From the side, from above with a dot per row, and the two lines through 0 at the centre."""
    figure = ba.plot_surface(ba.response_surface(tilted))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[3:] == ["Line of congruence (x = y)", "Line of incongruence (x = -y)"]
    dots = [line for line in figure.axes[1].lines if line.get_marker() == "."]
    assert len(dots[0].get_xdata()) == 300
    for axes in figure.axes[3:]:
        x, y = (np.asarray(one) for one in axes.lines[0].get_data())
        assert y[np.abs(x).argmin()] == pytest.approx(0, abs=1e-9)


def test_first_sessions_are_no_points_of_a_lagged_surface(trial: pd.DataFrame) -> None:
    """A first session of a series has no ratings before it; its row belongs to the model and not to the picture."""
    lagged = "lag(within(score, patient, means='latent'))".replace("'", '"')
    text = f"title='x'\nquestion='x?'\n[[equation]]\noutcome='score'\nunit='session'\nformula='{lagged}"
    spec = ba.parse_model(text + " + surface(lag(alliance), lag(rating)) + (1 | patient)'\n")
    table = ba.read_sessions(trial, ROLES)
    settings = ba.SamplerSettings(draws=50, tune=100, chains=2, progress="off")
    made = ba.fit_model(spec, table, seed=1, settings=settings)
    assert made.design is not None
    e = made.design.equation
    points = ba.response_surface(made).points
    assert points is not None
    firsts = pd.Series(e.session).groupby(e.patient).transform("min") == e.session
    assert len(points) < len(e.y)
    assert len(points) >= len(e.y) - int(firsts.sum()) - 40
    assert not (points == 0).all(axis=1).any()


def test_the_surface_that_turns_has_the_same_heights(tilted: ba.Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heights are the posterior mean of the polynomial, bounds lie around it, and without plotly it says what to do."""
    surface = ba.response_surface(tilted)
    figure = ba.turn_surface(surface)
    mean, low, high = figure.data[:3]
    b = surface.coefficients.mean(("chain", "draw")).values
    x, y = np.meshgrid(mean.x, mean.y)
    expected = b[0] * x + b[1] * y + b[2] * x**2 + b[3] * x * y + b[4] * y**2
    z = np.array(mean.z, dtype=float)
    shown = np.isfinite(z)
    assert 0.2 < shown.mean() < 1
    np.testing.assert_allclose(z[shown], expected[shown], atol=1e-4)
    assert (np.array(high.z, float)[shown] >= z[shown]).all()
    assert (np.array(low.z, float)[shown] <= z[shown]).all()
    assert [piece.name for piece in figure.data[3:]] == ["line of congruence", "line of incongruence", "rows"]
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ba.FitError, match=r"needs plotly: pip install 'bayes-alliance\[interactive\]'"):
        ba.turn_surface(surface)


def test_cubic_forms_keep_their_cubic_column() -> None:
    """Asymmetric congruence: heights at the ends of the line of incongruence are the polynomial's, axes are none."""
    frame = ratings()
    frame["bent"] = 2 + 0.5 * (frame["p"] - frame["t"]) ** 3 + np.random.default_rng(2).normal(0, 0.2, len(frame))
    table = ba.read_sessions(frame, {"patient": "dyad"})
    surface = ba.response_surface(fit(table, "bent", 'surface(p, t, centre=5, form="CA")'))
    b = surface.cubic["(x - y)^3"].mean()
    assert b == pytest.approx(0.5, abs=0.02)
    low, high = surface.heights(np.array([-1.0, 1.0]), np.array([1.0, -1.0]))
    assert high - low == pytest.approx(16 * b, rel=0.05)
    assert "p10" not in list(surface.draws["estimand"].values)
    with pytest.raises(ba.FitError, match="columns of third degree"):
        surface.congruence()
    assert "columns of third degree" in repr(surface)


def test_a_bent_link_has_no_checklist_in_outcome_sds() -> None:
    """On log-odds a1 to a5 are log-odds, and differences on them are none in SDs of the outcome."""
    frame = ratings()
    frame["well"] = (frame["agree"] > frame["agree"].median()).astype(float)
    table = ba.read_sessions(frame, {"patient": "dyad"})
    spec = model(equation("well", "surface(p, t, centre=5)", family="bernoulli"))
    settings = ba.SamplerSettings(draws=100, tune=300, chains=2, progress="off")
    surface = ba.response_surface(ba.fit_model(spec, table, seed=1, settings=settings))
    assert surface.table()["unit"].iloc[0].startswith("logit of well per unit")
    with pytest.raises(ba.FitError, match="predicts the logit of well"):
        surface.congruence()


def test_moderators_weigh_the_spread_over_therapists() -> None:
    """A slope over therapists that is multiplied by w has w times the SD; a name that multiplies nothing is refused."""
    frame, rng = ratings(600), np.random.default_rng(8)
    frame["t_id"] = [f"t{i % 30}" for i in range(len(frame))]
    frame["w"] = rng.uniform(0, 2, len(frame))
    u = rng.normal(0, 1, 30)[np.arange(len(frame)) % 30]
    frame["led"] = u * frame["w"] * (frame["p"] - 5) + rng.normal(0, 0.5, len(frame))
    table = ba.read_sessions(frame, {"patient": "dyad", "therapist": "t_id"})
    form = 'surface(p, t, centre=5, form="linear")'
    one = fit(table, "led", f"{form} * w + (0 + {form}:w | therapist)")
    spread = {
        w: ba.response_surface(one, at={"w": w}).draws["value"].sel(estimand="SD of a1 over therapists").mean()
        for w in (1.0, 2.0)
    }
    assert float(spread[2.0] / spread[1.0]) == pytest.approx(2.0, rel=1e-6)
    assert float(spread[1.0]) == pytest.approx(1.0, rel=0.35)
    with pytest.raises(ba.FitError, match=r"The surface of 'led' depends on 'v'. What can be stated: 'w'"):
        ba.response_surface(one, at={"v": 1.0})


def test_ratings_on_different_scales_are_refused() -> None:
    """Sums beside means are no agreement; a stated metric lets them pass; a centre in no one's range is refused."""
    frame = ratings()
    frame["sum"] = frame["t"] * 12
    table = ba.read_sessions(frame, {"patient": "dyad"})

    def made(call: str) -> ba.Design:
        return ba.make_design(model(equation("agree", call)), table)

    with pytest.raises(ba.DesignError, match=r"the two run from .*must be ratings on one scale. Rescale them"):
        made("surface(p, sum)")
    assert made('surface(p, sum, metric="common")').equations
    with pytest.raises(ba.DesignError, match='metric is "common", where the two are known'):
        made('surface(p, sum, metric="other")')
    with pytest.raises(ba.DesignError, match=r"centre=0 lies in no one's range"):
        made("surface(p, t, centre=0)")
