"""The PyMC model: names and dims, and a log-density that agrees with SciPy at random points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import special, stats

import bayes_alliance as ba
from bayes_alliance.build import model as model_module
from bayes_alliance.build import parametrization
from bayes_alliance.build.model import CHECKED, check_log_density
from bayes_alliance.build.priors import build_gaussian_rows
from bayes_alliance.design.groups.groups import GroupDesign
from tests.build.oracle import density, evaluate, lkj, log_jacobian, to_unit
from tests.conftest import ROLES, make_trial
from tests.design.test_design import design

FORMULAS = {
    "correlated slopes": ("week + alliance + (1 + week | patient) + (1 | therapist)", ""),
    "uncorrelated slopes": ("week + (1 + week || patient)", ""),
    "three correlated effects": ("week + (1 + week + alliance | patient)", ""),
    "two blocks": ("week + (1 + week | patient) + (0 + alliance | patient)", ""),
    "nested factor": ("week + (1 | therapist/patient)", ""),
    "nested to the third depth": ("week + (1 | clinic/therapist/patient)", ""),
    "crossed factors": ("week + (1 | patient) + (1 | weekday)", ""),
    "partial nesting": ("arm + (0 + in_group | group) + (1 | patient)", ""),
    "residual SD by arm": ("week * arm + (1 | patient)", 'sigma = "arm"'),
    "no group term": ("week + log(week) + arm", ""),
    "no intercept": ("0 + arm + (1 | patient)", ""),
    "intercept alone": ("1 + (1 | patient)", ""),
    "logit": ("alliance * arm + (1 | patient)", 'family = "bernoulli"'),
}


def make(name: str, trial: pd.DataFrame, **arguments: object) -> ba.Design:
    """Return the design of one of the formulas above."""
    formula, extra = FORMULAS[name]
    frame = trial.assign(weekday=[f"d{i % 5}" for i in range(len(trial))], late=(trial["week"] > 4).astype(float))
    frame["clinic"] = "C" + (frame["tid"].str[1:].astype(int) % 3).astype(str)
    outcome = "late" if "bernoulli" in extra else "score"
    arguments = {"columns": {"in_group": "arm[MBCT]"} if "in_group" in formula else {}} | arguments
    if "arm" in formula:
        arguments["reference"] = {"arm": "TAU"}
    return design(formula, ba.read_sessions(frame, ROLES), outcome=outcome, extra=extra, **arguments)


def oracle(made: ba.Design, point: dict[str, np.ndarray]) -> float:
    """Return the joint log-density of the model from the design alone, without PyMC.

    ``point`` holds b_centred, sd_<factor>, cor_<factor> (matrix), u_<factor> and sigma on their natural scales.
    """
    equation, priors = made.equation, made.priors
    x = equation.coef.values - equation.centre
    mu = x @ point["b_centred"]
    total = sum(density(p.distribution, v) for p, v in zip(priors.coef, point["b_centred"], strict=True))
    for group in equation.groups:
        key = group.factor.replace(":", "_")
        sd, u = point[f"sd_{key}"], point[f"u_{key}"]
        total += sum(density(p.distribution, v) for p, v in zip(priors.sd[group.factor], sd, strict=True))
        correlation = point.get(f"cor_{key}", np.eye(len(sd)))
        blocks = [block for block in group.blocks if len(block.members) > 1]
        for block, prior in zip(blocks, priors.cor.get(group.factor, ()), strict=True):
            total += lkj(correlation[np.ix_(block.members, block.members)], prior.distribution.values[0])
        covariance = correlation * np.outer(sd, sd)
        total += stats.multivariate_normal(np.zeros(len(sd)), covariance).logpdf(u).sum()
        for row in range(len(equation.y)):
            if group.inside[row]:
                mu[row] += group.values[row] @ u[group.code[row]]
    if equation.family == "bernoulli":
        return float(total + stats.bernoulli.logpmf(equation.y.astype(int), special.expit(mu)).sum())
    total += sum(density(p.distribution, v) for p, v in zip(priors.sigma, point["sigma"], strict=True))
    return float(total + stats.norm.logpdf(equation.y, mu, point["sigma"][equation.sigma_code]).sum())


def natural(made: ba.Design, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw a point on natural scales."""
    equation = made.equation
    point = {"b_centred": rng.normal(0, 1, len(equation.coef.labels))}
    for group in equation.groups:
        key, k = group.factor.replace(":", "_"), len(group.effects)
        point[f"sd_{key}"] = rng.uniform(0.3, 2, k)
        point[f"u_{key}"] = rng.normal(0, 1, (len(group.levels), k))
        if any(len(block.members) > 1 for block in group.blocks):
            correlation = np.eye(k)
            for block in group.blocks:
                size = len(block.members)
                a = rng.normal(size=(size, size + 3))
                s = a @ a.T
                correlation[np.ix_(block.members, block.members)] = s / np.sqrt(np.outer(np.diag(s), np.diag(s)))
            point[f"cor_{key}"] = correlation
    if equation.family == "gaussian":
        point["sigma"] = rng.uniform(0.5, 3, len(equation.sigma_coef))
    return point


