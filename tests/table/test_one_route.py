"""The same cells give the same table, whatever type a library gave the column and whatever format a file has."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyreadstat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week"}
MISSING = {"x": [-99, "refused"]}
ROWS = 12

NUMBERS = st.sampled_from(["1", "2", "3", "10", "2.5", "-99", "", "NA"])
WORDS = st.sampled_from(["low", "high", "some", "refused", "-99", "", "NA"])
TRUTH = st.sampled_from(["True", "False", "-99", "", "NA"])

type Made = Callable[[pd.Series], pd.Series]


def place(cell: str) -> tuple[float, str]:
    """Return where a cell stands in the order of numbers; words come last."""
    number = pd.to_numeric(pd.Series([cell]), errors="coerce")[0]
    return (np.inf if np.isnan(number) else float(number), cell)


DTYPES: dict[str, Made] = {
    "object": lambda cells: cells.astype(object),
    "str": lambda cells: cells.astype("str"),
    "string": lambda cells: cells.astype("string"),
    "blanks around": lambda cells: " " + cells.astype("str") + "\t",
    "category": lambda cells: cells.astype("category"),
    "ordered": lambda cells: cells.astype(pd.CategoricalDtype(sorted(set(cells), key=place), ordered=True)),
    "Arrow": lambda cells: cells.astype(pd.ArrowDtype(pa.string())),
    "dictionary": lambda cells: cells.astype(pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
}

NUMERIC: dict[str, Made] = {
    "float": lambda cells: pd.to_numeric(cells, errors="coerce").astype("float64"),
    "nullable": lambda cells: pd.to_numeric(cells, errors="coerce").astype("Float64"),
    "Arrow numbers": lambda cells: pd.to_numeric(cells, errors="coerce").astype("double[pyarrow]"),
    "categories of numbers": lambda cells: pd.to_numeric(cells, errors="coerce").astype("category"),
}

FORMATS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "parquet": lambda frame, path: frame.to_parquet(path),
    "sav": lambda frame, path: pyreadstat.write_sav(frame, str(path)),
    "dta": lambda frame, path: pyreadstat.write_dta(frame, str(path)),
    "xlsx": lambda frame, path: frame.to_excel(path, index=False),
}

MODEL = ba.parse_model(
    'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "y"\nunit = "session"\nformula = "x + (1 | patient)"\n'
)


def frame_of(cells: pd.Series) -> pd.DataFrame:
    """Return a table in which x holds some cells."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "pid": [f"p{i // 3}" for i in range(ROWS)],
            "week": [float(i % 3 + 1) for i in range(ROWS)],
            "y": rng.normal(size=ROWS).round(3),
            "x": cells,
        }
    )


def read(source: object) -> tuple[pd.DataFrame, tuple[str, ...], object]:
    """Return the table, its messages, and the columns of a design or what keeps it from being made."""
    table = ba.read_sessions(source, ROLES, missing=MISSING)  # type: ignore[arg-type]
    frame = table.frame
    x = frame["x"]
    frame["x"] = x if x.dtype == np.float64 else x.astype(object).where(x.notna(), None)
    try:
        levels = sorted(set(x.dropna().astype("str")))
        study = ba.Study(table, reference={"x": levels[0]} if x.dtype != np.float64 and levels else {})
        design = ba.make_design(MODEL, study).equation
        return frame, table.messages, (design.coef.labels, design.coef.values.tolist(), design.y.tolist())
    except ba.DesignError as error:
        return frame, table.messages, str(error)


def same(one: tuple, other: tuple, what: str) -> None:
    """Fail where two tables, what is said of them, or their designs differ."""
    pd.testing.assert_frame_equal(one[0], other[0], check_dtype=False, obj=what)
    assert one[1] == other[1], what
    assert one[2] == other[2], what


@pytest.mark.parametrize("kind", ["numbers", "words", "truth"])
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_same_cells_same_table(kind: str, data: st.DataObject) -> None:
    """Text, categories, orders, Arrow and dictionaries; files of five formats; numbers where all cells are."""
    source = {"numbers": NUMBERS, "words": WORDS, "truth": TRUTH}[kind]
    cells = pd.Series(data.draw(st.lists(source, min_size=ROWS, max_size=ROWS)), dtype=object)
    right = read(frame_of(cells))
    for name, make in DTYPES.items():
        if name == "ordered" and kind == "words":
            continue  # an order of words is more than its cells say
        same(right, read(frame_of(make(cells))), name)
    with tempfile.TemporaryDirectory() as folder:
        for name, save in FORMATS.items():
            path = Path(folder) / f"t.{name}"
            save(frame_of(cells.astype("str")), path)
            same(right, read(path), name)
    if kind == "numbers":
        for name, make in NUMERIC.items():
            same(right, read(frame_of(make(cells))), name)


def test_an_order_of_words_is_kept() -> None:
    """Levels are as in text, in their order; what means missing is no level of it."""
    cells = pd.Series(["low", "high", "-99", "some", "NA", ""] * 2)
    order = ["low", "some", "high", "-99", "NA", ""]
    table = ba.read_sessions(frame_of(cells.astype(pd.CategoricalDtype(order, ordered=True))), ROLES, missing=MISSING)
    assert list(table.frame["x"].cat.categories) == ["low", "some", "high"]
    text = ba.read_sessions(frame_of(cells), ROLES, missing=MISSING).frame["x"]
    assert table.frame["x"].astype("str").tolist() == text.tolist()
    shuffled = pd.Series(["3", "1", "2"] * 4).astype(pd.CategoricalDtype(["3", "1", "2"], ordered=True))
    assert list(ba.read_sessions(frame_of(shuffled), ROLES).frame["x"].cat.categories) == ["3", "1", "2"]
