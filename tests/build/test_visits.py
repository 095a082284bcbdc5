"""Residuals of visits with a covariance of their own: densities, draws and bad inputs, against dense normals."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.comparison.integration import integrated_density
from bayes_alliance.comparison.units import find_units
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.visits import VisitResiduals
from bayes_alliance.design.outline import design_of_outline, outline_of
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.outcomes import row_densities, standard_residuals
from bayes_alliance.simulate.outcome import draw_noise
from bayes_alliance.simulate.truth import truth_names
from tests.build.oracle import evaluate_terms, to_unit
from tests.truth.fits import make_fit

ROLES = {"patient": "pid", "session": "week", "therapist": "tid"}
VISITS = (0.0, 4.0, 8.0, 12.0)


def rows(patients: int = 40, arms: tuple[str, ...] = ("TAU", "CBT"), gone: float = 0.25) -> pd.DataFrame:
    """Return SYNTHETIC scores at four visits, a share of them missing wherever chance has it."""
    rng = np.random.default_rng(3)
    found = [
        (f"p{p:02d}", f"t{p % 5}", week, arms[p % len(arms)], level - 0.2 * week + rng.normal())
        for p, level in enumerate(rng.normal(20, 3, patients))
        for week in VISITS
        if rng.random() > gone
    ]
    return pd.DataFrame(found, columns=["pid", "tid", "week", "arm", "score"])


def model(more: str = "", formula: str = "visit * condition + (1 | therapist)") -> ba.ModelSpec:
    """Return a model of visits."""
    return ba.parse_model(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "score"\nunit = "session"\n'
        f'formula = "{formula}"\nresiduals = "unstructured"\n{more}'
    )


BY = '[residual]\nby = "condition"\n'


def study(frame: pd.DataFrame) -> ba.Study:
    """Return a study with the arm as condition, without messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ba.Study(ba.read_sessions(frame, ROLES), {"condition": "arm"}, {"condition": "TAU"})


@pytest.fixture(scope="module", params=["", BY], ids=["one covariance", "by arm"])
def design(request: pytest.FixtureRequest) -> Design:
    """Return a design with one covariance, and one with a covariance per arm."""
    return ba.make_design(model(request.param), study(rows()))


def dense_density(design: Design, flat: xr.Dataset, draw: int, patient: str) -> float:
    """Return a patient's log-density by SciPy, from names in the posterior alone."""
    e, own = design.equation, flat.isel(sample=draw)
    frame = pd.DataFrame({"patient": e.patient, "week": e.session, "y": e.y, "place": range(len(e.y))})
    frame = frame[frame["patient"] == patient]
    arm = e.variables["condition"]
    b = own["b"].sel(coef=list(e.coef_labels)).to_numpy()
    therapist = e.groups[0]
    effects = own["u_therapist"].sel(therapist=list(therapist.levels)).to_numpy()[:, 0]
    sds, labels, means = [], [], []
    for place, week in zip(frame["place"], frame["week"], strict=True):
        level = f"arm[{(arm.levels or ())[int(arm.values[place])]}]"
        visit = f"week[{week:g}]"
        stratum = f":{level}" if design.residual is not None and design.residual.by else ""
        sds.append(float(own["sigma"].sel(sigma_coef=f"score, {visit}{stratum}")))
        labels.append(visit)
        means.append(float(e.coef.values[place] @ b + effects[therapist.code[place]]))
    cor = own["cor_residual"].sel(residual=labels, residual_2=labels)
    if "residual_by" in cor.dims:
        cor = cor.sel(residual_by=level)
    return float(stats.multivariate_normal.logpdf(frame["y"], means, np.outer(sds, sds) * cor.to_numpy()))


