"""Identifiers: coded wherever they stand, refused where they do not belong, never to be worked out."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from bayes_alliance.errors import SpecError, TableError
from bayes_alliance.run.analysis import find_specs, read_analysis
from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.ids import code_ids, table_secret
from bayes_alliance.run.row_digests import tell_changes
from bayes_alliance.run.rows import Rows, read_rows
from tests.run.conftest import ANALYSIS, PATIENTS, PLANTED, THERAPISTS, planted_rows, write_study


def rows_of(folder: Path, rows: pd.DataFrame, analysis: str = ANALYSIS) -> Rows:
    """Return the coded rows of a study."""
    path = write_study(folder, rows, analysis)
    read, _ = read_analysis(path)
    return read_rows(read, path.parent, find_specs(read, path.parent))


@pytest.mark.parametrize("column", ["week", "score", "arm"])
def test_an_identifier_in_another_column_is_refused_unseen(tmp_path: Path, column: str) -> None:
    """By row and column; it would be in messages, or a level in every file."""
    rows = planted_rows().astype({"week": object, "score": object})
    rows.loc[5, column] = "Dr. Secret BBB"
    with pytest.raises(TableError, match=f"Column '{column}'.*holds an identifier in 1 cell: row 6") as found:
        rows_of(tmp_path, rows)
    assert "Secret" not in str(found.value)


def test_numbers_that_are_ids_may_be_values_too(tmp_path: Path) -> None:
    """Patient 2 and week 2 are not taken for each other."""
    rows = planted_rows()
    rows["who"] = rows.groupby("who", sort=False).ngroup() + 1
    assert len(rows_of(tmp_path, rows).sessions) == 160


def test_a_file_without_a_header_shows_nobody(tmp_path: Path) -> None:
    """Its first patient stands where names of columns should."""
    analysis = write_study(tmp_path)
    planted_rows().to_csv(tmp_path / "sessions.csv", index=False, header=False)
    read, _ = read_analysis(analysis)
    with pytest.raises(TableError, match=r"None of the columns that roles name .* first line") as found:
        read_rows(read, tmp_path, find_specs(read, tmp_path))
    assert not [planted for planted in PLANTED if planted in str(found.value)]


def test_levels_of_other_factors_are_coded(tmp_path: Path) -> None:
    """A supervisor is no role, and has a name."""
    rows = planted_rows()
    rows["boss"] = [f"Prof. Hidden {number % 5}" for number in range(len(rows))]
    write_study(tmp_path)
    text = ANALYSIS.replace('condition = "arm"', 'condition = "arm"\nsupervisor = "boss"')
    path = write_study(tmp_path, rows, text)
    model = (
        (tmp_path / "models" / "own.toml").read_text().replace("+ (1 | patient)", "+ (1 | patient) + (1 | supervisor)")
    )
    (tmp_path / "models" / "own.toml").write_text(model)
    read, _ = read_analysis(path)
    found = read_rows(read, tmp_path, find_specs(read, tmp_path))
    assert sorted(found.sessions.frame["boss"].unique()) == [f"supervisor-00{n}" for n in range(1, 6)]


def test_a_list_of_ids_is_not_enough() -> None:
    """Codes of the same ids in another table are others; of the same table in another order the same."""
    frame = pd.DataFrame({"who": [str(n) for n in range(30)], "score": np.arange(30.0)})
    other = frame.assign(score=frame["score"] + 1)
    found = [
        code_ids({"data": one}, {"patient": ["who"]}, {}, secret=table_secret({"data": one})).codes("patient")
        for one in (frame, frame.sample(frac=1, random_state=1), other)
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_record_has_no_digest_of_ids(tmp_path: Path) -> None:
    """Who guesses a list of patients cannot confirm it."""
    digests = rows_of(tmp_path, planted_rows()).digests["data"]
    assert isinstance(digests, dict)
    columns = digests["columns"]
    assert isinstance(columns, dict)
    assert [name for name, digest in columns.items() if digest is None] == ["who", "whom"]


def test_rows_are_chosen_by_real_ids_and_numbers(tmp_path: Path) -> None:
    """The analysis file is its owner's: it names a therapist by name; one that is not there is not repeated."""
    text = ANALYSIS.replace("[columns]", '[data.only]\ntherapist = "Dr. Secret AAA"\n\n[columns]')
    assert len(rows_of(tmp_path, planted_rows(), text).sessions) == 16
    week = ANALYSIS.replace("[columns]", "[data.only]\nsession = 1\n\n[columns]")
    assert len(rows_of(tmp_path, planted_rows(), week).sessions) == 40
    with pytest.raises(TableError, match=r"states a therapist .* that does not occur") as found:
        rows_of(tmp_path, planted_rows(), text.replace("Secret AAA", "Secret QQQ"))
    assert "QQQ" not in str(found.value)


@pytest.mark.parametrize("code", ["-99", "-99.0", '"-99"'])
def test_declared_codes_of_missing_ids_stay_missing(tmp_path: Path, code: str) -> None:
    """However the number is written."""
    rows = planted_rows()
    rows.loc[rows["who"] == "a b c d e", "whom"] = "-99"
    text = ANALYSIS.replace("[columns]", f"[data.missing]\nwhom = [{code}]\n\n[columns]")
    found = rows_of(tmp_path, rows, text).sessions
    assert int((found.frame["whom"] == "").sum()) == 4


