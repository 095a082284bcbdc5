"""Rows in series: which session of the same patient comes before each, and how many session numbers ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of
from bayes_alliance.findings import Problem


@dataclass(frozen=True, eq=False)
class Series:
    """For each row the row of the same patient's latest session before, among the rows used.

    ``before`` holds its place, 0 where there is none; ``gap`` points into ``(none, *gaps)``: 0 where there is none,
    else 1 more than the place of the distance in session numbers among ``gaps``.
    """

    before: np.ndarray
    gap: np.ndarray
    gaps: tuple[int, ...]

    @property
    def distance(self) -> np.ndarray:
        """Return the distance in session numbers, 0 where there is no earlier row, shape (obs,)."""
        return np.asarray(np.array([0, *self.gaps])[self.gap])


def line_up_series(patient: np.ndarray, session: np.ndarray) -> Series:
    """Line rows up by patient and session; both of shape (obs,)."""
    frame = pd.DataFrame({"patient": patient, "session": session, "place": np.arange(len(patient))})
    frame = frame.sort_values(["patient", "session"], kind="stable")
    earlier = frame.groupby("patient", sort=False)[["place", "session"]].shift()
    found = earlier.place.notna().to_numpy()
    distance = np.where(found, frame.session.to_numpy() - earlier.session.to_numpy(), 0.0)
    gaps = tuple(int(gap) for gap in np.unique(distance[found]))
    before, gap = np.zeros(len(frame), dtype=np.int64), np.zeros(len(frame), dtype=np.int64)
    before[frame.place.to_numpy()] = np.where(found, earlier.place.to_numpy(), 0).astype(np.int64)
    gap[frame.place.to_numpy()] = np.where(found, np.searchsorted(gaps, distance) + 1, 0)
    return Series(before, gap, gaps)


def say_series(label: str, series: Series) -> str:
    """Return how many rows follow an earlier one, and over which gaps."""
    follow, far = int((series.gap > 0).sum()), int((series.distance > 1).sum())
    over = f", {far:,} of them over a gap of up to {max(series.gaps)} session numbers" if far else ""
    return (
        f"{label}: the residuals of {count_of(follow, 'row')} {are(follow, 'follows', 'follow')} that of the patient's "
        f"session before{over}."
    )


def check_series(label: str, series: Series) -> Sequence[Problem]:
    """Report rows of which none follows another."""
    if series.gaps:
        return ()
    return (
        Problem(
            "no patient has two sessions, so that nothing follows anything.", where=f'residuals = "ar1" of {label!r}'
        ),
    )
