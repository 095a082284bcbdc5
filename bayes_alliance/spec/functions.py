"""The functions a formula or a declared variable may call: these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Function:
    """What a callable of the model language takes.

    ``positional`` counts the arguments without a name (least, most); ``keywords`` lists those with one.
    """

    name: str
    positional: tuple[int, int]
    keywords: tuple[str, ...]
    usage: str
    meaning: str


def _table(*functions: Function) -> dict[str, Function]:
    return {function.name: function for function in functions}


FORMULA_FUNCTIONS: Final = _table(
    Function("log", (1, 1), (), "log(session + 1)", "natural logarithm; values must be positive"),
    Function("sqrt", (1, 1), (), "sqrt(session)", "square root; values must not be negative"),
    Function(
        "within",
        (2, 2),
        ("means",),
        "within(alliance, patient)",
        "deviation from the mean of the patient (therapist, group) over all observed rows",
    ),
    Function(
        "between",
        (2, 2),
        ("means",),
        "between(alliance, patient)",
        "mean of the patient (therapist, group) over all observed rows",
    ),
    Function(
        "lag",
        (1, 2),
        (),
        "lag(alliance)",
        "value of the same patient at the previous session number; a gap is missing, never the neighbouring row",
    ),
)
"""Callable inside the formula of an equation."""

VARIABLE_FUNCTIONS: Final = _table(
    Function("first", (1, 1), (), "first(alliance)", "the patient's first observed value"),
    Function("last", (1, 1), (), "last(alliance)", "the patient's last observed value"),
    Function("at", (1, 1), ("session",), "at(alliance, session=3)", "the patient's value at that session number"),
    Function("window", (3, 3), (), "window(alliance, 1, 5)", "the patient's mean over sessions 1 to 5"),
    Function(
        "change",
        (3, 3),
        (),
        "change(alliance, first, last)",
        "later minus earlier; each end is first, last or a session number",
    ),
)
"""Callable in ``[variables]``: one value per patient, made from that patient's sessions."""
