"""Numbers that look like undeclared codes for missing: 999 in a scale from 0 to 27."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd

_NINES: Final = [int(digit * length) for digit in "6789" for length in range(2, 8)]
_LAST: Final = [10**length - back for length in (2, 3, 4, 5) for back in (2, 3, 4)]
_FILLS: Final = [99.9, 999.9, 99.99, 999.99, 32767, 2147483647, 32768, 2147483648]

CODES: Final = frozenset(float(code) for code in (7, 8, 9, *_NINES, *_LAST, *_FILLS))
"""Numbers that programs and codebooks use for missing, without their sign."""

SEVERAL: Final = 3
"""Units after which no more are counted."""

FEWEST: Final = 5
"""Other values without which nothing is called far from them."""

MANY: Final = 20
"""Other values that must all be 0 or more before a negative one is taken for a code for its sign."""


@dataclass(frozen=True)
class Code:
    """A value that looks like a code: in how many ``cells`` it stands, and the ends of all values that do not."""

    value: float
    cells: int
    low: float
    high: float


@dataclass(eq=False)
class CodeCounts:
    """Counts that codes are found from, over any number of blocks of a column.

    The rule needs the range of the values that are no codes, and of each code how far it is from them and in how many
    units it stands (patients, or therapists of what is measured in therapists):

    - in two or more units: further from the others than half of their range. Two units that share one value far from
      all others hardly do so by chance;
    - in one unit: further than all of their range (twice, unless its digits are nines). The largest of heavy-tailed
      counts or times is often far out, and seldom that far on just such a number;
    - 7, 8 and 9 in three or more units only, at least a range away (7 and 8 further), in fewer than a quarter as many
      cells as the others: they are common counts, and common numbers of the last session;
    - others that are all the same have no range; further than they are from 0, then, and not 7, 8 or 9;
    - below 0 where all others are 0 or more, in two or more units: further than a 25th of their range. Scores, counts,
      times and ages have no sign. In one unit -7, -8 and -9 are taken for codes where the others begin near 0, and
      they are further away than a quarter of the range.
    """

    low: float = np.inf
    high: float = -np.inf
    number: int = 0
    cells: dict[float, int] = field(default_factory=dict)
    units: dict[float, set[object]] = field(default_factory=dict)

    def add(self, values: np.ndarray, units: np.ndarray) -> None:
        """Count the values of a block, both of shape (row,); missing and infinite ones are left out."""
        known = np.isfinite(values)
        values, units = values[known], units[known]
        coded = np.isin(np.abs(values), list(CODES))
        plain = values[~coded]
        self.low = min(self.low, float(plain.min(initial=np.inf)))
        self.high = max(self.high, float(plain.max(initial=-np.inf)))
        self.number += len(plain)
        for value, own in pd.Series(units[coded]).groupby(values[coded]):
            code = float(value)  # type: ignore[arg-type]
            self.cells[code] = self.cells.get(code, 0) + len(own)
            seen = self.units.setdefault(code, set())
            seen.update(own.unique()[:SEVERAL] if len(seen) < SEVERAL else ())

    def find(self, lowest: float = -np.inf, highest: float = np.inf) -> list[Code]:
        """Return the values that look like codes for missing, the lowest first.

        Parameters
        ----------
        lowest, highest : float
            Ends of the scale where they are stated: values up to a finite end are genuine.
        """
        if self.number < FEWEST:
            return []
        found = [*(self._beyond(-1) if np.isinf(lowest) else ()), *(self._beyond(1) if np.isinf(highest) else ())]
        others = [self.low, self.high, *(value for value in self.cells if value not in found)]
        return [Code(value, self.cells[value], min(others), max(others)) for value in sorted(found)]

    def _beyond(self, side: int) -> Iterator[float]:
        """Yield the codes on one side of all other values; one that lies close to them counts among them."""
        near, far = (self.high, self.low) if side > 0 else (self.low, self.high)
        for code in sorted((c for c in self.cells if side * (c - near) > 0), key=abs):
            if self._is_far(code, abs(code - near), abs(near - far)):
                yield code
            else:
                near = code

    def _is_far(self, code: float, gap: float, width: float) -> bool:
        """Return whether a code is far from the others, whose range is ``width``; see the class for the reasons."""
        units, short = len(self.units[code]), abs(code) < 10
        unsigned = code < 0 <= self.low and self.number >= MANY
        if unsigned and units > 1:
            return gap > width / 25
        if unsigned and short and 3 * self.low <= -code:
            return gap > width / 4
        if width == 0:
            return not short and gap > abs(self.low)
        if 0 < code < 10:
            few = units >= SEVERAL and 4 * self.cells[code] < self.number
            return few and (gap >= width if code == 9 else gap > width)
        if units > 1:
            return gap > width / 2
        return gap > (width if set(f"{abs(code):g}") <= {"9", "."} else 2 * width)


def find_codes(values: np.ndarray, units: np.ndarray) -> list[Code]:
    """Return the values of a column that look like undeclared codes for missing.

    Parameters
    ----------
    values : ndarray, shape (row,)
        NaN where missing.
    units : ndarray, shape (row,)
        Whose values they are: ids of patients, or of the therapists, groups or sites that the column is measured in.

    Examples
    --------
    >>> scores = np.array([4.0, 7, 12, 0, 27, 999, 999])
    >>> [code.value for code in find_codes(scores, np.arange(7))]
    [999.0]
    >>> find_codes(np.array([40.0, 55, 70, 62, 31, 99]), np.arange(6))
    []
    """
    counts = CodeCounts()
    counts.add(values, units)
    return counts.find()