def test_log_density_is_that_of_a_dense_normal_per_patient(design: Design) -> None:
    """PyMC's model, rows one by one, and patients left out as wholes agree with SciPy whatever visits are missing."""
    fit = make_fit(design, seed=5)
    flat = stack_draws(with_effects(fit))
    patients = sorted(set(design.equation.patient))
    held = design.residual.held
    assert len(np.unique(held, axis=0)) > 6
    wanted = np.array([[dense_density(design, flat, draw, p) for p in patients] for draw in range(3)])
    by_row = row_densities(design, flat)["score"][:3]
    found = np.array([by_row[:, design.equation.patient == p].sum(axis=1) for p in patients]).T
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
    whole = integrated_density(design, find_units(design, "patient"), flat.isel(sample=slice(3)), inside=())
    np.testing.assert_allclose(whole, wanted, rtol=1e-9)
    built = ba.build_model(design.spec, design, parametrization="centred")
    one = flat.isel(sample=0)
    values = {name: one[name].to_numpy() for name in ("b_centred", "sigma", "sd_therapist", "u_therapist")}
    matrices = one["cor_residual"].to_numpy().reshape(-1, len(VISITS), len(VISITS))
    names = [f"cor_residual_{i + 1}_unit" for i in range(len(matrices))] if len(matrices) > 1 else ["cor_residual_unit"]
    values |= {name: to_unit(matrix) for name, matrix in zip(names, matrices, strict=True)}
    density = evaluate_terms(built, built.logp(vars=[built["score"]], sum=True, jacobian=False), values)
    assert density == pytest.approx(wanted[0].sum(), rel=1e-8)


def test_draws_have_the_stated_covariance(design: Design) -> None:
    """Replicated residuals, and those of simulated tables, correlate between visits as stated, in their arm."""
    fit = make_fit(design, seed=5)
    one = with_effects(fit).isel(chain=[0], draw=[0])
    many = stack_draws(one).isel(sample=np.zeros(4000, dtype=int))
    visits, e = design.residual, design.equation
    assert isinstance(visits, VisitResiduals)
    drawn = standard_residuals(design, many, np.random.default_rng(1))["score"]
    truth = dict.fromkeys(truth_names(design), 0.0)
    cor = one["cor_residual"].squeeze(("chain", "draw"))
    for name in truth:
        if name.startswith("cor_residual["):
            *stratum, first, second = name.removeprefix("cor_residual[")[:-1].split(" | ")
            at = {"residual": first, "residual_2": second} | ({"residual_by": stratum[0]} if stratum else {})
            truth[name] = float(cor.sel(at))
    rng = np.random.default_rng(2)
    simulated = np.array([draw_noise(design, truth, rng)["score"] for _ in range(4000)])
    for patient in np.flatnonzero(visits.held.all(axis=1))[:4]:
        stratum = {"residual_by": design.residual.by[visits.stratum[patient]]} if visits.by else {}
        wanted = cor.sel(stratum).to_numpy()
        for found in (drawn, simulated):
            np.testing.assert_allclose(np.cov(found[:, visits.place[patient]].T), wanted, atol=0.07)
    unrelated = np.corrcoef(drawn[:, np.flatnonzero(e.patient == e.patient[0])[0]], drawn[:, -1])[0, 1]
    assert abs(unrelated) < 0.07


def test_rows_left_out_keep_the_visits_and_their_density(design: Design) -> None:
    """With two patients and a visit of a third gone, the others' rows have the density they had."""
    e = design.equation
    gone = np.isin(e.patient, e.patient[[0, -1]]) | ((e.patient == e.patient[9]) & (e.session == e.session[9]))
    left = keep_rows(design, {"score": ~gone})
    assert left.residual.labels == design.residual.labels
    flat = stack_draws(with_effects(make_fit(design, seed=5))).isel(sample=slice(2))
    before, after = (row_densities(d, flat)["score"] for d in (design, left))
    untouched = ~np.isin(e.patient, [*e.patient[gone]])
    np.testing.assert_allclose(after[:, np.isin(left.equation.row, e.row[untouched])], before[:, untouched])


def test_new_rows_have_the_sd_of_their_visit_and_arm() -> None:
    """Also where a fit is without its rows; a visit that none was fitted at is refused by name."""
    made = ba.make_design(model(BY), study(rows()))
    fit = make_fit(made, seed=5)
    told = [one.label for one in made.equation.residual_sds]
    assert "score, week[8]:arm[CBT]" in told
    people = [f"n{i}" for i in range(400)]
    new = pd.DataFrame({"pid": people, "tid": "t1", "week": [8.0, 12.0] * 200, "arm": ["CBT", "TAU"] * 200})
    flat = stack_draws(with_effects(fit))
    drawn = ba.predictions(fit, rows=new, by="row", what="drawn", groups="zero", seed=1).draws["value"].to_numpy()
    sure = ba.predictions(fit, rows=new, by="row", groups="zero").draws["value"].to_numpy()
    for place, label in enumerate(("score, week[8]:arm[CBT]", "score, week[12]:arm[TAU]")):
        sd = flat["sigma"].sel(sigma_coef=label).to_numpy()
        apart = (drawn - sure).reshape(len(sd), -1)[:, place::2] / sd[:, None]
        assert apart.std() == pytest.approx(1.0, abs=0.1)
    outline = design_of_outline(outline_of(made), made.spec, {"therapist": ["t0", "t1"]})
    assert outline.residual.labels == made.residual.labels
    assert outline.equation.residual_sds == made.equation.residual_sds
    with pytest.raises(ba.DesignError, match=r"week"):
        ba.predictions(fit, rows=new.head(2).assign(week=[8.0, 9.0]), by="row")


