"""Mediation within patients over 3,000 rows: both equations at once by bayes_alliance, one after the other by Bambi.

    uv run --group bench python -m benchmarks.two_equations

Each tool runs in two fresh processes of its own; the second, with compiled code on disk, counts. Bambi has no joint
model: its two equations have uncorrelated slopes and no indirect effect with their covariance, so ours is the larger
model. Ratios are ours over Bambi's, so above 1 is in our favour.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd

JOINT = """
title = "Mediation within patients"
question = "How fast?"
[[equation]]
outcome = "m"
unit = "session"
formula = "x + (1 + x | patient)"
[[equation]]
outcome = "y"
unit = "session"
formula = "m + x + (1 + m + x | patient)"
[labels]
a = "m ~ x"
b = "y ~ m"
[estimands.ab]
value = "indirect(a, b)"
unit = "points of y per unit of x"
[groups.patient]
correlate = ["m", "y"]
"""
SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2}


def rows(patients: int = 100, sessions: int = 30) -> pd.DataFrame:
    """Return SYNTHETIC sessions: paths .3 and .4 with SDs .2 over patients and correlation .5, residual SDs 1."""
    rng = np.random.default_rng(1)
    cov = 0.04 * np.array([[1.0, 0.5], [0.5, 1.0]])
    a, b = rng.multivariate_normal([0.3, 0.4], cov, patients).T
    level = rng.normal(0, 1, (2, patients))
    patient = np.repeat(np.arange(patients), sessions)
    x = rng.normal(size=len(patient))
    m = level[0][patient] + a[patient] * x + rng.normal(size=len(patient))
    y = level[1][patient] + b[patient] * m + 0.1 * x + rng.normal(size=len(patient))
    names = [f"P{i:03d}" for i in patient]
    return pd.DataFrame({"patient": names, "session": np.tile(np.arange(sessions), patients), "x": x, "m": m, "y": y})


def run_ours(frame: pd.DataFrame) -> float:
    """Fit both equations at once; return the least bulk ESS of coefficients, SDs and the indirect effect."""
    import bayes_alliance as ba

    table = ba.read_sessions(frame, roles={"patient": "patient", "session": "session"})
    settings = ba.SamplerSettings(progress="off", **SETTINGS)
    fit = ba.fit_model(ba.parse_model(JOINT), table, seed=1, settings=settings)
    print(fit.verdict, file=sys.stderr)
    found = ba.summarize(fit)
    chosen = found[found["name"].str.startswith(("b[", "sd_", "sigma"))]["ess_bulk"]
    return float(min(chosen.min(), ba.summarize_estimands(fit)["ess_bulk"].min()))


def run_bambi(frame: pd.DataFrame) -> float:
    """Fit the equations one after the other; return the least bulk ESS of coefficients and SDs."""
    import arviz_stats as azs
    import bambi

    least = np.inf
    for formula in ("m ~ x + (1 + x | patient)", "y ~ m + x + (1 + m + x | patient)"):
        tree = bambi.Model(formula, frame).fit(inference_method="nutpie", random_seed=1, progressbar=False, **SETTINGS)
        posterior = tree["posterior"].to_dataset()
        chosen = posterior[[n for n in posterior if "|" not in str(n) or str(n).endswith("_sigma")]]
        ess = azs.ess(chosen, method="bulk")
        least = min(least, *(float(ess[name].min()) for name in ess.data_vars))
    return least


TOOLS = {"bayes_alliance": run_ours, "bambi": run_bambi}


def child(tool: str) -> None:
    """Measure inside this process, imports left out, and print seconds and ESS as JSON."""
    frame = rows()
    __import__({"bambi": "bambi", "bayes_alliance": "bayes_alliance.fit.fit"}[tool])
    from benchmarks.tools import clock

    seconds: dict[str, float] = {}
    start = time.perf_counter()
    with warnings.catch_warnings(), clock(seconds):
        warnings.simplefilter("ignore")
        ess = TOOLS[tool](frame)
    print(json.dumps({"whole": time.perf_counter() - start, "sampling": seconds["sampling"], "ess_min": ess}))


def main() -> None:
    """Run both tools, each twice, and print the second runs and their ratios."""
    found = {}
    for tool in TOOLS:
        for _ in range(2):
            command = [sys.executable, "-m", "benchmarks.two_equations", tool]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[tool] = json.loads(done.stdout.splitlines()[-1])
        print(f"{tool}: {found[tool]}")
    ours, theirs = found["bayes_alliance"], found["bambi"]
    print(f"seconds, whole (Bambi's over ours): {theirs['whole'] / ours['whole']:.2f}")
    per_second = [run["ess_min"] / run["whole"] for run in (ours, theirs)]
    print(f"least ESS per second, whole call: {per_second[0] / per_second[1]:.2f}")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
