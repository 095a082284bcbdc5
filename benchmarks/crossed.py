"""The exact engine with factors that cross: patients with several therapists, students with lecturers.

    uv run --group test python -m benchmarks.crossed --repeats 3
    uv run --group test python -m benchmarks.crossed --only lecturers

All studies are SYNTHETIC. Patients have six sessions, each with any of the therapists. The lecturers have the shape of
lme4's InstEval: 73,421 ratings by 2,972 students of 1,128 lecturers in 14 departments. Whole calls at the default
settings (4 chains of 1,000 draws), warm.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import arviz_stats as azs
import numpy as np
import pandas as pd

import bayes_alliance as ba

HEAD = 'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "y"\nunit = "session"\n'
SESSIONS = HEAD + 'formula = "session + (1 | patient) + (1 | therapist)"'
RATINGS = HEAD + 'formula = "1 + (1 | patient) + (1 | therapist) + (1 | site)"'


def sessions(patients: int, therapists: int, seed: int) -> ba.SessionTable:
    """Make six sessions of every patient. Truth: SDs 3 of patients, 1 of therapists, 2 of residuals."""
    rng = np.random.default_rng(seed)
    patient, session = np.repeat(np.arange(patients), 6), np.tile(np.arange(1, 7), patients)
    therapist = rng.integers(0, therapists, len(patient))
    y = 20 - 0.5 * session + rng.normal(0, 3, patients)[patient] + rng.normal(0, 1, therapists)[therapist]
    return read({"patient": patient, "therapist": therapist}, session, y + rng.normal(0, 2, len(patient)))


def ratings(seed: int) -> ba.SessionTable:
    """Make ratings by students of lecturers. Truth: SDs .33, .52, .08 of departments, 1.18 of residuals."""
    rng = np.random.default_rng(seed)
    student = np.sort(rng.integers(0, 2972, 73_421))
    lecturer = rng.integers(0, 1128, len(student))
    y = 3.2 + rng.normal(0, 0.33, 2972)[student] + rng.normal(0, 0.52, 1128)[lecturer]
    y += rng.normal(0, 0.08, 14)[lecturer % 14] + rng.normal(0, 1.18, len(student))
    session = pd.Series(student).groupby(student).cumcount().to_numpy() + 1
    return read({"patient": student, "therapist": lecturer, "site": lecturer % 14}, session, y)


def read(ids: dict[str, np.ndarray], session: np.ndarray, y: np.ndarray) -> ba.SessionTable:
    """Return a session table."""
    frame = {name: np.char.add(name[0].upper(), codes.astype(str)) for name, codes in ids.items()}
    roles = {name: name for name in (*ids, "session")}
    return ba.read_sessions(pd.DataFrame({**frame, "session": session, "y": y}), roles, transfers="transferred")


def fit(text: str, table: ba.SessionTable, seed: int) -> tuple[float, float, ba.Fit]:
    """Return seconds of the whole call, the least bulk ESS of parameters and coefficients, and the fit."""
    start = time.perf_counter()
    found = ba.fit_model(ba.parse_model(text), table, seed=seed, settings=ba.SamplerSettings(progress="off"))
    seconds = time.perf_counter() - start
    draws = found.data["posterior"].to_dataset()
    ess = azs.ess(
        draws[[name for name in draws if name in ("b", "sigma") or str(name).startswith("sd_")]], method="bulk"
    )
    return seconds, min(float(values.min()) for values in ess.data_vars.values()), found


def main() -> None:
    """Fit every study a few times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["sessions", "lecturers"])
    options = parser.parse_args()
    fit(SESSIONS, sessions(200, 20, 0), 0)
    for patients, therapists in [(2000, 200), (5000, 300)] if options.only != "lecturers" else []:
        rows = [fit(SESSIONS, sessions(patients, therapists, seed), seed) for seed in range(options.repeats)]
        seconds, ess = [row[0] for row in rows], [row[1] for row in rows]
        print(
            f"{patients:,} patients x {therapists} therapists: {median(seconds):.1f} s ({min(seconds):.1f} to "
            f"{max(seconds):.1f}), least ESS {median(ess):.0f} ({min(ess):.0f} to {max(ess):.0f}), "
            f"{sum(row[2].passed for row in rows)} of {len(rows)} passed",
            flush=True,
        )
    if options.only != "sessions":
        seconds_, ess_, found = fit(RATINGS, ratings(1), 1)
        sampler = found.data["posterior"].attrs["sampler"]
        print(f"lecturers: {seconds_:.0f} s, least ESS {ess_:.0f} ({sampler}). {found.verdict}")


if __name__ == "__main__":
    main()
