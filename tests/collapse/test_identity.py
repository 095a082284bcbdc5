"""The identity that ties the engines: log p(y, u, b | parameters) - log p(u, b | y, parameters) is the collapsed one.

The first comes from the PyMC model, the second from the dense posterior that the engine draws from exactly.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_stream_obstacles
from bayes_alliance.spec.registry import model_names
from tests.build.oracle import evaluate_terms, to_unit
from tests.build.test_equations import HEAD, equation
from tests.collapse.dense import Dense, Natural, engine_of, to_natural
from tests.collapse.marginal import recover
from tests.collapse.test_density import SHAPES, design_of, random_point
from tests.conftest import ROLES
from tests.contracts.test_registry import table_for

ELIGIBLE = [name for name in model_names() if not find_stream_obstacles(ba.load_model(name))]
SOME = [
    *("three levels and site", "effects and residuals", "crossed across equations", "covariances by arm"),
    *("series", "two series", "a series that predicts", "visits", "visits beside another outcome"),
]


def pymc_log_density(design: ba.Design, natural: Natural, b: np.ndarray, effects: dict[str, np.ndarray]) -> float:
    """Return log p(y, u, b | SDs, correlations, residual SDs) by the PyMC model with centred effects."""
    model = ba.build_model(design.spec, design, parametrization="centred")
    values: dict[str, np.ndarray] = {"b_centred": b}
    families = [prior.distribution.family for prior in design.priors.sigma]
    for family in dict.fromkeys(families):  # a free variable each, where SDs have priors of several families
        own = np.array([one == family for one in families])
        values["sigma" if own.all() else f"sigma_{family}"] = natural.sigma[own]
    effect_names = []
    for factor in design.factors:
        key, several = factor.factor, len(factor.blocks) > 1
        values[f"sd_{key}"] = natural.sd[key] if factor.by else natural.sd[key][0]
        correlated = [block for block in factor.blocks if len(block.members) > 1]
        for number, block in enumerate(factor.blocks):
            name = f"u_{key}_{number + 1}" if several else f"u_{key}"
            effect_names.append(name)
            values[name] = effects[key][:, list(block.members)]
            for s in range(len(natural.cor[key])) if len(block.members) > 1 else ():
                suffix = f"_{number + 1}" if len(correlated) > 1 else ""
                suffix += f"_{s + 1}" if factor.by else ""
                cor = natural.cor[key][s][np.ix_(block.members, block.members)]
                values[f"cor_{key}{suffix}_unit"] = to_unit(cor)
    if natural.residual is not None and design.residual is None:
        values["ar_unit"] = (natural.residual[:, 1, 0] + 1) / 2
    elif natural.residual is not None and design.residual is not None and design.residual.fixed is None:
        for s, cor in enumerate(natural.residual):
            values[f"cor_residual{f'_{s + 1}' if design.residual.by else ''}_unit"] = to_unit(cor)
    chosen = [model["b_centred"], *(model[name] for name in effect_names), *model.observed_RVs]
    terms = model.logp(vars=chosen, jacobian=False, sum=True)
    return evaluate_terms(model, terms, values)


def check_identity(design: ba.Design, x: np.ndarray, seed: int) -> None:
    """Check the identity at one draw of the recovery step, to 1e-8 of its largest term."""
    engine, units = engine_of(design), engine_of(design, pool=False).packed
    natural = to_natural(engine, x)
    drawn = recover(engine, units, x[None], np.random.default_rng(seed))
    effects = {name: values[0] for name, values in drawn.effects.items()}
    joint = pymc_log_density(design, natural, drawn.coef[0], effects)
    dense = Dense(design, natural)
    mean, covariance = dense.posterior()
    point = np.concatenate([drawn.coef[0], *(effects[factor.factor].ravel() for factor in design.factors)])
    conditional = float(stats.multivariate_normal(mean, covariance, allow_singular=True).logpdf(point))
    none = np.zeros(engine.sds, dtype=bool)
    collapsed = engine.value(x, none) - dense.log_prior(x)
    largest = max(abs(joint), abs(conditional), abs(collapsed))
    assert abs(joint - conditional - collapsed) < 1e-8 * largest


@pytest.mark.parametrize("name", ELIGIBLE)
def test_registry_models(name: str, trial: pd.DataFrame) -> None:
    """Every eligible model of the registry whose rows are not split, on a small unbalanced table, at two points."""
    table, columns, reference = table_for(name, trial)
    made = ba.make_design(ba.load_model(name), ba.Study(table, columns=columns, reference=reference))
    engine = engine_of(made)
    rng = np.random.default_rng(9)
    for seed in range(2):
        check_identity(made, random_point(engine.packed.size, engine.sds, rng), seed)


@pytest.mark.parametrize("name", SOME)
def test_other_shapes(name: str, trial: pd.DataFrame) -> None:
    """Shapes that no registry model has: sites, joint residuals, crossed factors, covariances by arm."""
    made = design_of(name, trial)
    engine = engine_of(made)
    check_identity(made, random_point(engine.packed.size, engine.sds, np.random.default_rng(2)), 5)
    assert name in SHAPES


TERMS = ["1", "1 + week", "0 + week", "1 + stress", "1 + week + stress"]


@st.composite
def studies(draw: st.DrawFn) -> tuple[pd.DataFrame, str]:
    """Draw a table (unbalanced, missing values, single sessions, transfers, partial nesting) and a model of it."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    patients, therapists = draw(st.integers(4, 12)), draw(st.integers(2, 4))
    crossed, partial = draw(st.booleans()), draw(st.booleans())
    rows = []
    for i in range(patients):
        for week in range(1, 1 + draw(st.integers(1, 5))):
            therapist = f"T{(i + (week > 2) * crossed) % therapists}"
            rows.append((f"P{i}", therapist, f"G{i // 2 % 2}" if i % 2 else "", week, float(i % 2)))
    frame = pd.DataFrame(rows, columns=["pid", "tid", "gid", "week", "treated"])
    for name in ("score", "stress"):
        frame[name] = rng.normal(size=len(frame)) * 3 + 10
    frame.loc[rng.random(len(frame)) < draw(st.sampled_from([0.0, 0.1])), "score"] = np.nan
    bars = st.sampled_from(["|", "||"])
    formula = f"week + stress + ({draw(st.sampled_from(TERMS))} {draw(bars)} patient)"
    formula += f" + ({draw(st.sampled_from(TERMS[:3]))} {draw(bars)} therapist)"
    return frame, formula + (" + (0 + treated | group)" if partial else "")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(studies(), st.integers(0, 1000))
