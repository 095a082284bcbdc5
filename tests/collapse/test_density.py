"""The compiled log-density against one dense normal distribution, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_stream_obstacles
from bayes_alliance.collapse.engine import sum_design
from bayes_alliance.collapse.kernel.forward import STACK, WIDE
from tests.build.test_equations import ACROSS, HEAD, MODELS, TWO, equation, holes
from tests.collapse.dense import Dense, Natural, engine_of, to_natural
from tests.collapse.marginal import recover
from tests.conftest import ROLES, make_trial

MANY = "week * pre * stress + sqrt(week) * stress"
SLOPES = "(1 + week | patient) + (1 + week | therapist)"
SITE = "(1 + week | patient) + (1 + week | therapist) + (1 | site)"
GAUSSIAN = {name: text for name, text in MODELS.items() if not find_stream_obstacles(ba.parse_model(HEAD + text))}
SHAPES = GAUSSIAN | {
    "one level": equation("score", "week"),
    "no coefficients": equation("score", "0 + (1 | patient)"),
    "three levels and site": equation("score", f"week * pre + {SITE}"),
    "no correlations": equation("score", "week + (1 + week || patient) + (0 + week | therapist)"),
    "four effects": equation("score", "week + (1 + week + stress + alliance | patient)"),
    "crossed": equation("score", "week + (1 + week | patient) + (1 + week | room) + (1 | therapist)"),
    "crossed across equations": TWO.replace("| patient)", "| patient) + (1 | room)") + ACROSS,
    "crossed with joint residuals": TWO.replace("| patient)", "| patient) + (1 | room)")
    + '[residual]\ncorrelate = ["score", "alliance"]\n',
    "joint residuals and therapists": TWO.replace("| patient)", "| patient) + (1 | therapist)")
    + '[residual]\ncorrelate = ["score", "alliance"]\n',
    "residual SDs by arm": equation("score", "week + (1 | patient) + (1 | therapist)", extra='sigma = "condition"')
    + '[[prior]]\non = "sigma arm[MBCT]"\ndist = "lognormal(2, 0.5)"\nreason = "r"\n',
    "SDs that are above 0": equation("score", "week + (1 + week | patient) + (1 | therapist)")
    + '[[prior]]\non = "sd therapist"\ndist = "lognormal(1, 0.5)"\nreason = "r"\n',
    "residual SDs that vary within patients": equation("score", "week + (1 | patient)", extra='sigma = "room"'),
    "many coefficients": equation("score", f"{MANY} + alliance + (1 + week | patient) + (1 | therapist)"),
    "many coefficients, three effects": equation("score", f"{MANY} + alliance + (1 + week + stress | patient)"),
    "many coefficients, crossed": equation("score", f"{MANY} + (1 + week | patient) + (1 | room) + (1 | therapist)"),
    "many coefficients and joint residuals": equation("score", f"{MANY} + {SLOPES}")
    + equation("alliance", f"{MANY} + {SLOPES}")
    + ACROSS
    + '[residual]\ncorrelate = ["score", "alliance"]\n',
    "series": equation("score", "week + (1 + week | patient) + (1 | therapist)", extra='residuals = "ar1"'),
    "series, residual SDs by room": equation(
        "score", "week + (1 | patient)", extra='residuals = "ar1"\nsigma = "room"'
    ),
    "two series": equation("score", "week + (1 | patient)", extra='residuals = "ar1"')
    + equation("alliance", "week + (1 | patient) + (1 | therapist)", extra='residuals = "ar1"')
    + ACROSS,
    "a series that predicts": equation("alliance", "week + (1 | therapist)", extra='residuals = "ar1"')
    + equation("score", "alliance + week + (1 + week | patient)"),
    "visits": equation("score", "visit + stress + (1 | therapist)", extra='residuals = "unstructured"'),
    "visits by arm, no effects": equation("score", "visit * condition", extra='residuals = "unstructured"')
    + '[residual]\nby = "condition"\n',
    "visits beside another outcome": equation("score", "visit + (1 | therapist)", extra='residuals = "unstructured"')
    + equation("alliance", "week + (1 + week | patient) + (1 | therapist)")
    + '[groups.therapist]\ncorrelate = ["score", "alliance"]\n',
    "partial nesting": equation("score", "week + (1 | patient) + (0 + in_mbct | group)"),
    "partial nesting of slopes": equation("score", "week + (1 + week | patient) + (0 + in_mbct:week | group)"),
}


def design_of(name: str, trial: pd.DataFrame) -> ba.Design:
    """Return the design of a shape on a small unbalanced table with holes."""
    # more patients than visits in each arm
    frame = holes(many_patients() if name.startswith("visits by") else trial)
    frame["site"] = "S" + (frame["tid"].str[1:].astype(int) // 2).astype(str)
    frame["room"] = "R" + ((frame["week"].astype(int) * 7 + frame["pid"].str[1:].astype(int)) % 5).astype(str)
    text = SHAPES[name]
    columns = {"condition": "arm"} if "condition" in text else {}
    columns |= {"in_mbct": "arm[MBCT]"} if "in_mbct" in text else {}
    reference = {"condition": "TAU"} if "condition" in text else {}
    reference |= {"room": "R0"} if 'sigma = "room"' in text else {}
    roles = ROLES | {"site": "site"}
    factors = text.replace('sigma = "room"', "")
    if "room" in factors:
        text, roles = text.replace("room", "group"), {**roles, "group": "room"}
    elif "site" not in text:
        del roles["site"]
    return ba.make_design(
        ba.parse_model(HEAD + text),
        ba.Study(ba.read_sessions(frame, roles, transfers="transferred"), columns=columns, reference=reference),
    )


@pytest.fixture(scope="module", params=SHAPES)
def shape(request: pytest.FixtureRequest, trial: pd.DataFrame) -> ba.Design:
    """Return one design per shape."""
    return design_of(request.param, many_patients() if request.param.startswith("many") else trial)


def many_patients() -> pd.DataFrame:
    """Return a trial with more units than are stacked at once."""
    return make_trial(patients=44)


def test_shapes_with_many_coefficients_fill_a_stack() -> None:
    """Units are stacked where the last block is wide: full stacks with and without spare rows, a partial one."""
    wide = [engine_of(design_of(name, many_patients())).shape for name in SHAPES if name.startswith("many")]
    assert all(shape.outer + shape.crossed_columns >= WIDE for shape in wide)
    effects = {shape.path(0)[0] for shape in wide if shape.factors[shape.chain[0]].levels * shape.path(0)[0] > STACK}
    assert {3, 4} <= effects


def test_units_that_lack_columns_stand_beside_those_that_have_all() -> None:
    """Of patients who do not meet every room some columns of a wide last block are not there."""
    design = design_of("many coefficients, crossed", many_patients())
    columns = sum_design(design).levels[0].columns
    assert columns.min() < columns.max() == sum(engine_of(design).shape.path(0)) + engine_of(design).shape.outer + 5


def random_point(size: int, sds: int, rng: np.random.Generator) -> np.ndarray:
    """Return a point away from the edges, SDs positive."""
    x = rng.normal(0, 0.5, size)
    x[:sds] = rng.uniform(0.2, 3, sds)
    return x


def test_log_density_is_that_of_a_dense_normal(shape: ba.Design) -> None:
    """At random parameters, pooled or not: the normal density of all rows at once, plus SciPy's log prior."""
    rng = np.random.default_rng(3)
    for pool in (True, False):
        engine = engine_of(shape, pool=pool)
        none = np.zeros(engine.sds, dtype=bool)
        for _ in range(2):
            x = random_point(engine.packed.size, engine.sds, rng)
            dense = Dense(shape, to_natural(engine, x))
            expected = dense.log_likelihood() + dense.log_prior(x)
            assert engine.value(x, none) == pytest.approx(expected, rel=1e-8)


