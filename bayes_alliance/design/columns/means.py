"""Means of patients, therapists and groups: within, between, centred."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import MeanOf, Plugged, Value
from bayes_alliance.spec.expressions import Call, Expression, Name, Text, render
from bayes_alliance.spec.variables_read import values_in

KINDS = ("observed", "latent", "finite")


def within(evaluator: Evaluator, call: Call) -> Value:
    """Return deviations from the mean of a unit; those of a lag are the lag of the deviations."""
    inner, factor = call.arguments
    if isinstance(inner, Call) and inner.function == "lag":
        moved = Call("within", (inner.arguments[0], factor), call.keywords)
        return evaluator.value(Call("lag", (moved, *inner.arguments[1:]), inner.keywords))
    if _kind(evaluator, call) is None or not isinstance(factor, Name):
        return evaluator.nothing()
    if _averaged_finely(evaluator, inner):
        evaluator.findings.problem(
            f"{render(inner)} varies within patients, and a row of this equation is a patient.",
            where=render(call),
            fix=(
                f"Write between({render(inner)}, patient, within={factor.name}) for the deviation of the "
                "patient's mean."
            ),
        )
        return evaluator.nothing()
    own = evaluator.whole.value(inner)
    detrend = dict(call.keywords).get("detrend")
    if detrend is not None:
        return _detrended(evaluator, call, own, factor.name, detrend)
    _note_no_spread(evaluator, call, own.numbers, factor.name)
    mean = _mean(evaluator, call, inner, factor.name)
    return own.plus(mean.times(np.full(len(evaluator.rows), -1.0)))


def between(evaluator: Evaluator, call: Call) -> Value:
    """Return means of a unit, or with ``within=`` their deviations from the mean of the wider unit."""
    inner, factor = call.arguments
    if isinstance(inner, Call) and inner.function == "lag":
        inner = inner.arguments[0]
    wider = dict(call.keywords).get("within")
    if _kind(evaluator, call) is None or not isinstance(factor, Name):
        return evaluator.nothing()
    mean = _mean(evaluator, call, inner, factor.name)
    if wider is None:
        return mean
    if not isinstance(wider, Name):
        evaluator.findings.problem("within= names a grouping factor, such as within=therapist.", where=render(call))
        return evaluator.nothing()
    _check_nested(evaluator, call, factor.name, wider.name)
    return mean.plus(_mean(evaluator, call, inner, wider.name).times(np.full(len(evaluator.rows), -1.0)))


def centred(evaluator: Evaluator, call: Call) -> Value:
    """Return a value less one constant: the mean of all observed rows, of itself or of the variable named."""
    constant = pooled_mean(evaluator, [dict(call.keywords).get("on", call.arguments[0])])
    evaluator.findings.note(f"{render(call)}: the mean taken away is {constant:.4g}.")
    evaluator.constants[render(call)] = constant
    return evaluator.value(call.arguments[0]).plus(Value(np.full(len(evaluator.rows), -constant)))


def pooled_mean(evaluator: Evaluator, expressions: tuple[Expression, ...] | list[Expression]) -> float:
    """Return the mean of all observed rows, of several expressions with equal weight."""
    means = []
    for expression in expressions:
        numbers = evaluator.counted(evaluator.whole.numbers(unlagged(expression)))
        means.append(float(np.nanmean(numbers)) if not np.isnan(numbers).all() else np.nan)
    return float(np.mean(means))


def _kind(evaluator: Evaluator, call: Call) -> str | None:
    """Return which means a call takes, or None where its arguments make no sense."""
    keywords = dict(call.keywords)
    stated = keywords.get("means", Text("observed"))
    kind = stated.value if isinstance(stated, Text) else render(stated)
    problem = fix = ""
    if kind not in KINDS:
        problem = f'means is "observed", "latent" or "finite", not {kind!r}.'
    elif not isinstance(call.arguments[1], Name):
        problem = "the second argument names a grouping factor, such as patient."
    elif (kind == "finite") != ("size" in keywords):
        problem = 'means="finite" and size= go together: size names the column with the number of members of the unit.'
    elif kind != "observed" and "detrend" in keywords:
        problem, fix = "latent means take their trend from the equation.", "Leave detrend out."
    elif kind != "observed" and not isinstance(_bare(call.arguments[0]), Name):
        problem = f'means="{kind}" takes the mean of a variable as it is in the table, not of a call.'
    elif kind == "finite" and "within" in keywords:
        problem, fix = 'means="finite" takes one unit at a time.', "Leave within= out."
    if not problem:
        return kind
    evaluator.findings.problem(problem, where=render(call), fix=fix)
    return None


def _mean(evaluator: Evaluator, call: Call, inner: Expression, factor: str) -> Value:
    """Return each row's unit mean; where means are latent, with the weight 1 by which it follows them."""
    kind, variable = _kind(evaluator, call), _bare(inner)
    numbers = unit_means(evaluator, inner, factor)
    if kind == "observed" or not isinstance(variable, Name):
        _refuse_estimated(evaluator, call, inner)
        return Value(numbers)
    size = dict(call.keywords).get("size")
    mean = MeanOf(variable.name, factor, None, size.name if isinstance(size, Name) else None)
    evaluator.means[mean] = Plugged(numbers)
    return Value(numbers, {mean: np.where(np.isnan(numbers), 0.0, 1.0)})


