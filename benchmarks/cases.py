"""What is fitted: a formula, the rows, and the parameters whose effective draws count."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import bayes_alliance as ba

DATA = Path(os.environ.get("BAYES_ALLIANCE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True, eq=False)
class Case:
    """One comparison.

    ``formula`` is written as both tools read it; where a peer leaves out correlations of group effects, that is its
    model and is said in the report.
    """

    name: str
    formula: str
    sessions: ba.SessionTable
    frame: pd.DataFrame
    reference: dict[str, str]


def growth_trial() -> Case | None:
    """Return monthly PHQ-9 of the RefraMED trial (Lynch et al. 2020), or None where the data are absent."""
    path = DATA / "reframed_rct.csv"
    if not path.exists():
        return None
    sessions = ba.read_sessions(path, {"patient": "patient", "session": "month"})
    sessions = ba.select_rows(sessions, maximum={"session": 12})
    frame = sessions.frame.dropna(subset=["phq9"])
    frame = frame.assign(grp=pd.Categorical(frame["grp"], ["TAU", "RO-DBT"]))
    return Case("growth in a trial", "phq9 ~ session * grp + (1 + session | patient)", sessions, frame, {"grp": "TAU"})


def three_levels() -> Case:
    """Return SYNTHETIC sessions of patients of therapists, unequal caseloads, with missed sessions and dropout."""
    truth = {
        "b[outcome, Intercept]": 20.0,
        "b[outcome, session]": -0.6,
        "sd_patient[outcome, Intercept]": 4.0,
        "sd_patient[outcome, session]": 0.4,
        "cor_patient[outcome, Intercept | outcome, session]": 0.1,
        "sd_therapist[outcome, Intercept]": 1.5,
        "sigma[outcome]": 3.0,
    }
    layout = {"patients": 300, "sessions": list(range(10)), "therapists": 40, "missed": 0.1, "dropout": 0.05}
    table = ba.simulate_sessions(ba.load_model("growth/three-level"), layout, truth=truth, seed=1)
    formula = "outcome ~ session + (1 + session | patient) + (1 | therapist)"
    return Case("three levels (synthetic)", formula, table, table.frame, {})


CASES = {"growth": growth_trial, "three-level": three_levels}
