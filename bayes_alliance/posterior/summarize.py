"""One row per named quantity: mean, SD, interval, R-hat, ESS."""

from __future__ import annotations

from typing import Literal

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance.errors import FitError
from bayes_alliance.fit.checks import diagnose_draws, entry_name
from bayes_alliance.fit.constants import Constants
from bayes_alliance.fit.result import Fit, constants_of
from bayes_alliance.names import RESIDUAL, cor_name, effects_name, mean_name, sd_name, spread_name
from bayes_alliance.posterior.variance import fitted_factors, variance_shares
from bayes_alliance.spec.parameters import SHAPES

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
        the outcome (log-odds for 0/1 outcomes) per unit of the predictor, shares and ICCs between 0 and 1. What the
        model fixes has no line; a parameter that did not move in any chain has one, without ``r_hat``.

    Raises
    ------
    FitError
        If ``ci_prob`` or ``ci_kind`` is not allowed.
    """
    check_interval(ci_prob, ci_kind)
    rows = _rows(public_draws(fit, group_effects=group_effects), constants_of(fit), ci_prob, ci_kind)
    if fitted_factors(fit):
        shares = variance_shares(fit, session=session)
        rows += _rows(shares, _never_vary(shares), ci_prob, ci_kind)
    return pd.DataFrame(rows)


def public_draws(fit: Fit, *, group_effects: bool = False) -> xr.Dataset:
    """Return the variables a reader asks for: b, SDs, correlations, sigma and, on request, group effects."""
    posterior = fit.data["posterior"].to_dataset()
    factors = fitted_factors(fit)
    # a factor by which residual SDs vary and means do not
    known = [sd_name(factor) for factor in factors]
    further = [str(name) for name in posterior if str(name)[:3] == "sd_" and name not in known]
    makers = (sd_name, cor_name, *((effects_name,) if group_effects else ()))
    names = ["b", *(make(factor) for make in makers for factor in factors)]
    few = [str(name) for name in posterior if str(name).startswith(("step_", "global_", "slab_"))]
    rest = [*further, "sigma", "threshold", *SHAPES, *few, cor_name(RESIDUAL), *_of_means(posterior)]
    names[1 + 2 * len(factors) : 1 + 2 * len(factors)] = rest
    return posterior[[name for name in names if name in posterior]]


def _of_means(posterior: xr.Dataset) -> list[str]:
    """Return the variables of latent means that are few: overall means and SDs."""
    parts = [str(name).removeprefix("spread_") for name in posterior.data_vars if str(name).startswith("spread_")]
    return [make(part) for part in parts for make in (mean_name, spread_name)]


def is_told(variable: str, index: tuple[int, ...], constants: Constants) -> bool:
    """Return whether tables list an entry: not if the model fixes it, nor a correlation's second half."""
    fixed = constants.get(variable)
    twice = variable.startswith("cor_") and not index[-2] < index[-1]
    return not twice and (fixed is None or not fixed[index])


def _never_vary(draws: xr.Dataset) -> Constants:
    """Return entries that are the same in all draws; of shares, which follow from draws that are listed themselves."""
    dims = ("chain", "draw")
    return {str(name): ((values.max(dims) - values.min(dims)) == 0).values for name, values in draws.items()}


def _rows(
    draws: xr.Dataset, constants: Constants, ci_prob: float, ci_kind: IntervalKind
) -> list[dict[str, str | float]]:
    rows = []
    width = f"{ci_kind}{100 * ci_prob:g}"
    mixing = diagnose_draws(draws)
    for variable in map(str, draws.data_vars):
        array = draws[variable].transpose("chain", "draw", ...)
        for index in np.ndindex(array.shape[2:]):
            values = array.values[(slice(None), slice(None), *index)]
            if not is_told(variable, index, constants):
                continue
            low, high = interval(values, ci_prob, ci_kind)
            row: dict[str, str | float] = {
                "name": entry_name(variable, array[0, 0], index),
                "mean": float(values.mean()),
                "sd": float(values.std(ddof=1)),
                f"{width}_lb": low,
                f"{width}_ub": high,
            }
            for column, values_of in mixing.items():
                row[column] = float(values_of[variable].values[index])
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
