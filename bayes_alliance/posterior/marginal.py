"""What changes in the outcome when a predictor is set to one value rather than another, averaged over the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import numpy as np
import xarray as xr

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.factors import find_factor
from bayes_alliance.design.terms import Columns, code_terms
from bayes_alliance.design.transforms import ROWWISE
from bayes_alliance.design.variables import Variable
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.names import COEF
from bayes_alliance.posterior.families import expected
from bayes_alliance.posterior.linear import drawn_rows, effect_roots, stack_draws
from bayes_alliance.posterior.moved import Moved, RowwiseEvaluator
from bayes_alliance.spec.expressions import Term, calls_in, names_in, render_term

type Groups = Literal["integrated", "zero"]

type Setting = float | str

NODES = 21
"""Points of Gauss-Hermite quadrature over the normal sum of a row's group effects."""

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
    are averaged. Means and lags of what is set are not moved with it.

    Parameters
    ----------
    fit : Fit
        With its design.
    variable : str
        A predictor, in the model's name or the study's.
    values : sequence
        Two or more numbers, or levels of a factor; differences are from the first.
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
        ``mean`` in units of the outcome (probabilities for 0/1 outcomes), and ``difference`` from the first value.

    Raises
    ------
    FitError
        If the fit has no design, or a predictor or value is none that can be set.
    """
    design = design_of(fit)
    if groups not in ("integrated", "zero"):
        raise FitError(unknown("groups", str(groups), ("integrated", "zero")))
    equation = design.find(outcome)
    settings = {variable: list(values), **{name: list(own) for name, own in (at or {}).items()}}
    if len(values) < 2:
        raise FitError(f"Differences need two values of {variable!r} or more.")
    named = {_find(equation, name): own for name, own in settings.items()}
    for name, own in named.items():
        _check_values(equation, name, own)
    shape = tuple(len(own) for own in named.values())
    if math.prod(shape) > MOST_COMBINATIONS:
        raise FitError(
            f"values and at ask for more than {MOST_COMBINATIONS:,} combinations, the limit. State fewer values."
        )
    flat = stack_draws(fit.data["posterior"].to_dataset())
    means = np.empty((flat.sizes["sample"], *shape))
    for place, chosen in zip(np.ndindex(*shape), product(*named.values()), strict=True):
        means[(slice(None), *place)] = _mean(design, equation, dict(zip(named, chosen, strict=True)), flat, groups)
    chains, draws = fit.data["posterior"].sizes["chain"], fit.data["posterior"].sizes["draw"]
    dims = ("chain", "draw", *settings)
    coords = {"chain": np.arange(chains), "draw": np.arange(draws), **settings}
    mean = xr.DataArray(means.reshape(chains, draws, *shape), dims=dims, coords=coords)
    difference = mean.isel({variable: slice(1, None)}) - mean.isel({variable: 0}, drop=True)
    return xr.Dataset({"mean": mean, "difference": difference.rename({variable: f"{variable}_less_{values[0]}"})})


def _find(equation: EquationDesign, name: str) -> str:
    """Return the model's name of a predictor."""
    known = {v.label: key for key, v in equation.variables.items() if key != equation.spec.outcome}
    by_model = {key: key for key in known.values()}
    if name not in known and name not in by_model:
        raise FitError(unknown("predictor", name, [*known, *by_model]))
    return by_model.get(name, known.get(name, name))


def _check_values(equation: EquationDesign, name: str, values: Sequence[Setting]) -> None:
    variable = equation.variables[name]
    if variable.levels is not None:
        odd = [str(value) for value in values if value not in variable.levels]
        if odd:
            raise FitError(f"{variable.label!r} has no level {quote(odd)}; it has {quote(variable.levels)}.")
        return
    words = [repr(value) for value in values if isinstance(value, str) or not np.isfinite(value)]
    if words:
        raise FitError(f"{variable.label!r} is a number; {', '.join(words)} cannot be set.")


