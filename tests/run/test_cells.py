"""Cells of text in a run: none is quoted by any message, and what is an identifier, or nearly one, is no level."""

from __future__ import annotations

import traceback
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance._messages import show_cell, withhold_cells
from bayes_alliance.errors import AllianceError, RunError, TableError
from bayes_alliance.run import execution as execute
from bayes_alliance.run import rows
from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.ids import find_named, without_cells
from tests.run.conftest import ANALYSIS, planted_rows, write_study

NAME = "Dora Beispiel"
NEARLY = [
    "Dora Beispiel ",
    " Dora Beispiel",
    "dora beispiel",
    "DORA BEISPIEL",
    "Dora  Beispiel",
    "Dora\u00a0Beispiel",
    "Dora\u2009Beispiel",
    "Dora\tBeispiel",
    "Beispiel Dora",
    "Beispiel, Dora",
    "Beispiel,Dora",
    "'Dora Beispiel'",
    '"Dora Beispiel"',
    "«Dora Beispiel»",
    "see Dora Beispiel",
    "Dora Beispiel (moved)",
    "Dora Beispiel, 12.3.",
    "Dora-Beispiel",
    "Dora_Beispiel",
    "DoraBeispiel",
    "Dora M. Beispiel",
    "Dóra Beispiel",
    "\u200bDora Beispiel",
    "Dora Beispiel\n",
    "mr-0042",
    "MR 0042",
    "mr0042",
    "see MR-0042",
]
"""Of the patients Dora Beispiel and MR-0042."""


def named_rows() -> pd.DataFrame:
    """Return the planted rows with two patients of known names (SYNTHETIC)."""
    table = planted_rows()
    first, second = list(dict.fromkeys(table["who"]))[7:9]
    return table.replace({"who": {first: NAME, second: "MR-0042"}})


def says(path: Path) -> str:
    """Return all that a run which is refused says: the error, and its traceback."""
    lines: list[str] = []
    with pytest.raises(AllianceError) as caught:
        run_analysis(path, tell=lines.append, progress="off")
    told = traceback.format_exception(caught.value)
    return "\n".join([*lines, str(caught.value), *map(str, caught.value.problems), *told])


def plain(text: str) -> str:
    """Return the letters and digits of a text, in lower case, without accents."""
    bare = unicodedata.normalize("NFKD", text)
    return "".join(c for c in bare if c.isalnum()).casefold()


@pytest.mark.parametrize("column", ["score", "arm"])
@pytest.mark.parametrize("cell", NEARLY)
def test_what_is_nearly_an_identifier_is_refused_unseen(tmp_path: Path, column: str, cell: str) -> None:
    """As a number's cell and as a level of a factor: column and row are given, the cell is not."""
    table = named_rows().astype({"score": object})
    table.loc[5, column] = cell
    path = write_study(tmp_path, table)
    shown = says(path)
    assert f"Column '{column}'" in shown
    assert "row 6" in shown
    assert cell.strip() not in shown
    assert plain(cell) not in plain(shown)


@pytest.mark.parametrize("cell", ["Frau Unbekannt rief an", "Dora Beispeil", "siehe Akte", "Mutter: Erika"])
@pytest.mark.parametrize("column", ["score", "week"])
def test_no_text_of_a_number_is_quoted(tmp_path: Path, column: str, cell: str) -> None:
    """Other names, misspelt ones, remarks: length, column and row."""
    table = planted_rows().astype({"score": object, "week": object})
    table.loc[5, column] = cell
    shown = says(write_study(tmp_path, table))
    assert f"row 6 (a text of {len(cell)} characters)" in shown
    assert plain(cell) not in plain(shown)


def test_outside_a_run_cells_are_quoted() -> None:
    """In Python, and where a table is checked on the command line, the reader has the table before them."""
    table = planted_rows().astype({"score": object})
    table.loc[5, "score"] = "siehe Akte"
    read = ba.read_sessions(table, {"patient": "who", "session": "week"})
    assert any("row 6 ('siehe Akte')" in message for message in read.messages)


SECRET = "Erika Mustermann"


