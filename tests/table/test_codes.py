"""Numbers that look like undeclared codes for missing, and the ordinary data that have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_alliance.table.codes import CodeCounts, find_codes

UNITS = np.arange(200)

SCALES = {
    "PHQ-9": (0.0, 27.0, 14.0, 6.0),
    "BDI-II": (0.0, 63.0, 22.0, 11.0),
    "items": (1.0, 5.0, 3.0, 1.2),
    "OQ-45": (0.0, 180.0, 75.0, 22.0),
}


def scores(scale: str, seed: int) -> np.ndarray:
    """Return 200 rounded scores of a scale."""
    low, high, middle, spread = SCALES[scale]
    return np.clip(np.round(np.random.default_rng(seed).normal(middle, spread, 200)), low, high)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SCALES)), st.sampled_from([999, -9, -99, -999, 9999, 888, 777]), st.integers(0, 999))
def test_a_code_in_several_patients_is_found(scale: str, code: float, seed: int) -> None:
    """Five cells of a code in a score are found, whatever the scale, and nothing else is."""
    values = scores(scale, seed)
    values[np.random.default_rng(seed).choice(200, 5, replace=False)] = code
    (found,) = find_codes(values, UNITS)
    rest = values[values != code]
    assert (found.value, found.cells, found.low, found.high) == (code, 5, rest.min(), rest.max())


@pytest.mark.parametrize(
    ("scale", "code"), [("PHQ-9", 99), ("BDI-II", 99), ("items", 9), ("items", 99), ("PHQ-9", 88), ("items", 77)]
)
def test_short_codes_are_found_where_a_scale_ends_below(scale: str, code: float) -> None:
    """99 in a score to 27 or 63, and 9 in items from 1 to 5, are codes."""
    values = scores(scale, 1)
    values[:6] = code
    assert [one.value for one in find_codes(values, UNITS)] == [code]


def test_codes_on_both_sides_are_found_at_once() -> None:
    """Each of several codes is named."""
    values = scores("PHQ-9", 3)
    values[:8] = [-9, -9, 77, 77, 99, 99, 999, 999]
    assert [one.value for one in find_codes(values, UNITS)] == [-9, 77, 99, 999]


ORDINARY: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: np.round(rng.normal(50, 15, n)),
    "heavy tails": lambda rng, n: np.round(50 + 15 * rng.standard_t(3, n), 1),
    "very heavy tails": lambda rng, n: 20 * rng.standard_cauchy(n),
    "counts": lambda rng, n: rng.negative_binomial(2, 0.2, n).astype(float),
    "small counts": lambda rng, n: rng.poisson(1.5, n).astype(float),
    "a scale to 100": lambda rng, n: np.round(100 * rng.beta(2, 2, n)),
    "near its ceiling": lambda rng, n: np.round(100 * rng.beta(8, 1, n)),
    "items to 9": lambda rng, n: rng.integers(0, 10, n).astype(float),
    "ages": lambda rng, n: np.clip(np.round(rng.normal(45, 17, n)), 18, 99),
    "reaction times": lambda rng, n: np.round(rng.lognormal(6, 0.5, n)),
    "numbers of sessions": lambda rng, n: np.where(rng.random(n) < 0.5, 9.0, rng.integers(1, 6, n)),
    "0 and 1": lambda rng, n: rng.integers(0, 2, n).astype(float),
    "one value": lambda rng, n: np.full(n, 20.0),
}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(ORDINARY)), st.integers(40, 300), st.integers(0, 10**6))
def test_ordinary_data_have_no_codes(kind: str, size: int, seed: int) -> None:
    """Scores, counts, ages, times and heavy tails hold none. Examples are fixed: rarely, chance makes one."""
    assert find_codes(ORDINARY[kind](np.random.default_rng(seed), size), np.arange(size)) == []


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(1, 199), max_size=4))
def test_blocks_find_what_the_whole_finds(seed: int, cuts: list[int]) -> None:
    """Counting block by block gives the same codes, and the order of rows does not matter."""
    values = scores("PHQ-9", seed)
    values[: seed % 7] = 999
    counts = CodeCounts()
    for rows in np.split(np.random.default_rng(seed).permutation(200), sorted(cuts)):
        counts.add(values[rows], UNITS[rows])
    assert counts.find() == find_codes(values, UNITS)


def test_one_patient_in_many_rows_is_one() -> None:
    """A score of 99 that a patient has in every row counts once: units count, not rows."""
    values = np.concatenate([np.tile(np.arange(20.0, 65.0), 4), np.full(8, 99.0)])
    units = np.concatenate([np.arange(180), np.full(8, 500)])
    assert find_codes(values, units) == []
    assert [one.value for one in find_codes(values, np.arange(188))] == [99]


def test_real_data_have_no_codes(data_folder: Path) -> None:
    """No number of the shared studies is called a code."""
    for path in sorted(data_folder.iterdir()):
        if path.suffix in (".csv", ".dat"):
            table = pd.read_csv(path, sep="," if path.suffix == ".csv" else r"\s+")
            for name in table.select_dtypes("number"):
                assert find_codes(table[name].to_numpy(float), np.arange(len(table))) == [], (path.name, name)
