"""Classes of residuals: rows of one residual SD, or those whose residuals correlate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance.collapse.rows import ClassRows
from bayes_alliance.collapse.shape import Residuals
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.residual import ResidualDesign
from bayes_alliance.design.equations.series import Series
from bayes_alliance.design.equations.visits import VisitResiduals


def list_classes(design: Design) -> tuple[ClassRows, ...]:
    """Return the classes of residuals: by equation and residual SD, or by the rows whose residuals correlate."""
    starts = sigma_starts(design)
    joint = design.residual.outcomes if isinstance(design.residual, ResidualDesign) else ()
    series = [e.outcome for e in design.equations if e.series is not None]
    classes: list[ClassRows] = []
    for number, e in enumerate(design.equations):
        sigma = int(starts[number]) + e.sigma_code
        if e.series is not None:
            classes += _serial_classes(number, e.series, sigma, series.index(e.outcome))
        elif isinstance(design.residual, VisitResiduals) and e.outcome == design.residual.outcome:
            classes += _visit_classes(number, design.residual, sigma)
        elif e.outcome not in joint:
            classes += [
                ClassRows(Residuals((number,), (int(one),)), (np.flatnonzero(sigma == one),))
                for one in range(starts[number], starts[number + 1])
            ]
    return (*classes, *_joint_classes(design, starts))


def sigma_starts(design: Design) -> np.ndarray:
    """Return the first residual SD of every equation, then one past the last."""
    return np.cumsum([0, *(len(e.sigma_coef) for e in design.equations)])


def _serial_classes(number: int, series: Series, sigma: np.ndarray, stratum: int) -> list[ClassRows]:
    """Return the rows that follow none by residual SD, and those that follow one by the gap and both residual SDs."""
    first = np.flatnonzero(series.gap == 0)
    found = [
        ClassRows(Residuals((number,), (int(one),)), (first[sigma[first] == one],)) for one in np.unique(sigma[first])
    ]
    rows = np.flatnonzero(series.gap > 0)
    keys = np.column_stack([series.distance[rows], sigma[rows], sigma[series.before[rows]]])
    kinds, which = np.unique(keys, axis=0, return_inverse=True)
    for place, (gap, one, two) in enumerate(kinds):
        own = rows[which.reshape(-1) == place]
        part = Residuals((number, number), (int(one), int(two)), stratum, (1, 0), int(gap))
        found.append(ClassRows(part, (own, series.before[own])))
    return found


def _visit_classes(number: int, visits: VisitResiduals, sigma: np.ndarray) -> list[ClassRows]:
    """Return the patients by the visits they have and their stratum."""
    strata, held, which = visits.patterns()
    found = []
    for place, stratum in enumerate(strata):
        kept = np.flatnonzero(held[place])
        rows = visits.place[which == place][:, kept].T
        if len(kept):
            sds = tuple(int(sigma[row[0]]) for row in rows)
            part = Residuals((number,) * len(kept), sds, int(stratum), tuple(map(int, kept)))
            found.append(ClassRows(part, tuple(rows)))
    return found


def _joint_classes(design: Design, starts: np.ndarray) -> list[ClassRows]:
    if not isinstance(design.residual, ResidualDesign):
        return []
    numbers = [i for o in design.residual.outcomes for i, e in enumerate(design.equations) if e.outcome == o]
    frames = []
    for number in numbers:
        e = design.equations[number]
        sigma = starts[number] + e.sigma_code
        stratum = design.residual.beside[e.outcome].stratum
        frame = {"row": e.row, f"place{number}": np.arange(len(e.y)), f"sigma{number}": sigma}
        frames.append(pd.DataFrame(frame | {f"stratum{number}": stratum}).set_index("row"))
    together = pd.concat(frames, axis=1).fillna(-1).astype(np.int64)
    together["stratum"] = together[[f"stratum{n}" for n in numbers]].max(axis=1)
    classes = []
    for key, part in together.groupby([*(f"sigma{n}" for n in numbers), "stratum"]):
        numbers_of = [int(str(part)) for part in key] if isinstance(key, tuple) else []
        present: Mapping[int, int] = {n: s for n, s in zip(numbers, numbers_of, strict=False) if s >= 0}
        at = tuple(numbers.index(n) for n in present)
        residuals = Residuals(tuple(present), tuple(present.values()), numbers_of[-1], at)
        classes.append(ClassRows(residuals, tuple(part[f"place{n}"].to_numpy() for n in present)))
    return classes
