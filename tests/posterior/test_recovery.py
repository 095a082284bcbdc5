"""What was found beside the truth."""

from __future__ import annotations

import pytest

import bayes_alliance as ba


def test_found_and_truth_stand_side_by_side(small_fit: ba.Fit) -> None:
    """Means and intervals are the summary's, and inside says whether the truth lies between them."""
    summary = ba.summarize(small_fit).set_index("name")
    names = [name for name in summary.index if not name.startswith(("share_", "icc_"))]
    truth = {name: float(summary.loc[name, "mean"]) for name in names}
    truth[names[0]] += 1000.0
    found = ba.compare_with_truth(small_fit, truth | {"b[other, Intercept]": 3.0}).set_index("name")
    assert list(found.index) == names
    assert list(found["inside"]) == [False] + [True] * (len(names) - 1)
    assert found.loc[names[1], "eti95_lb"] == summary.loc[names[1], "eti95_lb"]


def test_a_lacking_parameter_is_named(small_fit: ba.Fit) -> None:
    """Nothing is compared with nothing."""
    with pytest.raises(ba.FitError, match=r"no value for 'b\[score, Intercept\]'"):
        ba.compare_with_truth(small_fit, {})
