"""What the model language has beside families, each over 3,000 rows: seconds of the whole call, least bulk ESS, checks.

    uv run --group bench python -m benchmarks.language

Each case runs in two fresh processes; the second, with compiled code on disk, counts. All data are SYNTHETIC.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from typing import Any

import bayes_alliance as ba

SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2}
SESSIONS: dict[str, Any] = {"patients": 500, "sessions": (0, 1, 2, 3, 4, 5), "therapists": 50}
PATIENT = {"sd_patient[y, Intercept]": 0.7}
GROWTH = {"b[y, Intercept]": 0.5, "b[y, session]": -0.15, **PATIENT}
FEATURES = tuple(f"f{i}" for i in range(10))


def one(formula: str, extra: str = "") -> str:
    """Return a model of sessions of y."""
    return f"[[equation]]\noutcome = 'y'\nunit = 'session'\nformula = '{formula}'\n{extra}\n"


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, float]]] = {
    "residual SDs that follow": (
        one("session + (1 | patient)", "sigma = '1 + session + (1 | patient)'"),
        {},
        {},
        GROWTH | {"b[sigma(y), Intercept]": -0.2, "b[sigma(y), session]": -0.1, "sd_patient[sigma(y), Intercept]": 0.3},
    ),
    "residuals in series": (
        one("session + (1 | patient)", "residuals = 'ar1'"),
        {},
        {},
        GROWTH | {"sigma[y]": 1.0, "ar[y]": 0.4},
    ),
    "ordered predictor": (
        one("mo(stage) + session + (1 | patient)"),
        {},
        {"stage": {"unit": "session", "mean": 3, "sd": 1, "low": 1, "high": 5, "digits": 0}},
        GROWTH
        | {"sigma[y]": 1.0, "b[y, mo(stage)]": 1.0}
        | {f"step_y_stage[{i} to {i + 1}]": share for i, share in enumerate((0.1, 0.5, 0.3, 0.1), start=1)},
    ),
    "two therapists": (
        one("session + (1 | patient) + (1 | therapist)")
        + "[groups.therapist]\nmembers = ['therapist', 'second_therapist']\n"
        + "weights = ['share_first', 'share_second']\n",
        {"shared": 0.3},
        {},
        GROWTH | {"sigma[y]": 1.0, "sd_therapist[y, Intercept]": 0.4},
    ),
    "missing, with errors": (
        "[[equation]]\noutcome = 'x'\nunit = 'patient'\nformula = 'z'\nmissing = 'model'\nerror = 0.5\n"
        + one("mi(x) + session + (1 | patient)"),
        {"missing": {"x": 0.2}},
        {"z": {"unit": "patient"}},
        GROWTH | {"sigma[y]": 1.0, "b[y, mi(x)]": 0.4, "b[x, Intercept]": 1.0, "b[x, z]": 0.5, "sigma[x]": 1.0},
    ),
    "missing sessions": (
        "[[equation]]\noutcome = 'x'\nunit = 'session'\nformula = 'session + (1 | patient)'\nmissing = 'model'\n"
        + one("mi(x) + session + (1 | patient)"),
        {"missing": {"x": 0.2}},
        {},
        GROWTH
        | {"sigma[y]": 1.0, "b[y, mi(x)]": 0.4, "b[x, Intercept]": 1.0, "b[x, session]": 0.1}
        | {"sigma[x]": 1.0, "sd_patient[x, Intercept]": 0.7},
    ),
    "horseshoe": (
        one(" + ".join((*FEATURES, "session", "(1 | patient)")))
        + f"[shrink.all]\nterms = {list(FEATURES)}\ndist = 'horseshoe(2, 4, 2)'\nreason = 'Few matter.'\n",
        {},
        {name: {"unit": "patient"} for name in FEATURES},
        GROWTH
        | {"sigma[y]": 1.0}
        | {f"b[y, {name}]": 0.5 if number < 2 else 0.0 for number, name in enumerate(FEATURES)},
    ),
}


def run(name: str) -> dict[str, float]:
    """Simulate and fit a case; return seconds, least ESS and whether all checks passed."""
    text, layout, variables, truth = CASES[name]
    spec = ba.parse_model(f'title = "x"\nquestion = "x?"\n{text}')
    table = ba.simulate_sessions(spec, SESSIONS | layout, truth=truth, seed=1, variables=variables)
    start = time.perf_counter()
    settings = ba.SamplerSettings(progress="off", target_accept=0.95 if name == "horseshoe" else 0.8, **SETTINGS)
    fit = ba.fit_model(spec, table, seed=1, settings=settings)
    seconds = time.perf_counter() - start
    least = float(ba.summarize(fit)["ess_bulk"].min())
    rows = len(fit.design.find("y").y) if fit.design is not None else 0
    return {"seconds": seconds, "ess": least, "passed": float(fit.passed), "rows": rows}


def main() -> None:
    """Run every case twice, each time in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(json.dumps(run(options.child)))
        return
    print(f"{'':28}{'rows':>7}{'seconds':>9}{'least ESS':>11}{'passed':>8}")
    for name in options.cases:
        command = [sys.executable, "-m", "benchmarks.language", "--child", name]
        for _ in range(2):
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:28}{found['rows']:7.0f}{found['seconds']:9.1f}{found['ess']:11.0f}{bool(found['passed'])!s:>8}",
            flush=True,
        )


if __name__ == "__main__":
    main()
