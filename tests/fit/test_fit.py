"""The Fit: what it holds, how it is stored, that it can be trusted and repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.build.model import CHECKED
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.fit.checks import check_sampling, verdict
from bayes_alliance.fit.seeds import spread_seed


def test_fit_holds_arviz_groups(small_fit: ba.Fit) -> None:
    """Groups and variables are named as ArviZ and the design say; helpers of non-centred effects are gone."""
    assert {"posterior", "sample_stats", "observed_data", "constant_data"} <= set(small_fit.data.children)
    posterior = small_fit.data["posterior"].to_dataset()
    assert posterior["b"].dims == ("chain", "draw", "coef")
    assert list(posterior["coef"].values)[-1] == "score, week:arm[MBCT]"
    assert list(posterior["equation"].values) == ["score"] * 4
    assert small_fit.effects["u_patient"].dims == ("chain", "draw", "patient", "patient_effect")
    assert posterior["cor_patient"].dims == ("chain", "draw", "patient_effect", "patient_effect_2")
    assert not [name for name in posterior.data_vars if str(name).startswith("z_")]
    assert all(coord.dtype.kind in "iufU" for coord in posterior.coords.values())


def test_fit_is_frozen(small_fit: ba.Fit) -> None:
    """A Fit is a value."""
    with pytest.raises(FrozenInstanceError):
        small_fit.design = None  # type: ignore[misc]


def test_group_effects_rebuild_the_linear_predictor(small_fit: ba.Fit) -> None:
    """Residuals computed from the stored draws have the residual SD the posterior says."""
    assert small_fit.design is not None
    equation = small_fit.design.equation
    posterior = with_effects(small_fit).mean(("chain", "draw"))
    mu = equation.coef.values @ posterior["b"].values
    for group in equation.groups:
        u = posterior[f"u_{group.factor}"].values
        mu = mu + (group.values * u[group.code]).sum(axis=1)
    spread = (equation.y - mu).std()
    assert 0.7 < spread / float(posterior["sigma"].values[0]) < 1.1


def test_provenance_names_no_machine(small_fit: ba.Fit) -> None:
    """The record is plain JSON with versions, seed, priors and rows, and no path, host or user."""
    text = json.dumps(small_fit.provenance)
    assert '"seed": 7' in text
    assert "pymc" in small_fit.provenance["packages"]  # type: ignore[operator]
    for private in (os.uname().nodename, str(Path.home()), str(Path.cwd())):
        assert len(private) < 4 or private not in text


def test_save_and_load(small_fit: ba.Fit, sessions: ba.SessionTable, tmp_path: Path) -> None:
    """What was saved comes back equal; rows stay out unless asked for, and come back by fingerprint."""
    folder = small_fit.save(tmp_path / "fit")
    loaded = ba.load_fit(folder)
    assert loaded.data["posterior"].to_dataset().identical(small_fit.data["posterior"].to_dataset())
    assert loaded.checks == small_fit.checks
    assert loaded.spec == small_fit.spec
    assert loaded.design is None
    assert "observed_data" not in loaded.data.children
    again = loaded.with_rows(sessions)
    assert again.design is not None
    assert again.design.fingerprint == small_fit.provenance["fingerprint"]
    whole = ba.load_fit(small_fit.save(tmp_path / "rows", include_rows=True))
    assert "observed_data" in whole.data.children
    fewer = ba.select_rows(sessions, maximum={"session": 5})
    with pytest.raises(ba.FitError, match="not the rows the model was fitted to"):
        loaded.with_rows(fewer)


def test_saved_files_hold_no_pickle(small_fit: ba.Fit, tmp_path: Path) -> None:
    """A fit on disk is netCDF and JSON with a manifest."""
    folder = small_fit.save(tmp_path / "fit")
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "fit.json", "manifest.json", "posterior.nc"]
    assert (folder / "posterior.nc").read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"


def test_damage_is_noticed(small_fit: ba.Fit, tmp_path: Path) -> None:
    """A flipped bit, a truncated file, a missing file and a missing manifest are errors."""
    folder = small_fit.save(tmp_path / "fit")
    target = folder / "posterior.nc"
    whole = target.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[:-100]):
        target.write_bytes(content)
        with pytest.raises(ba.FitError, match=r"changed or damaged after it was written: 'posterior.nc'"):
            ba.load_fit(folder)
    target.unlink()
    with pytest.raises(ba.FitError, match=r"is no complete fit: 'posterior.nc' is missing"):
        ba.load_fit(folder)
    with pytest.raises(ba.FitError, match=r"is no complete fit: 'manifest.json' is missing"):
        ba.load_fit(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 1}, "draws must be a whole number of 2 or more; it is 1"),
        ({"chains": 0}, "chains must be a whole number of 1 or more"),
        ({"target_accept": 1.5}, "target_accept must lie between 0 and 1"),
        ({"progress": "loud"}, "progress must be one of 'auto', 'off'"),
        ({"cores": 0}, "cores must be a whole number"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    """Settings no sampler can use are refused by name."""
    with pytest.raises(ba.FitError, match=message):
        ba.SamplerSettings(**settings)  # type: ignore[arg-type]


def test_engine_and_seed_are_checked(sessions: ba.SessionTable) -> None:
    """An unknown engine and a seed that is none are refused before anything is made."""
    spec = ba.load_model("growth/treatment")
    with pytest.raises(ba.FitError, match=r"Unknown engine 'nutz'. Valid: 'auto', 'collapsed', 'quadrature', 'nuts'"):
        ba.fit_model(spec, sessions, seed=1, engine="nutz")  # type: ignore[arg-type]
    with pytest.raises(ba.FitError, match="seed must be a whole number"):
        ba.fit_model(spec, sessions, seed=-1)


def test_seeds_spread() -> None:
    """One seed gives independent stage seeds, always the same."""
    assert spread_seed(1, 3) == spread_seed(1, 3)
    assert len(set(spread_seed(1, 3)) | set(spread_seed(2, 3))) == 6


def chains(seed: int, shift: float = 0.0) -> xr.Dataset:
    """Return four chains of white noise, the last one shifted."""
    values = np.random.default_rng(seed).normal(size=(4, 500))
    values[3] += shift
    return xr.Dataset({"b": (("chain", "draw"), values), "flat": (("chain", "draw"), np.ones((4, 500)))})


FIXED = {"flat": np.array(True)}
"""What a design would say of ``chains``: one entry never varies."""


def statistics(diverging: int = 0, depth: int = 0, energy: float = 1.0) -> xr.Dataset:
    """Return sampler statistics with faults planted."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(4, 500))
    walk = np.cumsum(steps, axis=1) if energy < 1 else steps
    flags = np.zeros((4, 500), dtype=bool)
    deep = flags.copy()
    flags.flat[:diverging] = True
    deep.flat[:depth] = True
    dims = ("chain", "draw")
    return xr.Dataset({"diverging": (dims, flags), "reached_max_treedepth": (dims, deep), "energy": (dims, walk)})


