"""Claims of several estimands at once: how probable they are, and were before the data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import unknown
from bayes_alliance.design.design import Design
from bayes_alliance.errors import DesignError, FitError
from bayes_alliance.findings import Problem
from bayes_alliance.fit.estimands import work_out
from bayes_alliance.fit.result import Fit
from bayes_alliance.simulate.prior import draw_parameters

type Range = tuple[float | None, float | None]

PRIOR_DRAWS = 4000


def claim_probability(fit: Fit, claim: Mapping[str, Range], *, seed: int = 1) -> pd.DataFrame:
    """Return how probable it is that several estimands lie where a claim says, one by one and all at once.

    That one path is "significant" and another is not is no test of a claim about both; their joint posterior
    probability is. It stands beside the probability before the data, since a claim of several conditions is improbable
    to begin with.

    Parameters
    ----------
    fit : Fit
        With the estimands; with its rows, if the prior probability is wanted.
    claim : mapping of str to (float or None, float or None)
        Lower and upper bound of each estimand in its unit, None where there is none, such as
        ``{"within_therapists": (-0.5, 0.5), "between_therapists": (None, 0)}``.
    seed : int
        For the draws from the priors.

    Returns
    -------
    DataFrame
        Columns ``condition, unit, posterior, mcse, prior``; the last row is the claim. ``prior`` is missing without
        rows, and where priors are improper.

    Raises
    ------
    FitError
        If there is no such estimand, no bound is stated, or bounds are out of order.
    """
    if "estimands" not in fit.data.children:
        raise FitError("The model states no estimand. Add [labels] and [estimands] to its file, or use add_estimands.")
    draws = fit.data["estimands"].to_dataset()
    known = [str(name) for name in draws["estimand"].values]
    problems = [unknown("estimand", name, known) for name in claim if name not in known]
    for name, (low, high) in claim.items():
        if low is None and high is None:
            problems.append(Problem("it has no bound.", where=name, fix="State a lower bound, an upper one, or both."))
        elif low is not None and high is not None and not low < high:
            problems.append(Problem(f"{(low, high)}: the lower bound comes first.", where=name))
    if not claim:
        problems.append(Problem("The claim is empty.", fix="Name an estimand and its bounds."))
    if problems:
        raise FitError(problems)
    prior = _prior_values(fit.design, list(claim), seed) if fit.design is not None else None
    rows = []
    units = {str(name): str(unit) for name, unit in zip(known, draws["unit"].values, strict=True)}
    inside = [_within(draws["value"].sel(estimand=name).values, bounds) for name, bounds in claim.items()]
    before = None if prior is None else [_within(prior[name], bounds) for name, bounds in claim.items()]
    for place, (name, bounds) in enumerate(claim.items()):
        rows.append((_condition(name, bounds), units[name], inside[place], None if before is None else before[place]))
    rows.append(
        (
            "all at once",
            "",
            np.logical_and.reduce(inside),
            None if before is None else np.logical_and.reduce(before),
        )
    )
    table = [
        (text, unit, now.mean(), _mcse(now), np.nan if was is None else was.mean()) for text, unit, now, was in rows
    ]
    return pd.DataFrame(table, columns=["condition", "unit", "posterior", "mcse", "prior"])


def _within(values: np.ndarray, bounds: Range) -> np.ndarray:
    low, high = bounds
    return np.asarray(((low is None) | (values > (low or 0.0))) & ((high is None) | (values < (high or 0.0))))


def _condition(name: str, bounds: Range) -> str:
    low, high = bounds
    if low is None:
        return f"{name} < {high:g}"
    return f"{name} > {low:g}" if high is None else f"{low:g} < {name} < {high:g}"


def _mcse(inside: np.ndarray) -> float:
    """Return the Monte Carlo standard error of a probability; ``inside`` has shape (chain, draw)."""
    import arviz_stats as azs

    share = float(inside.mean())
    if share in (0.0, 1.0):
        return 1.0 / inside.size  # a rule of thumb: none of so many draws was on the other side
    return float(azs.mcse(inside.astype(float), method="mean"))


def _prior_values(design: Design, names: list[str], seed: int) -> dict[str, np.ndarray] | None:
    """Return draws of estimands from the priors; None where these are improper."""
    try:
        drawn = draw_parameters(design, draws=PRIOR_DRAWS, seed=seed)
    except DesignError:
        return None
    values = work_out(tuple(one for one in design.estimands if one.name in names), drawn)
    return None if values is None else {name: values["value"].sel(estimand=name).values for name in names}