def change(text: str, *pairs: tuple[str, str]) -> str:
    """Return a text with parts replaced, each of which is there."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("pairs", "column", "message"),
    [
        ([('[reference]\ncondition = "TAU"', "")], "arm", "without a stated order"),
        ([('condition = "TAU"', 'condition = "Tau"')], "arm", "Unknown level 'Tau'"),
        ([('condition = "arm"', 'condition = "remarks"')], "remarks", "Unknown level 'TAU'"),
        ([('condition = "arm"', 'condition = "arm[CBT]"'), ('[reference]\ncondition = "TAU"', "")], "arm", "level of"),
        ([('outcome = "score"', 'outcome = "remarks"')], "remarks", "holds words"),
        ([("[columns]", 'only = { arm = "CBT" }\n[columns]')], "arm", "Unknown level of 'arm'"),
        ([("[columns]", 'units = { arm = "therapist" }\n[columns]')], "arm", "several values"),
        ([("[columns]", "bounds = { remarks = [0, 1] }\n[columns]")], "remarks", "holds words"),
        ([("[columns]", "minimum = { remarks = 1 }\n[columns]")], "remarks", "holds words"),
        ([("[columns]", "missing = { score = [0] }\n[columns]"), ('"score"', '"remarks"')], "remarks", "holds words"),
    ],
)
def test_no_level_is_quoted_that_is_no_label(
    tmp_path: Path, pairs: list[tuple[str, str]], column: str, message: str
) -> None:
    """Every way to a message about levels: what the analysis states is repeated, what the table holds is not."""
    table = planted_rows()
    table["remarks"] = [f"{SECRET} {i % 3}" for i in range(len(table))]
    table.loc[5, column] = SECRET
    shown = says(write_study(tmp_path, table, change(ANALYSIS, *pairs)))
    assert message in shown
    assert "Mustermann" not in shown


def test_a_level_in_no_row_used_is_counted_and_not_named(tmp_path: Path) -> None:
    """Messages that are kept with the run, too: a level that only rows without an outcome have."""
    table = planted_rows()
    table.loc[5, ["arm", "score"]] = [SECRET, np.nan]
    path = write_study(tmp_path, table)
    read, _ = execute.read_analysis(path)
    specs = execute.find_specs(read, tmp_path)
    found = rows.read_rows(read, tmp_path, specs)
    with without_cells("designs were made"):
        designs, _ = execute._designs(execute.Question(read, "", tmp_path, specs), found)
    told = [message for design in designs.values() for message in design.messages]
    assert any("no row in use: a text of 16 characters" in message for message in told)
    assert not any("Mustermann" in message for message in told)


def test_a_first_line_of_cells_is_not_quoted(tmp_path: Path) -> None:
    """A file without a header, whose first row holds one text twice."""
    path = write_study(tmp_path)
    (tmp_path / "sessions.csv").write_text(f"{SECRET},{SECRET},1\nb,b,2\n")
    shown = says(path)
    assert "None of the columns that roles name" in shown
    assert "Mustermann" not in shown


@pytest.mark.parametrize("where", ["bayes_alliance.run.rows.code_ids", "bayes_alliance.run.execution.make_design"])
def test_an_error_of_another_library_is_told_without_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Its text may quote a cell: what kind it is and where it arose is enough to find it."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"could not convert string to float: '{SECRET}'")

    monkeypatch.setattr(where, broken)
    shown = says(write_study(tmp_path))
    assert "ValueError while" in shown
    assert "line " in shown
    assert "Mustermann" not in shown


def test_cells_are_shown_again_after_a_run() -> None:
    """Whatever ended it."""
    with pytest.raises(RunError), without_cells("this was tried"):
        raise KeyError
    with pytest.raises(TableError), without_cells("this was tried"):
        raise TableError("no")
    with withhold_cells():
        assert show_cell("abc") == "a text of 3 characters"
    assert show_cell("abc") == "'abc'"


@given(st.lists(st.text(alphabet="abcdefgh", min_size=4, max_size=8), min_size=1, max_size=3), st.randoms())
def test_words_of_an_identifier_are_found_in_any_order_case_and_company(words: list[str], random: object) -> None:
    """Punctuation between them, other words around them."""
    one = " ".join(words)
    mixed = [word.upper() for word in words]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    text = f"zz {', '.join(mixed)}; 12"
    assert find_named([text, "something else"], [one]) == {text}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("MBCT", ["MBCT-001", "MBCT-002"]),
        ("12", ["12"]),
        ("3.0", ["3"]),
        ("wave 1", ["1", "2"]),
        ("group A", ["A", "B"]),
        ("Dora", ["Dora Beispiel"]),
        ("", ["...", "A"]),
    ],
)
def test_what_is_no_identifier_is_left_alone(text: str, ids: list[str]) -> None:
    """An arm that ids begin with, numbers, letters, a first name."""
    assert find_named([text], ids) == set()


@pytest.mark.parametrize(
    ("text", "ids"), [("a", ["A"]), ("...", ["..."]), ("see 12345", ["12345"]), ("P01 x", ["P01"])]
)
def test_short_and_numeric_identifiers(text: str, ids: list[str]) -> None:
    """A short one where a text is nothing else, a number of five digits inside a text."""
    assert find_named([text], ids) == {text}
