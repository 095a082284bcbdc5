"""Names of columns: headers of one line or several, none, empty or twice the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote, show_level
from bayes_alliance.findings import Findings

ROW_NAMES: Final = "row"
"""What a first column without a name is called, such as the row names that R writes."""


def join_header(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a name per column from the lines of a header, their words joined by ``_``.

    In lines above the last one a word holds for the empty cells to its right, as in merged cells of a workbook.
    """
    *above, last = [[str(cell).strip() for cell in row] for row in rows]
    filled = []
    for row in above:
        word, own = "", []
        for cell in row:
            word = cell or word
            own.append(word)
        filled.append(own)
    return ["_".join(part for part in (*upper, name) if part) for *upper, name in zip(*filled, last, strict=True)]


def name_columns(frame: pd.DataFrame, names: Sequence[str], findings: Findings) -> pd.DataFrame:
    """Return a frame with a name of its own for every column, without empty columns and rows at the end.

    ``names`` are as they stand in the file: empty names, and names that stand twice, are changed with a message.
    """
    frame = frame.set_axis(range(len(names)), axis=1)
    blank = _blank_cells(frame)
    nameless = [i for i, name in enumerate(names) if not name]
    gone = [i for i in nameless if blank[:, i].all()]
    rows = ~blank[:, [i for i in range(len(names)) if i not in gone]].all(axis=1)
    if gone or not rows.all():
        what = [count_of(len(gone), "empty column")] if gone else []
        what += [count_of(int((~rows).sum()), "empty row")] if not rows.all() else []
        total = len(gone) + int((~rows).sum())
        findings.note(f"{' and '.join(what)} {are(total, 'is', 'are')} left out.")
        frame = frame.drop(columns=gone)[rows].reset_index(drop=True)
    kept = [i for i in range(len(names)) if i not in gone]
    made = {i: ROW_NAMES if i == 0 else f"column {i + 1}" for i in nameless if i not in gone}
    if made:
        unnamed = count_of(len(made), "column")
        findings.note(f"{unnamed} without a name {are(len(made), 'is', 'are')} called {quote(made.values())}.")
    frame.columns = pd.Index(number_repeated([made.get(i, names[i]) for i in kept], findings))
    return frame


def number_repeated(names: Sequence[str], findings: Findings) -> list[str]:
    """Return names in which each of those that stand twice has a number, and say so.

    No column keeps the name: whoever reads it says which is meant.
    """
    counts = Counter(names)
    taken, number, found = {name for name in names if counts[name] == 1}, Counter[str](), []
    for name in names:
        own = name
        while counts[name] > 1 and (own == name or own in taken):
            number[name] += 1
            own = f"{name}_{number[name]}"
        taken.add(own)
        found.append(own)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:  # in a file without a header these are cells
        called = [one for name, one in zip(names, found, strict=True) if name != one]
        findings.note(
            f"Columns share a name: {first_few([show_level(name) for name in repeated])}. They are numbered: "
            f"{first_few([show_level(one) for one in called])}."
        )
    return found


def rename_repeated(frame: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """Return a frame of a library with a text of its own as the name of every column."""
    return frame.set_axis(pd.Index(number_repeated([str(name) for name in frame.columns], findings)), axis=1)


def check_header(names: Sequence[str], filled: Mapping[int, bool], findings: Findings, where: str) -> None:
    """Report a first line that names few of the columns below it: a title, or one of several lines of names."""
    named = sum(map(bool, names))
    wide = sum(filled.values())
    if wide > 2 and named * 2 <= wide:
        findings.problem(
            f"The first line of {where} names {named} of {wide} columns.",
            fix="State the line that names them: header=2, or several whose words are joined: header=[1, 2].",
        )


def _blank_cells(frame: pd.DataFrame) -> np.ndarray:
    found = np.zeros(frame.shape, dtype=bool)
    for place, name in enumerate(frame.columns):
        column = frame[name]
        blank = column.isna().to_numpy()
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype):
            blank = blank | (column.astype("str").fillna("").str.strip() == "").to_numpy()
        found[:, place] = blank
    return found
