"""What a sampler hands back is whole or no fit, and what cannot be worked out of draws fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.build.model import CHECKED
from bayes_alliance.collapse.chains import find_gaps, run_chains
from bayes_alliance.fit import exact, nuts
from bayes_alliance.fit.checks import chains_mixed, check_sampling, verdict
from bayes_alliance.fit.constants import constants_record, find_constants, read_constants
from bayes_alliance.fit.result import constants_of
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

DIMS = ("chain", "draw")


def tree_of(values: np.ndarray) -> xr.DataTree:
    """Return what a sampler hands back: draws of one variable over (chain, draw, …)."""
    draws = xr.Dataset({"b": ((*DIMS, *(f"dim_{i}" for i in range(values.ndim - 2))), values)})
    flags = np.zeros(values.shape[:2], dtype=bool)
    stats = xr.Dataset({"diverging": (DIMS, flags), "maxdepth_reached": (DIMS, flags), "energy": (DIMS, values + 0.0)})
    return xr.DataTree.from_dict({"posterior": draws, "sample_stats": stats})


class Sampler:
    """Stands for the library's sampler in the background: hands back a tree, or raises."""

    def __init__(self, answer: xr.DataTree | BaseException) -> None:
        self.answer, self.cancelled = answer, False

    def wait(self) -> xr.DataTree:
        """Hand back, or raise."""
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def cancel(self) -> None:
        """Know that the chains were ended."""
        self.cancelled = True


def put(monkeypatch: pytest.MonkeyPatch, answer: xr.DataTree | BaseException) -> Sampler:
    """Have the library hand back a tree, or raise."""
    sampler = Sampler(answer)
    monkeypatch.setattr(nutpie, "sample", lambda *_, **__: sampler)
    return sampler


WHOLE = np.random.default_rng(1).normal(size=(4, 50))


def with_nan(*places: object) -> np.ndarray:
    """Return draws with NaN in some places."""
    values = WHOLE.copy()
    values[places] = np.nan
    return values


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (WHOLE[:, :20], r"It has 4 chains of 20 draws, not the 4 chains of 50 draws that were asked for"),
        (WHOLE[:, :0], "It has 4 chains of 0 draws"),
        (WHOLE[:3], "It has 3 chains of 50 draws"),
        (with_nan(slice(2, None)), r"Draws are NaN or infinite: b \(100 of 200 numbers\)"),
        (with_nan(1, slice(30, None)), r"b \(20 of 200 numbers\)"),
        (np.where(WHOLE[0, 0] == WHOLE, np.inf, WHOLE), r"b \(1 of 200 numbers\)"),
    ],
)
def test_draws_that_are_not_whole_are_no_fit(
    monkeypatch: pytest.MonkeyPatch, values: np.ndarray, sentence: str
) -> None:
    """Fewer draws or chains than asked for, chains that stopped early, numbers that are none."""
    put(monkeypatch, tree_of(values))
    with pytest.raises(ba.FitError, match=sentence) as found:
        run_chains(None, draws=50, chains=4)  # type: ignore[arg-type]
    assert "The sampler stopped early or failed" in str(found.value)


def test_a_stop_is_raised_and_ends_the_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches the caller; so does what the library says went wrong, as an error of ours."""
    sampler = put(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_chains(None, draws=50, chains=4)  # type: ignore[arg-type]
    assert sampler.cancelled
    put(monkeypatch, RuntimeError("All initialization points failed\nStack backtrace:\n0: x"))
    with pytest.raises(ba.FitError, match=r"could not run: All initialization points failed\. Check priors"):
        run_chains(None, draws=50, chains=4)  # type: ignore[arg-type]


def test_whole_draws_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers themselves, from a sampler to wait for or at once."""
    put(monkeypatch, tree_of(WHOLE))
    found = run_chains(None, draws=50, chains=4)["posterior"]["b"]  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, WHOLE)
    monkeypatch.setattr(nutpie, "sample", lambda *_, **__: tree_of(WHOLE[:, :7]))
    with pytest.raises(ba.FitError, match="4 chains of 7 draws"):
        run_chains(None, draws=50, chains=4)  # type: ignore[arg-type]


BINARY = ba.parse_model(
    HEAD + equation("dropout", "pre + (1 | therapist)", unit="patient", extra='family = "bernoulli"')
)
ASKED = ba.SamplerSettings(draws=50, tune=50, chains=4, progress="off")


