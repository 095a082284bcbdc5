"""Outcomes that are not Gaussian: the quadrature engine against NUTS, and against Bambi's sampling.

    uv run --group test python -m benchmarks.quadrature --seeds 5
    uv run --group bench python -m benchmarks.quadrature --seeds 5 --bambi

Warm: all tools on the same rows in one process, after a first fit of each, in turns. Ratios are of least bulk ESS per
second, over coefficients, SDs, thresholds and shapes: our whole ``fit_model`` call over NUTS's whole call, and over
Bambi's sampling with nutpie alone. Studies are SYNTHETIC: 3,000 rows of 500 patients (of 40 therapists) with six
sessions each; ``--large`` fits 100,000 rows of 15,000 patients once per seed, by the quadrature engine alone.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from statistics import median
from typing import Any

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.fit.settings import Engine

TRUTH = {"b[y, Intercept]": 0.5, "b[y, session]": -0.15, "sd_patient[y, Intercept]": 0.7}
CUTS = {"threshold[y, 1|2]": -1.5, "threshold[y, 2|3]": 0.2, "threshold[y, 3|4]": 1.4}
SLOPE = {"sd_patient[y, session]": 0.3, "cor_patient[y, Intercept | y, session]": -0.2}
SESSIONS = (0, 1, 2, 3, 4, 5)
SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2}


@dataclass(frozen=True)
class Case:
    """A model and the truth its study is drawn from; ``bambi`` is that tool's name of the family."""

    family: str
    formula: str
    further: dict[str, float]
    bambi: str | None = None


PATIENTS = "session + (1 | patient)"
CASES = {
    "bernoulli": Case("bernoulli", PATIENTS, {}, "bernoulli"),
    "binomial": Case("binomial", PATIENTS, {}, "binomial"),
    "hazard": Case("hazard", PATIENTS, {}, "bernoulli"),
    "cumulative": Case("cumulative", PATIENTS, CUTS, "cumulative"),
    "poisson": Case("poisson", PATIENTS, {}, "poisson"),
    "negative_binomial": Case("negative_binomial", PATIENTS, {"shape[y]": 1.5}, "negativebinomial"),
    "bernoulli, slopes": Case("bernoulli", "session + (1 + session | patient)", SLOPE),
    "cumulative, slopes": Case("cumulative", "session + (1 + session | patient)", CUTS | SLOPE),
    "bernoulli, therapists": Case("bernoulli", f"{PATIENTS} + (1 | therapist)", {"sd_therapist[y, Intercept]": 0.4}),
    "cumulative, therapists": Case(
        "cumulative", f"{PATIENTS} + (1 | therapist)", CUTS | {"sd_therapist[y, Intercept]": 0.4}
    ),
}


