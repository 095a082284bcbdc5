"""Simulation-based calibration: right models pass, planted faults are caught, cards are of the models as they are."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from numpy.random import SeedSequence

import bayes_alliance as ba
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.diagnosis import calibration as module
from bayes_alliance.diagnosis.calibration import DEFAULTS, _join
from bayes_alliance.diagnosis.cards import card_path, default_study, make_card, read_card, spec_digest
from bayes_alliance.diagnosis.ranks import rank_study
from bayes_alliance.diagnosis.stored_ranks import Outcome
from bayes_alliance.fit.exact import sample_exact
from bayes_alliance.fit.exact_units import draw_own_effects
from bayes_alliance.quadrature.choice import say_engine
from bayes_alliance.simulate.studies import SimulatedStudy, Studies, plan_studies
from bayes_alliance.spec.course import COURSES
from bayes_alliance.spec.model import PriorSpec
from bayes_alliance.spec.priors import Distribution
from bayes_alliance.spec.registry import model_names

LAYOUT = {"patients": 24, "sessions": [0, 1, 2, 3], "therapists": 6, "dropout": 0.1}
SETTINGS = replace(DEFAULTS, draws=100, chains=2).for_worker()
SPEC = ba.load_model("growth/three-level")
NO_CARD_YET = {"congruence/truth-and-bias-group"}
"""models/README.md says of each what is known without one."""


@pytest.fixture(scope="module")
def studies() -> Studies:
    """Return the plan of a small growth study."""
    return plan_studies(SPEC, LAYOUT, seed=1)


def run(
    studies: Studies, n: int, fit: Callable[[SimulatedStudy], Design] | None, draws: Callable[..., xr.Dataset] | None
):  # type: ignore[no-untyped-def]
    """Calibrate with a fault in the design that is fitted, or in the draws that come out."""
    ranked = []
    for seed in SeedSequence(3).spawn(n):
        one, two = seed.spawn(2)
        study = studies.draw(np.random.default_rng(one))
        made = study.design if fit is None else fit(study)
        seed = int(two.generate_state(1)[0])
        posterior = sample_exact(made, SETTINGS, seed).posterior
        posterior = posterior.merge(draw_own_effects(made, posterior, seed))
        posterior = posterior if draws is None else draws(study, posterior)
        ranked.append(Outcome(rank_study(study, posterior), 0.0))
    return _join(studies, dict(enumerate(ranked)), 3, True, SETTINGS)


def with_prior(study: SimulatedStudy, **changed: tuple[Distribution, ...]) -> Design:
    """Return the design with other numbers in its priors."""
    return replace(study.design, priors=replace(study.design.priors, **changed))  # type: ignore[arg-type]


def scaled(prior, by: float):  # type: ignore[no-untyped-def]
    """Return a prior with another scale."""
    values = (*prior.distribution.values[:-1], prior.distribution.values[-1] * by)
    return replace(prior, distribution=replace(prior.distribution, values=values))


def wrong_scale_of_sd(study: SimulatedStudy) -> Design:
    """Fit with a quarter of the scale of the prior on SDs."""
    sd = {factor: tuple(scaled(p, 0.25) for p in priors) for factor, priors in study.design.priors.sd.items()}
    return with_prior(study, sd=sd)  # type: ignore[arg-type]


def wrong_scale_of_slope(study: SimulatedStudy) -> Design:
    """Fit with a tenth of the scale of the prior on slopes."""
    first, *rest = study.design.priors.coef
    return with_prior(study, coef=(first, *(scaled(p, 0.1) for p in rest)))


def with_equation(study: SimulatedStudy, equation: EquationDesign) -> Design:
    """Return the design with another equation."""
    return replace(study.design, equations=(equation,))


def swapped_index(study: SimulatedStudy) -> Design:
    """Give every row the patient of the row before it."""
    e = study.design.equation
    groups = (replace(g, code=np.roll(g.code, 1)) if g.factor == "patient" else g for g in e.groups)
    return with_equation(study, e.with_mean(groups=tuple(groups)))


def lag_off_by_one(study: SimulatedStudy) -> Design:
    """Give every row the session of the row before it."""
    e = study.design.equation
    values = e.coef.values.copy()
    values[:, 1] = np.roll(values[:, 1], 1)
    return with_equation(study, e.with_mean(coef=replace(e.coef, values=values)))


def double_counted(study: SimulatedStudy) -> Design:
    """Count every row twice."""
    e = study.design.equation
    coef = replace(e.coef, values=np.concatenate([e.coef.values] * 2))
    groups = tuple(
        replace(
            g,
            code=np.tile(g.code, 2),
            inside=np.tile(g.inside, 2),
            columns=replace(g.columns, values=np.concatenate([g.values] * 2)),
        )
        for g in e.groups
    )
    twice = replace(e, y=np.tile(e.y, 2), sigma_code=np.tile(e.sigma_code, 2), row=np.arange(2 * len(e.y)))
    return with_equation(study, twice.with_mean(coef=coef, groups=groups))


def wrong_units(study: SimulatedStudy) -> Design:
    """Fit outcomes that were scaled by 1.3."""
    e = study.design.equation
    return with_equation(study, replace(e, y=1.3 * e.y))


def resampled(posterior: xr.Dataset, weights: np.ndarray) -> xr.Dataset:
    """Return draws drawn again by weights, in one chain."""
    flat = posterior.stack(sample=("chain", "draw"), create_index=False).drop_vars(("chain", "draw"))
    rng = np.random.default_rng(0)
    chosen = rng.choice(flat.sizes["sample"], size=flat.sizes["sample"], p=weights / weights.sum())
    return flat.isel(sample=chosen).rename(sample="draw").expand_dims("chain")


def dropped_jacobian(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Leave the Jacobian of the logarithm of SDs out: their density is divided by the SDs."""
    return resampled(posterior, 1 / posterior["sd_patient"].prod("patient_effect").values.reshape(-1))


