"""value(y), slope(y), effect(y, patient, "session"): what one equation reads of another one's linear predictor.

In columns stand numbers that least squares gives for every patient, so that checks, scales and centring see numbers;
the model adds the difference to what is estimated (``design/equations/latent``).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import LinkedTo, Plugged, Value
from bayes_alliance.names import INTERCEPT, SESSION
from bayes_alliance.spec.expressions import Call, Name, Number, Text, render


def linked_predictor(evaluator: Evaluator, call: Call) -> Value:
    """Return stand-ins of what another equation says, with the weight 1 by which a column follows it."""
    name = call.arguments[0]
    if not isinstance(name, Name):
        evaluator.findings.problem("the first argument is an outcome of the model, by its name.", where=render(call))
        return evaluator.nothing()
    stated = dict(call.keywords).get(SESSION)
    if stated is not None and not isinstance(stated, Number):
        evaluator.findings.problem(
            f"session is a number, such as {call.function}({name.name}, session=9).", where=render(call)
        )
        return evaluator.nothing()
    if call.function == "effect" and not (isinstance(call.arguments[1], Name) and isinstance(call.arguments[2], Text)):
        evaluator.findings.problem(
            "it does not name a factor and the label of its effect in quotes.",
            where=render(call),
            fix=f'Write them as in effect({name.name}, patient, "Intercept").',
        )
        return evaluator.nothing()
    key = linked_key(call)
    if evaluator.rows.unit not in (SESSION, "patient"):
        evaluator.findings.problem(
            f"rows are {evaluator.rows.unit}s; only sessions and patients have a course.", where=render(call)
        )
        return evaluator.nothing()
    by_session = not np.isnan(evaluator.rows.session).all()
    if key.kind == "value" and key.session is None and not by_session:
        evaluator.findings.problem(
            f"rows are {evaluator.rows.role}s, and a value is one of a session.",
            where=render(call),
            fix=f"State it, such as value({name.name}, session=9).",
        )
        return evaluator.nothing()
    if key.kind == "value" and evaluator.times is not None and np.isnan(evaluator.times).any():
        evaluator.findings.note(
            f"{render(call)} has no value in {count_of(int(np.isnan(evaluator.times).sum()), 'row')} without a time, "
            "such as sessions at risk that nobody attended: left out, they do not count as survived. Rows with their "
            "time, the outcome empty, keep them."
        )
    numbers = _stand_in(evaluator, key)
    evaluator.means[key] = Plugged(numbers)
    return Value(numbers, {key: np.where(np.isnan(numbers), 0.0, 1.0)})


def linked_key(call: Call) -> LinkedTo:
    """Return what a call of value(), slope() or effect() reads; its arguments are of the right kinds."""
    stated = dict(call.keywords).get(SESSION)
    session = stated.value if isinstance(stated, Number) else None
    match call.arguments:
        case (Name(variable), Name(factor), Text(effect)):
            return LinkedTo(variable, call.function, session, factor, effect)
        case (Name(variable), *_):
            return LinkedTo(variable, call.function, session)
        case _:
            raise AssertionError(render(call))


def _stand_in(evaluator: Evaluator, key: LinkedTo) -> np.ndarray:
    """Return what least squares says of each row's patient; NaN for patients without any value of the outcome."""
    source = evaluator if key.variable in evaluator.variables else evaluator.finer
    assert source is not None
    frame = pd.DataFrame({"patient": source.rows.key, "t": source.clock, "y": source.variables[key.variable].values})
    frame["t"] = frame["t"].fillna(0.0)
    frame = frame.dropna(subset=["y"])
    means = frame.groupby("patient")[["t", "y"]].mean()
    apart = frame[["t", "y"]] - means.loc[frame["patient"]].to_numpy()
    sums = pd.DataFrame({"patient": frame["patient"], "tt": apart["t"] ** 2, "ty": apart["t"] * apart["y"]})
    sums = sums.groupby("patient").sum()
    total = float(sums["tt"].sum())
    common = float(sums["ty"].sum()) / total if total > 0 else 0.0
    weight = max(float(sums["tt"].median()), 1e-12)
    slope = (sums["ty"] + weight * common) / (sums["tt"] + weight)
    patients = evaluator.rows.key
    own = slope.reindex(patients).to_numpy(float)
    if key.kind == "slope":
        return own
    level, middle = means["y"].reindex(patients).to_numpy(float), means["t"].reindex(patients).to_numpy(float)
    if key.kind == "effect":
        return level - float(means["y"].mean()) if key.effect == INTERCEPT else own - common
    at = evaluator.clock if key.session is None else np.full(len(patients), key.session)
    return np.asarray(level + own * (at - middle))
