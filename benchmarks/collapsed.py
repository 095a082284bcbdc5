"""The collapsed engine: against Bambi with nutpie on one small study, and by itself on large ones.

    uv run --group bench python -m benchmarks.collapsed --repeats 3
    uv run --group bench python -m benchmarks.collapsed --only large

Warm: both tools in one process, after a first fit of each; ratios are ours over Bambi's least bulk ESS per second, of
ours over the whole ``fit_model`` call. Cold: the first call of a process with an empty cache of compiled code, and the
first call of the next process. The large studies are SYNTHETIC.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from statistics import median

import arviz_stats as azs
import numpy as np
import pandas as pd

import bayes_alliance as ba

FORMULA = "session * trained + (1 + {slope} | patient) + (1 + session | therapist)"
QUIET = ba.SamplerSettings(progress="off")
LENGTHS = np.array([0.04, 0.06, 0.08, 0.1, 0.13, 0.17, 0.15, 0.11, 0.08, 0.05, 0.03])
"""Shares of patients with 2 to 12 sessions: 6.9 on average."""


def make_study(patients: int, therapists: int, *, own: bool = False, seed: int = 1) -> pd.DataFrame:
    """Make SYNTHETIC sessions of patients of therapists, half of whom are trained.

    Truth: intercept 4, session .05, trained .2, session x trained .02; SDs of patients .6 and .05 (of their own
    predictor where there is one), of therapists .3 and .03, residual .5.
    """
    rng = np.random.default_rng(seed)
    count = rng.choice(np.arange(2, 13), patients, p=LENGTHS)
    patient = np.repeat(np.arange(patients), count)
    session = np.concatenate([np.arange(n) for n in count]).astype(float)
    therapist = (np.arange(patients) % therapists)[patient]
    trained = (therapist % 2).astype(float)
    x = rng.normal(size=len(session)) if own else session
    u = rng.multivariate_normal([0, 0], [[0.36, 0.01], [0.01, 0.0025]], patients)
    v = rng.multivariate_normal([0, 0], [[0.09, 0], [0, 0.0009]], therapists)
    y = 4 + 0.05 * session + 0.2 * trained + 0.02 * session * trained + u[patient, 0] + u[patient, 1] * x
    y += v[therapist, 0] + v[therapist, 1] * session + rng.normal(0, 0.5, len(session))
    frame = {"session": session, "trained": trained, "stress": x, "alliance": y}
    ids = {"patient": np.char.add("P", patient.astype(str)), "therapist": np.char.add("T", therapist.astype(str))}
    return pd.DataFrame(ids | frame)


def read_study(frame: pd.DataFrame) -> ba.SessionTable:
    """Return the study as a session table."""
    return ba.read_sessions(frame, {name: name for name in ("patient", "therapist", "session")})


def model(slope: str = "session") -> ba.ModelSpec:
    """Return growth with random slopes at both levels."""
    formula = FORMULA.format(slope=slope)
    return ba.parse_model(
        f'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "alliance"\nunit = "session"\nformula = "{formula}"'
    )


def fit_ours(
    table: ba.SessionTable, slope: str = "session", draws: int = 1000, seed: int = 1
) -> tuple[float, float, ba.Fit]:
    """Return seconds of the whole call, the least bulk ESS of parameters and coefficients, and the fit."""
    spec, settings = model(slope), ba.SamplerSettings(draws=draws, progress="off")
    start = time.perf_counter()
    fit = ba.fit_model(spec, table, seed=seed, settings=settings)
    seconds = time.perf_counter() - start
    posterior = fit.data["posterior"].to_dataset()
    names = [name for name in posterior if name in ("b", "sigma") or str(name).startswith("sd_")]
    ess = azs.ess(posterior[names], method="bulk")
    return seconds, min(float(ess[name].min()) for name in names), fit


def small(repeats: int) -> None:
    """Compare with Bambi and nutpie: 117 patients of 40 therapists, warm."""
    from benchmarks.cases import Case
    from benchmarks.tools import clock, ess_of, fit_bambi

    frame = make_study(117, 40, seed=4).iloc[:658]
    table = read_study(frame)
    case = Case(
        "small", "alliance ~ session * trained + (1 + session | patient) + (1 + session | therapist)", table, frame, {}
    )
    fit_ours(table)
    fit_bambi(case, 0)
    rows = []
    for repeat in range(repeats):
        ours, ess, fit = fit_ours(table, seed=repeat)
        seconds: dict[str, float] = {}
        start = time.perf_counter()
        with clock(seconds):
            draws = fit_bambi(case, repeat)
        whole = time.perf_counter() - start
        theirs = float(ess_of(draws).min())
        rows.append((ess / ours, theirs / seconds["sampling"], theirs / whole, ours, whole, ess, theirs))
        print(
            f"ours {ours:.2f} s, least ESS {ess:.0f} ({fit.data['posterior'].attrs['sampler']}); Bambi {whole:.1f} s "
            f"({seconds['sampling']:.1f} s of sampling), least ESS {theirs:.0f}",
            flush=True,
        )
    for name, column in (("Bambi's sampling alone", 1), ("Bambi's whole call", 2)):
        ratios = [row[0] / row[column] for row in rows]
        print(
            f"ESS per second, our whole call over {name}: {median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        )


def large() -> None:
    """Fit studies of 40,000 patients of 2,000 therapists, once without and once with own predictors."""
    for slope in ("session", "stress"):
        frame = make_study(40_000, 2_000, own=slope == "stress")
        start = time.perf_counter()
        table = read_study(frame)
        read = time.perf_counter() - start
        fit_ours(read_study(make_study(117, 40, own=slope == "stress")), slope)
        seconds, ess, fit = fit_ours(table, slope, draws=500)
        parts = ", ".join(f"{name} {value:.1f} s" for name, value in dict(fit.provenance["seconds"]).items())
        print(
            f"{len(frame):,} rows, patients' slopes on {slope}: whole call {seconds:.1f} s ({parts}), least ESS "
            f"{ess:.0f}, {fit.data['posterior'].attrs['sampler']}; table read in {read:.1f} s. {fit.verdict}",
            flush=True,
        )


def serial(repeats: int) -> None:
    """Fit serial mediation with therapists in every equation to its example, warm."""
    spec, study, settings = ba.load_model("mediation/sequential"), ba.example_study("mediation/sequential"), QUIET
    ba.fit_model(spec, study, seed=0, settings=settings)
    seconds, least = [], []
    for seed in range(repeats):
        start = time.perf_counter()
        fit = ba.fit_model(spec, study, seed=seed, settings=settings)
        seconds.append(time.perf_counter() - start)
        ess = azs.ess(fit.data["posterior"].to_dataset()[["b", "sigma", "sd_therapist"]], method="bulk")
        least.append(min(float(values.min()) for values in ess.data_vars.values()))
    print(
        f"serial mediation: {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), least ESS "
        f"{median(least):.0f} ({min(least):.0f} to {max(least):.0f}), {fit.data['posterior'].attrs['sampler']}"
    )


def cold() -> None:
    """Time the first call of a process with an empty cache, and of a second process."""
    code = (
        "import time, warnings; warnings.simplefilter('ignore'); from benchmarks.collapsed import *; "
        "import bayes_alliance.fit.fit; table = read_study(make_study(117, 40, seed=4)); "
        "start = time.perf_counter(); fit_ours(table); print(json.dumps(time.perf_counter() - start))"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = dict(os.environ, NUMBA_CACHE_DIR=cache)
        for name in ("empty cache", "second process"):
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            print(f"first call, {name}: {json.loads(done.stdout.splitlines()[-1]):.1f} s", flush=True)


def main() -> None:
    """Run the parts that are asked for."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["small", "large", "serial", "cold"], default=None)
    options = parser.parse_args()
    if options.only in (None, "small"):
        small(options.repeats)
    if options.only in (None, "large"):
        large()
    if options.only in (None, "serial"):
        serial(options.repeats)
    if options.only in (None, "cold"):
        cold()


if __name__ == "__main__":
    main()
