"""Reading: identifiers stay text, cells become numbers or words, and files that cannot be read say why."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week"}


def write(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text)
    return path


def test_ids_in_csv_stay_three_patients(tmp_path: Path) -> None:
    """'01', '1' and 'NA' are three patients; look-alikes are named in a warning and kept apart."""
    path = write(tmp_path / "s.csv", "pid,week,y\n01,1,3\n1,1,4\nNA,1,5\nNA,2,\n")
    with pytest.warns(ba.AllianceWarning) as caught:
        table = ba.read_sessions(path, ROLES)
    said = " ".join(str(warning.message) for warning in caught)
    assert "'01', '1'. They are kept apart" in said
    assert "patient ids that look like a code for missing: 'NA' in 2 rows" in said
    assert sorted(set(table.ids("patient"))) == ["01", "1", "NA"]
    assert np.isnan(table.frame["y"]).sum() == 1


def test_ids_of_mixed_types_in_a_frame_stay_apart() -> None:
    """The text '01' beside the number 1 are two patients."""
    frame = pd.DataFrame({"pid": pd.Series(["01", 1], dtype=object), "week": [1, 1], "y": [1.0, 2.0]})
    with pytest.warns(ba.AllianceWarning, match="'01', '1'"):
        table = ba.read_sessions(frame, ROLES)
    assert list(table.ids("patient")) == ["01", "1"]


def test_whole_float_ids_lose_their_point() -> None:
    """An id column that became float because of a gap reads as whole numbers, and the gap is a problem."""
    with pytest.raises(ba.TableError, match=r"patient column 'pid' has no identifier in 1 row: row 2"):
        ba.read_sessions(pd.DataFrame({"pid": [3.0, np.nan], "week": [1, 2], "y": [1.0, 2.0]}), ROLES)
    table = ba.read_sessions(pd.DataFrame({"pid": [3.0, 4.0], "week": [1, 2], "y": [1.0, 2.0]}), ROLES)
    assert list(table.ids("patient")) == ["3", "4"]


def test_parquet_and_csv_give_the_same_table(tmp_path: Path, trial: pd.DataFrame) -> None:
    """The two formats hold the same rows, roles and fingerprint."""
    trial.to_parquet(tmp_path / "t.parquet")
    trial.to_csv(tmp_path / "t.csv", index=False)
    roles = {"patient": "pid", "therapist": "tid", "session": "week"}
    one, two = (ba.read_sessions(tmp_path / name, roles) for name in ("t.parquet", "t.csv"))
    assert one.fingerprint() == two.fingerprint()
    assert len(one) == len(trial)


def test_semicolons_are_read_where_the_header_has_them(tmp_path: Path) -> None:
    """A spreadsheet's semicolon CSV is read, decimal commas too; a message names the separator and the decimal mark."""
    good = write(tmp_path / "a.csv", "pid;week;y\nA;1;3.5\nA;2;4\n")
    assert list(ba.read_sessions(good, ROLES).frame["y"]) == [3.5, 4.0]
    comma = ba.read_sessions(write(tmp_path / "b.csv", "pid;week;y\nA;1;3,5\nA;2;4\n"), ROLES)
    assert list(comma.frame["y"]) == [3.5, 4.0]
    assert comma.messages == (
        "Cells of 'b.csv' are separated by ';'.",
        "Commas in 'y' were read as decimals. State decimal='.' if they are thousands.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There are no rows in 's.csv'"),
        ("pid,week,y\n", "There are no rows in 's.csv'"),
        ("pid,week,week\nA,1,2\n", r"No column 'week' to play 'session'. Columns seen: 'pid', 'week_1', 'week_2'"),
        ("pid,week,y\nA,x,3\nA,2,4\n", r"Column 'week' has numbers beside text in 1 cell: row 1 \('x'\)"),
        (
            "pid,week,y\nA,-1,3\n",
            r"session column 'week' is negative in 1 row: row 1 \(-1.0\). Allowed: whole numbers from 0",
        ),
        ("pid,week,y\nA,1.5,3\n", r"session column 'week' is not a whole number in 1 row: row 1 \(1.5\)"),
        ("pid,week,y\nA,,3\nA,2,1\n", r"session column 'week' is missing in 1 row: row 1"),
        ("pid,week,y\n,1,3\nA,2,1\n", r"patient column 'pid' has no identifier in 1 row: row 1"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, text: str, message: str) -> None:
    """Each kind of bad cell is an error that names column and row."""
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(write(tmp_path / "s.csv", text), ROLES)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    """A file that is not there, of another kind, or not text is refused."""
    with pytest.raises(ba.TableError, match=r"No file at"):
        ba.read_sessions(tmp_path / "no.csv", ROLES)
    with pytest.raises(ba.TableError, match=r"of no kind that can be read. Allowed: .csv.*Save it as .xlsx\."):
        ba.read_sessions(write(tmp_path / "s.xls", "x"), ROLES)
    with pytest.raises(ba.TableError, match=r"'s.xlsx' is no workbook that can be read"):
        ba.read_sessions(write(tmp_path / "s.xlsx", "x"), ROLES)
    (tmp_path / "odd.csv").write_bytes(b"pid,week,y\nJos\x81,1,2\n")
    with pytest.raises(ba.TableError, match=r"in neither UTF-8 nor cp1252 \(Windows\)\. State its encoding"):
        ba.read_sessions(tmp_path / "odd.csv", ROLES)


