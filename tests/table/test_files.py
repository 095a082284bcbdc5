"""Files as programs write them: text of any kind, SPSS, Stata and Excel, with what each of them hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyreadstat
import pytest

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week"}
CLEAN = {"pid": ["A", "A", "B"], "week": [1.0, 2.0, 1.0], "y": [3.5, 4.0, 2.25]}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write text with the line ends that it has."""
    path.write_bytes(text.encode(encoding))
    return path


def is_clean(table: ba.SessionTable) -> bool:
    """Return whether a table holds the three clean rows."""
    return {name: table.frame[name].tolist() for name in CLEAN} == CLEAN


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "pid,week,y\nA,1,3.5\nA,2,4\nB,1,2.25\n", ()),
        ("a.csv", "pid;week;y\r\nA;1;3,5\r\nA;2;4\r\nB;1;2,25\r\n", ("separated by ';'", "read as decimals")),
        ("a.csv", "sep=;\npid;week;y\nA;1;3.5\nA;2;4\nB;1;2.25\n", ()),
        ("a.csv", '"sep=|"\npid|week|y\nA|1|3.5\nA|2|4\nB|1|2.25\n', ()),
        ("a.txt", "pid\tweek\ty\nA\t1\t3,5\nA\t2\t4\nB\t1\t2,25\n", ("separated by tabs", "read as decimals")),
        ("a.dat", "pid  week y\n A 1   3.5\nA 2 4\nB 1 2.25\n", ("separated by blanks",)),
        ("a.txt", '"pid" "week" "y"\n"1" "A" 1 3.5\n"2" "A" 2 4\n"3" "B" 1 2.25\n', ("called 'row'",)),
        ("a.csv", '"","pid","week","y"\n"1","A",1,3.5\n"2","A",2,4\n"3","B",1,2.25\n', ("called 'row'",)),
        (
            "a.csv",
            "pid,week,y,,\nA,1,3.5,,\nA,2,4,,\nB,1,2.25,,\n,,,,\n,,,,\n",
            ("2 empty columns and 2 empty rows are",),
        ),
        ("a.csv", "\n\npid,week,y\nA,1,3.5\n\nA,2,4\nB,1,2.25\n", ()),
        ("a.csv", '\ufeffpid,week,y\nA,1,3.5\nA,2,4\nB,1,"2.25"\n', ()),
        ("a.csv", "pid,week,y\rA,1,3.5\rA,2,4\rB,1,2.25\r", ()),
        ("a.csv", 'pid,week,y,note\nA,1,3.5,"a, b\nc"\nA,2,4,"d;e;f"\nB,1,2.25,\n', ()),
    ],
)
def test_text_as_programs_write_it(tmp_path: Path, name: str, text: str, says: tuple[str, ...]) -> None:
    """Separators, decimal signs, row names, empty edges and line ends are found; what is not usual is said."""
    table = ba.read_sessions(write(tmp_path / name, text), ROLES)
    assert is_clean(table)
    for words in says:
        assert any(words in message for message in table.messages), table.messages
    assert bool(table.messages) == bool(says)


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("utf-16-le", False), ("cp1252", True)],
)
def test_encodings(tmp_path: Path, encoding: str, says: bool) -> None:
    """UTF-8 and UTF-16 by themselves, Windows text with a message; names of columns come out right."""
    text = "pid,week,Größe\nA,1,groß\nA,2,klein\nB,1,klein\n"
    table = ba.read_sessions(write(tmp_path / "a.csv", text, encoding), ROLES)
    assert table.frame["Größe"].tolist() == ["groß", "klein", "klein"]
    assert any("cp1252" in message for message in table.messages) == says