def test_random_models_and_tables(study: tuple[pd.DataFrame, str], seed: int) -> None:
    """Density and posterior of effects of random models are those of the dense normal; refused tables are skipped."""
    frame, formula = study
    try:
        table = ba.read_sessions(frame, ROLES, transfers="transferred")
        made = ba.make_design(ba.parse_model(HEAD + equation("score", formula)), table)
    except ba.AllianceError:
        return
    engine = engine_of(made)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(seed))
    dense = Dense(made, to_natural(engine, x))
    expected = dense.log_likelihood() + dense.log_prior(x)
    assert engine.value(x, np.zeros(engine.sds, dtype=bool)) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    mean, _ = dense.posterior()
    units = engine_of(made, pool=False).packed
    drawn = [
        recover(engine, units, x[None], _Constant(value))  # type: ignore[arg-type]
        for value in (0.0, 1.0, -1.0)
    ]
    whole = [np.concatenate([d.coef[0], *(d.effects[f.factor][0].ravel() for f in made.factors)]) for d in drawn]
    np.testing.assert_allclose(whole[0], mean, rtol=1e-7, atol=1e-7 * np.abs(mean).max())
    np.testing.assert_allclose(whole[1] + whole[2], 2 * whole[0], atol=1e-7 * np.abs(mean).max())


class _Constant:
    """A generator whose normals are all one number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def normal(self, size: tuple[int, int]) -> np.ndarray:
        """Return the number, in the shape asked for."""
        return np.full(size, self.value)
