"""Questionnaire rows to columns: a row per answer becomes a column per item."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, number_text, quote
from bayes_alliance.findings import Findings


@dataclass(frozen=True)
class Questionnaire:
    """Which columns hold the name of an item and the answer to it."""

    item: str
    answer: str


def _item_name(cell: object) -> str:
    """Return the name of an item: of a number the same whatever its type is, so that 1 and 1.0 are one item."""
    return number_text(float(cell)) if isinstance(cell, (int, float)) and cell == cell else str(cell).strip()


def widen_items(
    frame: pd.DataFrame, stated: Questionnaire, patient: str, when: str | None, findings: Findings
) -> pd.DataFrame:
    """Return a row per patient and session with a column per item.

    Parameters
    ----------
    frame : DataFrame
        A row per answer.
    stated : Questionnaire
        Columns of items and answers.
    patient : str
        The column of patients.
    when : str, optional
        The column of sessions or dates.
    findings : Findings
        Problems, and what was done. Other columns stay where they are the same in all rows of a patient and session;
        those that differ within are left out and named.
    """
    lacking = [name for name in (stated.item, stated.answer, *([when] if when else [])) if name not in frame.columns]
    if lacking:
        findings.problem(f"questionnaire needs {quote(lacking)}, which is no column.")
        return frame
    keys = [patient, *([when] if when else [])]
    if len({stated.item, stated.answer, *keys}) < len(keys) + 2:
        findings.problem("questionnaire names one column twice, or that of patients or sessions.")
        return frame
    names = frame[stated.item].map(_item_name).astype("str")
    blank = frame[stated.item].isna() | (names == "")
    if blank.any():
        number = int(blank.sum())
        findings.note(f"{count_of(number, 'row')} without the name of an item {are(number, 'is', 'are')} left out.")
    rows = frame[~blank].assign(**{stated.item: names[~blank]})
    clash = sorted(set(rows[stated.item]) & (set(frame.columns) - {stated.item, stated.answer}))
    if clash:
        findings.problem(f"Items are called like columns: {quote(clash)}.", fix="Rename the columns.")
        return frame
    twice = rows.duplicated([*keys, stated.item], keep=False)
    if twice.any():
        places = [f"row {int(place) + 1}" for place in rows.index[twice][:5]]
        findings.problem(
            f"An item is answered twice in one session in {count_of(int(twice.sum()), 'row')}: "
            f"{first_few(places, int(twice.sum()))}.",
            fix="Keep one answer, or say which session each row is of.",
        )
        return frame
    others = [name for name in frame.columns if name not in (*keys, stated.item, stated.answer)]
    grouped = rows.groupby(keys, sort=False, dropna=False)
    differing = [name for name in others if (grouped[name].nunique(dropna=False) > 1).any()]
    if differing:
        findings.note(
            f"{quote(differing)} {are(len(differing), 'differs', 'differ')} between answers of one session and "
            f"{are(len(differing), 'is', 'are')} left out."
        )
    kept = [name for name in others if name not in differing]
    answers = rows.pivot(index=keys, columns=stated.item, values=stated.answer)
    answers = answers[list(dict.fromkeys(rows[stated.item]))]
    answers.columns.name = None
    whole = answers if not kept else grouped[kept].first().join(answers)
    order = pd.MultiIndex.from_frame(rows[keys].drop_duplicates()) if len(keys) > 1 else rows[keys[0]].drop_duplicates()
    found = whole.reindex(order).reset_index()
    asked = f"{count_of(len(rows), 'answer')} to {count_of(len(answers.columns), 'item')}"
    findings.note(f"{asked} are {count_of(len(found), 'row')}, one per patient and session.")
    return pd.DataFrame(found)