def test_what_is_stated_of_a_text_file(tmp_path: Path) -> None:
    """Separator, decimal sign, encoding and lines of the header; what is wrong with these is said at once."""
    text = "Export of 1 May\nscores;;\npid;week;y\nA;1;3,5\nA;2;4\nB;1;2,25\n"
    path = write(tmp_path / "a.csv", text)
    assert is_clean(ba.read_sessions(path, ROLES, separator=";", decimal=",", header=3))
    two = write(tmp_path / "b.csv", "who;;score\nid;week;y\nA;1;3,5\nA;2;4\nB;1;2,25\n")
    joined = ba.read_sessions(two, {"patient": "who_id", "session": "who_week"}, header=[1, 2])
    assert joined.frame["score_y"].tolist() == CLEAN["y"]
    greek = write(tmp_path / "c.csv", "pid,week,y\nA,1,α\n", "iso8859-7")
    assert ba.read_sessions(greek, ROLES, encoding="iso8859-7").frame["y"].tolist() == ["α"]
    with pytest.raises(ba.TableError) as caught:
        ba.read_sessions(path, ROLES, separator="::", decimal=";", encoding="latin-99", header=0)
    assert len(caught.value.problems) == 4
    with pytest.raises(ba.TableError, match=r"is no text in utf-8\. State its encoding, such as encoding='cp1252'"):
        ba.read_sessions(greek, ROLES, encoding="utf-8")
    title = write(tmp_path / "d.csv", "Export,,\npid,week,y\nA,1,3.5\n")
    with pytest.raises(ba.TableError, match=r"first line of 'd.csv' names 1 of 3 columns\. State the line.*header=2"):
        ba.read_sessions(title, ROLES)
    uneven = write(tmp_path / "e.csv", "pid,week,y\nA,1,3.5\nA,2\nB,1,2,9\n")
    with pytest.raises(
        ba.TableError, match=r"2 rows of 'e.csv' have another number of cells .*row 2 \(2\), row 3 \(4\)"
    ):
        ba.read_sessions(uneven, ROLES)


def test_thousands_are_not_guessed_to_be_decimals(tmp_path: Path) -> None:
    """1,234 does not say what its comma means, nor 1.234 beside 12,5 in another column; both can be stated."""
    text = "pid;week;y;z;cost\nA;1;1,234;3,5;850,50\nA;2;2,345;4;1.234\n"
    table = ba.read_sessions(write(tmp_path / "a.csv", text), ROLES)
    assert "y" in table.doubts
    assert table.frame["z"].tolist() == [3.5, 4.0]
    assert table.frame["cost"].tolist() == [850.5, 1234.0]
    assert "Commas in 'z', 'cost' were read as decimals. State decimal='.' if they are thousands." in table.messages
    stated = ba.read_sessions(tmp_path / "a.csv", ROLES, decimal=",")
    assert stated.frame["y"].tolist() == [1.234, 2.345]
    points = write(tmp_path / "b.csv", "pid;week;y\nA;1;1.234\nA;2;2.345\n")
    assert ba.read_sessions(points, ROLES).frame["y"].tolist() == [1.234, 2.345]
    assert "State decimal='.'" in str(ba.read_sessions(points, ROLES, decimal=",").doubts["y"])
    marks = write(
        tmp_path / "c.csv", "pid;week;a;b;c;d\nA;1;1 234;50%;1.850,50;01.02.2024\nA;2;2 345;7%;2.100,00;02.02.2024\n"
    )
    odd = ba.read_sessions(marks, ROLES)
    assert set(odd.doubts) == {"a", "b"}
    assert odd.frame["c"].tolist() == [1850.5, 2100.0]


def in_spss(path: Path) -> Path:
    """Write SYNTHETIC sessions as SPSS does: labels, declared codes and a range of them, German letters, a date."""
    frame = pd.DataFrame(
        {
            "pid": ["1ä", "1ä", "2ß", "2ß"],
            "week": [1.0, 2, 1, 2],
            "arm": [1.0, 1, 2, 2],
            "wai": [5.0, 99, -95, 7],
            "stage": [1.0, 2, 3, 9],
            "note": ["x", "NA", "", "y"],
            "born": pd.to_datetime(["1980-01-02"] * 4),
        }
    )
    pyreadstat.write_sav(
        frame,
        path,
        variable_value_labels={
            "arm": {1: "TAU", 2: "MBCT"},
            "wai": {1: "never", 7: "always", 99: "refused"},
            "stage": {1: "low", 2: "mid", 3: "high", 9: "no answer"},
        },
        missing_ranges={"wai": [99, {"lo": -100, "hi": -90}], "stage": [9], "note": ["NA"]},
        variable_measure={"arm": "nominal", "wai": "scale", "stage": "ordinal"},
    )
    return path