@pytest.mark.parametrize("answer", [tree_of(WHOLE[:, :20]), tree_of(WHOLE[:, :0]), KeyboardInterrupt()])
def test_nothing_is_stored_of_a_stopped_fit(
    sessions: ba.SessionTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Neither a stump nor what a stop while tuning leaves comes into the cache, and the folder stays usable."""
    monkeypatch.setattr(nuts, "compile_once", lambda *_: (None, 0.0))
    put(monkeypatch, answer)
    for _ in range(2):
        with pytest.raises((ba.FitError, KeyboardInterrupt)):
            ba.fit_model(BINARY, sessions, seed=1, engine="nuts", settings=ASKED, cache=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_draws_of_the_exact_engine_are_checked(sessions: ba.SessionTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are drawn by formulas, which may break down where numbers do."""
    real = exact.name_draws

    def broken(*given: Any) -> xr.Dataset:
        draws = real(*given)
        draws["b"].values[0, 3, 1] = np.nan
        return draws

    monkeypatch.setattr(exact, "name_draws", broken)
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    with pytest.raises(ba.FitError, match=r"Sampling gave no whole posterior\. Draws are NaN or infinite: b \(1 of"):
        ba.fit_model(spec, sessions, seed=1, engine="collapsed", settings=ASKED)


def test_gaps_are_found_in_any_variable() -> None:
    """Variables over something else than chains and draws, and words, are no draws."""
    good = xr.Dataset({"b": (DIMS, WHOLE), "n": (DIMS, np.ones((4, 50), dtype=int))})
    assert find_gaps(good, chains=4, draws=50) == []
    assert "c are not over chains and draws" in find_gaps(good.assign(c=3.0), chains=4, draws=50)[0]
    words = good.assign(w=(DIMS, np.full((4, 50), "x")))
    assert "w are not numbers" in find_gaps(words, chains=4, draws=50)[0]


def statistics(**changes: np.ndarray | None) -> xr.Dataset:
    """Return a sampler's statistics, some of them other or missing."""
    given = {
        "diverging": np.zeros((4, 500), dtype=bool),
        "reached_max_treedepth": np.zeros((4, 500), dtype=bool),
        "energy": np.random.default_rng(0).normal(size=(4, 500)),
    } | changes
    return xr.Dataset({name: (DIMS, values) for name, values in given.items() if values is not None})


NOISE = np.random.default_rng(1).normal(size=(4, 500, 2))
CHAIN, DRAW, COEF = (np.arange(n).reshape(shape) for n, shape in ((4, (4, 1, 1)), (500, (1, 500, 1)), (2, (1, 1, 2))))


def failed(values: np.ndarray, stats: xr.Dataset | None = None) -> list[str]:
    """Return the names of the checks that draws of two coefficients fail."""
    draws = xr.Dataset({"b": ((*DIMS, "coef"), values)}, coords={"coef": ["a", "c"]})
    checks = check_sampling(draws, statistics() if stats is None else stats)
    assert ("FAILED" in verdict(checks)) == any(not check.passed for check in checks)
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize(
    "values",
    [
        NOISE * np.nan,
        np.where(CHAIN > 1, np.nan, NOISE),
        np.where((CHAIN == 1) & (DRAW == 499), np.nan, NOISE),
        np.where(COEF == 1, np.nan, NOISE),
        np.where(COEF == 1, np.inf, NOISE),
        np.where((COEF == 1) & (DRAW == 0), -np.inf, NOISE),
        NOISE * 0 + 3,
        np.where(COEF == 0, 3.0, NOISE),
        np.where(COEF == 0, CHAIN + 0.0, NOISE),
    ],
    ids=["nan", "chains", "draw", "coefficient", "inf", "one inf", "stuck", "stuck coefficient", "stuck apart"],
)
def test_draws_without_a_diagnostic_fail(values: np.ndarray) -> None:
    """NaN, infinite and stuck draws have no R-hat and no ESS, and pass neither check."""
    assert failed(NOISE) == []
    assert {"r_hat", "ess_bulk", "ess_tail"} <= set(failed(values))


def test_one_chain_that_does_not_move_fails() -> None:
    """The others move, and none of them is where it stands."""
    assert "r_hat" in failed(np.where(CHAIN == 2, 0.5, NOISE))


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"diverging": None}, "divergences"),
        ({"diverging": np.where(np.arange(500) > 10, np.nan, 0.0) + np.zeros((4, 1))}, "divergences"),
        ({"reached_max_treedepth": None}, "tree_depth"),
        ({"reached_max_treedepth": np.full((4, 500), np.nan)}, "tree_depth"),
        ({"energy": None}, "e_bfmi"),
        ({"energy": np.where(np.arange(4)[:, None] == 1, np.nan, np.ones((4, 500)).cumsum(axis=1))}, "e_bfmi"),
        ({"energy": np.ones((4, 500))}, "e_bfmi"),
    ],
)
def test_statistics_that_are_missing_fail(change: dict[str, Any], check: str) -> None:
    """What the sampler does not say, or says of some draws only, counts against it."""
    assert check in failed(NOISE, statistics(**change))


def test_weights_without_a_shape_fail() -> None:
    """Pareto k that could not be worked out is no small one."""
    stats = xr.Dataset(attrs={"pareto_k": np.nan})
    assert failed(NOISE, stats) == ["pareto_k"]
    assert failed(NOISE, xr.Dataset(attrs={"pareto_k": 0.2})) == []


