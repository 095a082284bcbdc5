"""Results compared with one another: with the first, with the one before, in pairs, or by arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import quote
from bayes_alliance.errors import FitError, SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.posterior.expectations import Expectations, make_expectations
from bayes_alliance.spec.expressions import Expression, Name, Number, Operation, names_in
from bayes_alliance.spec.formula import parse_arithmetic

type Hypothesis = str | Sequence[str]

KINDS = ("reference", "sequential", "pairwise")

ARITHMETIC: Final[Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}

_RESULT = re.compile(r"b([1-9]\d*)")


def compare_results(results: Expectations, hypothesis: Hypothesis | None) -> Expectations:
    """Return results compared with one another, draw by draw.

    Parameters
    ----------
    results : Expectations
        A line each.
    hypothesis : str or sequence of str, optional
        ``"reference"``: every later line less the first; ``"sequential"``: less the one before; ``"pairwise"``: all
        pairs, the later less the earlier. Or arithmetic over the lines ``b1, b2, …``, such as ``"b2 - b1"``,
        ``"b2 = b1"`` (the same), or several of these. None returns the results as they are.

    Raises
    ------
    FitError
        If there is no such line, or the arithmetic cannot be read.
    """
    if hypothesis is None:
        return results
    values = results.draws["value"].transpose("chain", "draw", "estimand").values
    if len(results.lines) < 2 and hypothesis in KINDS:
        raise FitError(f"hypothesis={hypothesis!r} compares lines, and there is one.")
    if isinstance(hypothesis, str) and hypothesis in KINDS:
        names = list(map(str, results.draws["estimand"].values))
        pairs = list(_pairs(hypothesis, len(names)))
        said = [f"({names[late]}) less ({names[early]})" for early, late in pairs]
        found = np.stack([values[..., late] - values[..., early] for early, late in pairs], axis=-1)
    else:
        said = [hypothesis] if isinstance(hypothesis, str) else list(hypothesis) if _several(hypothesis) else []
        if not said:
            raise _unreadable(hypothesis, values)
        found = np.stack([_arithmetic(one, values) for one in said], axis=-1)
    lines = pd.DataFrame({"hypothesis": said})
    unit = " and ".join(dict.fromkeys(map(str, results.draws["unit"].values)))
    return make_expectations(f"{results.title}, compared", lines, found, unit, 0.0, results.messages, {})


def _several(hypothesis: object) -> bool:
    return isinstance(hypothesis, Sequence)


def _pairs(kind: str, count: int) -> Iterator[tuple[int, int]]:
    match kind:
        case "reference":
            yield from ((0, late) for late in range(1, count))
        case "sequential":
            yield from ((late - 1, late) for late in range(1, count))
        case _:
            yield from combinations(range(count), 2)


def _arithmetic(text: object, values: np.ndarray) -> np.ndarray:
    """Return what arithmetic over the lines gives, shape (chain, draw)."""
    if not isinstance(text, str) or text.count("=") > 1:
        raise _unreadable(text, values)
    sides = [side.strip() for side in text.split("=")]
    try:
        parsed = [parse_arithmetic(side, {}) for side in sides]
    except SpecError as error:
        raise _unreadable(text, values) from error
    for expression in parsed:
        odd = [name for name in names_in(expression) if not _known(name, values)]
        if odd:
            raise FitError(
                Problem(
                    f"There is no line {quote(odd[:1])}.",
                    where=f"hypothesis={text!r}",
                    allowed=f"Lines are b1 to b{values.shape[-1]}, in the order of the table.",
                )
            )
    found = [_value(expression, values) for expression in parsed]
    return found[0] if len(found) == 1 else found[0] - found[1]


def _known(name: str, values: np.ndarray) -> bool:
    place = _RESULT.fullmatch(name)
    return place is not None and int(place[1]) <= values.shape[-1]


def _unreadable(text: object, values: np.ndarray) -> FitError:
    return FitError(
        Problem(
            f"hypothesis={text!r} cannot be read.",
            allowed=f"{quote(KINDS)}, or arithmetic over the lines b1 to b{values.shape[-1]}, such as 'b2 - b1'.",
        )
    )


def _value(expression: Expression, values: np.ndarray) -> np.ndarray:
    match expression:
        case Name(name):
            return np.asarray(values[..., int(name[1:]) - 1])
        case Number(number):
            return np.full(values.shape[:2], number)
        case Operation(operator, left, right):
            one, other = _value(left, values), _value(right, values)
            return ARITHMETIC[operator](one, other)
    raise _unreadable(expression, values)