def test_spss(tmp_path: Path) -> None:
    """Labels of nominal variables are levels, declared codes are missing and counted by code, dates stop nothing."""
    table = ba.read_sessions(in_spss(tmp_path / "a.sav"), ROLES)
    frame = table.frame
    assert frame["arm"].tolist() == ["TAU", "TAU", "MBCT", "MBCT"]
    np.testing.assert_array_equal(frame["wai"], [5, np.nan, np.nan, 7])
    np.testing.assert_array_equal(frame["stage"], [1, 2, 3, np.nan])
    assert table.messages[0] == (
        "4 cells hold values that the file declares missing: 'wai': -95 (1), 99 (1); 'stage': 9 (1); 'note': NA (1)."
    )
    assert (
        "Value labels are the values of 'arm'. Where numbers are wanted, state labels= with the other columns alone."
        in table.messages
    )
    assert any("'wai', 'stage' stay numbers" in message for message in table.messages)
    assert "born" in table.doubts
    stated = ba.read_sessions(tmp_path / "a.sav", ROLES, labels=["stage"])
    assert stated.frame["stage"].dropna().tolist() == ["low", "mid", "high"]
    assert stated.frame["arm"].tolist() == [1, 1, 2, 2]
    with pytest.raises(ba.TableError, match=r"labels names 'wai', in which '5' has no label"):
        ba.read_sessions(tmp_path / "a.sav", ROLES, labels=["wai"])
    with pytest.raises(ba.TableError, match=r"labels names 'week', whose values have none in the file"):
        ba.read_sessions(tmp_path / "a.sav", ROLES, labels=["week"])
    (tmp_path / "b.sav").write_text("no SPSS")
    with pytest.raises(ba.TableError, match=r"'b.sav' cannot be read: .*Save it anew"):
        ba.read_sessions(tmp_path / "b.sav", ROLES)


def test_stata(tmp_path: Path) -> None:
    """Missing letters of Stata are missing and counted; labels are levels."""
    frame = pd.DataFrame({"pid": ["A", "A", "B"], "week": [1, 2, 1], "arm": [1, 1, 2], "y": [3.5, "a", 2.25]})
    pyreadstat.write_dta(
        frame,
        tmp_path / "a.dta",
        variable_value_labels={"arm": {1: "TAU", 2: "MBCT"}},
        missing_user_values={"y": ["a"]},
    )
    table = ba.read_sessions(tmp_path / "a.dta", ROLES)
    assert table.frame["arm"].tolist() == ["TAU", "TAU", "MBCT"]
    np.testing.assert_array_equal(table.frame["y"], [3.5, np.nan, 2.25])
    assert table.messages[0] == "1 cell holds a value that the file declares missing: 'y': a (1)."


def test_labels_of_sessions_items_and_scales_explain_numbers(tmp_path: Path) -> None:
    """In Stata every value may have a label: sessions, items of a score and bounded scales stay numbers."""
    people = [f"p{i}" for i in range(6) for _ in range(2)]
    frame = pd.DataFrame({"pid": people, "week": [1, 2] * 6, "arm": [0, 0, 1, 1] * 3, "mood": [1, 2] * 6})
    for item in range(1, 10):
        frame[f"phq_{item}"] = [0, 1, 2, 3] * 3
    answers = {0: "never", 1: "some days", 2: "many days", 3: "every day"}
    labels: dict[str, dict[int, str]] = {f"phq_{item}": answers for item in range(1, 10)}
    labels |= {"week": {1: "first", 2: "second"}, "arm": {0: "TAU", 1: "CBT"}, "mood": {1: "low", 2: "high"}}
    pyreadstat.write_dta(frame, tmp_path / "a.dta", variable_value_labels=labels)
    table = ba.read_sessions(
        tmp_path / "a.dta", ROLES, scores={"phq": {"instrument": "phq-9", "items": "phq_*"}}, bounds={"mood": (1, 2)}
    )
    assert table.frame["week"].tolist() == [1, 2] * 6
    assert table.frame["phq"].tolist() == [0, 9, 18, 27] * 3
    assert table.frame["mood"].tolist() == [1, 2] * 6
    assert table.frame["arm"].tolist() == ["TAU", "TAU", "CBT", "CBT"] * 3
    assert "'week', 'mood', 'phq_1', 'phq_2', 'phq_3', … (11 in all) stay numbers: they are sessions" in " ".join(
        table.messages
    )
    wide = pd.DataFrame({"pid": ["a", "b"], "m_1": [1, 2], "m_2": [2, 1], "phq_1": [0, 1], "phq_2": [1, 0]})
    own = {"m_1": {1: "low", 2: "high"}, "m_2": {1: "low", 2: "high"}}
    pyreadstat.write_dta(wide, tmp_path / "w.dta", variable_value_labels=own)
    long = ba.read_sessions(
        tmp_path / "w.dta", {"patient": "pid"}, wide={"mood": "m_{session}"}, bounds={"mood": (1, 2)}
    )
    assert long.frame["mood"].tolist() == [1, 2, 2, 1]
    words = ba.read_sessions(tmp_path / "a.dta", ROLES, labels=["mood", "arm"], bounds={})
    assert words.frame["mood"].tolist() == ["low", "high"] * 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sheet": "Daten"}, r"A file of the kind \.csv has no sheet\. Files that do end in \.xlsx, \.xlsm"),
        ({"labels": ["arm"]}, r"A file of the kind \.csv has no labels\. Files that do end in \.sav"),
        ({"header": [2, 1]}, r"header is \(2, 1\)\. Lines from the upper to the lower, each once: \[1, 2\]"),
    ],
)
def test_options_that_a_file_does_not_read(options: dict, message: str, tmp_path: Path) -> None:
    """What is stated of a file and read by none is not passed over; a table beside it may read it."""
    path = write(tmp_path / "a.csv", "pid,week,y\nA,1,2\n")
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(path, ROLES, **options)
    frame = pd.DataFrame({"pid": ["A"], "week": [1], "y": [2]})
    with pytest.raises(ba.TableError, match=r"A table that is no file has no separator"):
        ba.read_sessions(frame, ROLES, separator=";")
    people = write(tmp_path / "b.csv", "pid;age\nA;30\n")
    assert ba.read_sessions(frame, ROLES, patients=people, separator=";").frame["age"].tolist() == [30]


