"""Columns that are read as numbers whatever labels their values have: sessions, items, and scales with stated ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from bayes_alliance.names import SESSION
from bayes_alliance.table.files.missing_codes import is_number
from bayes_alliance.table.scores.instrument import Instrument
from bayes_alliance.table.scores.scoring import ScoreSpec
from bayes_alliance.table.shape.shape import Shape


def numbered_columns(
    roles: object, scales: Iterable[object], scores: Mapping[str, tuple[ScoreSpec, Instrument]], shape: Shape
) -> tuple[str, ...]:
    """Return names, or patterns of names, of columns whose values are numbers by what is stated of them.

    In SPSS and Stata a session or an answer may have a label for every value ("session 1", "never"), which explains a
    number and is no level.

    Parameters
    ----------
    roles : mapping of str to str
        Of the table. What is no mapping, here and in ``scales``, is reported elsewhere.
    scales : iterable of mapping
        Bounds, and values that are accepted, by column.
    scores : mapping of str to pairs of ScoreSpec and Instrument
        Whose items are numbers.
    shape : Shape
        Items in wide tables and in rows of answers are numbers where scores are made of them.
    """
    found = [str(roles[SESSION])] if isinstance(roles, Mapping) and SESSION in roles else []
    found += [
        str(name)
        for own in scales
        if isinstance(own, Mapping)
        for name, values in own.items()
        if isinstance(values, Iterable) and all(map(is_number, values))
    ]
    stated = [spec for spec, _ in scores.values()]
    for spec in stated:
        items = [spec.items] if isinstance(spec.items, str) else spec.items
        found += list(map(str, items)) if isinstance(items, (list, tuple)) else []  # others are reported with scores
    named = list(found)
    for variable, text in shape.wide.items():
        if ("{item}" in text and stated) or any(fnmatchcase(variable, one) for one in named):
            found.append(re.sub(r"\{(session|item)\}", "*", text))
    if stated:
        found += [shape.questionnaire.answer] if shape.questionnaire is not None else []
    return tuple(dict.fromkeys(found))
