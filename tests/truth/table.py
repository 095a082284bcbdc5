"""How a reader's numbers come out beside those worked out apart: one outcome per model, reader and setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bayes_alliance.errors import AllianceError
from tests.truth.cases import Case

ERRORS = 4.0
"""Monte Carlo errors within which two numbers agree."""

EXACT = 2e-6
"""Share of their size that two numbers worked out exactly may differ by."""


class NotCompared(Exception):
    """The right value is not worked out here; says why."""


@dataclass(frozen=True)
class Cell:
    """One setting of a reader on a model: ``how`` is agrees, refused, not applicable or DISAGREES."""

    model: str
    reader: str
    setting: str
    how: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.model:38s} {self.reader:26s} {self.setting:60s} {self.how} {self.note}"


@dataclass(frozen=True, eq=False)
class Pair:
    """What a reader says and what is right, of the same shape; ``error`` is the Monte Carlo error of the difference.

    ``scale`` is the size that exact numbers are held against, ``exact`` the share of it that they may differ by.
    """

    says: np.ndarray
    right: np.ndarray
    error: np.ndarray | float = 0.0
    exact: float = EXACT


type Setting = tuple[str, Callable[[], Pair]]
type Reader = Callable[[Case], Iterator[Setting]]


def judge(model: str, reader: str, setting: str, work: Callable[[], Pair]) -> Cell:
    """Work a setting out and say how it came out."""
    try:
        pair = work()
    except AllianceError as error:
        return Cell(model, reader, setting, "refused", first_sentence(error))
    except NotCompared as error:
        return Cell(model, reader, setting, "not applicable", str(error))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, AssertionError) as error:
        return Cell(model, reader, setting, "DISAGREES", f"ends in {type(error).__name__}: {error}")
    says, right = np.asarray(pair.says, float), np.asarray(pair.right, float)
    if says.shape != right.shape:
        return Cell(model, reader, setting, "DISAGREES", f"shape {says.shape}, right {right.shape}")
    scale = max(float(np.nanmax(np.abs(right))), 1e-12)
    error = np.broadcast_to(pair.error, right.shape)
    allowed = ERRORS * error + pair.exact * scale
    apart = np.abs(says - right)
    both = np.isnan(says) & np.isnan(right)
    bad = ~(both | (apart <= allowed))
    worst = np.unravel_index(np.argmax(np.where(both, -1.0, np.nan_to_num(apart / allowed, nan=np.inf))), apart.shape)
    size = f"{apart[worst]:.2g} apart" + (
        f", {apart[worst] / error[worst]:.1f} errors" if error[worst] > 1e-9 * scale else ""
    )
    if bad.any():
        return Cell(model, reader, setting, "DISAGREES", f"says {says[worst]:.6g}, right {right[worst]:.6g} ({size})")
    return Cell(model, reader, setting, "agrees", f"{right[worst]:.4g} ({size})")


def first_sentence(error: AllianceError) -> str:
    """Return the first sentence of what is wrong, and how much more there is."""
    problems = list(getattr(error, "problems", None) or [str(error)])
    line = str(problems[0]).strip().splitlines()[0]
    for mark in (". ", "; use"):
        if mark in line and len(line.split(mark)[0]) > 20:
            line = line.split(mark)[0] + ("." if mark == ". " else "")
            break
    return line if len(problems) == 1 else f"{line} (and {len(problems) - 1} more)"