def in_excel(path: Path) -> Path:
    """Write SYNTHETIC sessions in a workbook of two sheets, with an error of a formula and empty edges."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Daten"
    for row in (["pid", "week", "y", None], ["A", 1, 3.5, None], ["A", 2, 4, None], ["B", 1, 2.25, None]):
        sheet.append(row)
    sheet.append([None, None, None, None])
    error = sheet.cell(row=3, column=5)
    error.value, error.data_type = "#DIV/0!", "e"
    sheet.cell(row=1, column=5).value = "ratio"
    book.create_sheet("Codebook").append(["variable", "meaning"])
    book.save(path)
    return path


def test_excel(tmp_path: Path) -> None:
    """A sheet by its name; errors are missing and counted; an empty column and row are left out."""
    path = in_excel(tmp_path / "a.xlsx")
    with pytest.raises(ba.TableError, match=r"has 2 sheets with cells: 'Daten', 'Codebook'\. State.*sheet='Daten'"):
        ba.read_sessions(path, ROLES)
    table = ba.read_sessions(path, ROLES, sheet="Daten")
    assert is_clean(table)
    assert table.messages[0] == "1 cell holds an error of Excel and is missing: #DIV/0! (1), in E3."
    assert any("1 empty column" in message for message in table.messages)
    with pytest.raises(ba.TableError, match=r"Unknown sheet 'daten'.*Did you mean 'Daten'"):
        ba.read_sessions(path, ROLES, sheet="daten")


def test_headers_of_workbooks(tmp_path: Path) -> None:
    """Merged cells above the names of columns are an error with the remedy; dates and protected files, too."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["Session", None, "WAI"], ["pid", "week", "y"], ["A", 1, 3.5], ["A", 2, 4], ["B", 1, 2.25]):
        sheet.append(row)
    sheet.merge_cells("A1:B1")
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(ba.TableError, match=r"Cells of the header are merged in sheet 'Sheet': A1:B1\. State the line"):
        ba.read_sessions(tmp_path / "a.xlsx", ROLES)
    assert is_clean(ba.read_sessions(tmp_path / "a.xlsx", ROLES, header=2))
    roles = {"patient": "Session_pid", "session": "Session_week"}
    assert ba.read_sessions(tmp_path / "a.xlsx", roles, header=[1, 2]).frame["WAI_y"].tolist() == CLEAN["y"]
    (tmp_path / "b.xlsx").write_bytes(b"\xd0\xcf\x11\xe0" + bytes(100))
    with pytest.raises(ba.TableError, match=r"protected by a password, or was written by Excel before 2007"):
        ba.read_sessions(tmp_path / "b.xlsx", ROLES)


def test_rows_named_by_an_index_are_columns() -> None:
    """A MultiIndex of patients and sessions is two columns; a frame's plain index is none."""
    frame = pd.DataFrame(CLEAN)
    table = ba.read_sessions(frame.set_index(["pid", "week"]), ROLES)
    assert is_clean(table)
    assert table.messages == ("Names of rows are columns: 'pid', 'week'.",)
    assert is_clean(ba.read_sessions(frame.set_index(pd.Index([7, 8, 9])), ROLES))


