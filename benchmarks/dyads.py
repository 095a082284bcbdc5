"""Coverage of the truth force and of a4 in a trial of dyads, and what observed means do to a lag. SYNTHETIC studies.

    uv run --group test python -m benchmarks.dyads --n 300 --lagged 40

Six sessions of 117 patients of 40 therapists. Truths are stated; 95 % intervals of the truth force
(`congruence/truth-and-bias`) and of a4 of a surface by session are compared with them. Then patients' outcomes follow
their own deviation a session ago with a slope of .3, and the slope is estimated with deviations from observed means of
patients and from latent ones.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd

import bayes_alliance as ba
from benchmarks.indirect import quiet

SETTINGS = ba.SamplerSettings(draws=500, chains=2, progress="off")
PATIENTS, THERAPISTS, SESSIONS = 117, 40, 6
ROLES = {"patient": "patient", "therapist": "therapist", "session": "session"}
HEAD = 'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "outcome"\nunit = "session"\n'
SURFACE = ba.parse_model(
    HEAD + 'formula = "session + surface(lag(mine), lag(yours), centre=5) + (1 | patient) + (1 | therapist)"\n'
)
FORCE, A4, CARRIED = 0.35, -0.24, 0.3


def rows(rng: np.random.Generator) -> pd.DataFrame:
    """Draw the trial: who is whose patient, arms of therapists, and ratings of both in every session."""
    patient = np.repeat(np.arange(PATIENTS), SESSIONS)
    therapist = np.arange(PATIENTS)[patient] % THERAPISTS
    session = np.tile(np.arange(1, SESSIONS + 1), PATIENTS)
    mine = 5 + rng.normal(0, 0.6, PATIENTS)[patient] + rng.normal(0, 0.5, len(patient))
    return pd.DataFrame(
        {
            "patient": [f"p{i}" for i in patient],
            "therapist": [f"t{i}" for i in therapist],
            "session": session,
            "condition": np.where(therapist % 2 == 0, "standard", "training"),
            "mine": mine,
            "person": patient,
            "leader": therapist,
        }
    )


def inside(fit: ba.Fit, draws: np.ndarray, truth: float) -> tuple[float, float, bool, bool]:
    """Return error, SD, whether the 95 % interval holds the truth, and whether the checks passed."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(draws.mean()) - truth, float(draws.std()), bool(low < truth < high), fit.passed


def truth_force(seed: int) -> tuple[float, float, bool, bool]:
    """Simulate therapists' ratings that follow their patients' deviations, fit, and return how far off the force is."""
    rng = np.random.default_rng([1, seed])
    frame = rows(rng)
    deviation = frame["mine"] - frame.groupby("patient")["mine"].transform("mean")
    own, led = rng.normal(0, [0.5, 0.15], (PATIENTS, 2)), rng.normal(0, [0.3, 0.1], (THERAPISTS, 2))
    slope = FORCE + own[frame["person"], 1] + led[frame["leader"], 1]
    level = -0.4 + own[frame["person"], 0] + led[frame["leader"], 0]
    yours = frame["mine"].mean() + level + slope * deviation + rng.normal(0, 0.5, len(frame))
    spec = ba.load_model("congruence/truth-and-bias")
    table = ba.read_sessions(frame.assign(alliance_patient=frame["mine"], alliance_therapist=yours), ROLES)
    fit = ba.fit_model(spec, ba.Study(table, reference={"condition": "standard"}), seed=seed, settings=SETTINGS)
    draws = fit.data["posterior"]["b"].sel(coef="alliance_therapist, within(alliance_patient, patient)")
    return inside(fit, draws.values.ravel(), FORCE)


def curvature(seed: int) -> tuple[float, float, bool, bool]:
    """Simulate outcomes that are best after agreement, fit a surface, and return how far off a4 is."""
    rng = np.random.default_rng([2, seed])
    frame = rows(rng)
    frame["yours"] = 5 + 0.5 * (frame["mine"] - 5) + rng.normal(0, 0.6, len(frame))
    apart = (frame["mine"] - frame["yours"]).groupby(frame["patient"]).shift()
    noise = rng.normal(0, 0.6, PATIENTS)[frame["person"]] + rng.normal(0, 0.2, THERAPISTS)[frame["leader"]]
    frame["outcome"] = noise + A4 / 4 * apart.fillna(0) ** 2 + rng.normal(0, 0.8, len(frame))
    fit = ba.fit_model(SURFACE, ba.read_sessions(frame, ROLES), seed=seed, settings=SETTINGS)
    draws = ba.response_surface(fit).draws["value"].sel(estimand="a4")
    return inside(fit, draws.values.ravel(), A4)


def carried(seed: int) -> dict[str, tuple[float, float, bool, bool]]:
    """Simulate deviations that carry over, and return how far off their slope is with either kind of mean."""
    rng = np.random.default_rng([3, seed])
    frame = rows(rng)
    mean, moved = rng.normal(0, 0.7, PATIENTS), np.empty((PATIENTS, SESSIONS))
    moved[:, 0] = rng.normal(0, 1 / np.sqrt(1 - CARRIED**2), PATIENTS)
    for wave in range(1, SESSIONS):
        moved[:, wave] = CARRIED * moved[:, wave - 1] + rng.normal(0, 1, PATIENTS)
    frame["outcome"] = (mean[:, None] + moved).ravel()
    table, found = ba.read_sessions(frame, ROLES), {}
    for kind in ("observed", "latent"):
        call = f'lag(within(outcome, patient, means="{kind}"))'
        spec = ba.parse_model(HEAD + f"formula = '{call} + (1 | patient)'\n")
        fit = ba.fit_model(spec, table, seed=seed, settings=SETTINGS)
        label = next(label for label in fit.data["posterior"]["coef"].values if "lag(" in label)
        found[kind] = inside(fit, fit.data["posterior"]["b"].sel(coef=label).values.ravel(), CARRIED)
    return found


def say(name: str, truth: float, found: list[tuple[Any, ...]]) -> None:
    """Print bias with its Monte Carlo error, and coverage."""
    errors, sds = np.array([row[0] for row in found]), np.array([row[1] for row in found])
    print(
        f"{name:34} truth {truth:5.2f}  bias {errors.mean():6.3f} (Monte Carlo "
        f"{errors.std(ddof=1) / np.sqrt(len(found)):.3f})  mean SD / SD of estimates "
        f"{sds.mean() / errors.std(ddof=1):.2f}  covered {np.mean([row[2] for row in found]):.3f}  "
        f"checks passed {np.mean([row[3] for row in found]):.2f}  of {len(found)}",
        flush=True,
    )


def main() -> None:
    """Run the three parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=300, help="studies of the truth force and of a4 each")
    parser.add_argument("--lagged", type=int, default=40, help="studies of deviations that carry over")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        say("truth force", FORCE, list(pool.map(truth_force, range(options.n), chunksize=5)))
        say("a4", A4, list(pool.map(curvature, range(options.n), chunksize=5)))
        both = list(pool.map(carried, range(options.lagged)))
        for kind in ("observed", "latent"):
            say(f"carried over, {kind} means", CARRIED, [found[kind] for found in both])


if __name__ == "__main__":
    main()