def _mean(
    design: Design, equation: EquationDesign, chosen: Mapping[str, Setting], flat: xr.Dataset, groups: Groups
) -> np.ndarray:
    """Return the expected outcome averaged over rows, shape (draw,)."""
    moved = {name: _set(equation, name, value) for name, value in chosen.items()}
    formula = equation.spec.parsed
    b = flat["b"].sel({COEF: list(equation.coef_labels)}).transpose("sample", COEF).values
    evaluator = RowwiseEvaluator(equation, {**equation.variables, **moved})
    coded, fixed = _code_moved(
        evaluator, moved, formula.intercept, formula.terms, equation.coef.terms, column=equation.kind.intercept
    )
    columns = Moved(equation, coded.values, coded.latent, fixed, evaluator.codes)
    if equation.kind.linear:
        return np.asarray(b @ columns.values.mean(axis=0) + columns.mean_shift(flat) + equation.offset)
    linear, rows = b @ columns.values.T + columns.row_shift(flat), drawn_rows(design, equation, flat)
    if groups == "zero":
        return np.asarray(expected(rows, linear).mean(axis=1))
    variance = variance_of_effects(design, equation, moved, flat)
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    total = np.zeros(len(linear))
    for node, weight in zip(x, w / w.sum(), strict=True):
        total += weight * expected(rows, linear + node * np.sqrt(variance)).mean(axis=1)
    return total


def _set(equation: EquationDesign, name: str, value: Setting) -> Variable:
    variable = equation.variables[name]
    number = float(variable.levels.index(str(value))) if variable.levels is not None else float(value)
    return Variable(name, variable.label, np.full(len(equation.y), number), variable.levels)


def _moved_columns(
    equation: EquationDesign,
    moved: Mapping[str, Variable],
    intercept: bool,
    terms: Sequence[Term],
    observed: np.ndarray,
    column_terms: Sequence[str],
) -> np.ndarray:
    """Return coded columns with predictors set; those that do not read them stay as observed."""
    evaluator = RowwiseEvaluator(equation, {**equation.variables, **moved})
    coded, keep = _code_moved(evaluator, moved, intercept, terms, column_terms)
    values = coded.values
    values[:, keep] = observed[:, keep]
    return values


def _code_moved(
    evaluator: RowwiseEvaluator,
    moved: Mapping[str, Variable],
    intercept: bool,
    terms: Sequence[Term],
    column_terms: Sequence[str],
    *,
    column: bool = True,
) -> tuple[Columns, list[int]]:
    """Return columns coded with predictors set, and the places of those that do not read them."""
    reading = {render_term(term): term for term in terms if _reads(term, moved)}
    for text, term in reading.items():
        around = [call.function for part in term.parts for call in calls_in(part) if call.function not in ROWWISE]
        if around:
            raise FitError(
                f"{text} reads other rows ({', '.join(around)}), so {quote(list(moved))} cannot be set in it."
            )
    coded = code_terms(intercept, terms, evaluator, column=column)
    return coded, [i for i, text in enumerate(column_terms) if text not in reading]


def _reads(term: Term, moved: Mapping[str, Variable]) -> bool:
    return bool({name for part in term.parts for name in names_in(part)} & set(moved))


def variance_of_effects(
    design: Design, equation: EquationDesign, moved: Mapping[str, Variable], flat: xr.Dataset
) -> np.ndarray:
    """Return the variance of the sum of each row's group effects, shape (draw, obs)."""
    total = np.zeros((flat.sizes["sample"], len(equation.y)))
    for group in equation.groups:
        values, start = group.values.copy(), 0
        if group.weight is not None:
            values = np.divide(values, group.weight[:, None], out=np.zeros_like(values), where=group.inside[:, None])
        for term in equation.spec.parsed.groups:
            if term.factor != group.factor:
                continue
            own = code_terms(term.intercept, term.terms, RowwiseEvaluator(equation, dict(equation.variables)))
            stop = start + len(own.labels)
            part = _moved_columns(equation, moved, term.intercept, term.terms, values[:, start:stop], own.terms)
            weight = group.inside if group.weight is None else group.weight
            values[:, start:stop] = np.where(group.inside[:, None], part * np.asarray(weight, float)[:, None], 0.0)
            start = stop
        places = list(find_factor(design.factors, group.factor).places[equation.outcome])
        roots = effect_roots(design, group.factor, flat)[:, :, places]
        carried = np.einsum("oe,soek->sok", values, roots[:, group.code])
        total += (carried**2).sum(axis=2)
    return total