def test_gradient_agrees_with_differences(shape: ba.Design) -> None:
    """The exact gradient is that of central differences, with SDs as they are, negative ones too, or as logarithms."""
    rng = np.random.default_rng(4)
    engine = engine_of(shape)
    for logs in (np.zeros(engine.sds, dtype=bool), np.ones(engine.sds, dtype=bool)):
        x = rng.normal(0, 0.7, engine.packed.size)
        value, slope = engine.gradient(x, logs)
        assert value == pytest.approx(engine.value(x, logs), rel=1e-12)
        steps = 1e-5 * np.eye(len(x))
        values = engine.values(np.concatenate([x + steps, x - steps]), logs, 2).reshape(2, -1)
        np.testing.assert_allclose(slope, (values[0] - values[1]) / 2e-5, rtol=2e-5, atol=2e-4)


def test_logarithms_add_their_jacobian(shape: ba.Design) -> None:
    """The density of log SDs is that of SDs times the SDs."""
    engine = engine_of(shape)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(5))
    logged = x.copy()
    logged[: engine.sds] = np.log(x[: engine.sds])
    every = np.ones(engine.sds, dtype=bool)
    expected = engine.value(x, ~every) + np.log(x[: engine.sds]).sum()
    assert engine.value(logged, every) == pytest.approx(expected, rel=1e-12)


