"""How far each decision moves an estimand: pairs of analyses that differ in this decision alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

COLUMNS = (
    "fork",
    "pairs",
    "mean_move",
    "largest_move",
    "in_sd",
    "share",
    "other_sign",
    "other_verdict",
    "furthest",
    "changes",
)


def find_moves(table: pd.DataFrame, forks: Mapping[str, Sequence[str]], *, null: float | None = 0.0) -> pd.DataFrame:
    """Return how far each fork moves an estimand, the one that moves it most first.

    Parameters
    ----------
    table : DataFrame
        A line per combination: the option of each fork, ``median``, ``eti95_lb``, ``eti95_ub`` and ``meaning``.
    forks : mapping of str to sequence of str
        Their options.
    null : float, optional
        The value of the estimand that means no difference; the sides of it count as signs, and without one nothing.

    Returns
    -------
    DataFrame
        Per fork, over all ``pairs`` of combinations that differ in it alone: ``mean_move`` and ``largest_move`` of the
        median (absolute, in the estimand's unit), ``in_sd`` (the mean move in units of the mean posterior SD, taken as
        a quarter of the 95 % interval), ``share`` (of the variance of all medians, what the means of its options
        differ; missing where combinations are missing, for forks are confounded then), ``other_sign`` and
        ``other_verdict`` (pairs whose medians lie on different sides of ``null``; of whose 95 % intervals one
        excludes it or both exclude it on different sides), ``furthest`` (the options of the largest move) and
        ``changes`` (what of the estimand its options change: nothing, or its meaning).
    """
    done = table[table["median"].notna()].copy()
    done[["median", "eti95_lb", "eti95_ub"]] -= null or 0.0
    full = len(done) == math.prod(len(options) for options in forks.values())
    rows = [_fork(done, fork, [other for other in forks if other != fork], full) for fork in forks]
    made = pd.DataFrame(rows, columns=list(COLUMNS))
    if null is None:
        made[["other_sign", "other_verdict"]] = np.nan
    return made.sort_values("mean_move", ascending=False, kind="stable", na_position="last", ignore_index=True)


def _fork(done: pd.DataFrame, fork: str, others: list[str], full: bool) -> dict[str, object]:
    pairs = []
    groups = [own for _, own in done.groupby(others, sort=False)] if others else [done]
    for own in groups:
        pairs += list(combinations(own.index, 2))
    found: dict[str, object] = {"fork": fork, "pairs": len(pairs), "furthest": "", "changes": ""}
    nothing = ("mean_move", "largest_move", "in_sd", "share", "other_sign", "other_verdict")
    if not pairs:
        return found | dict.fromkeys(nothing, np.nan)
    one, two = (done.loc[list(side)] for side in zip(*pairs, strict=True))
    moved = np.abs(one["median"].to_numpy() - two["median"].to_numpy())
    spread = (done["eti95_ub"] - done["eti95_lb"]).mean() / 4
    verdicts = [_verdict(side) for side in (one, two)]
    at = int(moved.argmax())
    means, total = done.groupby(fork)["median"].mean(), done["median"].var(ddof=0)
    other = (one["meaning"].to_numpy() != two["meaning"].to_numpy()).any()
    return found | {
        "mean_move": float(moved.mean()),
        "largest_move": float(moved.max()),
        "in_sd": float(moved.mean() / spread) if spread > 0 else np.nan,
        "share": float(means.var(ddof=0) / total) if full and total > 0 else np.nan,
        "other_sign": int((np.sign(one["median"].to_numpy()) != np.sign(two["median"].to_numpy())).sum()),
        "other_verdict": int((verdicts[0] != verdicts[1]).sum()),
        "furthest": f"{one[fork].iloc[at]} / {two[fork].iloc[at]}",
        "changes": "meaning" if other else "",
    }


def _verdict(side: pd.DataFrame) -> np.ndarray:
    """Return on which side of 0 each 95 % interval lies, 0 where it holds 0."""
    return np.asarray((side["eti95_lb"] > 0).astype(int) - (side["eti95_ub"] < 0).astype(int))
