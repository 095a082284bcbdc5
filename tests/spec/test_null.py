"""Values that mean no difference: what an estimand is where every coefficient is 0."""

from __future__ import annotations

import pytest

from bayes_alliance.spec.null_values import null_value, stated_estimand
from bayes_alliance.spec.toml import parse_model

MODEL = """
title = "t"
question = "q"

[[equation]]
outcome = "y"
unit = "session"
formula = "x + z + (1 + x + z | patient)"

[labels]
a = "y ~ x"
b = "y ~ z"

[estimands.asked]
value = "{value}"
unit = "points"

[estimands.part]
value = "exp(a)"
unit = "times"
"""


@pytest.mark.parametrize(
    ("value", "null"),
    [
        ("a", 0.0),
        ("a - b", 0.0),
        ("a * b", 0.0),
        ("a / b", 0.0),
        ("exp(a)", 1.0),
        ("exp(a) / exp(b)", 1.0),
        ("exp(a) - 1", 0.0),
        ("1 / exp(a)", 1.0),
        ("part * 1", 1.0),
        ("100 * (exp(a) - 1)", 0.0),
        ("a * b + cov(patient, a, b)", 0.0),
        ("sd(patient, a)", None),
        ("cov(patient, a, a)", None),
        ("a / sigma(y)", 0.0),
        ("2 * a / sd(patient, a)", 0.0),
        ("sd(patient, a) - sigma(y)", 0.0),
        ("log(sd(patient, a) / sigma(y))", 0.0),
        ("exp(1000)", None),
    ],
)
def test_null_values(value: str, null: float | None) -> None:
    """Of differences 0, of factors 1, of spreads none."""
    assert null_value(parse_model(MODEL.format(value=value)), "asked") == null


def test_automatic_estimands_are_nobody_elses() -> None:
    """A stated name that another begins with says nothing of it; levels of a stated one are its own."""
    spec = parse_model(MODEL.format(value="exp(a)"))
    assert stated_estimand(spec, "asked") is stated_estimand(spec, "asked[x = 1]")
    assert stated_estimand(spec, "asked[y, x by patient]") is None
    assert null_value(spec, "asked[y, x by patient]") == 0.0


def test_null_values_at_moderators() -> None:
    """A moderator has its value; differences between values are compared with 0, though they be of factors."""
    moderated = '\nat = { w = [0, 2] }\ncontrast = true\nunit = "times"\n'
    spec = parse_model(MODEL.format(value="exp(a + w * b) + w").replace('\nunit = "points"\n', moderated))
    assert null_value(spec, "asked[w = 0]") == 1.0
    assert null_value(spec, "asked[w = 2]") == 3.0
    assert null_value(spec, "asked[w = 2 less w = 0]") == 0.0


def test_null_values_at_moderators_whose_names_hold_blanks() -> None:
    """Each moderator has its own value, one whose name ends as another's too."""
    moderated = "\nat = { w = [1], 'early w' = [2, -0.5] }\nunit = \"points\"\n"
    spec = parse_model(MODEL.format(value="a + `early w` * exp(b) + w").replace('\nunit = "points"\n', moderated, 1))
    assert null_value(spec, "asked[w = 1, early w = 2]") == 3.0
    assert null_value(spec, "asked[w = 1, early w = -0.5]") == 0.5