def test_variances_of_zero_are_allowed(shape: ba.Design) -> None:
    """With all SDs 0 the density is that of a model without group effects, and no gradient breaks.

    SDs whose priors have no density there stay where they are.
    """
    engine = engine_of(shape)
    none = np.zeros(engine.sds, dtype=bool)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(6))
    x[: engine.sds] = np.where(engine.shape.above_zero, x[: engine.sds], 0.0)
    value, slope = engine.gradient(x, none)
    assert np.isfinite(slope).all()
    natural = to_natural(engine, x)
    assert value == pytest.approx(Dense(shape, natural).log_likelihood() + Dense(shape, natural).log_prior(x), rel=1e-8)


def test_posterior_of_effects_is_exact(shape: ba.Design) -> None:
    """Draws of the effects are the dense posterior's mean plus a linear map of normals with its covariance."""
    engine, units = engine_of(shape), engine_of(shape, pool=False).packed
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(7))
    mean, covariance = Dense(shape, to_natural(engine, x)).posterior()
    moments = exact_moments(engine, units, shape, x)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(moments[0], mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
    np.testing.assert_allclose(moments[1] / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=1e-8)


def exact_moments(engine, units, design: ba.Design, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """Return mean and covariance of what the engine draws, from zero normals and from one normal at a time."""

    class Listed:
        """A generator that hands out rows of an identity matrix."""

        def __init__(self, size: int, before: int) -> None:
            self.whole, self.before = np.concatenate([np.zeros((1, size)), np.eye(size)]), before
            self.at = 0

        def normal(self, size: tuple[int, int]) -> np.ndarray:
            part = self.whole[:, self.at : self.at + size[1]]
            self.at += size[1]
            return np.ascontiguousarray(part)

    shape = engine.shape
    count = len(shape.equation) + sum(f.levels * f.effects for f in shape.factors)
    points = np.tile(x, (count + 1, 1))
    drawn = recover(engine, units, points, Listed(count, 0))  # type: ignore[arg-type]
    effects = [drawn.effects[factor.factor].reshape(count + 1, -1) for factor in design.factors]
    whole = np.concatenate([drawn.coef, *effects], axis=1)
    apart = whole[1:] - whole[0]
    return whole[0], apart.T @ apart


def test_large_offsets_lose_no_digits(trial: pd.DataFrame) -> None:
    """An outcome and a time far from 0 give the density of the same ones near 0, for slopes without correlations."""
    found = []
    for shift in (0.0, 1e7):
        frame = trial.assign(score=trial["score"] + shift, year=trial["week"] + shift)
        spec = ba.parse_model(HEAD + equation("score", "year + (1 | patient) + (1 | therapist)"))
        engine = engine_of(ba.make_design(spec, ba.read_sessions(frame, ROLES)))
        found.append(engine.value(np.array([3.0, 0.4, 0.6]), np.zeros(2, dtype=bool)))
    assert found[1] == pytest.approx(found[0], rel=1e-8)


def test_slopes_on_times_far_from_zero(trial: pd.DataFrame) -> None:
    """Intercepts and slopes on a year near 2,000: the density is the dense normal's."""
    frame = trial.assign(year=2000 + trial["week"] / 10)
    spec = ba.parse_model(HEAD + equation("score", "year + (1 + year | patient)"))
    made = ba.make_design(spec, ba.read_sessions(frame, ROLES))
    engine = engine_of(made)
    x = np.array([6.0, 0.003, 0.1, 0.6])
    dense = Dense(made, to_natural(engine, x))
    assert engine.value(x, np.zeros(2, dtype=bool)) == pytest.approx(
        dense.log_likelihood() + dense.log_prior(x), rel=1e-9
    )


def test_natural_record_is_complete(trial: pd.DataFrame) -> None:
    """A sampled vector names every SD, correlation and residual SD of the design."""
    made = design_of("covariances by arm", trial)
    engine = engine_of(made)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(1))
    natural = to_natural(engine, x)
    assert isinstance(natural, Natural)
    assert natural.sd["patient"].shape == (2, 2)
    assert natural.cor["patient"].shape == (2, 2, 2)
