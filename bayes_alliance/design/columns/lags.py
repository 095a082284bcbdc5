"""Values of earlier sessions, by session number: a gap is missing, and every pair kept or lost is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.values import Plugged, Value
from bayes_alliance.spec.expressions import Call, Number, render


def lag(evaluator: Evaluator, call: Call) -> Value:
    """Return the same patient's value ``steps`` session numbers earlier; a gap is NaN.

    With ``max_gap`` it is the latest observed value of ``steps`` to ``max_gap`` session numbers ago.
    """
    steps = _whole(call.arguments[1] if len(call.arguments) > 1 else Number(1.0))
    longest = _whole(dict(call.keywords).get("max_gap", Number(float(steps))))
    if np.isnan(evaluator.rows.session).all() or steps < 1 or longest < steps:
        evaluator.findings.problem(
            f"{render(call)} needs rows that are sessions, a whole number of sessions from 1, and a max_gap that is "
            f"no smaller."
        )
        return evaluator.nothing()
    inner = evaluator.whole.value(call.arguments[0])
    source = find_earlier(evaluator, steps, longest, ~np.isnan(inner.numbers))
    found = source >= 0
    _audit(evaluator, call, found, longest)
    numbers = np.where(found, inner.numbers[source], np.nan)
    latent = {}
    for mean, weight in inner.latent.items():
        if mean.lag is not None:
            evaluator.findings.problem(
                "a lag of a lag of what is estimated is not known.", where=render(call), fix="Write lag(x, 2)."
            )
        lagged = replace(mean, lag=(steps, longest))
        latent[lagged] = np.where(found, weight[source], 0.0)
        plugged = np.where(found, evaluator.means[mean].numbers[source], np.nan)
        code = evaluator.means[mean].code
        moved = None if code is None else np.where(found, code[source], -1)
        evaluator.means[lagged] = Plugged(plugged, np.where(found, source, 0), moved)
    return Value(numbers, latent)


def find_earlier(evaluator: Evaluator, steps: int, longest: int, usable: np.ndarray) -> np.ndarray:
    """Return the position of each row's latest usable earlier row, -1 where there is none within reach."""
    rows = evaluator.rows
    here = pd.DataFrame({"patient": rows.key, "session": rows.session, "place": np.arange(len(rows))})
    source = np.full(len(rows), -1, dtype=np.int64)
    for gap in range(longest, steps - 1, -1):
        earlier = here[usable].assign(session=here.session[usable] + gap).rename(columns={"place": "source"})
        joined = here.merge(earlier, on=["patient", "session"], how="left", validate="one_to_one").source
        at = joined.to_numpy(float)
        source = np.where(np.isnan(at), source, np.nan_to_num(at, nan=-1)).astype(np.int64)
    return source


def _audit(evaluator: Evaluator, call: Call, found: np.ndarray, longest: int) -> None:
    """Say how many rows have an earlier value and why others have none, by condition."""
    rows = evaluator.rows
    session = pd.Series(rows.session)
    first = (session == session.groupby(pd.Series(rows.key)).transform("min")).to_numpy()
    previous = find_earlier(evaluator, 1, longest, np.ones(len(rows), dtype=bool)) >= 0
    gap = ~found & ~first & ~previous
    empty = ~found & ~first & previous
    parts = [f"{count_of(int(found.sum()), 'row')} of {len(rows):,} have an earlier value{evaluator.by_arm(found)}"]
    for which, why in (
        (first, "are a patient's first session, which no lag reaches"),
        (gap, f"follow a gap of more than {count_of(longest, 'session number')}"),
        (empty, "follow a session without the value"),
    ):
        if which.any():
            parts.append(f"{count_of(int(which.sum()), 'row')} {why}{evaluator.by_arm(which)}")
    evaluator.findings.note(f"{render(call)}: {'; '.join(parts)}.")


def _whole(expression: object) -> int:
    stated = expression.value if isinstance(expression, Number) else 0.0
    return int(stated) if stated % 1 == 0 else 0
