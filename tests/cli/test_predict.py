"""predict: new rows and grids by a saved fit, and bad input told in the words of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.cli.test_cli import run


@pytest.fixture
def folder(small_fit: ba.Fit, tmp_path: Path) -> str:
    """Return the folder of a saved fit without rows."""
    return str(small_fit.save(tmp_path / "fit", effects=True))


def test_a_grid_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str, small_fit: ba.Fit
) -> None:
    """The table of the library, as it is."""
    assert run(monkeypatch, "predict", folder, "--grid", "arm=TAU,MBCT", "--grid", "week=1,4", "--groups", "zero") == 0
    shown = capsys.readouterr().out
    right = ba.predictions(small_fit, grid={"arm": ["TAU", "MBCT"], "week": [1, 4]}, groups="zero")
    assert shown.strip() == repr(right).strip()


def test_new_rows_are_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str, small_fit: ba.Fit, tmp_path: Path
) -> None:
    """Every line as CSV; effects of a known therapist."""
    therapist = small_fit.design.equation.groups[1].levels[0]  # type: ignore[union-attr]
    rows = pd.DataFrame({"week": [1, 2, 3], "arm": "MBCT", "therapist": therapist})
    rows.to_csv(tmp_path / "new.csv", index=False)
    target = tmp_path / "predicted.csv"
    code = run(
        monkeypatch, "predict", folder, str(tmp_path / "new.csv"), "--groups", "therapist=own", "--out", str(target),
        "--ci-prob", "0.9",
    )  # fmt: skip
    assert code == 0
    assert "3 lines" in capsys.readouterr().out
    found = pd.read_csv(target)
    right = ba.predictions(small_fit, rows, groups={"therapist": "own"}).table(ci_prob=0.9)
    assert list(found) == list(right)
    np.testing.assert_allclose(found["mean"], right["mean"], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "not stated. Give a file of new rows, or --grid"),
        (["--grid", "arm"], "--grid 'arm' is not written as name=value"),
        (["--grid", "arm=CBT"], "'arm' has no level 'CBT'"),
        (["--grid", "wek=1"], "Did you mean 'week'"),
        (["--grid", "week=1", "--groups", "own", "--groups", "therapist=new"], "--groups is one of"),
        (["--grid", "week=1", "--groups", "mine"], "Unknown groups 'mine'"),
    ],
)
def test_what_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: str, arguments: list[str], says: str
) -> None:
    """Exit code 2 and the sentence, no traceback."""
    assert run(monkeypatch, "predict", folder, *arguments) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert says in shown
    assert "Traceback" not in shown
