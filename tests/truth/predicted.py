"""What predictions, comparisons and slopes say at some settings, each beside the right value worked out in a world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

import bayes_alliance as ba
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.latent_columns import FollowValue
from tests.truth.cases import Case
from tests.truth.readers import over_draws, settable
from tests.truth.simulator import expected, linear_predictor, marginal_mean, state_effects, usable
from tests.truth.table import NotCompared, Pair, Setting
from tests.truth.worlds import World

HOW = {"new": "integrated", "zero": "zero"}
STEP = 1e-3


def mean_of_rows(case: Case, world: World, outcome: str, groups: str) -> np.ndarray:
    """Return the expected outcome of every row that is used, with effects of new units or none, shape (obs,)."""
    view = case.view(world, outcome)
    keep = usable(case.view(case.world(0, 0), outcome), outcome)
    return np.broadcast_to(marginal_mean(view, outcome, groups=HOW[groups]), (1, len(view)))[0][keep]


def values_of(found: ba.Expectations) -> np.ndarray:
    """Return draws of all results, shape (chain, draw, line)."""
    return np.asarray(found.draws["value"].transpose("chain", "draw", "estimand").values)


def predicted(case: Case) -> Iterator[Setting]:
    """predictions: the fit's own rows with a variable set, row by row, and the same rows as new ones."""
    for e in case.design.equations:
        chosen = settable(case, e.outcome)[:3]
        for variable, values in chosen:
            for groups in ("new", "zero"):
                name = f"{e.outcome}: {variable}, {groups}"
                yield name, lambda e=e, v=variable, x=values, g=groups: _set(case, e.outcome, v, x, g)
        yield f"{e.outcome}: own rows", lambda e=e: _own(case, e)
        yield f"{e.outcome}: new rows", lambda e=e: _new(case, e)


def _set(case: Case, outcome: str, variable: str, values: Sequence, groups: str) -> Pair:
    got = ba.predictions(case.fit, at={variable: values}, outcome=outcome, groups=groups)

    def right(world: World) -> np.ndarray:
        return np.array([mean_of_rows(case, world.set(variable, v), outcome, groups).mean() for v in values])

    return Pair(values_of(got), over_draws(case, right), exact=1e-4)


def _own(case: Case, e: EquationDesign) -> Pair:
    got = ba.predictions(case.fit, by="row", outcome=e.outcome, groups="own")
    if e.parameters:
        raise ba.FitError("Own effects on parameters of a family are not worked out apart.")

    def right(world: World) -> np.ndarray:
        view = case.view(world, e.outcome)
        eta = linear_predictor(view, e.outcome, state_effects(world, "own"))
        return np.broadcast_to(expected(view, e.outcome, eta), (1, len(view)))[0][usable(view, e.outcome)]

    return Pair(values_of(got), over_draws(case, right), exact=1e-4)


def rows_as_new(e: EquationDesign) -> pd.DataFrame:
    """Return the predictors of the fit's rows as a table, with the ids of units, empty where a row has none.

    Calls that read other rows, those left out of the equation among them, are columns.
    """
    shown: dict[str, object] = {}
    for group in e.groups:
        if group.weight is None and ":" not in group.factor:
            shown[group.factor] = np.where(group.inside, np.array(group.levels, dtype=object)[group.code], "")
    for name, variable in e.variables.items():
        if name != e.spec.outcome:
            levels = variable.levels
            shown[name] = variable.values if levels is None else [levels[int(v)] for v in variable.values]
    for own in e.calls.values():  # over other rows than these, and so stated
        ((_, value), *more) = own.pieces
        if not more and not value.latent:
            shown[own.label] = value.numbers
    return pd.DataFrame(shown, index=range(len(e.y)))


def _new(case: Case, e: EquationDesign) -> Pair:
    got = ba.predictions(case.fit, rows_as_new(e), outcome=e.outcome)
    if any(isinstance(follow, FollowValue) for follow in e.follows.values()):
        raise NotCompared("values that are modelled are taken as stated in new rows")

    def right(world: World) -> np.ndarray:
        return mean_of_rows(case, world, e.outcome, "new")

    return Pair(values_of(got), over_draws(case, right), exact=1e-4)


def compared(case: Case) -> Iterator[Setting]:
    """comparisons: differences and ratios of averages, every later value with the first."""
    for e in case.design.equations:
        for variable, values in settable(case, e.outcome)[:2]:
            for scale in ("difference", "ratio"):
                name = f"{e.outcome}: {variable}, {scale}"
                yield name, lambda e=e, v=variable, x=values, s=scale: _compared(case, e.outcome, v, x, s)


def _compared(case: Case, outcome: str, variable: str, values: Sequence, scale: str) -> Pair:
    got = ba.comparisons(case.fit, variable, values=values, outcome=outcome, scale=scale)  # type: ignore[arg-type]

    def right(world: World) -> np.ndarray:
        means = np.array([mean_of_rows(case, world.set(variable, v), outcome, "new").mean() for v in values])
        return means[1:] - means[0] if scale == "difference" else means[1:] / means[0]

    return Pair(values_of(got), over_draws(case, right), exact=2e-4)


def sloped(case: Case) -> Iterator[Setting]:
    """slopes: at two values of a number."""
    for e in case.design.equations:
        for variable, values in settable(case, e.outcome):
            if all(isinstance(value, float) for value in values):
                yield f"{e.outcome}: {variable}", lambda e=e, v=variable, x=values: _sloped(case, e, v, x)


def _sloped(case: Case, e: EquationDesign, variable: str, values: Sequence[float]) -> Pair:
    got = ba.slopes(case.fit, variable, at={variable: values}, outcome=e.outcome)
    step = STEP * float(np.nanstd(e.variables[variable].values))

    def right(world: World) -> np.ndarray:
        def mean(value: float) -> float:
            return float(mean_of_rows(case, world.set(variable, value), e.outcome, "new").mean())

        return np.array([(mean(v + step) - mean(v - step)) / (2 * step) for v in values])

    return Pair(values_of(got), over_draws(case, right), exact=1e-3)


READERS = {"predictions": predicted, "comparisons": compared, "slopes": sloped}
