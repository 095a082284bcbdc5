"""What every format and type of column gives: worked out by reading, for the documentation.

python -m tests.table.formats
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyreadstat

import bayes_alliance as ba

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.json"
ROLES = {"patient": "pid", "session": "week"}

type Source = Callable[[pd.DataFrame, Path], object]


def _text(suffix: str, **options: object) -> Source:
    def save(frame: pd.DataFrame, folder: Path) -> Path:
        frame.to_csv(folder / f"t{suffix}", index=False, **options)  # type: ignore[call-overload]
        return folder / f"t{suffix}"

    return save


def _sav(frame: pd.DataFrame, folder: Path) -> Path:
    pyreadstat.write_sav(frame, folder / "t.sav")
    return folder / "t.sav"


def _dta(frame: pd.DataFrame, folder: Path) -> Path:
    pyreadstat.write_dta(frame, folder / "t.dta")
    return folder / "t.dta"


def _xlsx(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_excel(folder / "t.xlsx", index=False)
    return folder / "t.xlsx"


def _parquet(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def _columns(make: Callable[[pd.Series], pd.Series]) -> Source:
    def change(frame: pd.DataFrame, folder: Path) -> pd.DataFrame:
        return frame.assign(x=make(frame["x"]))

    return change


SOURCES: Mapping[str, Source] = {
    "CSV": _text(".csv"),
    "CSV with ; and decimal commas, Windows letters": _text(".csv", sep=";", decimal=",", encoding="cp1252"),
    "text with tabs": _text(".txt", sep="\t"),
    "Excel": _xlsx,
    "SPSS": _sav,
    "Stata": _dta,
    "parquet": _parquet,
    "pandas, objects": _columns(lambda x: x.astype(object)),
    "pandas, text": _columns(lambda x: x.astype("str").where(x.notna())),
    "pandas, categories": _columns(lambda x: x.astype("category")),
    "Arrow columns": _columns(lambda x: x.convert_dtypes(dtype_backend="pyarrow")),
    "nullable columns": _columns(lambda x: x.convert_dtypes()),
    "pyarrow table": lambda frame, folder: pa.Table.from_pandas(frame, preserve_index=False),
}

NUMBERS = pd.Series([1.0, 2.5, np.nan, 4.0, -99.0, 6.0])
WORDS = pd.Series(["low", "mittel", "NA", "größer", "-99", ""], dtype=object)


def _table(source: Source, x: pd.Series, folder: Path, **options: object) -> ba.SessionTable:
    frame = pd.DataFrame({"pid": ["01", "1", "Ä2", "3", "4", "5"], "week": 1.0, "x": x})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ba.read_sessions(source(frame, folder), ROLES, **options)  # type: ignore[arg-type]


def numbers(source: Source, folder: Path) -> bool:
    """Return whether numbers with gaps are numbers."""
    found = _table(source, NUMBERS.replace(-99.0, 5.0), folder).frame.set_index("pid")["x"]
    wanted = pd.Series([1, 2.5, np.nan, 4, 5, 6], index=["01", "1", "Ä2", "3", "4", "5"])
    return bool(found.dtype == np.float64 and found.loc[wanted.index].equals(wanted.rename("x").rename_axis("pid")))


def words(source: Source, folder: Path) -> bool:
    """Return whether words stay words, letters beyond ASCII too."""
    found = _table(source, WORDS.replace({"NA": "low", "": "low"}), folder).frame["x"]
    return sorted(found.astype("str")) == sorted(["low", "mittel", "low", "größer", "-99", "low"])


def missing(source: Source, folder: Path) -> bool:
    """Return whether empty cells and NA are missing."""
    return int(_table(source, WORDS, folder).frame["x"].isna().sum()) == 2


def codes(source: Source, folder: Path) -> bool:
    """Return whether a declared code is missing, and counted."""
    table = _table(source, NUMBERS, folder, missing={"x": [-99]})
    return (
        int(table.frame["x"].isna().sum()) == 2
        and "Column 'x': 1 cell holds a declared code: '-99' (1)." in table.messages
    )


def truth(source: Source, folder: Path) -> bool:
    """Return whether TRUE and FALSE are 1 and 0."""
    cells = pd.Series(["TRUE", "FALSE", "TRUE", "FALSE", "TRUE", "FALSE"], dtype=object)
    return sorted(_table(source, cells, folder).frame["x"].tolist()) == [0, 0, 0, 1, 1, 1]


def ids(source: Source, folder: Path) -> bool:
    """Return whether the patients 01, 1 and Ä2 stay three."""
    return {"01", "1", "Ä2"} <= set(_table(source, NUMBERS, folder).ids("patient"))


def notes(source: Source, folder: Path) -> bool:
    """Return whether numbers beside notes stop nothing, and are named."""
    cells = pd.Series(["1", "2", "3", "4", "5", "see file"], dtype=object)
    table = _table(source, cells, folder)
    return "x" in table.doubts and any(message.startswith("Column 'x'") for message in table.messages)


FEATURES = {
    "numbers with gaps": numbers,
    "words": words,
    "empty cells and NA are missing": missing,
    "declared codes are missing, and counted": codes,
    "TRUE and FALSE are 1 and 0": truth,
    "ids stay text: 01, 1 and Ä2 are three": ids,
    "numbers beside notes stop nothing": notes,
}


def work_out() -> dict[str, dict[str, bool]]:
    """Read every feature from every source."""
    found: dict[str, dict[str, bool]] = {}
    for name, source in SOURCES.items():
        for feature, check in FEATURES.items():
            with tempfile.TemporaryDirectory() as folder:
                found.setdefault(name, {})[feature] = check(source, Path(folder))
    return found


if __name__ == "__main__":
    PAGE.write_text(json.dumps(work_out(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
