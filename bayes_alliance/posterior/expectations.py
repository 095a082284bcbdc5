"""What a model expects, as draws: a line per result, shown as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._later import Later
from bayes_alliance._messages import escaped, number_text
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.set_variables import Setting
from bayes_alliance.posterior.estimands import tabulate
from bayes_alliance.posterior.summary import IntervalKind

SHOWN: Final = 20
"""Lines that are shown where there are more."""

NOT_SHOWN: Final = ["mcse", "ess_bulk", "ess_tail"]


@dataclass(frozen=True, eq=False)
class Expectations:
    """What a model expects, as draws.

    Attributes
    ----------
    title : str
        What was asked, in words.
    lines : DataFrame
        A line per result: the values that were set, what was averaged, or which row it is.
    draws : Dataset over (chain, draw, estimand)
        ``value``, in the order of ``lines``, with ``unit`` and, of comparisons and slopes, ``null``, the value of no
        difference; as ``plot_estimands`` takes them.
    messages : tuple of str
        What a reader should know.
    observed : mapping of str to ndarray
        Values that the fit's rows have of the numbers among ``lines``.
    """

    title: str
    lines: pd.DataFrame
    draws: xr.Dataset
    messages: tuple[str, ...]
    observed: Mapping[str, np.ndarray] = field(default_factory=dict)

    plot = Later("bayes_alliance.plot.expectations:plot_expectations")

    def table(
        self, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti", rope: tuple[float, float] | None = None
    ) -> pd.DataFrame:
        """Return a line per result: what it is of, then mean, median, SD, interval, and how well the chains tell it.

        Columns after those of ``lines`` are ``mean, median, sd, eti95_lb, eti95_ub``; of comparisons and slopes
        ``p_direction`` (the probability of the more probable side of no difference); with ``rope``, bounds in the
        unit, ``p_rope`` (the probability to lie between them: practically none); ``mcse, r_hat, ess_bulk, ess_tail,
        unit``.

        Raises
        ------
        FitError
            If the bounds are no numbers in order, or the interval is none.
        """
        draws = self.draws
        if rope is not None:
            low, high = check_rope(rope)
            count = draws.sizes["estimand"]
            bounds = {"rope_lb": ("estimand", np.full(count, low)), "rope_ub": ("estimand", np.full(count, high))}
            draws = draws.assign_coords(bounds)
        found = tabulate(draws, ci_prob=ci_prob, ci_kind=ci_kind)
        width = f"{ci_kind}{100 * ci_prob:g}"
        keep = ["mean", "median", "sd", f"{width}_lb", f"{width}_ub"]
        if not np.isnan(self.draws["null"].values).all():
            below = (self.draws["value"] < self.draws["null"]).mean(("chain", "draw")).values
            found["p_direction"] = np.maximum(found["p_positive"], below)  # 0 where nothing ever differs
            keep.append("p_direction")
        if rope is not None:
            keep.append("p_rope")
        keep += ["mcse", "r_hat", "ess_bulk", "ess_tail", "unit"]
        return pd.concat([self.lines.reset_index(drop=True), found[keep]], axis=1)

    def _shown(self) -> tuple[pd.DataFrame, str]:
        """Return the first and the last lines as a table, and how many are between them."""
        count = len(self.lines)
        if count <= SHOWN:
            return self.table().drop(columns=NOT_SHOWN), ""
        keep = [*range(SHOWN // 2), *range(count - SHOWN // 2, count)]
        few = replace(self, lines=self.lines.iloc[keep], draws=self.draws.isel(estimand=keep))
        return few.table().drop(columns=NOT_SHOWN), f"The first and the last {SHOWN // 2} of {count:,} lines."

    @escaped
    def __repr__(self) -> str:
        shown, which = self._shown()
        text = shown.to_string(index=False, float_format=lambda value: f"{value:.3g}")
        return "\n".join(part for part in (self.title, text, which, *self.messages) if part)

    def _repr_html_(self) -> str:
        frame, which = self._shown()
        notes = "".join(f"<p>{escape(message)}</p>" for message in (which, *self.messages) if message)
        return (
            f"<p><b>{escape(self.title)}</b></p>{frame.to_html(index=False, float_format=lambda v: f'{v:.3g}')}{notes}"
        )


def check_rope(rope: object) -> tuple[float, float]:
    """Return the bounds of a region of practical equivalence.

    Raises
    ------
    FitError
        If they are no two numbers in order.
    """
    try:
        low, high = (float(one) for one in rope)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise FitError(f"rope={rope!r}: state two numbers in the unit of the results, the lower one first.")
    return low, high


def text_of(value: Setting) -> str:
    """Return a value as names of results have it."""
    return value if isinstance(value, str) else number_text(value) if np.isfinite(value) else str(value)


def make_expectations(
    title: str,
    lines: pd.DataFrame,
    values: np.ndarray,
    unit: str,
    null: float,
    messages: tuple[str, ...],
    observed: Mapping[str, np.ndarray],
) -> Expectations:
    """Return results; ``values`` has shape (chain, draw, line)."""
    names = [
        ", ".join(f"{key} = {text_of(value)}" for key, value in line.items()) or title
        for line in lines.to_dict("records")
    ]
    count = len(names)
    nan = np.full(count, np.nan)
    draws = xr.Dataset(
        {"value": (("chain", "draw", "estimand"), values)},
        coords={
            "chain": np.arange(values.shape[0]),
            "draw": np.arange(values.shape[1]),
            "estimand": names,
            "unit": ("estimand", [unit] * count),
            "level": ("estimand", ["population"] * count),
            "rope_lb": ("estimand", nan),
            "rope_ub": ("estimand", nan),
            "ratio": ("estimand", np.zeros(count, dtype=int)),
            "null": ("estimand", np.full(count, null)),
        },
    )
    return Expectations(title, lines, draws, messages, observed)
