"""Every registered model runs on its example data; a model is added by adding its file and its study."""

from __future__ import annotations

import shlex
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.build.model import check_log_density
from bayes_alliance.cli import app as cli
from bayes_alliance.diagnosis.example_tables import end_at_dropout, rate_in_sessions
from bayes_alliance.simulate.layout import Layout
from bayes_alliance.simulate.truth import truth_names
from bayes_alliance.spec.needs import list_needs
from bayes_alliance.spec.registry import model_names

NAMES = model_names()

WITHOUT_TRUTH = {"congruence/truth-and-bias-group"}
"""Models that no table is simulated from: outcomes of a group's members read one another."""

BUILT = ("growth/at-the-ceiling", "dropout/hazard", "outcome/measured-alliance", "outcome/two-therapists")


@cache
def example_of(name: str) -> ba.Study[ba.SessionTable]:
    """Return the example of a model, made once."""
    return ba.example_study(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_runs_on_its_example(name: str) -> None:
    """The design is made, every equation uses rows, and the truth is that of its parameters."""
    study = example_of(name)
    made = ba.make_design(ba.load_model(name), study)
    assert all(len(equation.y) >= 6 for equation in made.equations)
    assert study.sessions.messages[0].startswith("SYNTHETIC")
    expected = set() if name in WITHOUT_TRUTH else set(truth_names(made))
    assert set(study.sessions.truth) == expected
    assert len(study.sessions) <= 1000


@pytest.mark.parametrize("name", NAMES)
def test_examples_have_the_layout_of_a_study(name: str) -> None:
    """Patients are in therapists where the model has these, and have several sessions where it reads sessions."""
    spec, study = ba.load_model(name), example_of(name)
    frame, roles = study.sessions.frame, study.sessions.roles
    assert "therapist" in roles or "therapist" not in spec.factors
    if any(equation.unit == "session" for equation in spec.equation):
        assert frame.groupby(roles["patient"]).size().mean() >= 3
    for variable in spec.variables:
        assert variable not in frame
    for need in list_needs(spec):
        assert need.optional or need.name in frame or need.name in study.columns, need.name
    numbers = frame.select_dtypes("number")
    assert not np.isinf(numbers.to_numpy()).any()


@pytest.mark.parametrize("name", BUILT)
def test_log_density_on_an_example_is_finite(name: str) -> None:
    """The model of an example can be sampled; a second call gives the same table."""
    study = example_of(name)
    made = ba.make_design(ba.load_model(name), study)
    assert np.isfinite(check_log_density(ba.build_model(made.spec, made)))
    assert ba.example_study(name).sessions.fingerprint() == study.sessions.fingerprint()


def test_unknown_models_are_refused() -> None:
    """The nearest name is given; a file of one's own has no example."""
    with pytest.raises(ba.SpecError, match="Did you mean 'growth/treatment'"):
        ba.example_study("growth/treatmnt")
    with pytest.raises(ba.SpecError, match=r"models\.toml"):
        ba.example_study("models.toml")


def test_ratings_have_the_summaries_that_were_drawn() -> None:
    """First, change and means of windows are found again; a missing summary is missing at its sessions."""
    people = pd.DataFrame({"patient": ["P1", "P2", "P3"], "early": [4.0, 5.0, np.nan], "later": [5.0, 4.0, 3.0]})
    layout, rng = Layout(patients=3), np.random.default_rng(1)
    ends = ba.load_model("mediation/sequential")
    rows = people.rename(columns={"early": "alliance_early", "later": "alliance_change"})
    made, laid = rate_in_sessions(rows, ends, layout, rng)
    values = made.groupby("patient")["alliance"]
    assert laid.sessions == (1, 2, 3, 4, 5, 6)
    assert values.nth(0).tolist()[:2] == [4.0, 5.0]
    assert (values.nth(-1).to_numpy() - values.nth(0).to_numpy())[:2] == pytest.approx([5.0, 4.0])
    waves = ba.load_model("mediation/sequential-waves")
    made, laid = rate_in_sessions(
        people.rename(columns={"early": "alliance_early", "later": "alliance_mid"}), waves, layout, rng
    )
    means = made.assign(late=made["session"] >= 5).pivot_table("alliance", "patient", "late", dropna=False)
    assert means[False].to_numpy() == pytest.approx([4.0, 5.0, np.nan], nan_ok=True)
    assert means[True].to_numpy() == pytest.approx([5.0, 4.0, 3.0])
    assert {"alliance_early", "alliance_mid"}.isdisjoint(made.columns)


def test_sessions_end_at_dropout() -> None:
    """Rows after the session of dropout are left out, and rows whose predictor is missing stay."""
    rows = pd.DataFrame(
        {
            "patient": ["P1"] * 3 + ["P2"] * 3,
            "session": [1, 2, 3] * 2,
            "leaving": [np.nan, 1.0, np.nan, np.nan, 0.0, 0.0],
        }
    )
    made = end_at_dropout(rows, ba.load_model("dropout/hazard"), Layout(patients=2, sessions=(1, 2, 3)))
    assert made["session"].tolist() == [1, 2, 1, 2, 3]
    assert made["last_session"].tolist() == [2, 2, 3, 3, 3]
    assert made["dropout"].tolist() == [1, 1, 0, 0, 0]
    assert "leaving" not in made


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bayes-alliance", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize("name", [*BUILT, "outcome/early-alliance", "mediation/sequential-waves"])
def test_the_commands_it_prints_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """The table and its truth are written; check accepts the command as it is printed, and fit has the same options."""
    assert run(monkeypatch, "example", name, "--out", str(tmp_path / "made")) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("- SYNTHETIC")
    check, fit = (shlex.split(line)[1:] for line in lines if line.startswith("bayes-alliance"))
    assert check[0] == "check"
    assert fit[:1] + fit[1:-4] == ["fit", *check[1:]]
    assert (tmp_path / "made" / f"{name.replace('/', '-')}.truth.toml").read_text().startswith("# SYNTHETIC")
    assert run(monkeypatch, *check) == 0
    assert "Ready to fit" in capsys.readouterr().out
