"""Averages over new patients: ``ba.comparisons`` beside quadrature written by hand in NumPy, and its memory.

    uv run --group test python -m benchmarks.predictions --seeds 5

SYNTHETIC: a 0/1 outcome of sessions, patients and therapists; draws are stated parameters with noise, none is sampled.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

import bayes_alliance as ba
from tests.truth.fits import make_fit

MODEL = """title = "t"
question = "q?"
[[equation]]
outcome = "better"
unit = "session"
family = "bernoulli"
formula = "arm * session + x + (1 | patient) + (1 | therapist)"
"""

NODES = 41
"""Points of the quadrature by hand: an error of 1e-6 at the SDs here."""


def make(rows: int, seed: int) -> tuple[ba.Fit, pd.DataFrame]:
    """Return a fit of 4 chains of 1,000 draws, and its rows."""
    rng = np.random.default_rng(seed)
    patient = np.arange(rows) // 10
    frame = pd.DataFrame(
        {
            "pid": [f"p{i}" for i in patient],
            "tid": [f"t{i % 40}" for i in patient],
            "session": np.arange(rows) % 10 + 1,
            "arm": np.where(patient % 2, "TAU", "CBT"),
            "x": rng.normal(size=rows),
            "better": rng.integers(0, 2, rows),
        }
    )
    table = ba.read_sessions(frame, {"patient": "pid", "session": "session", "therapist": "tid"})
    fit = make_fit(ba.make_design(ba.parse_model(MODEL), ba.Study(table, reference={"arm": "TAU"})), seed, size=0.7)
    posterior = fit.data["posterior"].to_dataset()
    posterior = xr.concat([posterior] * 2, dim="chain").assign_coords(chain=np.arange(4))
    posterior = xr.concat([posterior] * 500, dim="draw").assign_coords(draw=np.arange(1000))
    for name in ("b", "sd_patient", "sd_therapist"):
        own = posterior[name]
        posterior[name] = own * np.exp(xr.DataArray(rng.normal(0, 0.1, own.shape), dims=own.dims))
    tree = fit.data.copy()
    tree["posterior"] = xr.DataTree(posterior)
    return replace(fit, data=tree), frame


def by_hand(fit: ba.Fit, frame: pd.DataFrame) -> np.ndarray:
    """Return the average difference between the arms as a person would write it, shape (draw,)."""
    posterior = fit.data["posterior"].to_dataset().stack(sample=("chain", "draw"))
    b = {str(label): posterior["b"].sel(coef=label).values for label in posterior["coef"].values}
    spread = np.hypot(*(posterior[f"sd_{name}"].values[0] for name in ("patient", "therapist")))
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    session, x = frame["session"].to_numpy(float), frame["x"].to_numpy()
    found = np.empty(len(spread))
    for start in range(0, len(spread), 500):
        part = slice(start, start + 500)
        base = b["better, Intercept"][part, None] + b["better, session"][part, None] * session
        base = base + b["better, x"][part, None] * x
        added = b["better, arm[CBT]"][part, None] + b["better, arm[CBT]:session"][part, None] * session
        total = np.zeros(len(base))
        for node, weight in zip(nodes, weights, strict=True):
            shift = node * spread[part, None]
            total += weight * (special.expit(base + added + shift) - special.expit(base + shift)).mean(axis=1)
        found[part] = total
    return found


def main() -> None:
    """Print seconds, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3000)
    given = parser.parse_args()
    ratios, ours, one = [], [], []
    for seed in range(given.seeds):
        fit, frame = make(given.rows, seed)
        start = time.perf_counter()
        found = ba.comparisons(fit, "arm").draws["value"].values.ravel()
        middle = time.perf_counter()
        right = by_hand(fit, frame)
        end = time.perf_counter()
        assert np.abs(found - right).max() < 1e-4
        patient = pd.DataFrame({"arm": ["CBT"], "session": [3], "x": [0.1]})
        ba.predictions(fit, patient)
        again = time.perf_counter()
        ba.predictions(fit, patient)
        one.append(time.perf_counter() - again)
        ours.append(middle - start)
        ratios.append((end - middle) / (middle - start))
        print(f"seed {seed}: ours {ours[-1]:.2f} s, by hand {end - middle:.2f} s, ratio {ratios[-1]:.1f}", flush=True)
    print(f"by hand over ours: {np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    print(f"one new patient, warm: {np.median(one):.3f} s ({min(one):.3f} to {max(one):.3f})")
    fit, _ = make(40_000, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    ba.comparisons(fit, "arm")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"40,000 rows x 4,000 draws: {time.perf_counter() - start:.0f} s, peak {peak:.2f} GiB (before {before:.2f})")


if __name__ == "__main__":
    main()
