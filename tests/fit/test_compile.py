"""Our compiled densities are nutpie's: same draws to the bit, same answers to failure, data replaced in place."""

from __future__ import annotations

import ctypes

import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytest

import bayes_alliance as ba
from bayes_alliance.build.model import build_model
from bayes_alliance.fit import compilation as compile_module
from bayes_alliance.fit import private_names
from bayes_alliance.fit.compilation import NEAR, compile_density

SHORT = {"draws": 30, "tune": 30, "chains": 2, "cores": 1, "seed": 3, "progress_bar": False}


@pytest.fixture(scope="module")
def model(sessions: ba.SessionTable) -> pm.Model:
    """Return the model of a small growth design."""
    spec = ba.load_model("growth/treatment")
    columns, reference = {"outcome": "score", "condition": "arm"}, {"condition": "TAU"}
    return build_model(spec, ba.make_design(spec, ba.Study(sessions, columns=columns, reference=reference)))


def small_model() -> pm.Model:
    """Return a model with data of two kinds, a transform and a deterministic."""
    with pm.Model(coords={"row": range(6), "level": ["a", "b"]}) as model:
        y = pm.Data("y", np.array([0.2, 1.1, 0.4, 1.9, 2.2, 1.3]), dims="row")
        code = pm.Data("code", np.array([0, 1, 0, 1, 1, 0]), dims="row")
        mean = pm.Normal("mean", 0.0, 2.0, dims="level")
        sd = pm.HalfNormal("sd", 1.0)
        pm.Deterministic("difference", mean[1] - mean[0])
        pm.Normal("outcome", mean[code], sd, observed=y, dims="row")
    return model


@pytest.mark.parametrize("registered", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_draws_are_those_of_nutpies_own_route(registered: bool, request: pytest.FixtureRequest) -> None:
    """Every stored variable is equal to the bit, under the same names, dims and coords."""
    model = request.getfixturevalue("model") if registered else small_model()
    with pytensor.config.change_flags(numba__fastmath=False):
        ours, theirs = compile_density(model), nutpie.compile_pymc_model(model)
    one = nutpie.sample(ours, **SHORT)["posterior"].to_dataset()
    two = nutpie.sample(theirs, **SHORT)["posterior"].to_dataset()
    assert one.drop_attrs().identical(two.drop_attrs())


@pytest.mark.parametrize("name", private_names.WHERE)
def test_without_a_private_name_the_public_route_is_taken(
    name: private_names.Private, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of nutpie or PyTensor that lacks one is named in a warning, and nutpie itself compiles the model."""
    lack(name, monkeypatch)
    model = small_model()
    asked: list[pm.Model] = []
    monkeypatch.setattr(nutpie, "compile_pymc_model", asked.append)
    monkeypatch.setattr(compile_module, "start_anew", lambda compiled, whose: ("public", compiled, whose))
    with pytest.warns(ba.AllianceWarning, match=r"not one that compiled models are stored for .*gone.*every process"):
        assert compile_density(model) == ("public", None, model)
    assert asked == [model]


def test_draws_of_the_public_route_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which route compiles a model changes no draw."""
    model = small_model()
    with pytensor.config.change_flags(numba__fastmath=False):
        ours = compile_density(model)
        lack("make_functions", monkeypatch)
        with pytest.warns(ba.AllianceWarning, match="every process"):
            other = compile_density(model)
    one, two = (nutpie.sample(each, **SHORT)["posterior"].to_dataset() for each in (ours, other))
    assert one.drop_attrs().identical(two.drop_attrs())


def lack(name: private_names.Private, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one private name one that the installed version does not have."""
    monkeypatch.setitem(private_names.WHERE, name, (private_names.WHERE[name][0], "gone"))


def test_variables_with_a_stated_start_start_near_it() -> None:
    """Chains start near there, and anywhere of the others; at 0 itself a gradient could be 0, which nutpie refuses."""
    model = small_model()
    model.set_initval(model["mean"], "support_point")
    compiled = compile_density(model)
    starts = np.array([compiled.initial_point_func(seed) for seed in range(20)])
    sizes = [model.rvs_to_values[variable].name for variable in model.free_RVs]
    assert sizes == ["mean", "sd_log__"]
    assert (np.abs(starts[:, :2]) <= NEAR).all()
    assert len(np.unique(starts[:, :2])) == 40
    assert np.ptp(starts[:, 2]) > 1
    assert (compiled.initial_point_func(7) == starts[7]).all()


def test_data_can_be_replaced_without_compiling() -> None:
    """with_data gives the density of the new data."""
    compiled = compile_density(small_model()).with_data(y=np.array([0.0, 3.0, 0.1, 3.1, 2.9, -0.1]))
    draws = nutpie.sample(compiled, **{**SHORT, "draws": 300, "tune": 300})["posterior"].to_dataset()
    assert abs(float(draws["difference"].mean()) - 3.0) < 0.4


def test_a_model_without_data_compiles() -> None:
    """No data container is needed."""
    with pm.Model() as model:
        pm.Normal("x", 2.0, 0.5, shape=3)
    draws = nutpie.sample(compile_density(model), **{**SHORT, "draws": 400, "tune": 300})["posterior"].to_dataset()
    assert abs(float(draws["x"].mean()) - 2.0) < 0.2


def test_a_density_that_fails_is_a_rejected_step_not_a_crash() -> None:
    """An SD that underflows to 0 raises inside the density; the sampler steps back and goes on."""
    with pm.Model() as model:
        log_sd = pm.Normal("log_sd", -300.0, 300.0)
        pm.Normal("x", 0.0, pm.math.exp(log_sd), observed=np.array([0.5, -0.5]))
    draws = nutpie.sample(compile_density(model), **{**SHORT, "draws": 200, "tune": 300})["posterior"].to_dataset()
    assert np.isfinite(draws["log_sd"].values).all()


def test_failure_is_a_code() -> None:
    """Called as nutpie calls it, the density returns 0 where it is finite and another code where it is not."""
    with pm.Model() as model:
        log_sd = pm.Normal("log_sd", 0.0, 1.0)
        pm.Normal("x", 0.0, pm.math.exp(log_sd), observed=np.array([0.5, -0.5]))
    compiled = compile_density(model)
    doubles = ctypes.POINTER(ctypes.c_double)
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, doubles, doubles, doubles, ctypes.c_void_p)
    call = kind(compiled.compiled_logp_func.address)

    def code(at: float, size: int = 1) -> int:
        arrays = [np.array([at]), np.zeros(1), np.zeros(1)]
        pointers = [array.ctypes.data_as(doubles) for array in arrays]
        return int(call(size, *pointers, compiled.user_data.ctypes.data))

    assert code(0.0) == 0
    assert code(-2000.0) > 0
    assert code(np.nan) > 0
    assert code(0.0, size=2) == -1