def free_values(model: pm.Model, made: ba.Design, point: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the values of the centred model's free variables at a point."""
    values = {}
    for variable in model.free_RVs:
        name = variable.name
        if name in point:
            values[name] = point[name]
            continue
        group = next(g for g in made.equation.groups if g.factor.replace(":", "_") in name)
        key = group.factor.replace(":", "_")
        blocks = {f"u_{key}_{i + 1}": block for i, block in enumerate(group.blocks)}
        if name in blocks:
            values[name] = point[f"u_{key}"][:, list(blocks[name].members)]
            continue
        block = next(block for block in group.blocks if len(block.members) > 1)
        values[name] = to_unit(point[f"cor_{key}"][np.ix_(block.members, block.members)])
    return values


@pytest.mark.parametrize("name", FORMULAS)
def test_log_density_agrees_with_scipy(name: str, trial: pd.DataFrame) -> None:
    """Differences of the model's log-density between random points are SciPy's, to rounding."""
    made = make(name, trial)
    model = ba.build_model(made.spec, made, parametrization="centred")
    rng = np.random.default_rng(3)
    points = [natural(made, rng) for _ in range(3)]
    got, expected = [], []
    for point in points:
        got.append(evaluate(model, free_values(model, made, point)))
        shift = 0.0
        for group in made.equation.groups:
            for block in group.blocks:
                if len(block.members) > 1:
                    key = group.factor.replace(":", "_")
                    shift += log_jacobian(point[f"cor_{key}"][np.ix_(block.members, block.members)])
        expected.append(oracle(made, point) + shift)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("parametrization", ["centred", "non-centred", "chosen"])
def test_every_shape_builds(
    name: str, parametrization: Literal["centred", "non-centred", "chosen"], trial: pd.DataFrame
) -> None:
    """Public variables have their dims and coords, and the log-density is finite in a bounds-checked mode."""
    made = make(name, trial)
    model = ba.build_model(made.spec, made, parametrization=parametrization)
    assert np.isfinite(check_log_density(model))
    assert model.named_vars_to_dims["b"] == ("coef",)
    assert tuple(model.coords["coef"]) == made.equation.coef_labels
    for group in made.equation.groups:
        key = group.factor.replace(":", "_")
        dim = f"{key}_effect"
        assert model.named_vars_to_dims[f"sd_{key}"] == (dim,)
        assert model.named_vars_to_dims[f"u_{key}"] == (key, dim)
        assert tuple(model.coords[key]) == group.levels
    data = {variable.name for variable in model.data_vars}
    assert not data & set(model.coords)


def test_centred_and_non_centred_are_one_model(trial: pd.DataFrame) -> None:
    """The same seedless prior: effects scaled from z have the covariance the SDs and correlation say."""
    made = make("correlated slopes", trial)
    model = ba.build_model(made.spec, made, parametrization="non-centred")
    z = np.random.default_rng(1).normal(size=model["z_patient"].eval().shape)
    sd, unit = np.array([2.0, 0.5]), np.array([0.8])
    given = {model["z_patient"]: z, model["sd_patient"]: sd, model["cor_patient_unit"]: unit}
    u = model["u_patient"].eval(given, mode=CHECKED)
    rho = 2 * unit[0] - 1
    expected = z @ (np.diag(sd) @ np.array([[1, 0], [rho, np.sqrt(1 - rho**2)]])).T
    np.testing.assert_allclose(u, expected, rtol=1e-12)


def test_intercept_is_restored_from_the_centre(trial: pd.DataFrame) -> None:
    """The vectors b and b_centred give the same linear predictor."""
    made = make("residual SD by arm", trial)
    model = ba.build_model(made.spec, made)
    centred = np.array([10.0, -1.0, 0.5, 0.2])
    b = model["b"].eval({model["b_centred"]: centred}, mode=CHECKED)
    x = made.equation.coef.values
    np.testing.assert_allclose(x @ b, (x - made.equation.centre) @ centred, rtol=1e-12)


def test_mixed_prior_families_keep_their_places(trial: pd.DataFrame) -> None:
    """A vector whose entries have priors of several families is put together in order."""
    made = make("no group term", trial, priors={"b week": "student_t(4, 0, 2)", "intercept": "normal(3, 1)"})
    model = ba.build_model(made.spec, made)
    assert {rv.name for rv in model.free_RVs} >= {"b_centred_normal", "b_centred_student_t"}
    values = {model["b_centred_normal"]: np.array([1.0, 3.0, 4.0]), model["b_centred_student_t"]: np.array([2.0])}
    np.testing.assert_array_equal(model["b_centred"].eval(values, mode=CHECKED), [1, 2, 3, 4])
    assert np.isfinite(check_log_density(model))


def test_graph_does_not_grow_with_rows(trial: pd.DataFrame) -> None:
    """The number of graph nodes is the same for twice the rows."""
    sizes = []
    for patients in (24, 48):
        made = make("correlated slopes", make_trial(patients=patients))
        model = ba.build_model(made.spec, made, parametrization="centred")
        function = model.compile_logp(mode=CHECKED)
        sizes.append(len(function.f.maker.fgraph.apply_nodes))
    assert sizes[0] == sizes[1]


def test_a_design_of_another_model_is_refused(trial: pd.DataFrame) -> None:
    """Building needs the spec the design was made from."""
    made = make("no group term", trial)
    with pytest.raises(ba.FitError, match="made from another model"):
        ba.build_model(ba.load_model("growth/treatment"), made)


def test_bad_starting_point_names_the_term(trial: pd.DataFrame) -> None:
    """A log-density that is not finite says which variable is to blame."""
    with pm.Model() as model:
        pm.Normal("fine", 0, 1)
        pm.Potential("wall", pm.math.log(model["fine"] * 0))
    with pytest.raises(ba.FitError, match=r"not finite at the starting point, because of: wall \(-inf\)"):
        check_log_density(model)


def test_out_of_range_codes_raise_in_the_checked_mode() -> None:
    """The bounds-checked evaluation catches what compiled code reads past the array for."""
    with pm.Model() as model:
        effect = pm.Normal("effect", 0, 1, shape=3)
        code = pm.Data("code", np.array([0, 1, 5]))
        pm.Normal("y", effect[code], 1, observed=np.zeros(3))
    with pytest.raises(IndexError):
        check_log_density(model)


NESTED = {
    "patients in therapists": ("week + (1 + week | patient) + (1 | therapist)", {}),
    "groups in one arm": (
        "arm + (1 | patient) + (0 + in_group | group)",
        {"columns": {"in_group": "arm[MBCT]"}, "reference": {"arm": "TAU"}},
    ),
    "patients in therapists in sites": ("week + (1 | patient) + (1 | therapist) + (1 | clinic)", {}),
    "slopes by arm": ("week * arm + pre + alliance + (1 + week | patient)", {"reference": {"arm": "TAU"}}),
}


def all_centred(groups: Sequence[GroupDesign], *_: object) -> tuple[GroupDesign, ...]:
    """Return groups with every effect centred, in place of the choice from the data."""
    return tuple(
        replace(group, blocks=tuple(replace(block, centred=block.members) for block in group.blocks))
        for group in groups
    )


@pytest.mark.parametrize("name", NESTED)
def test_totals_are_the_same_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects centred on outer ones have the density and the linear predictor of effects that are added up.

    The total is the deviation plus what it carries, a shift, so densities agree at matching points.
    """
    monkeypatch.setattr(parametrization, "choose_parametrization", all_centred)
    formula, arguments = NESTED[name]
    frame = make_trial(patients=60)
    frame["clinic"] = "C" + (frame["tid"].str[1:].astype(int) % 3).astype(str)
    frame["score"] += 30 * np.sin(frame["pid"].str[1:].astype(float))
    made = parametrization.parametrize(design(formula, ba.read_sessions(frame, ROLES), **arguments))
    patient = next(group for group in made.equation.groups if group.factor == "patient")
    assert patient.above or name == "slopes by arm"
    assert patient.carried
    plain = ba.build_model(made.spec, made, parametrization="centred")
    total = ba.build_model(made.spec, made)
    assert "total_patient" in total.named_vars
    rng = np.random.default_rng(5)
    point = natural(made, rng)
    given = {total[key]: value for key, value in free_values(plain, made, point).items() if key in total.named_vars}
    for group in made.equation.groups:
        if group.above or group.carried:
            given[total[f"total_{group.factor}"]] = shifted(made, point, group)
        if f"z_{group.factor}" in total.named_vars:
            given[total[f"z_{group.factor}"]] = point[f"u_{group.factor}"] / point[f"sd_{group.factor}"]
    given = {
        variable: value for variable, value in given.items() if variable.owner is None or variable in total.free_RVs
    }
    for group in made.equation.groups:
        u = total[f"u_{group.factor}"].eval(given, mode=CHECKED, on_unused_input="ignore")
        np.testing.assert_allclose(u, point[f"u_{group.factor}"], atol=1e-10)
    observed = total[made.equation.outcome].owner.op.dist_params(total[made.equation.outcome].owner)[0]
    mu = observed.eval(given, mode=CHECKED, on_unused_input="ignore")
    np.testing.assert_allclose(mu, predictor(made, point), atol=1e-8)


def shifted(made: ba.Design, point: dict[str, np.ndarray], inner: GroupDesign) -> np.ndarray:
    """Return a factor's effects plus those of every unit each level is in and its population part, level by level."""
    totals = point[f"u_{inner.factor}"].copy()
    for above in inner.above:
        outer = next(group for group in made.equation.groups if group.factor == above.factor)
        outer_totals = shifted(made, point, outer)
        for level in range(len(inner.levels)):
            row = np.flatnonzero(inner.inside & (inner.code == level))[0]
            value = outer.values[row, above.effect] / inner.values[row, above.member]
            totals[level, above.member] += value * outer_totals[outer.code[row], above.effect]
    b = point["b_centred"].copy()
    b[0] -= b[1:] @ made.equation.centre[1:]
    for carried in inner.carried:
        for level in range(len(inner.levels)):
            row = np.flatnonzero((inner.code == level) & (inner.values[:, carried.member] != 0))[0]
            value = made.equation.coef.values[row, carried.coef] / inner.values[row, carried.member]
            totals[level, carried.member] += value * b[carried.coef]
    return totals


def predictor(made: ba.Design, point: dict[str, np.ndarray]) -> np.ndarray:
    """Return the linear predictor from the design alone."""
    equation = made.equation
    mu = (equation.coef.values - equation.centre) @ point["b_centred"]
    for group in equation.groups:
        mu = mu + (group.values * point[f"u_{group.factor}"][group.code]).sum(axis=1)
    return mu


@pytest.mark.parametrize(("many", "wide"), [(1, 500_000), (1, 1), (12, 1)])
def test_sums_of_products_are_matrix_products(
    trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, many: int, wide: int
) -> None:
    """Few, many and very many predictors give one linear predictor, columns that effects carry included."""
    made = make("residual SD by arm", trial)
    models = [ba.build_model(made.spec, made)]
    monkeypatch.setattr(model_module, "MANY", many)
    monkeypatch.setattr(model_module, "WIDE", wide)
    models.append(ba.build_model(made.spec, made))
    point = {name: value + 0.1 for name, value in models[0].initial_point().items()}
    one, two = (model.compile_logp(mode=CHECKED)(point) for model in models)
    assert one == pytest.approx(two, rel=1e-12)


def test_rows_of_a_multivariate_normal_can_be_drawn() -> None:
    """Draws of the written-out distribution have its mean and covariance, as PyMC's predictive functions need."""
    cholesky = np.array([[1.5, 0.0], [-0.6, 0.8]])
    mean = np.tile([1.0, -2.0], (3, 1))
    with pm.Model():
        rows = build_gaussian_rows("u", pt.as_tensor(mean), pt.as_tensor(cholesky), shape=(3, 2))
    drawn = pm.draw(rows, draws=4000, random_seed=1, mode="FAST_COMPILE")
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(np.cov(drawn[:, 0].T), cholesky @ cholesky.T, atol=0.15)
