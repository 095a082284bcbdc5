"""Small made tables, one per family, for checks of integrals against brute force."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

import bayes_alliance as ba
from bayes_alliance.design.design import Design
from tests.build.test_equations import HEAD

FAMILIES: Final = {
    "bernoulli": 'family = "bernoulli"',
    "bernoulli, probit": 'family = "bernoulli"\nlink = "probit"',
    "binomial": 'family = "binomial"\ntrials = "offered"',
    "binomial, probit": 'family = "binomial"\nlink = "probit"\ntrials = "offered"',
    "beta_binomial": 'family = "beta_binomial"\ntrials = "offered"',
    "hazard": 'family = "hazard"',
    "cumulative": 'family = "cumulative"',
    "cumulative, probit": 'family = "cumulative"\nlink = "probit"',
    "poisson": 'family = "poisson"',
    "negative_binomial": 'family = "negative_binomial"',
    "ordered_beta": 'family = "ordered_beta"\nbounds = [0, 10]',
    "censored": 'family = "censored"\nbounds = [0, 10]',
}
"""What an equation of each family states, by the family's name and link."""


def make_table(patients: int = 14, sessions: int = 5, therapists: int = 3, seed: int = 1) -> pd.DataFrame:
    """Return a table with outcomes of every family, patients in therapists; some rows are missing, some are equal."""
    rng = np.random.default_rng(seed)
    patient, session = np.repeat(np.arange(patients), sessions), np.tile(np.arange(sessions), patients)
    therapist = patient % therapists
    eta = 0.8 * rng.normal(size=patients)[patient] + 0.5 * rng.normal(size=therapists)[therapist] + 0.2 * session - 0.3
    share = 1 / (1 + np.exp(-eta))
    offered = 3 + patient % 3
    frame = pd.DataFrame(
        {
            "patient": [f"p{i:02}" for i in patient],
            "therapist": [f"t{i}" for i in therapist],
            "session": session,
            "week": (session - 2) / 2.0,
            "week2": ((session - 2) / 2.0) ** 2,
            "arm": np.where(patient % 2 == 0, "a", "b"),
            "offered": offered,
            "bernoulli": (rng.random(len(eta)) < share).astype(float),
            "binomial": rng.binomial(offered, share),
            "cumulative": 1 + (eta + rng.logistic(size=len(eta)) > np.array([-1.0, 0.5, 1.5])[:, None]).sum(axis=0),
            "poisson": rng.poisson(np.exp(0.5 * eta)),
            "censored": np.clip(5 + 4 * eta + 2 * rng.normal(size=len(eta)), 0, 10).round(1),
        }
    )
    frame = frame.assign(
        hazard=frame["bernoulli"],
        beta_binomial=frame["binomial"],
        negative_binomial=frame["poisson"],
        ordered_beta=frame["censored"],
    )
    return frame[rng.random(len(frame)) < 0.85].reset_index(drop=True)


def make(kind: str, formula: str = "week + (1 | patient)", table: pd.DataFrame | None = None, more: str = "") -> Design:
    """Return a design of a family."""
    name = kind.split(",")[0]
    text = (
        f'{HEAD}\n[[equation]]\noutcome = "{name}"\nunit = "session"\n{FAMILIES[kind]}\nformula = "{formula}"\n{more}'
    )
    sessions = ba.read_sessions(
        make_table() if table is None else table,
        {"patient": "patient", "therapist": "therapist", "session": "session"},
        transfers="transferred",
    )
    return ba.make_design(ba.parse_model(text), sessions)