def test_good_chains_pass() -> None:
    """White noise passes every check; an entry that the model fixes is left out."""
    checks = check_sampling(chains(1), statistics(), constants=FIXED)
    assert verdict(checks) == "Sampling passed all 6 checks."


@pytest.mark.parametrize(
    ("posterior", "stats", "failed"),
    [
        (chains(1, shift=3), statistics(), "r_hat"),
        (chains(1, shift=3), statistics(), "ess_bulk"),
        (chains(1), statistics(diverging=3), "divergences"),
        (chains(1), statistics(depth=100), "tree_depth"),
        (chains(1), statistics(energy=0.1), "e_bfmi"),
    ],
)
def test_planted_faults_are_found(posterior: xr.Dataset, stats: xr.Dataset, failed: str) -> None:
    """Each fault fails its own check, with a sentence and a remedy."""
    checks = {check.name: check for check in check_sampling(posterior, stats, constants=FIXED)}
    assert not checks[failed].passed
    assert checks[failed].remedy
    assert "FAILED" in verdict(tuple(checks.values()))


def test_verdict_is_shown_first(small_fit: ba.Fit) -> None:
    """A printed fit starts with its verdict, in notebooks too."""
    assert repr(small_fit).startswith("Sampling ")
    assert "Sampling" in small_fit._repr_html_().split("</b>")[0]


REPEAT = """
import numpy as np, hashlib, sys
sys.path.insert(0, {root!r})
import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from tests.conftest import make_trial, ROLES
sessions = ba.read_sessions(make_trial(patients=10), ROLES)
head = 'title="t"\\nquestion="q"\\n[[equation]]\\noutcome="score"\\nunit="session"\\n'
spec = ba.parse_model(head + 'formula="week + (1 | patient)"')
settings = ba.SamplerSettings(draws=100, tune=200, chains=2, cores={cores}, progress="off")
fit = ba.fit_model(spec, sessions, seed=3, settings=settings)
draws = [fit.data["posterior"]["b"], fit.data["posterior"]["sigma"], fit.effects["u_patient"]]
draws = [values.values.tobytes() for values in draws]
print(hashlib.sha256(b"".join(draws)).hexdigest())
"""


@pytest.mark.slow
def test_same_seed_same_draws_cold_and_warm(tmp_path: Path) -> None:
    """Cold caches, warm caches, one core and two give the same bits."""
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}/pytensor", "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    root = str(Path(__file__).resolve().parents[2])
    prints = []
    for cores in (2, 2, 1):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", REPEAT.format(root=root, cores=cores)],
            env=os.environ | flags, capture_output=True, text=True, check=True, timeout=900,
        )  # fmt: skip
        prints.append(done.stdout.strip())
    assert len(set(prints)) == 1
    assert len(prints[0]) == 64


def test_pymc_predicts_from_a_fit(small_fit: ba.Fit) -> None:
    """The centred model takes every free variable from the Fit, so PyMC's own predictive draws only the outcome."""
    assert small_fit.design is not None
    model = ba.build_model(small_fit.spec, small_fit.design, parametrization="centred")
    draws = with_effects(small_fit)
    assert {variable.name for variable in model.free_RVs} <= set(draws.data_vars)
    with model:
        drawn = pm.sample_posterior_predictive(
            draws, random_seed=1, progressbar=False, compile_kwargs={"mode": CHECKED}
        )
    predicted = drawn["posterior_predictive"]["score"]
    equation = small_fit.design.equation
    # group effects are those of the fit, so predictions follow each patient and not the population alone
    correlation = np.corrcoef(predicted.mean(("chain", "draw")), equation.y)[0, 1]
    population = np.corrcoef(equation.coef.values @ np.linalg.lstsq(equation.coef.values, equation.y)[0], equation.y)[
        0, 1
    ]
    assert correlation > population + 0.05
