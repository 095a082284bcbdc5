"""Sizes that grow without limit are refused before they are made, by a sentence that says the limit."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.errors import AllianceError
from bayes_alliance.posterior.paths import find_paths

HEAD = 'title = "t"\nquestion = "q"\n'


def make(formula: str, rest: str = "", family: str = "gaussian") -> ba.ModelSpec:
    """Return a model of one equation of sessions."""
    text = f'[[equation]]\noutcome = "y"\nunit = "session"\nformula = "{formula}"\nfamily = "{family}"\n{rest}'
    return ba.parse_model(HEAD + text)


def table(rows: int = 4000, levels: int = 60) -> ba.SessionTable:
    """Return a table with three factors of many levels each (SYNTHETIC)."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"pid": [f"P{i // 4}" for i in range(rows)], "week": np.tile(np.arange(4), rows // 4)})
    frame["y"] = rng.normal(size=rows)
    frame["wide"] = [f"w{i % 1500}" for i in range(rows)]
    for name in ("a", "b", "c"):
        frame[name] = [f"{name}{level}" for level in rng.integers(0, levels, rows)]
    return ba.read_sessions(frame, {"patient": "pid", "session": "week"})


@pytest.mark.parametrize(
    ("formula", "factors"),
    [
        ("wide + (1 | patient)", {"wide": "w0"}),
        ("a:b:c", {"a": "a0", "b": "b0", "c": "c0"}),
        ("a * b", {"a": "a0", "b": "b0"}),
        ("session + (a:b | patient)", {"a": "a0", "b": "b0"}),
    ],
)
def test_products_of_factors_are_counted_before_they_are_coded(formula: str, factors: dict[str, str]) -> None:
    """Columns are the product of levels: 60 by 60 are 3,600, and a patient's number as a factor has one per patient."""
    sessions = table()
    begun = time.process_time()
    with pytest.raises(ba.DesignError, match=r"up to 1,000 are coded. Its factors: (wide|a|b).* levels\)"):
        ba.make_design(make(formula), ba.Study(sessions, reference=factors))
    assert time.process_time() - begun < 5


def test_a_factor_within_the_limit_is_coded() -> None:
    """Sixty levels are 59 columns beside the intercept."""
    design = ba.make_design(make("a"), ba.Study(table(600), reference={"a": "a0"}))
    assert len(design.equations[0].coef.labels) == 60


def test_stated_bounds_of_categories_have_a_limit() -> None:
    """Categories from 0 to 10^12 are refused before each has a name."""
    frame = pd.DataFrame({"pid": [f"P{i // 4}" for i in range(40)], "week": np.tile(np.arange(4), 10)})
    frame["y"] = np.tile([0.0, 1.0, 2.0, 1.0], 10)
    sessions = ba.read_sessions(frame, {"patient": "pid", "session": "week"}, bounds={"y": (0, 1e12)})
    with pytest.raises(ba.DesignError, match="runs from 0 to 1e\\+12: too many categories"):
        ba.make_design(make("session", family="cumulative"), sessions)


def chained(count: int, every: bool) -> ba.Design:
    """Return a design in which outcomes predict the next one, or all later ones (SYNTHETIC)."""
    names = [f"m{i}" for i in range(count)]
    text = HEAD
    for i, name in enumerate(names):
        read = [*(names[:i] if every else names[max(i - 1, 0) : i]), *(["x"] if every or i == 0 else [])]
        text += f'[[equation]]\noutcome = "{name}"\nunit = "patient"\nformula = "{" + ".join(read)}"\n'
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.normal(size=(80, count + 1)), columns=[*names, "x"])
    frame["pid"] = [f"P{i}" for i in range(80)]
    return ba.make_design(ba.parse_model(text), ba.read_sessions(frame, {"patient": "pid"}))


def test_paths_through_many_mediators_are_refused() -> None:
    """Paths double with each mediator that all later ones read: 2^19 to the last of 20 outcomes."""
    begun = time.process_time()
    design = chained(20, every=True)
    with pytest.raises(ba.FitError, match="More than 500 paths"):
        find_paths(design, "x", "m19")
    assert len(find_paths(design, "x", "m7")) == 2**7
    with pytest.raises(ba.FitError, match="has more than 10 steps"):
        find_paths(chained(14, every=False), "x", "m13")
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("limit", [float("nan"), "nan", "much"])
def test_limits_are_numbers(limit: object) -> None:
    """NaN leaves out every row, which nobody means."""
    with pytest.raises(AllianceError, match="must be a number"):
        ba.select_rows(table(40), minimum={"session": limit})  # type: ignore[dict-item]
