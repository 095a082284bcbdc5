"""Reliability of a scale: beside what variances stated in a simulation give, and beside psych in R."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.table import reliability as coefficients

ROLES = {"patient": "id", "session": "time"}
KEY = 'title = "Four items"\nitems = 4\nrange = [-20, 20]\nwhole = false\nbetter = "higher"\n'


def simulate(patients: int, seed: int, *, most: int = 8) -> pd.DataFrame:
    """Return SYNTHETIC answers: SD of persons 1, person x item .6, sessions .8, error .9; 2 to ``most`` sessions."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in range(patients):
        person, own = rng.normal(), rng.normal(0, 0.6, 4)
        for s in range(int(rng.integers(2, most + 1))):
            rows.append([f"p{p}", s + 1, *(person + own + rng.normal(0, 0.8) + rng.normal(0, 0.9, 4))])
    return pd.DataFrame(rows, columns=["id", "time", "i1", "i2", "i3", "i4"])


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a key of four items without ends to speak of."""
    path = tmp_path_factory.mktemp("keys") / "four.toml"
    path.write_text(KEY)
    return path


def test_beside_the_variances_of_a_simulation(key: Path) -> None:
    """3,000 patients with 2 to 8 sessions: variances, and what they make of R_C, R_KF and alpha, within 3 %."""
    frame = simulate(3000, 1)
    found = ba.reliability(ba.read_sessions(frame, ROLES), "i[1-4]", instrument=key)
    right = {"person": 1.0, "person_item": 0.36, "session": 0.64, "error": 0.81}
    for name, variance in right.items():
        assert abs(found.components[name] - variance) < 0.06 * max(variance, 1), name
    values = found.table.set_index("coefficient")["value"]
    k = frame.groupby("id").size().mean()
    between = 1 + 0.36 / 4
    one = 1 + 0.64
    assert abs(values["R_C"] - 0.64 / (0.64 + 0.81 / 4)) < 0.01
    assert abs(values["R_KF"] - between / (between + 0.81 / (4 * k))) < 0.01
    assert abs(values["alpha"] - one / (one + (0.36 + 0.81) / 4)) < 0.02
    assert abs(values["omega"] - values["alpha"]) < 0.01  # loadings are equal


def test_intervals_cover(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Percentile intervals of 60 patients hold the true R_C in most of 20 studies."""
    monkeypatch.setattr(coefficients, "RESAMPLES", 200)
    right, held = 0.64 / (0.64 + 0.81 / 4), 0
    for seed in range(20):
        table = ba.reliability(ba.read_sessions(simulate(60, seed, most=5), ROLES), "i[1-4]", instrument=key).table
        line = table.set_index("coefficient").loc["R_C"]
        held += line["bootstrap95_lb"] <= right <= line["bootstrap95_ub"]
    assert held >= 16


def test_reversals_missing_items_and_subscales() -> None:
    """Items that count the other way round, sessions with items missing, a subscale alone."""
    rng = np.random.default_rng(3)
    true = np.repeat(rng.normal(4, 1, 40), 3) + rng.normal(0, 0.7, 120)
    frame = pd.DataFrame({"id": np.repeat([f"p{i}" for i in range(40)], 3), "time": np.tile([1, 2, 3], 40)})
    for i in range(1, 13):
        answer = np.clip(np.round(true + rng.normal(0, 0.8, 120)), 1, 7)
        frame[f"w{i}"] = 8 - answer if i in (4, 10) else answer
    frame.loc[5, "w3"] = np.nan
    table = ba.read_sessions(frame, ROLES)
    found = ba.reliability(table, "w*", instrument="wai-s")
    assert found.notes == ("119 sessions of 40 patients, 12 items.", "1 session with items missing left out.")
    assert found.table.set_index("coefficient").loc["alpha", "value"] > 0.85
    with pytest.raises(ba.TableError, match=r"answers of 'reliability' are none.*whole numbers from 1 to 5"):
        ba.reliability(table, "w*", instrument="wai-sr")
    with pytest.raises(ba.TableError, match=r"ci_prob is 95\. A probability between 0 and 1"):
        ba.reliability(table, "w*", instrument="wai-s", ci_prob=95)
    bond = ba.reliability(table, "w*", instrument="wai-s", subscale="bond")
    assert "4 items" in bond.notes[0]
    assert "R_KF" in str(bond)
    with pytest.raises(ba.TableError, match="has no subscale 'bonds'"):
        ba.reliability(table, "w*", instrument="wai-s", subscale="bonds")
    with pytest.raises(
        ba.TableError, match=r"5 patients have 15 sessions .*needs ten patients, some with two sessions"
    ):
        ba.reliability(ba.read_sessions(frame.iloc[:15].fillna(4), ROLES), "w*", instrument="wai-s")


def test_beside_psych_in_r(key: Path) -> None:
    """RkF, Rc and variances of psych::mlr (ANOVA), alpha, and omega of one least-squares factor: reliability.txt."""
    folder = Path(__file__).resolve().parents[1] / "oracles"
    said = (folder / "reliability.txt").read_text()
    table = ba.read_sessions(folder / "reliability.csv", ROLES)
    found = ba.reliability(table, "i[1-4]", instrument=key)
    values = found.table.set_index("coefficient")["value"]
    header, numbers = said.splitlines()[:2]
    psych = dict(zip(header.split(), map(float, numbers.split()), strict=True))
    np.testing.assert_allclose([values["R_C"], values["R_KF"]], [psych["Rc"], psych["RkF"]], rtol=1e-8)
    lines = {line.rsplit(maxsplit=2)[0].strip(): float(line.split()[-2]) for line in said.splitlines() if " x " in line}
    np.testing.assert_allclose(found.components["session"], lines["ID x time"], rtol=1e-8)
    np.testing.assert_allclose(found.components["person_item"], lines["ID x items"], rtol=1e-8)
    alpha, omega = (
        next(float(line.split()[-1]) for line in said.splitlines() if line.startswith(name))
        for name in ("alpha", "omega")
    )
    np.testing.assert_allclose(values["alpha"], alpha, rtol=1e-8)
    assert abs(values["omega"] - omega) < 2e-4  # R's minimum residuals stop earlier