def test_a_stored_fit_predicts_visits_without_its_rows(tmp_path: Path) -> None:
    """By the exact engine; a loaded fit has the same estimands, and the same means of new rows."""
    few = ba.SamplerSettings(draws=100, tune=100, progress="off")
    fit = ba.fit_model(model(BY), study(rows()), seed=1, settings=few, engine="collapsed")
    fit.save(tmp_path / "fit")
    loaded = ba.load_fit(tmp_path / "fit")
    new = pd.DataFrame({"pid": ["n1", "n2"], "tid": "t1", "week": [8.0, 12.0], "arm": ["CBT", "TAU"]})
    one, two = (ba.predictions(own, rows=new, by="row", groups="zero").draws["value"] for own in (fit, loaded))
    np.testing.assert_array_equal(one, two)
    assert ba.summarize(fit).equals(ba.summarize(loaded))
    by_visit = ba.predictions(fit, by=["visit", "condition"]).table()
    assert list(by_visit["week"]) == ["0", "0", "4", "4", "8", "8", "12", "12"]


def test_setting_the_arm_moves_the_residual_sd() -> None:
    """Drawn outcomes of patients set to the other arm vary by that arm's SDs."""
    made = ba.make_design(model(BY), study(rows()))
    fit = make_fit(made, seed=5)
    flat = stack_draws(with_effects(fit))
    at = {"condition": "CBT", "visit": "12"}
    sure = ba.predictions(fit, at=at, by="row", groups="zero").draws["value"].to_numpy()
    drawn = ba.predictions(fit, at=at, by="row", what="drawn", groups="zero", seed=2).draws["value"].to_numpy()
    sd = flat["sigma"].sel(sigma_coef="score, week[12]:arm[CBT]").to_numpy()
    apart = (drawn - sure).reshape(len(sd), -1) / sd[:, None]
    assert apart.std() == pytest.approx(1.0, abs=0.06)


def test_priors_name_a_visit_and_its_arm() -> None:
    """An SD by its visit and arm, in the study's words or the model's; correlations are those of cor residual."""
    spec = model(BY)
    stated = {"sigma week[8]:arm[CBT]": "half_normal(1)", "sigma visit[12]:condition[TAU]": "half_normal(2)"}
    asked = ba.Study(**{**vars(study(rows())), "priors": {**stated, "cor residual": "lkj(3)"}})
    found = {prior.parameter: str(prior.distribution) for prior in ba.make_design(spec, asked).priors.table()}
    assert found["sigma[score, week[8]:arm[CBT]]"] == "half_normal(1)"
    assert found["sigma[score, week[12]:arm[TAU]]"] == "half_normal(2)"
    assert found["cor_residual"] == "lkj(3)"
    default = {prior.parameter: str(prior.distribution) for prior in ba.make_design(spec, study(rows())).priors.table()}
    assert default["cor_residual"] == "lkj(1)"


def test_visits_are_numbers_that_are_said() -> None:
    """The session as a category, unless a column plays the visit; the lowest with an outcome is the reference."""
    frame = rows()
    frame.loc[frame["week"] == 0, "score"] = np.nan
    made = ba.make_design(model(BY), study(frame))
    assert "Visits are the numbers of 'week', 4, 8, 12; all are compared with 4." in made.messages
    assert any("3 visits with 3 residual SDs and 3 correlations in each of 'arm[TAU]'" in m for m in made.messages)
    worded = study(rows().assign(visit=lambda f: "w" + f["week"].astype(int).astype(str)))
    worded = ba.Study(worded.sessions, worded.columns, {**worded.reference, "visit": "w0"})
    coefficients = ba.make_design(model(BY), worded).equation.coef_labels
    assert "score, visit[w4]" in coefficients


