"""What a file holds is shown on the terminal as it stands: never read as markup, never obeyed as a command."""

from __future__ import annotations

import sys
import unicodedata
import warnings
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table

import bayes_alliance as ba
from bayes_alliance._messages import visible
from bayes_alliance._terminal import PlainConsole
from bayes_alliance.cli import app as cli
from bayes_alliance.errors import AllianceWarning, SpecError, TableError
from bayes_alliance.fit import progress

ESCAPES = "\x1b]0;owned\x07\x1b[31m\x7f\x9b\u202e\u200b\u2066\ufeff\r\x08"
MODEL = """
title = "Growth [/bold] of [wai] \\u001b[31m :smile: \\u202e"
question = "Does [red]it[/red] show? \\u009b"
references = ["[x] \\u0007"]
[[equation]]
outcome = "score"
unit = "session"
formula = "session * condition + (1 | patient)"
[[prior]]
on = "b condition[cbt]"
dist = "normal(0, 1)"
reason = "[/] none"
[labels]
a = "score ~ session:condition[cbt]"
[estimands.difference]
value = "2 * a"
unit = "[points] a week"
"""


def hidden(text: str) -> set[str]:
    """Return the characters of a text that a terminal obeys or does not show."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bayes-alliance", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@given(st.text())
def test_visible_text_hides_nothing_and_stays_as_it_is(text: str) -> None:
    """No character that is not seen is left; letters stay; what was escaped once is not escaped again."""
    shown = visible(text)
    assert not hidden(shown)
    assert visible(shown) == shown
    if not hidden(text):
        assert shown == text


@example("00000000\r\t⺀")
@given(st.text(min_size=1, max_size=30))
def test_no_string_is_markup_wherever_it_is_printed(text: str) -> None:
    """Brackets and emoji codes are shown in a line, a heading, and a cell, and nothing ends in a traceback."""
    page = StringIO()
    console = PlainConsole(file=page, width=400, color_system=None)
    table = Table("[b]Name", box=None)
    table.add_row(f"[wai] {text} [/bold] :smile:")
    console.print(f"[wai] {text} [/bold] :smile:", style="bold", soft_wrap=True)
    console.print(table)
    shown = page.getvalue()
    assert shown.count("[wai]") == shown.count("[/bold]") == shown.count(":smile:") == 2
    assert "[b]Name" in shown
    assert not hidden(shown)


def test_show_prints_a_model_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Brackets of titles, priors and units are shown, and escapes are written out."""
    path = tmp_path / "own.toml"
    path.write_text(MODEL)
    assert run(monkeypatch, "show", str(path)) == 0
    shown = capsys.readouterr().out
    for text in ("[/bold] of [wai] \\x1b[31m :smile: \\u202e", "[red]it[/red] show? \\x9b", "b condition[cbt]"):
        assert text in shown
    assert "[points] a week" in shown
    assert "[/] none" in shown
    assert not hidden(shown)


@pytest.mark.parametrize(
    "arguments", [("show", "{}.toml"), ("show", "growth", "{}"), ("{}",), ("show", "--{}"), ("simulate", "{}")]
)
def test_arguments_are_repeated_with_escapes_written_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """A file's name, which anybody may have chosen, is escaped in our errors and in those about usage."""
    assert run(monkeypatch, *(one.format(ESCAPES) for one in arguments)) == 2
    captured = capsys.readouterr()
    assert "\\x1b" in captured.err or arguments[0] == "simulate"
    assert not hidden(captured.err)


def test_columns_and_levels_are_escaped(
    trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Names of columns, levels and the file, all with escapes: check prints no raw one and ends well."""
    odd = trial.rename(columns={"score": f"sc{ESCAPES}ore [red]", "arm": "arm\x1b[31m"})
    odd["arm\x1b[31m"] = odd["arm\x1b[31m"].map({level: f"{level}\u202e\x1b[2J[/b]" for level in odd["arm\x1b[31m"]})
    reference = sorted(set(odd["arm\x1b[31m"]))[0]
    path = tmp_path / "tri\x1b[31mal.csv"
    odd.rename(columns=lambda name: name.replace("\r", "")).to_csv(path, index=False)
    mapping = f"patient=pid,session=week,outcome=sc{ESCAPES}ore [red],condition=arm\x1b[31m".replace("\r", "")
    done = run(
        monkeypatch,
        "check",
        "growth/treatment",
        str(path),
        "--columns",
        mapping,
        "--reference",
        f"condition={reference}",
    )
    captured = capsys.readouterr()
    assert done == 0, captured.err
    assert "[red]" in captured.out
    assert not hidden(captured.out + captured.err)


def test_a_foreign_exception_is_printed_with_escapes_written_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A traceback, which is a fault of ours, may quote a cell."""

    def broken(name: str) -> None:
        raise KeyError(f"\x1b[31m{name}\u202e")

    monkeypatch.setattr("bayes_alliance.spec.registry.load_model", broken)
    assert run(monkeypatch, "show", "growth") == 1
    assert not hidden(capsys.readouterr().err)


def test_errors_and_warnings_hold_no_escapes() -> None:
    """An exception is printed by Python itself, and so is a warning."""
    error = TableError([f"Column {ESCAPES}", "fine"], f"file {ESCAPES}")
    assert not hidden(str(error) + "".join(map(str, error.problems)) + error.where)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn(f"Level {ESCAPES}", AllianceWarning, stacklevel=1)
    assert not hidden(str(caught[0].message))


def test_representations_hold_no_escapes(trial: pd.DataFrame) -> None:
    """A record that says what it is says it in characters that are seen."""
    sessions = ba.read_sessions(trial.rename(columns={"score": f"s{ESCAPES}"}), {"patient": "pid", "session": "week"})
    assert not hidden(repr(sessions) + str(ba.describe(sessions)))


def test_bars_show_their_text_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The text of a bar is no markup either."""
    monkeypatch.setattr(progress, "is_watched", lambda setting: True)
    monkeypatch.setattr(progress, "_in_notebook", lambda: False)
    with progress.step("Compiling [/bold] [wai]\x1b[31m", "auto"):
        pass
    with progress.counter("Fits [/bold] [wai]\x1b[31m", 2, "auto") as advance:
        advance(2)
    assert capsys.readouterr().err.count("[/bold] [wai]\\x1b[31m") == 2


def test_a_spec_error_of_a_long_name_is_one_line() -> None:
    """A name with a line break cannot add a line of its own to a message."""
    with pytest.raises(SpecError) as caught:
        ba.load_model("growth\n2. all is well")
    assert "\n" not in str(caught.value)