def test_declared_codes_are_missing() -> None:
    """-9 and 'x' are missing where declared, and only there."""
    frame = pd.DataFrame(
        {"pid": ["A", "A", "B"], "week": [1, 2, 1], "y": [-9, 3, 4], "z": ["x", "1", "2"], "w": [-9, 1, 2]}
    )
    table = ba.read_sessions(frame, ROLES, missing={"y": [-9], "z": ["x"]})
    assert np.isnan(table.frame["y"].iloc[0])
    assert np.isnan(table.frame["z"].iloc[0])
    assert table.frame["w"].iloc[0] == -9
    with pytest.raises(ba.TableError, match="missing= names 'q', which is no column"):
        ba.read_sessions(frame, ROLES, missing={"q": [1], "z": ["x"]})


def read_by_a_model(table: ba.SessionTable, outcome: str) -> ba.Design:
    """Return the design of a model that reads one column as its outcome."""
    text = f'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "{outcome}"\nunit = "session"\nformula = "week"\n'
    return ba.make_design(ba.parse_model(text), table)


NO_NUMBERS = {
    "dates": pd.to_datetime(["2020-01-01"] * 6),
    "dates of a zone": pd.to_datetime(["2020-01-01"] * 6, utc=True),
    "dates as objects": pd.Series([datetime.date(2020, 1, 1)] * 6, dtype=object),
    "periods": pd.period_range("2020", periods=6, freq="D"),
    "durations": pd.Series([pd.Timedelta(1, "D")] * 6),
    "intervals": pd.interval_range(0, 6),
    "complex numbers": np.arange(6) + 1j,
    "lists": pd.Series([[1]] * 6),
    "lists of Arrow": pd.Series([[1]] * 6, dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "bytes": pd.Series([b"a"] * 6),
    "several kinds": pd.Series([1, "a", datetime.date(2020, 1, 1), 2.5, None, True], dtype=object),
    "numbers and a note": pd.Series(["1", "2", "3", "4", "left", "6"]),
    "thousands": pd.Series(["1,234", "2,345", "3,456", "4,567", "5,678", "6,789"]),
    "infinite": pd.Series([np.inf, 1, 2, 3, 4, 5]),
    "infinite in text": pd.Series(["inf", "1", "2", "3", "4", "5"]),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_what_is_no_number_stops_nothing_until_a_model_reads_it(kind: str) -> None:
    """Such a column is read as words beside others, as from CSV; a model that reads it is refused by name."""
    frame = pd.DataFrame(
        {"pid": list("AABBCC"), "week": [1, 2] * 3, "y": [1.0, 2, 3, 4, 6, 5], "odd": NO_NUMBERS[kind]}
    )
    table = ba.read_sessions(frame, ROLES)
    assert any(message.startswith("Column 'odd'") for message in table.messages)
    assert len(read_by_a_model(table, "y").equation.y) == 6
    with pytest.raises(ba.DesignError, match=r"Column 'odd' (holds|is infinite|has numbers)"):
        read_by_a_model(table, "odd")
    with pytest.raises(ba.DesignError, match="Column 'odd'"):
        read_by_a_model(ba.select_rows(table, minimum={"week": 1}), "odd")


@pytest.mark.parametrize("kind", ["dates", "lists", "complex numbers"])
def test_session_numbers_of_another_type_are_refused(kind: str) -> None:
    """A role is always read: its column is refused where the table is read."""
    frame = pd.DataFrame({"pid": list("AABBCC"), "week": NO_NUMBERS[kind], "y": 1.0})
    with pytest.raises(ba.TableError, match=f"Column 'week' holds {kind}"):
        ba.read_sessions(frame, ROLES)


def test_numbers_of_other_types_are_numbers() -> None:
    """Decimals, booleans with gaps, nullable and Arrow integers are numbers, missing where they lack a value."""
    columns = {
        "decimal": pd.Series([Decimal("1.5"), None, Decimal("NaN")], dtype=object),
        "gaps": pd.Series([True, None, False], dtype=object),
        "boolean": pd.Series([True, None, False], dtype="boolean"),
        "whole": pd.Series([1, None, 3], dtype="Int64"),
        "arrow": pd.Series([1, None, 3], dtype="int64[pyarrow]"),
    }
    found = ba.read_sessions(pd.DataFrame({"pid": list("ABC"), "week": 1, **columns}), ROLES).frame
    expected = {"decimal": [1.5, np.nan, np.nan], "gaps": [1.0, np.nan, 0.0], "boolean": [1.0, np.nan, 0.0]}
    for name in columns:
        np.testing.assert_array_equal(found[name], expected.get(name, [1.0, np.nan, 3.0]))


CODED = {
    "category of numbers": (pd.Categorical([99, 1, 2, 99]), [True, False, False, True]),
    "category of floats": (pd.Categorical([99.0, 1.0, 2.0, np.nan], ordered=True), [True, False, False, True]),
    "category of text": (pd.Categorical(["99", "NA", "a", " "]), [True, True, False, True]),
    "dictionary": (
        pd.Series(["99", "NA", "a", "b"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
        [True, True, False, False],
    ),
    "text": (pd.Series(["99", "99.0", "a", "b"], dtype="str"), [True, True, False, False]),
    "nullable text": (pd.Series(["99", None, "NA", "b"], dtype="string"), [True, True, True, False]),
    "objects": (pd.Series([99, "99", "a", None], dtype=object), [True, True, False, True]),
    "nullable numbers": (pd.Series([99, 1, None, 2], dtype="Int64"), [True, False, True, False]),
    "Arrow numbers": (pd.Series([99, 1, None, 2], dtype="int64[pyarrow]"), [True, False, True, False]),
    "decimals": (pd.Series([Decimal(99), Decimal(1), None, Decimal("99.0")], dtype=object), [True, False, True, True]),
}


@pytest.mark.parametrize("code", [99, 99.0, "99", np.int64(99)])
@pytest.mark.parametrize("kind", CODED)
def test_declared_codes_are_missing_in_every_type_of_column(kind: str, code: str | float) -> None:
    """99, 99.0 and "99" are one code, in categories, dictionaries, text and numbers; so are blanks and "NA"."""
    column, missing = CODED[kind]
    frame = pd.DataFrame({"pid": list("ABCD"), "week": 1, "x": column})
    assert ba.read_sessions(frame, ROLES, missing={"x": code}).frame["x"].isna().tolist() == missing  # type: ignore[dict-item]


def test_categories_that_mean_missing_are_counted_and_named() -> None:
    """They are no levels any more, whatever their order; booleans have codes too."""
    stage = pd.Categorical(["low", "-99", "high", "-99"], categories=["low", "high", "-99"], ordered=True)
    frame = pd.DataFrame({"pid": list("ABCD"), "week": 1, "stage": stage, "left": [True, False, True, False]})
    table = ba.read_sessions(frame, ROLES, missing={"stage": [-99], "left": ["False"]})
    assert list(table.frame["stage"].cat.categories) == ["low", "high"]
    assert "Column 'stage': 2 cells hold a declared code: '-99' (2)." in table.messages
    assert "Column 'left': 2 cells hold a declared code: 'False' (2)." in table.messages
    np.testing.assert_array_equal(table.frame["left"], [1.0, np.nan, 1.0, np.nan])


def test_categories_that_are_written_the_same_are_refused() -> None:
    """Two categories of an order would become one level unsaid; 1 and "1" are one number wherever they stand."""
    numbers = pd.DataFrame({"pid": list("ABC"), "week": 1, "x": pd.Categorical([1, "1", 2])})
    assert ba.read_sessions(numbers, ROLES).frame["x"].tolist() == [1.0, 1.0, 2.0]
    frame = pd.DataFrame(
        {"pid": list("ABC"), "week": 1, "x": pd.Categorical(["b", "b ", "a"], ["b", "b ", "a"], ordered=True)}
    )
    with pytest.raises(ba.TableError, match="Column 'x' has categories that are written the same"):
        ba.read_sessions(frame, ROLES)


class Streamed:
    """A frame of another library: all it has is Arrow's C stream."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._table = pa.Table.from_pandas(frame)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the table over."""
        return self._table.__arrow_c_stream__(requested_schema)


def test_frames_of_other_libraries_are_read(trial: pd.DataFrame) -> None:
    """A polars frame, a pyarrow Table: whatever hands itself over as Arrow gives the table a DataFrame gives."""
    expected = ba.read_sessions(trial, {"patient": "pid", "session": "week"}).fingerprint()
    for source in (Streamed(trial), pa.Table.from_pandas(trial)):
        assert ba.read_sessions(source, {"patient": "pid", "session": "week"}).fingerprint() == expected


@pytest.mark.parametrize(
    "source",
    [
        None,
        3.5,
        [1, 2],
        {"pid": ["A"]},
        pd.Series([1]),
        np.zeros((2, 2)),
        pa.array([1]),
        "x" * 5000 + ".csv",
        "a\0.csv",
    ],
    ids=lambda source: type(source).__name__,
)
def test_what_is_no_table_is_refused(source: object) -> None:
    """Lists, dicts, Series, arrays and impossible paths are a TableError that says what is allowed."""
    with pytest.raises(
        ba.TableError, match=r"is no table of sessions\. Allowed|cannot be read as a table|No file|cannot"
    ):
        ba.read_sessions(source, ROLES)


def test_columns_of_several_levels_are_refused() -> None:
    """A name of a column is one text; numbers become text, and two that do so alike are numbered."""
    frame = pd.DataFrame([["A", 1, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "pid"), ("a", "week"), ("b", "y")]))
    with pytest.raises(ba.TableError, match=r"Columns of the DataFrame have several levels of names: \('a', 'pid'\)"):
        ba.read_sessions(frame, ROLES)
    frame.columns = pd.Index(["pid", "week", 3])
    assert "3" in ba.read_sessions(frame, ROLES).units
    twice = ba.read_sessions(frame.assign(**{"3": 1}), ROLES)
    assert set(twice.units) == {"3_1", "3_2"}
    assert twice.messages == ("Columns share a name: 3. They are numbered: 3_1, 3_2.",)


def test_text_of_numbers_becomes_numbers() -> None:
    """A text column in which every cell is a number is read as numbers."""
    frame = pd.DataFrame({"pid": ["A", "B"], "week": ["1", "2"], "y": ["3", "4.5"]})
    assert list(ba.read_sessions(frame, ROLES).frame["y"]) == [3.0, 4.5]


def test_tab_delimited_text_keeps_empty_cells(tmp_path: Path) -> None:
    """An empty cell of tab-delimited text stays where it is; a row of another length is refused by number."""
    path = write(tmp_path / "t.txt", "pid\tweek\ty\tage\np01\t3\t\t43\np02\t1\t5\t50\n")
    frame = ba.read_sessions(path, ROLES).frame
    assert np.isnan(frame["y"].iloc[0])
    assert list(frame["age"]) == [43, 50]
    for text in ("pid,week,y\nA,1\nB,1,2\n", "pid,week,y\nA,1,2,3\nB,1,2\n"):
        with pytest.raises(
            ba.TableError, match=r"1 row of 's.csv' has another number of cells than the header's 3: row 1"
        ):
            ba.read_sessions(write(tmp_path / "s.csv", text), ROLES)


def test_space_separated_text_is_read(tmp_path: Path) -> None:
    """Quoted, space-separated tables as R writes them are read."""
    path = write(tmp_path / "s.dat", '"pid" "week" "y"\n"A" 1 2.5\n"B b"  1 3\n')
    assert list(ba.read_sessions(path, ROLES).ids("patient")) == ["A", "B b"]


@pytest.mark.parametrize("code", [-9, [-9], "-9", ["-9"]])
def test_missing_codes_match_numbers_however_written(tmp_path: Path, code: object) -> None:
    """-9 is missing whether the file says -9 or -9.0, and one code needs no brackets; 9 is untouched."""
    path = write(tmp_path / "s.csv", "pid,week,y\nA,1,-9.0\nA,2,9\nA,3,-9\n")
    values = ba.read_sessions(path, ROLES, missing={"y": code}).frame["y"]  # type: ignore[dict-item]
    assert list(values.isna()) == [True, False, True]


def test_na_as_an_id_is_named_and_can_be_declared(tmp_path: Path) -> None:
    """R's NA in an id column stays an id with a warning, and is missing where declared."""
    path = write(tmp_path / "s.csv", "pid,week,tid\nA,1,NA\nB,1,t1\n")
    roles = ROLES | {"therapist": "tid"}
    with pytest.warns(ba.AllianceWarning, match=r"therapist ids that look like a code for missing: 'NA' in 1 row"):
        assert set(ba.read_sessions(path, roles).ids("therapist")) == {"NA", "t1"}
    assert set(ba.read_sessions(path, roles, missing={"tid": ["NA"]}).ids("therapist")) == {"", "t1"}


def test_blank_ids_are_missing() -> None:
    """Blanks name nobody."""
    with pytest.raises(ba.TableError, match="has no identifier in 1 row: row 1"):
        ba.read_sessions(pd.DataFrame({"pid": ["  ", "A"], "week": [1, 1]}), ROLES)


def test_mostly_commas_with_a_dot_are_still_commas(tmp_path: Path) -> None:
    """A stray code beside commas keeps a column from being numbers, until that is said; nothing else stops."""
    path = write(tmp_path / "s.csv", 'pid,week,y\nA,1,"3,5"\nA,2,"4,1"\nA,3,.\n')
    table = ba.read_sessions(path, ROLES)
    with pytest.raises(ba.DesignError, match=r"'y' has numbers with a comma in 2 cells: .*State decimal=','"):
        read_by_a_model(table, "y")
    stated = ba.read_sessions(path, ROLES, decimal=",", missing={"y": ["."]})
    np.testing.assert_array_equal(stated.frame["y"], [3.5, 4.1, np.nan])
