"""Odd tables and formulas: whatever comes in, only our own errors come out, and no row goes uncounted."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.build.model import build_model

CELLS = st.one_of(
    st.none(),
    st.integers(-3, 12),
    st.floats(-5, 5),
    st.sampled_from([float("nan"), float("inf")]),
    st.sampled_from(["", "NA", "a", "b", "01", "1", " 1", "3,5", "x y", "é", "2.0", "1e3", "True"]),
    st.booleans(),
)
COLUMNS = ["pid", "week", "y", "x", "arm", "tid", "x y"]
FORMULAS = st.sampled_from(
    [
        "x",
        "x * arm",
        "week + (1 + week | patient)",
        "session + (1 | therapist)",
        "arm + (0 + tx | therapist)",
        "within(x, patient) + between(x, patient)",
        "lag(x) + (1 | patient)",
        "log(x + 1) + `x y`",
        "sqrt(session) : arm",
        "(1 | therapist/patient)",
        "0 + arm + (1 + x || patient)",
    ]
)
ROLES = st.sampled_from(
    [
        {"patient": "pid", "session": "week"},
        {"patient": "pid", "session": "week", "therapist": "tid"},
        {"patient": "x", "session": "week"},
        {"patient": "pid"},
        {"patient": "pid", "session": "y", "site": "arm"},
    ]
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Draw small frames in which a column may be sound, mixed, empty or of one value."""
    size = draw(st.integers(1, 14))
    columns: dict[str, object] = {}
    for name in COLUMNS:
        kind = draw(st.sampled_from(["sound", "sound", "sound", "mixed", "empty", "constant", "category"]))
        if kind == "mixed":
            columns[name] = pd.Series(draw(st.lists(CELLS, min_size=size, max_size=size)), dtype=object)
        elif kind == "empty":
            columns[name] = [None] * size
        elif kind == "constant":
            columns[name] = [1] * size
        elif kind == "category":
            columns[name] = pd.Categorical(draw(st.lists(st.sampled_from("ab"), min_size=size, max_size=size)))
        elif name in ("pid", "tid", "arm"):
            columns[name] = draw(st.lists(st.sampled_from(["p", "q", "r"]), min_size=size, max_size=size))
        elif name == "week":
            columns[name] = list(range(size))
        else:
            columns[name] = draw(st.lists(st.floats(-5, 5), min_size=size, max_size=size))
    return pd.DataFrame(columns)


@settings(max_examples=250, deadline=None)
@given(frames(), ROLES, FORMULAS, st.sampled_from(["session", "patient"]), st.sampled_from(["gaussian", "bernoulli"]))
def test_only_our_errors_come_out(
    frame: pd.DataFrame, roles: dict[str, str], formula: str, unit: str, family: str
) -> None:
    """Reading and designing an odd table gives a design whose rows add up, or an AllianceError."""
    spec = ba.parse_model(
        f'title = "t"\nquestion = "q"\n[[equation]]\noutcome = "y"\nunit = "{unit}"\nfamily = "{family}"\n'
        f"formula = '{formula}'\n"
    )
    reference = {"arm": "p"} if "arm" in formula else {}
    columns = {"tx": "arm[q]"} if "tx" in formula else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ba.AllianceWarning)
        try:
            table = ba.read_sessions(frame, roles)
            made = ba.make_design(spec, ba.Study(table, columns=columns, reference=reference))
        except ba.AllianceError:
            return
    assert made.equation.rows_read == len(made.equation.y) + sum(made.equation.ledger.values())
    assert np.isfinite(made.equation.coef.values).all()
    for group in made.equation.groups:
        assert group.code.min() >= 0
        assert group.code.max() < len(group.levels)
    build_model(made.spec, made)
