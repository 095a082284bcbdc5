"""A table described before any model: columns, figures, odd values; accepted ones; the page and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_alliance as ba
from bayes_alliance.cli.app import app
from bayes_alliance.table.profile import bars

ROLES = {"patient": "pid", "session": "week"}


def coded(patients: int = 30) -> pd.DataFrame:
    """Return SYNTHETIC sessions with an undeclared 999, words, a date and a 0/1 column."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        {"pid": np.repeat([f"p{i}" for i in range(patients)], 4), "week": np.tile([1, 2, 3, 4], patients)}
    )
    rows["phq9"] = rng.integers(0, 28, len(rows)).astype(float)
    rows.loc[[3, 50, 90], "phq9"] = 999
    rows["arm"] = np.where(rows["pid"].str[-1].isin(list("02468")), "TAU", "CBT")
    rows["left"] = (rows["pid"].str.len() > 2).astype(int)
    rows["born"] = pd.to_datetime("1980-01-01")
    return rows


def test_every_column_has_its_figures() -> None:
    """Read as numbers, 0/1 or words; unit, mean, SD, ends, different and commonest values, by hand."""
    frame = coded()
    found = ba.describe(ba.read_sessions(frame, ROLES), condition="arm")
    lines = found.columns.set_index("column")
    assert lines["read as"].to_dict() == {
        "phq9": "numbers",
        "arm": "words",
        "left": "0/1",
        "born": "no model can read it",
    }
    assert lines["unit"].tolist() == ["session", "patient", "patient", "patient"]
    phq = frame["phq9"]
    assert np.isclose(lines.loc["phq9", "mean"], phq.mean())
    assert np.isclose(lines.loc["phq9", "sd"], phq.std())
    assert lines.loc["phq9", ["n", "missing", "max"]].tolist() == [120, 0, 999]
    arms = frame["arm"].value_counts()
    assert lines.loc["arm", "commonest"] == f"{max(arms.index[arms == arms.max()])!r} ({arms.max()})"
    assert any("Column 'phq9' holds 999 in 3 rows, far from its other values (0 to 27)" in note for note in found.notes)
    assert "Columns" in str(found)


def test_bars() -> None:
    """A bar per value of a few, per eighth of the range of many; none where all are alike."""
    assert bars(np.array([1.0, 1, 1, 1, 2, 2])) == "█▄"
    assert bars(np.array([3.0, 3.0])) == ""
    assert bars(np.linspace(0, 1, 800)) == "█" * 8
    assert bars(np.r_[np.zeros(50), np.linspace(0.9, 1, 50)])[3] == " "


def test_files_without_roles_and_odd_questions(tmp_path: Path) -> None:
    """Rows stand by themselves then; roles of a table that has them are refused."""
    path = tmp_path / "a.csv"
    coded().to_csv(path, sep=";", index=False)
    found = ba.describe(path)
    assert found.sizes.to_dict("records") == [{"what": "rows", "units": 120}]
    assert set(found.columns["unit"]) == {"row"}
    assert found.columns["column"].tolist() == ["pid", "week", "phq9", "arm", "left", "born"]
    assert found.notes[0] == "Cells of 'a.csv' are separated by ';'."
    assert "Whose rows these are is not stated" in found.notes[-1]
    assert len(ba.describe(path, roles=ROLES).sizes) == 1
    with pytest.raises(ba.TableError, match="Unknown column 'arms'"):
        ba.describe(path, condition="arms")
    with pytest.raises(ba.TableError, match="This table has roles"):
        ba.describe(ba.read_sessions(path, ROLES), roles=ROLES)


def test_accepted_values_are_genuine() -> None:
    """999 stops a model that reads it, until it is declared missing, within bounds, or accepted."""
    spec = ba.parse_model(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "phq9"\nunit = "session"\n'
        'formula = "1 + (1 | patient)"\n'
    )
    frame = coded()
    with pytest.raises(ba.DesignError, match=r"holds 999 in 3 rows.*or accept it: accept=\{'phq9': \[999\]\}"):
        ba.make_design(spec, ba.read_sessions(frame, ROLES))
    table = ba.read_sessions(frame, ROLES, accept={"phq9": [999]})
    assert ba.make_design(spec, table).equation.y.max() == 999
    assert ba.make_design(spec, ba.select_rows(table, maximum={"week": 3})).equation.y.max() == 999
    assert not any("999" in note for note in ba.describe(table).notes)
    with pytest.raises(ba.TableError) as caught:
        ba.read_sessions(frame, ROLES, accept={"phq": [999], "phq9": ["x"]})
    assert [problem.what for problem in caught.value.problems] == [
        "accept= names 'phq', which is no column.",
        "accept= of 'phq9' holds 'x', and the column holds numbers.",
    ]


def test_the_command_and_its_page(tmp_path: Path) -> None:
    """Describe DATA, with or without roles; --html writes a page that loads nothing."""
    path = tmp_path / "a.csv"
    coded().to_csv(path, index=False, decimal=",", sep=";")
    page = tmp_path / "a.html"
    done = CliRunner().invoke(
        app, ["describe", str(path), "--columns", "patient=pid,session=week", "--html", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert "phq9" in done.output
    assert "a code for missing?" in done.output
    text = page.read_text(encoding="utf-8")
    assert "<h1>The table a.csv</h1>" in text
    assert "http" not in text.replace("http-equiv", "")
    bare = CliRunner().invoke(app, ["describe", str(path), "--separator", ";"])
    assert "Whose rows these are is not stated" in bare.output