def test_notes_hold_codes_of_their_own_role(tmp_path: Path) -> None:
    """Where patients and therapists have the same numbers."""
    rows = planted_rows()
    rows["who"] = rows.groupby("who", sort=False).ngroup() + 1
    rows["whom"] = rows["who"].map(lambda n: "01" if n == 11 else str((n - 1) % 10 + 1))
    (note,) = [n for n in rows_of(tmp_path, rows).sessions.messages if "leading zeros" in n]
    assert "'therapist-" in note
    assert "patient-" not in note


def test_problems_of_models_and_files_come_together(tmp_path: Path) -> None:
    """An unknown model and a table that is not there."""
    from bayes_alliance.run.execution import run_analysis

    path = write_study(tmp_path, analysis=ANALYSIS.replace("growth/treatment", "growth/treatmnt"))
    (tmp_path / "sessions.csv").unlink()
    with pytest.raises(SpecError, match=r"(?s)Unknown model 'growth/treatmnt'.*no file 'sessions.csv'"):
        run_analysis(path)


@pytest.mark.slow
def test_no_identifier_is_in_a_notebook_or_its_tracebacks(tmp_path: Path) -> None:
    """Runs, reports and reruns leave codes in their outputs, and so does a run that a broken table ends."""
    path = write_study(tmp_path / "good")
    rows = planted_rows()
    write_study(tmp_path / "bad", pd.concat([rows, rows.iloc[:8]]))
    cells = [
        f"import bayes_alliance as ba\nrun = ba.run_analysis({str(path)!r}, tell=print)\nrun",
        "ba.write_report(run.folder)\nprint(run.fit('main').data['posterior'])\nba.rerun(run.folder)",
        f"ba.run_analysis({str(tmp_path / 'bad' / 'analysis.toml')!r})",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, allow_errors=True).execute()
    text = nbformat.writes(notebook)
    kinds = [output.output_type for cell in notebook.cells for output in cell.outputs]
    assert kinds.count("error") == 1
    assert "repeats within patient" in text
    assert "patient-0" in text
    spelled = [json.dumps(planted, ensure_ascii=ascii).strip('"') for planted in PLANTED for ascii in (True, False)]
    assert [one for one in spelled if one in text] == []


def test_patients_under_several_therapists_are_named_in_a_file(tmp_path: Path) -> None:
    """What a file beside the analysis says of patients holds of their codes; no file of the run names one."""
    rows = planted_rows()
    rows.loc[0, "whom"] = THERAPISTS[5]
    roles = 'roles = { patient = "who", therapist = "whom", session = "week" }'
    stated = ANALYSIS.replace(roles, f'{roles}\ntransfers = {{ patient = "moved.csv" }}')
    moved = pd.DataFrame({"who": [PATIENTS[0]], "meaning": ["transferred"]})
    moved.to_csv(tmp_path / "moved.csv", index=False)
    found = rows_of(tmp_path, rows, stated)
    assert len(set(found.sessions.ids("patient"))) == len(PATIENTS)
    run = run_analysis(tmp_path / "analysis.toml", progress="off")
    for path in run.folder.rglob("*"):
        assert path.is_dir() or PATIENTS[0].encode() not in path.read_bytes(), path
    with pytest.raises(TableError, match="1 patient with more than one therapist"):
        rows_of(tmp_path, rows)
    for change, message in (
        (moved.assign(who="Nobody Known"), "names 1 patient who does not occur in the table"),
        (moved.rename(columns={"meaning": "what"}), "has no columns 'who' and 'meaning'"),
        (pd.concat([moved, moved]), "names a patient twice"),
    ):
        change.to_csv(tmp_path / "moved.csv", index=False)
        with pytest.raises(TableError, match=message) as caught:
            rows_of(tmp_path, rows, stated)
        assert "Nobody" not in str(caught.value)
    accepted = ANALYSIS.replace(roles, f'{roles}\naccept = {{ who = ["Nobody Known"] }}')
    with pytest.raises(TableError, match="accept names ids of 'who', and the analysis file is kept with the run"):
        rows_of(tmp_path, planted_rows(), accepted)


def test_a_rerun_says_that_a_scoring_key_is_another_one(tmp_path: Path) -> None:
    """The key is part of the rows' digest: where it differs, nothing is compared."""
    rows = planted_rows().assign(i1=lambda f: f["week"] % 4, i2=lambda f: (f["week"] * 3) % 4)
    key = 'title = "Two"\nitems = 2\nrange = [0, 3]\nbetter = "higher"\nscore = "{}"\n'
    (tmp_path / "two.toml").write_text(key.format("sum"))
    stated = ANALYSIS + '\n[scores.mood]\ninstrument = "two.toml"\nitems = ["i1", "i2"]\n'
    before = rows_of(tmp_path, rows, stated).digests
    (tmp_path / "two.toml").write_text(key.format("mean"))
    assert tell_changes(before, rows_of(tmp_path, rows, stated).digests) == [
        "the scoring key of 'mood' is another one.",
    ]