def _refuse_estimated(evaluator: Evaluator, call: Call, inner: Expression) -> None:
    """Report a mean of observed values of something whose values are estimated."""
    source = evaluator.finer if _averaged_finely(evaluator, inner) else evaluator
    if source is not None and source.value(inner).latent:
        evaluator.findings.problem(
            f"{render(inner)} is estimated, and its means over observed rows are not its means.",
            where=render(call),
            fix='Write means="latent" (of mi()), or take the mean of a number.',
        )


def _bare(expression: Expression) -> Expression:
    """Return a variable without the lag, and the mi(), around it."""
    inner = unlagged(expression)
    return inner.arguments[0] if isinstance(inner, Call) and inner.function == "mi" else inner


def unit_means(evaluator: Evaluator, inner: Expression, factor: str) -> np.ndarray:
    """Return each row's unit mean over that unit's observed rows; NaN where the row has no unit."""
    source = evaluator.finer if _averaged_finely(evaluator, inner) else evaluator
    assert source is not None
    ids = pd.Series(source.factor_ids(factor))
    means = pd.Series(source.counted(source.whole.numbers(inner))).groupby(ids).mean()
    here = pd.Series(evaluator.factor_ids(factor))
    return here.map(means).mask(here == "").to_numpy(float)


def _averaged_finely(evaluator: Evaluator, inner: Expression) -> bool:
    """Return whether an equation of patients averages something that varies within them."""
    return evaluator.finer is not None and any(name not in evaluator.variables for name in values_in(inner))


def unlagged(expression: Expression) -> Expression:
    """Return what stands in a lag, or the expression as it is."""
    if isinstance(expression, Call) and expression.function == "lag":
        return expression.arguments[0]
    return expression


def _check_nested(evaluator: Evaluator, call: Call, inner: str, outer: str) -> None:
    pairs = pd.DataFrame({"inner": evaluator.factor_ids(inner), "outer": evaluator.factor_ids(outer)})
    pairs = pairs[(pairs.inner != "") & (pairs.outer != "")].drop_duplicates()
    several = pairs.inner[pairs.inner.duplicated()].unique()
    if len(several):
        evaluator.findings.problem(
            f"{count_of(len(several), inner)} {are(len(several), 'lies', 'lie')} in more than one {outer}, so "
            f"a mean of the {inner} has no single deviation from the {outer}.",
            where=render(call),
        )


def _note_no_spread(evaluator: Evaluator, call: Call, values: np.ndarray, factor: str) -> None:
    ids = pd.Series(evaluator.factor_ids(factor))
    spread = pd.Series(values).groupby(ids).agg(["count", "nunique"]).drop(index="", errors="ignore")
    spread = spread[spread["count"] > 0]
    still = int((spread["nunique"] < 2).sum())
    if still:
        evaluator.findings.note(
            f"{render(call)}: {count_of(still, factor)} of {len(spread):,} ({still / len(spread):.0%}) "
            f"{are(still, 'has', 'have')} one observed row or no variation; kept for what lies between, nothing for "
            f"what lies within."
        )


def _detrended(evaluator: Evaluator, call: Call, own: Value, factor: str, time: Expression) -> Value:
    """Return deviations from each unit's own straight line over time, by least squares."""
    if own.latent:
        evaluator.findings.problem(
            "lines are fitted to observed values.", where=render(call), fix="Take mi() and mo() out, or detrend."
        )
    frame = pd.DataFrame({"unit": evaluator.factor_ids(factor), "y": own.numbers, "t": evaluator.whole.numbers(time)})
    used = frame.assign(y=evaluator.counted(own.numbers)).dropna()
    used = used[used.unit != ""]
    of_unit = used.groupby("unit")
    middle = of_unit[["t", "y"]].mean()
    t, y = (used[name] - used.unit.map(middle[name]) for name in ("t", "y"))
    spread, together = (t**2).groupby(used.unit).sum(), (t * y).groupby(used.unit).sum()
    slope = (together / spread.where(spread > 0, np.nan)).fillna(0.0)
    unit = frame.unit.mask(frame.unit == "")
    left = frame.y - unit.map(middle["y"]) - unit.map(slope) * (frame.t - unit.map(middle["t"]))
    few = int((of_unit.size() < 3).sum())
    lost = (
        f"; {count_of(few, factor)} with fewer than three rows {are(few, 'is', 'are')} 0 in all of them" if few else ""
    )
    evaluator.findings.note(
        f"{render(call)}: the straight line of each {factor} over {render(time)} is taken away{lost}."
    )
    return Value(left.to_numpy(float))
