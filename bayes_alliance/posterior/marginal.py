"""What changes in the outcome when a predictor is set to one value rather than another, averaged over the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import numpy as np
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.design.related_variables import rows_together
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.expected import Effects, expected_means
from bayes_alliance.expectation.linear import stack_draws
from bayes_alliance.expectation.new_data import move
from bayes_alliance.expectation.set_variables import Setting, check_values, name_settings, predictors_of, set_variables
from bayes_alliance.findings import Problem
from bayes_alliance.fit.result import Fit, design_of

type Groups = Literal["integrated", "zero"]

TAKEN = ("chain", "draw", "mean", "difference")
"""Dimensions and variables of a result, which no predictor can be called."""

MOST_COMBINATIONS = 1_000
"""Combinations of values that predictors are set to."""


def marginal_effects(
    fit: Fit,
    variable: str,
    *,
    values: Sequence[Setting],
    at: Mapping[str, Sequence[Setting]] | None = None,
    outcome: str | None = None,
    groups: Groups = "integrated",
) -> xr.Dataset:
    """Return the expected outcome with a predictor at stated values, and differences from the first, as draws.

    In every row the predictor, and the moderators of ``at``, are set to each value; all else stays as observed; rows
    are averaged. What goes with a variable is set with it: 0/1 variables that stand for its levels, the residual SD and
    the covariances of its level, and the units of a factor that one arm has and the other has not. Means and lags of
    what is set are not moved. Latent means and modelled values are those of the rows' own units, as drawn.

    Parameters
    ----------
    fit : Fit
        With its design.
    variable : str
        A predictor, in the model's name or the study's.
    values : sequence
        Two or more numbers, or levels of a factor; differences are from the first. Levels that are numbers may be
        stated as numbers.
    at : mapping of str to sequence, optional
        Moderators and their values.
    outcome : str, optional
        Which outcome, where the model has several.
    groups : {"integrated", "zero"}
        Group effects integrated out, so that a probability is that of a new patient of a new therapist; or at 0, that
        of a typical one. The same for Gaussian outcomes.

    Returns
    -------
    Dataset over (chain, draw, <variable>, <moderators>)
        ``mean`` in units of the outcome (probabilities for 0/1 outcomes, shares of the trials for numbers of
        successes), and ``difference`` from the first value.

    Raises
    ------
    FitError
        If the fit has no design, or a predictor or value is none that can be set.
    """
    design = design_of(fit)
    if groups not in ("integrated", "zero"):
        raise FitError(unknown("groups", str(groups), ("integrated", "zero")))
    equation = design.find(outcome)
    _check_stated({variable: values, **(at or {})})
    settings = {variable: list(values), **{name: list(own) for name, own in (at or {}).items() if name != variable}}
    if len(values) < 2:
        raise FitError(f"Differences need two values of {variable!r} or more.")
    known = predictors_of(equation)
    named = name_settings(known, [(variable, list(values)), *((n, list(own)) for n, own in (at or {}).items())])
    for name, own in named.items():
        check_values(known[name], own)
    shape = tuple(len(own) for own in named.values())
    if math.prod(shape) > MOST_COMBINATIONS:
        raise FitError(
            f"values and at ask for more than {MOST_COMBINATIONS:,} combinations, the limit. State fewer values."
        )
    flat = stack_draws(with_effects(fit) if equation.follows else fit.data["posterior"].to_dataset())
    effects: dict[str, Effects] = dict.fromkeys(
        (factor.factor for factor in design.factors), "new" if groups == "integrated" else "zero"
    )
    means, rows = np.empty((flat.sizes["sample"], *shape)), rows_together(equation)
    for place, chosen in zip(np.ndindex(*shape), product(*named.values()), strict=True):
        moved = move(design, equation, set_variables(equation, dict(zip(named, chosen, strict=True)), rows))
        means[(slice(None), *place)] = expected_means(moved, flat, effects)[:, 0]
    chains, draws = fit.data["posterior"].sizes["chain"], fit.data["posterior"].sizes["draw"]
    dims = ("chain", "draw", *settings)
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), **settings}
    mean = xr.DataArray(means.reshape(chains, draws, *shape), dims=dims, coords=coords)
    difference = mean.isel({variable: slice(1, None)}) - mean.isel({variable: 0}, drop=True)
    return xr.Dataset({"mean": mean, "difference": difference.rename({variable: f"{variable}_less_{values[0]}"})})


def _check_stated(stated: Mapping[str, object]) -> None:
    """Refuse what is no list of values, and names that the result has uses for, all at once."""
    problems = []
    for name, own in stated.items():
        if isinstance(own, str) or not isinstance(own, Sequence | np.ndarray) or not len(own):
            problems.append(
                Problem(f"{own!r} is no list of values.", where=f"{name!r}", fix="State a list, such as [0, 1].")
            )
        elif any(not isinstance(value, str | int | float | np.number) for value in own):
            problems.append(Problem(f"{list(own)!r} has what is neither a number nor a level.", where=f"{name!r}"))
        if name in TAKEN:
            problems.append(
                Problem(f"{name!r} is a name that the result uses.", fix="Rename the column and the predictor.")
            )
    if problems:
        raise FitError(problems)