def test_only_wanted_columns_of_5000_are_converted(tmp_path: Path) -> None:
    """Of a wide file what nothing reads is not read either."""
    rng = np.random.default_rng(1)
    many = pd.DataFrame(rng.normal(size=(3, 5000)), columns=[f"v{i}" for i in range(5000)])
    pyreadstat.write_sav(pd.concat([pd.DataFrame(CLEAN), many], axis=1), tmp_path / "a.sav")
    table = ba.read_sessions(tmp_path / "a.sav", ROLES, columns=["y", "v7"])
    assert is_clean(table)
    assert list(table.frame) == ["pid", "week", "y", "v7"]
    with pytest.raises(ba.TableError, match="columns names 'v9999', which is no column"):
        ba.read_sessions(tmp_path / "a.sav", ROLES, columns=["y", "v9999"])


def test_rows_with_a_cell_more_are_not_shifted(tmp_path: Path) -> None:
    """A separator at the end of every row is left out; names of rows are all different; anything else is refused."""
    path = write(tmp_path / "a.csv", "pid,week,y\nA,1,3.5,\nA,2,4,\nB,1,2.25,\n")
    table = ba.read_sessions(path, ROLES)
    assert is_clean(table)
    assert table.messages == ("Rows of 'a.csv' end in a separator; the empty cell behind it is left out.",)
    twice = write(tmp_path / "b.csv", "pid,week,y\nx,A,1,3.5\nx,A,2,4\n")
    with pytest.raises(ba.TableError, match=r"one cell more than the header's 3, and neither is the last one empty"):
        ba.read_sessions(twice, ROLES)
    with pytest.raises(ba.TableError, match=r"one cell more than the header's 1"):
        ba.read_sessions(write(tmp_path / "c.csv", "x\n1,5\n2,6\n"), {"patient": "x"})


def test_a_quote_that_nothing_closes_is_found(tmp_path: Path) -> None:
    """It would swallow the rows behind it; a note of several lines is none."""
    bad = write(tmp_path / "a.csv", 'pid,week,note\nA,1,"oops\nA,2,b\nB,1,c\n')
    with pytest.raises(ba.TableError, match=r"A cell of row 1 of 'a.csv' holds \d lines that look like rows"):
        ba.read_sessions(bad, ROLES)
    good = write(tmp_path / "b.csv", 'pid,week,note\nA,1,"one\ntwo, three"\nA,2,b\n')
    assert len(ba.read_sessions(good, ROLES)) == 2


def test_workbooks_with_merged_cells_and_formulas_without_results(tmp_path: Path) -> None:
    """A value merged over rows stands in each; results that the file does not hold are an error."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["pid", "week", "tid"], ["A", 1, "t1"], ["A", 2, None], ["B", 1, "t2"]):
        sheet.append(row)
    sheet.merge_cells("C2:C3")
    book.save(tmp_path / "a.xlsx")
    table = ba.read_sessions(tmp_path / "a.xlsx", ROLES | {"therapist": "tid"})
    assert table.frame["tid"].tolist() == ["t1", "t1", "t2"]
    assert table.messages[0] == "1 merged cell below the header stand for each of theirs: C2:C3."
    sheet["D1"], sheet["D2"] = "twice", "=B2*2"
    book.save(tmp_path / "b.xlsx")
    with pytest.raises(ba.TableError, match=r"'twice' in sheet 'Sheet' of 'b.xlsx' are formulas.*Open it in Excel"):
        ba.read_sessions(tmp_path / "b.xlsx", ROLES)


def test_spss_labels_that_repeat_and_dates_with_codes(tmp_path: Path) -> None:
    """One label of two values keeps the numbers; a date's codes are none of its cells."""
    frame = pd.DataFrame(
        {"pid": ["A", "B"], "week": [1.0, 1], "x": [1.0, 2], "born": pd.to_datetime(["1980-01-01"] * 2)}
    )
    pyreadstat.write_sav(
        frame,
        tmp_path / "a.sav",
        variable_value_labels={"x": {1: "yes", 2: "yes"}},
        variable_measure={"x": "nominal"},
        missing_ranges={"x": [9]},
    )
    table = ba.read_sessions(tmp_path / "a.sav", ROLES)
    assert table.frame["x"].tolist() == [1, 2]
    with pytest.raises(ba.TableError, match=r"Values of 'x' share the label 'yes'"):
        ba.read_sessions(tmp_path / "a.sav", ROLES, labels=["x"])
