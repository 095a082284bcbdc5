"""One row per named quantity: mean, SD, interval, R-hat, ESS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.fit.checks import diagnose_draws
from bayes_alliance.fit.constants import Constants
from bayes_alliance.fit.result import Fit
from bayes_alliance.posterior.entries import SAMPLE_DIMS, Entry, entries_of, public_entries
from bayes_alliance.posterior.variance import fitted_factors, share_variables, variance_shares

type IntervalKind = Literal["eti", "hdi"]


def summarize(
    fit: Fit,
    *,
    ci_prob: float = 0.95,
    ci_kind: IntervalKind = "eti",
    session: float | None = None,
    group_effects: bool = False,
) -> pd.DataFrame:
    """Summarize a fit: coefficients, SDs, correlations, residual SDs, variance shares and ICCs.

    Parameters
    ----------
    fit : Fit
        Not changed.
    ci_prob : float
        Probability of the interval, between 0 and 1.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval; both are named in the columns.
    session : float, optional
        Session number at which variance shares are stated beside their average over rows.
    group_effects : bool
        Whether every patient's, therapist's … effects are listed too.

    Returns
    -------
    DataFrame
        Columns ``name, mean, sd, eti95_lb, eti95_ub, r_hat, ess_bulk, ess_tail``; coefficients and SDs in units of
        the outcome (log-odds or probits for 0/1 outcomes) per unit of the predictor, shares and ICCs between 0 and 1.
        What the model fixes has no line; a parameter that did not move in any chain has one, without ``r_hat``.

    Raises
    ------
    FitError
        If ``ci_prob`` or ``ci_kind`` is not allowed.
    """
    check_interval(ci_prob, ci_kind)
    posterior = with_effects(fit) if group_effects else fit.data["posterior"].to_dataset()
    rows = _rows(posterior, public_entries(fit, group_effects=group_effects), ci_prob, ci_kind)
    if fitted_factors(fit):
        shares = variance_shares(fit, session=session)
        rows += _rows(shares, entries_of(shares, share_variables(shares), _never_vary(shares)), ci_prob, ci_kind)
    return pd.DataFrame(rows)


def _never_vary(draws: xr.Dataset) -> Constants:
    """Return entries that are the same in all draws; of shares, which follow from draws that are listed themselves."""
    return {
        str(name): ((values.max(SAMPLE_DIMS) - values.min(SAMPLE_DIMS)) == 0).values for name, values in draws.items()
    }


def _rows(
    draws: xr.Dataset, entries: Sequence[Entry], ci_prob: float, ci_kind: IntervalKind
) -> list[dict[str, str | float]]:
    if not entries:
        return []
    rows = []
    width = f"{ci_kind}{100 * ci_prob:g}"
    mixing = diagnose_draws(draws[list(dict.fromkeys(entry.variable.name for entry in entries))])
    for entry in entries:
        values = entry.draws(draws)
        low, high = interval(values, ci_prob, ci_kind)
        row: dict[str, str | float] = {
            "name": entry.name,
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)),
            f"{width}_lb": low,
            f"{width}_ub": high,
        }
        for column, values_of in mixing.items():
            row[column] = float(values_of[entry.variable.name].values[entry.index])
        rows.append(row)
    return rows


def check_interval(ci_prob: float, ci_kind: IntervalKind) -> None:
    """Raise for an interval that is none."""
    if not 0 < ci_prob < 1:
        raise FitError(f"ci_prob must lie between 0 and 1; it is {ci_prob!r}.")
    if ci_kind not in ("eti", "hdi"):
        raise FitError(f"ci_kind must be 'eti' or 'hdi'; it is {ci_kind!r}.")


def interval(values: np.ndarray, prob: float, kind: IntervalKind) -> tuple[float, float]:
    """Return the bounds of an interval over all draws."""
    if kind == "eti":
        low, high = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2])
    else:
        low, high = azs.hdi(values.ravel(), prob=prob)
    return float(low), float(high)