def variance_for_sd(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Report variances as SDs."""
    return posterior.assign(sd_patient=posterior["sd_patient"] ** 2)


def swapped_coefficients(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Report each coefficient as the other."""
    return posterior.assign(b=posterior["b"].copy(data=posterior["b"].values[..., ::-1]))


def intercept_at_the_mean(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Report the intercept at predictors' means as the one at zero."""
    return posterior.assign(b=posterior["b_centred"])


def turned_correlation(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Report correlations with the other sign, and a narrow range."""
    return posterior.assign(cor_patient=-0.3 * posterior["cor_patient"])


def effects_of_others(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Report every patient's effects as the next one's; no parameter's ranks see it, the log-likelihood's do."""
    return posterior.assign(
        u_patient=posterior["u_patient"].copy(data=np.roll(posterior["u_patient"].values, 1, axis=2))
    )


def too_narrow(study: SimulatedStudy, posterior: xr.Dataset) -> xr.Dataset:
    """Report coefficients with two thirds of their spread."""
    mean = posterior["b"].mean(("chain", "draw"))
    return posterior.assign(b=mean + (posterior["b"] - mean) / 1.5)


IN_FIT = (wrong_scale_of_sd, wrong_scale_of_slope, swapped_index, lag_off_by_one, double_counted, wrong_units)
IN_DRAWS = (
    dropped_jacobian,
    variance_for_sd,
    swapped_coefficients,
    intercept_at_the_mean,
    turned_correlation,
    effects_of_others,
    too_narrow,
)


def test_a_right_model_passes(studies: Studies) -> None:
    """Sixty studies of a growth model."""
    found = run(studies, 60, None, None)
    assert found.passed, found.verdict
    table = found.table().set_index("quantity")
    assert (table["p_uniform"] > 0).all()
    assert table.loc["sigma[outcome]", "cover95"] > 0.8
    assert "log-likelihood" in table.index


def test_a_fault_that_no_parameter_shows_is_caught(studies: Studies) -> None:
    """Effects under the wrong names, in sixty studies: the log-likelihood's ranks say so."""
    found = run(studies, 60, None, effects_of_others)
    assert not found.passed
    assert "log-likelihood" in found.verdict
    assert found.verdict.startswith("NOT CALIBRATED")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*IN_FIT, *IN_DRAWS], ids=lambda fault: fault.__name__)
def test_planted_faults_are_caught(studies: Studies, fault: Callable[..., object]) -> None:
    """Thirteen faults of simulation or fit, two hundred studies each."""
    found = run(studies, 200, fault if fault in IN_FIT else None, fault if fault in IN_DRAWS else None)  # type: ignore[arg-type]
    assert not found.passed, found.table()


def test_ranks_do_not_depend_on_who_counts_them() -> None:
    """One thread or two, the same ranks; a stated truth is reported and not judged."""
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:
        first, second = (
            ba.calibrate(SPEC, LAYOUT, n=12, seed=5, settings=SETTINGS, executor=pool, progress="off")
            for pool in (one, two)
        )
        np.testing.assert_array_equal(first.ranks, second.ranks)
        studies = plan_studies(SPEC, LAYOUT, seed=1)
        truth = studies.draw(np.random.default_rng(1)).truth
        stated = ba.calibrate(SPEC, LAYOUT, n=12, seed=5, truth=truth, settings=SETTINGS, executor=one, progress="off")
    assert stated.passed
    assert stated.verdict.startswith("Coverage at a stated truth")
    assert stated.table()["p_uniform"].isna().all()
    figure = ba.plot_calibration(first)
    assert len(figure.axes) == len(first.quantities)
    assert first.ranks.min() >= 0
    assert first.ranks.max() <= 99


def test_outcomes_that_predict_outcomes_are_drawn_in_turn() -> None:
    """Columns and centring constants of every study are its own, priors the same numbers, the intercept's included."""
    study = default_study("mediation/within-person")
    studies = plan_studies(ba.load_model("mediation/within-person"), study.layout, seed=1, variables=study.variables)
    assert studies.chained
    one, two = (studies.draw(np.random.default_rng(seed)) for seed in (1, 2))
    name = "b[outcome, Intercept]"
    for drawn in (one, two):
        e = drawn.design.find("outcome")
        b = np.array([drawn.truth[f"b[{label}]"] for label in e.coef_labels])
        prior = studies.design.priors.coef[len(studies.design.find("mediator").coef.labels)].distribution
        assert abs(b[0] + b[1:] @ e.centre[1:] - prior.value("mu")) < 5 * prior.value("sigma")
        assert drawn.design.priors is studies.design.priors
        u = drawn.effects["u_patient"].sel(patient_effect=list(e.effect_labels(e.groups[0])))
        linear = e.coef.values @ b + (u.values[e.groups[0].code] * e.groups[0].values).sum(axis=1)
        assert np.std(e.y - linear) == pytest.approx(drawn.truth["sigma[outcome]"], rel=0.2)
    assert one.truth[name] != two.truth[name]
    assert not np.array_equal(one.design.find("outcome").centre, two.design.find("outcome").centre)


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_numbers_that_are_none(n: object) -> None:
    """The number of studies is checked first."""
    with pytest.raises(ba.FitError, match="n must be a whole number of 1 or more"):
        ba.calibrate(SPEC, LAYOUT, n=n, seed=1)  # type: ignore[arg-type]


def test_what_cannot_be_calibrated() -> None:
    """Flat priors, models without a study, truths that lack something."""
    with pytest.raises(ba.DesignError, match="Nothing can be drawn from the flat prior"):
        ba.calibrate(SPEC, LAYOUT, n=5, seed=1, priors={"sd patient": "flat_positive()"})
    with pytest.raises(ba.SpecError, match="truth"):
        ba.calibrate(SPEC, LAYOUT, n=5, seed=1, truth={"sigma[outcome]": 1.0})
    with pytest.raises(ba.SpecError, match="comes without a study to calibrate it on"):
        default_study("dynamics/none")


def test_studies_that_cannot_be_fitted_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth may fail and is counted; more is an error."""
    count = [0]

    def sometimes(design: Design, settings: ba.SamplerSettings, seed: int) -> xr.Dataset:
        count[0] += 1
        if count[0] % count[1:][0] == 0:
            raise ba.FitError("The sampler could not run.")
        posterior = sample_exact(design, settings, seed).posterior
        return posterior.merge(draw_own_effects(design, posterior, seed))

    monkeypatch.setattr(module, "_sample", sometimes)
    with ThreadPoolExecutor(1) as pool:
        count[1:] = [11]
        found = ba.calibrate(SPEC, LAYOUT, n=12, seed=1, settings=SETTINGS, executor=pool, progress="off")
        assert dict(found.lost) == {"The sampler could not run.": 1}
        assert len(found) == 11
        count[1:] = [2]
        with pytest.raises(ba.FitError, match="studies could not be fitted: The sampler could not run"):
            ba.calibrate(SPEC, LAYOUT, n=12, seed=1, settings=SETTINGS, executor=pool, progress="off")


def test_studies_that_no_design_can_be_made_of_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome that came out constant is its own study's loss, not that of the others of its process."""
    drawn, draw = [0], Studies.draw

    def sometimes(self: Studies, *given: object) -> SimulatedStudy:
        drawn[0] += 1
        if drawn[0] == 3:
            raise ba.DesignError("Outcome 'dropout' is constant.")
        return draw(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Studies, "draw", sometimes)
    with ThreadPoolExecutor(1) as pool:
        found = ba.calibrate(SPEC, LAYOUT, n=11, seed=1, settings=SETTINGS, executor=pool, progress="off")
    assert dict(found.lost) == {"Outcome 'dropout' is constant.": 1}
    assert len(found) == 10


def test_cards_follow_what_ranks_depend_on() -> None:
    """Words, reasons and estimands of a model change nothing; a formula or a prior does."""
    spec = ba.load_model("outcome/two-outcomes")
    told = spec.model_copy(update={"title": "Another", "labels": {}, "estimands": {}, "tags": ()})
    assert spec_digest(told) == spec_digest(spec)
    stated = [
        PriorSpec(on="b", dist=dist, reason=reason) for dist in ("normal(0, 1)", "normal(0, 2)") for reason in "ab"
    ]
    digests = [spec_digest(spec.model_copy(update={"prior": (one,)})) for one in stated]
    assert digests[0] == digests[1] != digests[2] == digests[3] != spec_digest(spec)
    changed = spec.equation[0].model_copy(update={"formula": "distress_pre"})
    assert spec_digest(spec.model_copy(update={"equation": (changed, spec.equation[1])})) != spec_digest(spec)


WITH_COURSES = ("growth/course", "growth/three-level", "growth/treatment")
"""Models that have a card per course: the exact engine fits them in a second."""

CARDS = [(name, "linear") for name in model_names() if name not in NO_CARD_YET]
CARDS += [(name, course) for name in WITH_COURSES for course in COURSES[1:]]


BY_NUTS = {"growth/dual-perspective-shrunk", "growth/censored", "growth/at-the-ceiling"}
"""Models whose cards the nuts engine made before another took them: 200 studies take hours by either.

The posteriors of engines are compared in ``tests/oracles/test_exact_engine.py`` and ``test_quadrature_engine.py``.
"""


@pytest.mark.parametrize(("name", "course"), CARDS)
def test_registered_models_have_cards_of_their_present_text(name: str, course: str) -> None:
    """A card says what was simulated, at least 200 times, that ranks were uniform, and is of the file as it stands."""
    card, spec = read_card(name, course), ba.load_model(name, course=course)
    assert card is not None, f"bayes-alliance calibrate {name} --course {course} --card"
    assert card["digest"] == spec_digest(spec), f"{name} has changed since: calibrate it anew"
    assert card["passed"]
    lost = sum(dict(card["lost"]).values())  # type: ignore[call-overload]
    assert int(str(card["studies"])) + lost >= 200
    assert lost <= 20
    assert card["synthetic"]
    assert {"log-likelihood"} < set(card["quantities"])  # type: ignore[arg-type]
    assert card["engine"] == ("nuts" if name in BY_NUTS else say_engine(spec).partition(".")[0])
    assert card["study"]["layout"] == default_study(name).layout  # type: ignore[call-overload, index]
    assert card_path(name, course).read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.slow
def test_a_card_is_found_again() -> None:
    """The card of the three-level growth model, recomputed with sixty of its studies: calibrated, same quantities."""
    name = "growth/three-level"
    study, card = default_study(name), read_card(name)
    assert card is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ba.AllianceWarning)
        found = ba.calibrate(SPEC, study.layout, n=60, seed=int(str(card["seed"])), progress="off")
    again = make_card(name, "linear", SPEC, study, found)
    assert again["passed"]
    assert again["priors"] == card["priors"]
    assert set(again["quantities"]) == set(card["quantities"])  # type: ignore[arg-type]