def simulate(case: Case, seed: int, patients: int = 500) -> tuple[ba.SimulatedTable, ba.ModelSpec]:
    """Return SYNTHETIC sessions and their model."""
    extra = "trials = 8\n" if case.family == "binomial" else ""
    text = (
        f'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "y"\nunit = "session"\nfamily = "{case.family}"\n'
        f'formula = "{case.formula}"\n{extra}'
    )
    therapists = {"therapists": patients * 2 // 25} if "therapist" in case.formula else {}
    bounds = {"y": (1.0, 4.0)} if case.family == "cumulative" else {}
    layout = ba.Layout(patients=patients, sessions=SESSIONS, bounds=bounds, **therapists)
    truth = TRUTH | case.further
    if case.family == "cumulative":
        del truth["b[y, Intercept]"]
    spec = ba.parse_model(text)
    return ba.simulate_sessions(spec, layout, truth=truth, seed=seed), spec


def fit_ours(table: ba.SimulatedTable, spec: ba.ModelSpec, engine: Engine, seed: int) -> tuple[float, float, bool]:
    """Return seconds of the whole call, the least bulk ESS, and whether checks passed."""
    settings = ba.SamplerSettings(progress="off", **SETTINGS)
    start = time.perf_counter()
    fit = ba.fit_model(spec, table, seed=seed, engine=engine, settings=settings)
    seconds = time.perf_counter() - start
    posterior = fit.data["posterior"].to_dataset()
    kept = ("b", "sigma", "threshold", "shape", "phi")
    return seconds, least_ess(posterior[[n for n in posterior if n in kept or str(n).startswith("sd_")]]), fit.passed


def fit_bambi(table: ba.SimulatedTable, case: Case, seed: int) -> tuple[float, float, bool]:
    """Return seconds of sampling alone, the least bulk ESS, and True."""
    import bambi
    import nutpie

    frame, outcome, formula = table.frame, "y", case.formula
    if case.family == "binomial":
        frame, outcome = frame.assign(n=8), "p(y, n)"
    if case.family == "cumulative":
        frame = frame.assign(y=pd.Categorical(frame["y"].astype(int), ordered=True))
    else:
        frame = frame.assign(y=frame["y"].astype(int))
    link = {"link": "cloglog"} if case.family == "hazard" else {}
    model = bambi.Model(f"{outcome} ~ {formula}", frame, family=case.bambi, **link)
    spent, original = [0.0], nutpie.sample

    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent[0] += time.perf_counter() - start

    nutpie.sample = timed
    try:
        tree = model.fit(inference_method="nutpie", random_seed=seed, progressbar=False, **SETTINGS)
    finally:
        nutpie.sample = original
    posterior = tree["posterior"].to_dataset()
    return (
        spent[0],
        least_ess(posterior[[n for n in posterior if "|" not in str(n) or str(n).endswith("_sigma")]]),
        True,
    )


def least_ess(draws: xr.Dataset) -> float:
    """Return the least bulk ESS of what varies."""
    ess = azs.ess(draws, method="bulk")
    return min(float(np.nanmin(ess[name].values)) for name in ess.data_vars)


def span(values: list[float], form: str) -> str:
    """Return the median and the range."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def compare(name: str, seeds: int, bambi: bool) -> None:
    """Fit a case in turns and print its row."""
    case = CASES[name]
    tools = ["quadrature", "nuts", *(["bambi"] if bambi and case.bambi else [])]
    found: dict[str, list[tuple[float, float, bool]]] = {tool: [] for tool in tools}
    for seed in range(seeds + 1):
        table, spec = simulate(case, max(seed, 1))
        for tool in tools if seed % 2 else tools[::-1]:
            done = fit_bambi(table, case, seed) if tool == "bambi" else fit_ours(table, spec, tool, seed)
            if seed:  # the first of each compiles
                found[tool].append(done)
    rates = {tool: [ess / seconds for seconds, ess, _ in runs] for tool, runs in found.items()}
    parts = [
        f"{span([s for s, _, _ in runs], '.2f')} s, {span([e for _, e, _ in runs], ',.0f')}, "
        f"{sum(ok for _, _, ok in runs)} of {seeds}"
        for runs in found.values()
    ]
    ratios = [
        span([ours / other for ours, other in zip(rates["quadrature"], rates[tool], strict=True)], ".1f")
        for tool in tools[1:]
    ]
    print(f"| {name} | {' | '.join(parts)} | {' | '.join(ratios)} |", flush=True)


def main() -> None:
    """Fit every case in turns and print a row per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=CASES)
    parser.add_argument("--bambi", action="store_true")
    parser.add_argument("--large", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.large:
        case, found = CASES["bernoulli"], []
        for seed in range(1, asked.seeds + 1):
            table, spec = simulate(case, seed, 100_000 // len(SESSIONS))
            found.append(fit_ours(table, spec, "quadrature", seed))
        seconds, ess = [s for s, _, _ in found], [e for _, e, _ in found]
        print(f"{len(table.frame):,} rows: {span(seconds, '.1f')} s, least ESS {span(ess, ',.0f')}")
        return
    print("| study | quadrature: seconds, least ESS, passed | NUTS | Bambi's sampling | over NUTS | over Bambi |")
    print("|---|---|---|---|---|---|")
    for name in asked.only:
        compare(name, asked.seeds, asked.bambi)


if __name__ == "__main__":
    main()
