"""Options of the command line that say how a table is read: the same tables as in Python, and what is no option."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import bayes_alliance as ba
from bayes_alliance.cli.app import app
from bayes_alliance.cli.table_options import TableGiven
from bayes_alliance.errors import AllianceError

WIDE = pd.DataFrame({"id": ["a", "b"], "w_pre_1": [1, 2], "w_pre_2": [3, 4], "w_2_1": [5, 1], "w_2_2": [2, 2]})
ANSWERS = pd.DataFrame(
    {
        "id": ["a", "a", "a", "a", "b", "b"],
        "on": ["01.02.2024", "01.02.2024", "15.02.2024", "15.02.2024", "03.02.2024", "03.02.2024"],
        "question": ["q1", "q2"] * 3,
        "value": [1, 2, 3, 4, 0, 1],
    }
)


def write(frame: pd.DataFrame, folder: Path) -> Path:
    """Write a table as CSV."""
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    return path


def test_every_argument_of_read_sessions_is_an_option() -> None:
    """What is said of a table in Python can be said on the command line; columns= is of Python alone."""
    arguments = set(inspect.signature(ba.read_sessions).parameters) - {"source", "roles", "columns"}
    names = {"scores": "score"}
    options = {field.name for field in fields(TableGiven)} - {"columns", "minimum", "maximum", "only"}
    assert {names.get(one, one) for one in arguments} == options


def test_wide_tables(tmp_path: Path) -> None:
    """--wide and --wide-sessions read as in Python."""
    path = write(WIDE, tmp_path)
    given = TableGiven(columns=["patient=id"], wide=["wai=w_{session}_{item}"], wide_sessions=["pre=0"])
    found = ba.read_sessions(path, {"patient": "id"}, wide={"wai": "w_{session}_{item}"}, wide_sessions={"pre": 0.0})
    assert found.frame["session"].tolist() == [0, 2, 0, 2]
    pd.testing.assert_frame_equal(given.read(path).frame, found.frame)


def test_answers_by_date(tmp_path: Path) -> None:
    """--questionnaire and --session read as in Python; a step of another length gives other numbers."""
    path = write(ANSWERS, tmp_path)
    given = TableGiven(
        columns=["patient=id"],
        questionnaire="item=question,answer=value",
        session="column=on,every=week,format=%d.%m.%Y",
    )
    read = given.read(path)
    assert read.frame["session"].tolist() == [0, 2, 0]
    assert read.frame["q2"].tolist() == [2, 4, 1]
    visits = TableGiven(
        columns=["patient=id"], questionnaire="item=question,answer=value", session="column=on,every=visit"
    )
    assert visits.read(path).frame["session"].tolist() == [1, 2, 1]


def test_units_that_differ(tmp_path: Path) -> None:
    """--units refuses what differs within a unit."""
    frame = pd.DataFrame({"id": ["a", "b"], "th": ["x", "x"], "arm": ["CBT", "TAU"]})
    given = TableGiven(columns=["patient=id,therapist=th"], units=["arm=therapist"])
    with pytest.raises(ba.TableError, match="'arm'"):
        given.read(write(frame, tmp_path))


def test_patients_under_several_therapists(tmp_path: Path) -> None:
    """--transfers of all, of a unit, and of patients by name."""
    frame = pd.DataFrame({"id": list("1122"), "th": list("abab"), "week": [1, 2, 1, 2]})
    path, roles = write(frame, tmp_path), ["patient=id,therapist=th,session=week"]
    assert len(set(TableGiven(columns=roles, transfers=["reused"]).read(path).ids("patient"))) == 4
    named = TableGiven(columns=roles, transfers=["patient:1=transferred", "patient:2=reused"])
    assert sorted(set(named.read(path).ids("patient"))) == ["1", "a/2", "b/2"]
    for given, message in (
        (["patient:1=reused", "transferred"], r"of all patients what ids mean, and of some by name"),
        (["patient:1"], r"--transfers 'patient:1' is not written as patient:ID=MEANING"),
        (["patient:1=reused", "patient:1=transferred"], r"--transfers names the patient '1' twice"),
    ):
        with pytest.raises(AllianceError, match=message):
            TableGiven(columns=roles, transfers=given).read(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wide": ["wai"]}, r"--wide 'wai' is not written as name=value"),
        ({"wide_sessions": ["pre=x"]}, r"--wide-sessions pre='x': a number is needed"),
        ({"questionnaire": "question"}, r"--questionnaire 'question' is not written as name=value"),
        ({"questionnaire": "item=question,score=value"}, r"questionnaire: Unknown key 'score'"),
        ({"questionnaire": "item=question"}, r"questionnaire does not state 'answer'\. It states item, answer"),
        ({"session": "every=week"}, r"session does not state 'column'"),
        ({"wide_sessions": ["pre=0"]}, r"wide_sessions numbers words in the names of wide columns, and wide is not"),
        ({"session": "column=on,every=fortnight"}, r"every is 'fortnight'; allowed are visit, day, week, month"),
        ({"units": ["arm"]}, r"--units 'arm' is not written as name=value"),
    ],
)
def test_what_is_no_option(given: dict, message: str, tmp_path: Path) -> None:
    """Each option says how it is written."""
    with pytest.raises(AllianceError, match=message):
        TableGiven(columns=["patient=id"], **given).read(write(ANSWERS, tmp_path))


def test_a_wide_table_is_checked(tmp_path: Path) -> None:
    """The command reads a wide table; describe asks whose rows these are before it does anything else with them."""
    path = write(WIDE, tmp_path)
    wide = ["--wide", "wai=w_{session}_{item}", "--wide-sessions", "pre=0"]
    done = CliRunner().invoke(app, ["describe", str(path), "--columns", "patient=id", *wide])
    assert done.exit_code == 0, done.output
    assert "The wide table of 2 rows is 4 rows" in " ".join(done.output.split())
    asked = CliRunner().invoke(app, ["describe", str(path), *wide])
    assert "--wide, --wide-sessions need the column of patients. Name it: --columns patient=COLUMN." in str(
        asked.exception
    )


@pytest.mark.parametrize("command", ["check", "fit", "describe"])
def test_help_names_every_option(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of the record stand in the help of every command that reads a table."""
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(app, [command, "--help"]).output
    for field in fields(TableGiven):
        name = {"minimum": "min", "maximum": "max"}.get(field.name, field.name)
        assert f"--{name.replace('_', '-')}" in shown
