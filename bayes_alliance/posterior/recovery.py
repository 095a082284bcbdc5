"""What a fit found beside the truth the data were simulated from."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bayes_alliance._messages import are, count_of, quote
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit
from bayes_alliance.posterior.entries import public_entries
from bayes_alliance.posterior.summary import summarize


def compare_with_truth(fit: Fit, truth: Mapping[str, float], *, ci_prob: float = 0.95) -> pd.DataFrame:
    """Put posterior means and intervals beside the parameters the data were simulated from.

    Parameters
    ----------
    fit : Fit
        Of simulated data.
    truth : mapping of str to float
        Parameters by their names in summaries; those of other outcomes are left aside.
    ci_prob : float
        Probability of the equal-tailed interval. That share of intervals holds the truth over many data sets; in one
        data set some miss it.

    Returns
    -------
    DataFrame
        Columns ``name, truth, mean, eti95_lb, eti95_ub, inside``, one row per parameter of the model.

    Raises
    ------
    FitError
        If the truth lacks a parameter of the model.
    """
    summary = summarize(fit, ci_prob=ci_prob)
    # of shrinkage priors no study is drawn, only coefficients are
    drawn = [one for one in public_entries(fit) if one.variable.kind not in ("global scale", "slab")]
    names = [one.name for one in public_entries(fit) if one in drawn or one.name in truth]
    lacking = [name for name in names if name not in truth]
    if lacking:
        raise FitError(
            f"The truth has no value for {quote(lacking)} ({count_of(len(lacking), 'parameter')} that the model "
            f"estimates; {are(len(truth), 'one is', f'{len(truth)} are')} stated)."
        )
    low, high = (f"eti{100 * ci_prob:g}_{side}" for side in ("lb", "ub"))
    table = summary[summary["name"].isin(names)][["name", "mean", low, high]].reset_index(drop=True)
    table.insert(1, "truth", [float(truth[name]) for name in table["name"]])
    table["inside"] = table["truth"].between(table[low], table[high])
    return table