def test_quantities_without_diagnostics_have_not_mixed() -> None:
    """Unless the model fixes them."""
    good = {"r_hat": 1.0, "ess_bulk": 900.0, "ess_tail": 800.0}
    assert chains_mixed(good, 4)
    for name in good:
        assert not chains_mixed(good | {name: np.nan}, 4)
        assert chains_mixed(good | {name: np.nan}, 4, constant=True)


def constant_by_draws(design: ba.Design) -> dict[str, np.ndarray]:
    """Return which entries of a model's variables are the same in draws from its priors."""
    model = ba.build_model(design.spec, design)
    names = [d.name for d in model.deterministics] + [v.name for v in model.free_RVs]
    drawn = pm.draw([model[name] for name in names], draws=5, random_seed=1, mode=CHECKED)
    found = {name: np.ptp(values, axis=0) < 1e-9 for name, values in zip(names, drawn, strict=True)}
    return {name: fixed for name, fixed in found.items() if fixed.any()}


STATED = '\n[residual]\ncorrelate = ["score", "alliance"]\nfixed = {"score | alliance" = 0.2}\n'
MODELS = {
    "correlated": HEAD + equation("score", "week + (week | patient)"),
    "apart": HEAD + equation("score", "week + (1 | patient) + (1 | therapist)"),
    "two blocks": HEAD
    + equation("score", "week + (week | patient)")
    + equation("alliance", "week + (week || patient)"),
    "residuals": HEAD
    + equation("score", "week + (1 | patient)")
    + equation("alliance", "week + (1 | patient)")
    + '\n[residual]\ncorrelate = ["score", "alliance"]\n',
    "stated": HEAD + equation("score", "week + (1 | patient)") + equation("alliance", "week + (1 | patient)") + STATED,
    "equal": HEAD
    + equation("score", "week + (week | patient)")
    + '\n[[prior]]\non = "cor patient"\ndist = "equal(0.3)"\nreason = "stated"\n',
}


@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_fixes_is_what_its_priors_never_move(sessions: ba.SessionTable, name: str) -> None:
    """Diagonals, correlations across blocks, stated ones: found by the design as draws from the model have them."""
    design = ba.make_design(ba.parse_model(MODELS[name]), sessions)
    expected = constant_by_draws(design)
    shapes = {name: np.zeros((1, 2, *fixed.shape)) for name, fixed in expected.items()}
    posterior = xr.Dataset({n: ((*DIMS, *(f"{n}_{i}" for i in range(v.ndim - 2))), v) for n, v in shapes.items()})
    found = find_constants(design, posterior)
    assert set(found) == set(expected)
    for variable, fixed in expected.items():
        np.testing.assert_array_equal(found[variable], fixed)
    again = read_constants(constants_record(found), posterior)
    assert all(np.array_equal(again[variable], fixed) for variable, fixed in found.items())
    assert ("cor_patient" in expected) == (name in ("correlated", "two blocks", "equal"))


def test_a_unit_whose_members_were_all_observed_has_no_uncertain_mean(trial: pd.DataFrame) -> None:
    """With means of finite units, that of one without a gap is what was observed, and does not vary."""
    rows = trial.copy()
    rows["members"] = rows.groupby("pid")["week"].transform("size") + 3.0 * (rows["pid"] > "P11")
    formula = 'between(alliance, patient, means="finite", size=members) + (1 | patient)'
    spec = ba.parse_model(HEAD + equation("score", formula))
    design = ba.make_design(spec, ba.read_sessions(rows, ROLES))
    expected = constant_by_draws(design)["mean_alliance_patient"]
    posterior = xr.Dataset({"mean_alliance_patient": ((*DIMS, "level"), np.zeros((1, 2, len(expected))))})
    np.testing.assert_array_equal(find_constants(design, posterior)["mean_alliance_patient"], expected)
    assert expected.sum() == 12


def test_a_stuck_coefficient_stays_in_the_summary(small_fit: ba.Fit) -> None:
    """It has a line without R-hat; the diagonal of a correlation matrix has none, being no finding."""
    tree = small_fit.data.copy()
    posterior = tree["posterior"].to_dataset()
    stuck = posterior["b"].copy(data=posterior["b"].values.copy())
    stuck[..., 1] = 0.25
    tree["posterior"] = posterior.assign(b=stuck)
    table = ba.summarize(replace(small_fit, data=tree)).set_index("name")
    line = table.loc["b[score, week]"]
    assert line["mean"] == 0.25
    assert np.isnan(line["r_hat"])
    assert not [name for name in table.index if name.startswith("cor_patient") and "Intercept | score, I" in name]
    assert constants_of(small_fit)["cor_patient"].tolist() == [[True, False], [False, True]]