FEW = rows(patients=8)
ONE = pd.concat([rows(), rows(1).assign(week=20.0, pid="p03", tid="t3", arm="CBT").head(1)])
NEVER = rows(gone=0.0)
NEVER = NEVER[~((NEVER["week"] == 8) & (NEVER["pid"] < "p30")) & ~((NEVER["week"] == 12) & (NEVER["pid"] >= "p30"))]


@pytest.mark.parametrize(
    ("frame", "more", "words"),
    [
        (FEW, BY, r"in arm\[TAU\] 4 visits have 10 variances and correlations, more than \d+ rows of 4 patients tell"),
        (ONE, "", r"too few patients have a row of week\[20\] \(1\): a visit's SD needs 3 or more"),
        (NEVER, "", r"too few patients have both week\[8\] and week\[12\] \(0\): a correlation needs 3 or more"),
        (rows()[lambda f: f["week"] == 4], "", r"every row is of one visit"),
    ],
    ids=["more parameters than data", "a visit with one patient", "two visits that nobody has", "one visit"],
)
def test_covariances_that_rows_cannot_tell_are_refused(frame: pd.DataFrame, more: str, words: str) -> None:
    """With counts, and the structures to choose instead."""
    formula = "condition" if frame["week"].nunique() == 1 else "visit * condition"
    with pytest.raises(ba.DesignError, match=words) as caught:
        ba.make_design(model(more, formula), study(frame))
    if "one visit" not in words:
        assert 'Choose residuals = "ar1", or independent residuals and (1 + session | patient)' in str(caught.value)
        assert ("without [residual] by" in str(caught.value)) == bool(more)


def test_an_arm_that_changes_between_visits_is_refused() -> None:
    """A patient's covariance is that of one arm; who changes is named."""
    frame = rows()
    frame.loc[(frame["pid"] == "p02") & (frame["week"] > 4), "arm"] = "CBT"
    with pytest.raises(ba.DesignError, match=r"1 patient changes 'arm' between visits: 'p02'"):
        ba.make_design(model(BY), study(frame))


@pytest.mark.parametrize(
    ("equation", "more", "words"),
    [
        ('sigma = "condition"', "", "unstructured residuals have an SD for every visit already"),
        ('family = "student_t"', "", 'residuals = "unstructured" needs a gaussian outcome, not student_t'),
        ('missing = "model"', "", 'residuals = "unstructured" and modelled values do not go together'),
        ("", '[residual]\nfixed = 0.5', "correlations between visits are estimated"),
        ("", '[[equation]]\noutcome = "m"\nunit = "session"\nformula = "1"\nresiduals = "unstructured"\n',
         "a model has one matrix of residual correlations"),
        ("", '[[equation]]\noutcome = "m"\nunit = "session"\nformula = "1"\n[residual]\ncorrelate = ["m", "score"]\n',
         r"residuals = \"unstructured\" and \[residual\] correlate do not go together"),
    ],
)  # fmt: skip
def test_claims_that_contradict_unstructured_residuals_are_refused(equation: str, more: str, words: str) -> None:
    """Before any table is read."""
    with pytest.raises(ba.SpecError, match=words):
        model(f"{equation}\n{more}")


def test_rows_of_patients_and_effects_of_patients_are_refused() -> None:
    """Visits are of sessions, and effects of patients would say the same as their covariance."""
    with pytest.raises(ba.SpecError, match=r"effects of patients and unstructured residuals both say how"):
        model(formula="visit + (1 | patient)")
    text = 'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "post"\nunit = "patient"\nformula = "1"\n'
    with pytest.raises(ba.SpecError, match=r"and a row is a patient"):
        ba.parse_model(text + 'residuals = "unstructured"')


def test_what_is_not_worked_out_for_visits_is_refused() -> None:
    """Single sessions left out, next sessions, worlds of single rows, and averages of rows drawn one by one."""
    made = ba.make_design(model(), study(rows()))
    fit = make_fit(made, seed=5)
    with pytest.raises(ba.FitError, match=r"residuals of 'score' correlate over sessions"):
        find_units(made, "session")
    with pytest.raises(ba.FitError, match=r"Residuals of a patient's sessions correlate"):
        ba.predictions(fit, what="drawn", by="condition", seed=1)
