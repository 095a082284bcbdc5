"""Fixtures that tests share: the data folder, small synthetic tables, one sampled fit."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

import bayes_alliance as ba
from bayes_alliance.collapse.warm import compile_all

ROOT = Path(__file__).resolve().parents[1]

BEGUN = time.monotonic()

# Workers of pytest-xdist share the cores: more threads of linear algebra than cores wait for one another.
threadpool_limits(limits=1, user_api="blas")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--budget``, which bounds what a machine spends on slow tests however slow it is."""
    parser.addoption("--budget", type=float, metavar="MINUTES", help="skip what has not begun after so many minutes")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the exact engine before the whole suite runs, once: else every worker compiles what it meets."""
    whole = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        compile_all(lambda done: None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that would begin when the budget is spent, saying so."""
    budget = item.config.getoption("--budget")
    if budget is not None and time.monotonic() - BEGUN >= 60 * budget:
        pytest.skip(f"the budget of {budget:g} minutes is spent")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real data, or skip where it is absent."""
    folder = Path(os.environ.get("BAYES_ALLIANCE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data are absent: no folder {folder} (set BAYES_ALLIANCE_DATA)")
    return folder


def make_trial(seed: int = 1, patients: int = 24) -> pd.DataFrame:
    """Make a small synthetic trial: unbalanced, with gaps, single-session patients, groups in one arm only.

    SYNTHETIC. Truth of ``outcome``: 20 - 0.8 session - 1 (arm MBCT) - 0.4 session (arm MBCT), patient SD 3 and slope
    SD 0.3, therapist SD 1, residual SD 2.
    """
    rng = np.random.default_rng(seed)
    rows = []
    therapist_effect = rng.normal(0, 1, 6)
    for i in range(patients):
        arm = "MBCT" if i % 2 else "TAU"
        therapist = i % 6
        start, slope = rng.normal(0, 3), rng.normal(0, 0.3)
        sessions = [1] if i in (3, 8) else [s for s in range(1, 9) if rng.random() > 0.2]
        pre, cohesion = rng.normal(22, 4), rng.normal(4, 0.6)
        post = 0.5 * pre + rng.normal(0, 3)
        dropout = float(rng.random() < 0.4)
        extra = np.random.default_rng(1000 * seed + i)
        iip_pre, iip_change = extra.normal(12, 4), extra.normal(-3, 2)
        for s in sessions or [2]:
            mean = 20 - 0.8 * s + (-1 - 0.4 * s) * (arm == "MBCT") + start + slope * s + therapist_effect[therapist]
            rows.append(
                {
                    "pid": f"P{i:02d}",
                    "tid": f"T{therapist}",
                    "gid": f"G{i // 2 % 4}" if arm == "MBCT" else "",
                    "week": float(s),
                    "arm": arm,
                    "score": mean + rng.normal(0, 2),
                    "alliance": rng.normal(5, 0.8),
                    "pre": pre,
                    "post": post,
                    "cohesion": cohesion,
                    "competence": 3.0 + 0.3 * therapist,
                    "dropout": dropout,
                    "iip_pre": iip_pre,
                    "iip_change": iip_change,
                    "stress": extra.normal(3, 1),
                    "rating": extra.normal(4.6, 0.7),
                }
            )
    return pd.DataFrame(rows)


ROLES = {"patient": "pid", "therapist": "tid", "group": "gid", "session": "week"}

COLUMNS = {
    "outcome": "score",
    "condition": "arm",
    "outcome_pre": "pre",
    "outcome_post": "post",
    "in_group": "arm[MBCT]",
}


@pytest.fixture(scope="session")
def trial() -> pd.DataFrame:
    """Return the rows of a small synthetic trial."""
    return make_trial()


@pytest.fixture(scope="session")
def sessions(trial: pd.DataFrame) -> ba.SessionTable:
    """Return the small trial as a session table with every role."""
    return ba.read_sessions(trial, roles=ROLES)


@pytest.fixture(scope="session")
def small_fit(sessions: ba.SessionTable) -> ba.Fit:
    """Return one short sampled fit that many tests read."""
    return ba.fit_model(
        ba.load_model("growth/treatment"),
        ba.Study(sessions, columns={"outcome": "score", "condition": "arm"}, reference={"condition": "TAU"}),
        seed=7,
        settings=ba.SamplerSettings(draws=300, tune=400, chains=2, progress="off"),
    )
