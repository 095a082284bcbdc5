"""Latent means of variables without an equation: what their observed rows say, unit by unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, first_few, quote
from bayes_alliance.design.columns.rows import Rows, make_rows
from bayes_alliance.design.columns.values import MeanOf
from bayes_alliance.design.columns.variables import make_variable
from bayes_alliance.design.equations.complete_rows import Source
from bayes_alliance.findings import Findings


@dataclass(frozen=True, eq=False)
class Measured:
    """Means of a variable that has no equation, estimated from all of its observed rows.

    ``factors`` are nested, widest first, with their ``levels``; ``parents`` point from each level into those of the
    factor before. ``mean`` and ``count`` are over the observed rows of the narrowest factor's levels; ``size`` is the
    number of members a unit has in all (infinite where means are latent). ``squares`` sums squared deviations within
    the narrowest levels, over ``degrees`` of freedom.
    """

    name: str
    label: str
    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    parents: tuple[np.ndarray, ...]
    mean: np.ndarray
    count: np.ndarray
    size: np.ndarray
    squares: float
    degrees: int
    centre: float
    spread: float

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the labels of the SDs: one per factor, and of rows around their unit's mean."""
        return (*(f"{self.label}, {factor}" for factor in self.factors), f"{self.label}, within")

    @property
    def finite(self) -> bool:
        """Return whether units have so many members, rather than stand for a population."""
        return bool(np.isfinite(self.size).all())


def measure(name: str, patients: bool, means: Sequence[MeanOf], source: Source, findings: Findings) -> Measured | None:
    """Return what the observed rows say of a variable's latent means, reporting means that cannot be told.

    ``patients`` says that the variable has one value per patient.
    """
    rows = make_rows("patient" if patients else "session", source.study.sessions)
    ignored = Findings()  # what is wrong with columns is reported where they are coded
    variable = make_variable(name, source.spec, rows, source.study, ignored)
    wanted = list(dict.fromkeys(mean.factor for mean in means))
    frame = pd.DataFrame({factor: rows.ids(factor, source.study.columns, ignored) for factor in wanted})
    frame = frame.assign(x=variable.values).dropna(subset=["x"])
    frame = frame[(frame[wanted] != "").all(axis=1)]
    counts = {factor: frame[factor].nunique() for factor in wanted}
    factors = sorted(wanted, key=lambda factor: counts[factor])
    for outer, inner in pairwise(factors):
        if frame.groupby(inner)[outer].nunique().gt(1).any():
            findings.problem(
                f"Latent means of {variable.label!r} by {quote(factors)}: {inner} is not nested in {outer}.",
                fix='Take the means of one of them as observed (means="observed").',
            )
            return None
    levels = tuple(tuple(sorted(frame[factor].unique())) for factor in factors)
    parents = [np.zeros(0, dtype=np.int64)]
    for (outer, above), (inner, below) in pairwise(zip(factors, levels, strict=True)):
        first = frame.groupby(inner)[outer].first()
        parents.append(np.array([above.index(first[level]) for level in below], dtype=np.int64))
    narrow = frame.groupby(factors[-1]).x
    stats = narrow.agg(["mean", "size"]).reindex(list(levels[-1]))
    squares = float(((frame.x - narrow.transform("mean")) ** 2).sum())
    degrees = int(len(frame) - len(stats))
    if degrees < 1 or squares <= 1e-12 * float(((frame.x - frame.x.mean()) ** 2).sum()):
        findings.problem(
            f"Latent means of {variable.label!r} by {factors[-1]}: no {factors[-1]} has two different values, "
            "so their means cannot be told from single values.",
            fix='Write means="observed", or between() of a wider unit.',
        )
        return None
    size = _sizes(means, rows, levels[-1], stats["size"].to_numpy(float), source, findings)
    return Measured(
        name,
        variable.label,
        tuple(factors),
        levels,
        tuple(parents),
        stats["mean"].to_numpy(float),
        stats["size"].to_numpy(float),
        size,
        squares,
        degrees,
        float(frame.x.mean()),
        float(frame.x.std(ddof=1)),
    )


def _sizes(
    means: Sequence[MeanOf],
    rows: Rows,
    levels: tuple[str, ...],
    measured: np.ndarray,
    source: Source,
    findings: Findings,
) -> np.ndarray:
    """Return how many members each unit has in all; infinite where its members stand for a larger population."""
    stated = {mean.size for mean in means}
    if stated == {None}:
        return np.full(len(levels), np.inf)
    factors = {mean.factor for mean in means}
    if len(stated) > 1 or len(factors) > 1:
        findings.problem(
            f"Means of {means[0].variable!r} are finite in one place and latent in another, or by several units.",
            fix="Choose one kind for each variable.",
        )
        return np.full(len(levels), np.inf)
    name, factor = next(iter(stated)), next(iter(factors))
    ignored = Findings()  # what is wrong with columns is reported where they are coded
    variable = make_variable(str(name), source.spec, rows, source.study, ignored)
    frame = pd.DataFrame({"unit": rows.ids(factor, source.study.columns, ignored), "size": variable.values}).dropna()
    of_unit = frame.groupby("unit")["size"].agg(["min", "max"]).reindex(list(levels))
    differing = [repr(unit) for unit in of_unit.index[(of_unit["min"] != of_unit["max"])]]
    small = [
        f"{unit!r} ({size:g} of {count:g} measured)"
        for unit, size, count in zip(levels, of_unit["max"], measured, strict=True)
        if size < count
    ]
    if differing:
        findings.problem(
            f"Column {variable.label!r} is the size of each {factor}, and {count_of(len(differing), factor)} "
            f"{are(len(differing), 'has', 'have')} no single one: {first_few(differing)}."
        )
    if small:
        findings.problem(f"Column {variable.label!r} is smaller than the members measured: {first_few(small)}.")
    return of_unit["max"].to_numpy(float)
