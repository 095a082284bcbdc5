"""The tools: one function each, from a case to draws and seconds. Imports are not timed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import arviz_stats as azs
import bambi
import numpy as np
import nutpie
import xarray as xr

import bayes_alliance as ba
import bayes_alliance.fit.fit
from benchmarks.cases import Case

DRAWS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2}


@dataclass(frozen=True)
class Run:
    """Seconds of the whole call and of sampling, and the least and median bulk ESS over the parameters."""

    whole: float
    sampling: float
    ess_min: float
    ess_median: float


@contextmanager
def clock(seconds: dict[str, float]) -> Iterator[None]:
    """Add up the seconds that pass inside ``nutpie.sample``, whoever calls it."""
    original = nutpie.sample

    def timed(*arguments: object, **named: object) -> object:
        start = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            seconds["sampling"] = seconds.get("sampling", 0.0) + time.perf_counter() - start

    nutpie.sample = timed
    try:
        yield
    finally:
        nutpie.sample = original


def fit_ours(case: Case, seed: int) -> xr.Dataset:
    """Fit with bayes_alliance's nuts engine; return coefficients, SDs, correlations and the residual SD."""
    outcome, formula = (part.strip() for part in case.formula.split("~"))
    content = (
        f'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "{outcome}"\nunit = "session"\nformula = "{formula}"'
    )
    fit = ba.fit_model(
        ba.parse_model(content),
        ba.Study(case.sessions, reference=case.reference),
        seed=seed,
        engine="nuts",
        settings=ba.SamplerSettings(progress="off", **DRAWS),
    )
    return parameters_of(fit)


def parameters_of(fit: ba.Fit) -> xr.Dataset:
    """Return draws of coefficients, SDs of group effects and residual SDs, which both tools have."""
    posterior = fit.data["posterior"].to_dataset()
    return posterior[[n for n in posterior if n in ("b", "sigma") or str(n).startswith("sd_")]]


def ess_of(draws: xr.Dataset) -> np.ndarray:
    """Return the bulk ESS of every entry."""
    ess = azs.ess(draws, method="bulk")
    return np.concatenate([ess[name].values.ravel() for name in ess.data_vars])


def fit_bambi(case: Case, seed: int) -> xr.Dataset:
    """Fit with Bambi and nutpie at Bambi's defaults; return coefficients, SDs and the residual SD."""
    frame = case.frame.rename(columns={case.sessions.roles["session"]: "session"})
    model = bambi.Model(case.formula, frame)
    tree = model.fit(inference_method="nutpie", random_seed=seed, progressbar=False, **DRAWS)
    posterior = tree["posterior"].to_dataset()
    return posterior[[n for n in posterior if "|" not in str(n) or str(n).endswith("_sigma")]]


TOOLS: dict[str, Callable[[Case, int], xr.Dataset]] = {"bayes_alliance": fit_ours, "bambi": fit_bambi}


def measure(tool: str, case: Case, seed: int) -> Run:
    """Fit once and return what it took and gave."""
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    with warnings.catch_warnings(), clock(seconds):
        warnings.simplefilter("ignore")
        draws = TOOLS[tool](case, seed)
    whole = time.perf_counter() - start
    values = ess_of(draws)
    return Run(whole, seconds["sampling"], float(values.min()), float(np.median(values)))
