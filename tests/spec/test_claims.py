"""Several equations, labels, estimands and correlations as claims: what parses, what is refused and why."""

from __future__ import annotations

import pytest

import bayes_alliance as ba
from bayes_alliance.spec.equation_order import find_ancestors, sort_outcomes
from bayes_alliance.spec.labels import parse_label
from bayes_alliance.spec.priors import parse_target

HEAD = 'title = "t"\nquestion = "q?"\n'


def equation(outcome: str, formula: str, **keys: str) -> str:
    """Return one equation as TOML."""
    keys = {"unit": "session"} | keys
    rest = "\n".join(f"{key} = '{value}'" for key, value in keys.items())
    return f"[[equation]]\noutcome = '{outcome}'\nformula = '{formula}'\n{rest}\n"


CHAIN = equation("m", "x + (1 + x | patient)") + equation("y", "m + x + (1 + m + x | patient)")
JOINT3 = equation("m", "x") + equation("y", "x") + equation("z", "x") + "[residual]\ncorrelate = ['m', 'y', 'z']\n"
LABELS = '[labels]\na = "m ~ x"\nb = "y ~ m"\nc = "y ~ x"\n'
TOGETHER = '[groups.patient]\ncorrelate = ["m", "y"]\n'


def estimand(value: str, extra: str = "") -> str:
    """Return an estimand as TOML."""
    return f"[estimands.e]\nvalue = '{value}'\nunit = 'points'\n{extra}\n"


def test_a_model_of_several_equations_round_trips() -> None:
    """Every key of the language survives writing and reading."""
    text = (
        HEAD
        + equation("m", "x + (1 + x | patient)")
        + equation("y", "m + x + (1 + m | patient)", centre="m", sigma="arm")
        + equation("z", "x", unit="patient", family="bernoulli")
        + LABELS
        + estimand("a * 2 + w * c", "at = { w = [-1, 1] }\ncontrast = true\nrope = [-0.1, 0.1]\nlevel = 'contextual'")
        + TOGETHER
        + 'by = "arm"\n[residual]\ncorrelate = ["m", "y"]\nfixed = 0.2\n'
        + '[[prior]]\non = "y: b m"\ndist = "normal(0, 1)"\nreason = "Known."\n'
    )
    spec = ba.parse_model(text)
    assert ba.parse_model(ba.write_model(spec)) == spec
    assert spec.outcomes == ("m", "y", "z")
    assert spec.prior[0].target.outcome == "y"


def test_outcomes_are_ordered_by_what_predicts_them() -> None:
    """An outcome stands after those that predict it, whatever the order of the file; lags make no order."""
    spec = ba.parse_model(
        HEAD + equation("y", "m + lag(y)") + equation("m", "x + lag(y)") + equation("x", "within(lag(m), patient)")
    )
    assert sort_outcomes(spec) == ("x", "m", "y")
    assert find_ancestors(spec) == {"x": frozenset(), "m": {"x"}, "y": {"x", "m"}}


@pytest.mark.parametrize(
    ("text", "outcome", "parts"),
    [
        ("y ~ m", "y", {("m", "")}),
        ("y ~ 1", "y", set()),
        ("y ~ session:arm[MBCT]", "y", {("session", ""), ("arm", "MBCT")}),
        ("y ~ arm[A: b]:session", "y", {("session", ""), ("arm", "A: b")}),
        ("y ~ surface(p, t)[x^2]", "y", {("surface(p, t)", "x^2")}),
        ("y~log( session+1 )", "y", {("log(session + 1)", "")}),
    ],
)
def test_labels_name_one_coefficient(text: str, outcome: str, parts: set[tuple[str, str]]) -> None:
    """Outcome, term and, in a bracket, the level or the piece."""
    target = parse_label(text)
    assert (target.outcome, set(target.parts)) == (outcome, parts)
    assert parse_label(str(target)) == target


@pytest.mark.parametrize(
    ("text", "outcome", "kind"),
    [("b x", None, "b"), ("y: b x:z", "y", "b"), ("b x:z", None, "b"), ("m: intercept", "m", "intercept")],
)
def test_prior_targets_may_name_an_outcome(text: str, outcome: str | None, kind: str) -> None:
    """A word, a colon and a space before the target name the equation; a product has no space."""
    target = parse_target(text)
    assert (target.outcome, target.kind) == (outcome, kind)
    assert str(target) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (equation("a", "b") + equation("b", "a"), r"predict each other in a circle: (a -> b -> a|b -> a -> b)"),
        (
            equation("a", "within(c, patient)") + equation("b", "a") + equation("c", "b"),
            r"in a circle: .* -> .* -> .* -> .*lag\(\) reads an earlier session",
        ),
        (equation("y", "x") + equation("y", "z"), r"Outcome 'y' has 2 equations. State one"),
        (equation("y", "x", family="bernoulli", centre="x"), r"a bernoulli outcome is 0 or 1 and cannot be centred"),
        (CHAIN + '[groups.patient]\ncorrelate = ["m", "yy"]\n', r"correlate: Unknown outcome 'yy'. Valid: 'm', 'y'"),
        (CHAIN + '[groups.patient]\ncorrelate = ["m"]\n', r"correlate: two different outcomes or more are needed"),
        (
            equation("m", "x + (1 + x || patient)") + equation("y", "m + (1 | patient)") + TOGETHER,
            r"the effects of 'm' do not correlate among themselves. Write them as one term",
        ),
        (
            equation("m", "x + (1 | therapist)") + equation("y", "m + (1 | patient)") + TOGETHER,
            r"correlate: 'm' has no effects by patient",
        ),
        (CHAIN + '[residual]\ncorrelate = ["m", "y"]\n', r"'m' predicts 'y', and the data cannot tell that path from"),
        (
            equation("m", "x") + equation("y", "x", family="bernoulli") + '[residual]\ncorrelate = ["m", "y"]\n',
            r"'y' is bernoulli and has no normal residual",
        ),
        (
            equation("m", "x") + equation("y", "x", unit="patient") + '[residual]\ncorrelate = ["m", "y"]\n',
            r"rows of different units \('m' by session, 'y' by patient\)",
        ),
        (equation("m", "x") + "[residual]\ncorrelate = []\n", r"Name the outcomes whose residuals correlate"),
        (equation("m", "x") + "[residual]\ncorrelate = ['m']\nfixed = 1.5\n", r"residual.fixed: .*less than 1"),
        (JOINT3 + "fixed = 0.2\n", r'3 outcomes have more. State one per pair: fixed = \{"m \| y" = 0.2\}'),
        (JOINT3 + 'fixed = {"m | y" = 1.2}\n', r"residual.fixed.m \| y: .*less than 1"),
        (JOINT3 + 'fixed = {"m | w" = 0.2, "m" = 0.1}\n', r"(?s)'m \| w' is no pair .*'m' is no pair of the outcomes"),
        (JOINT3 + 'fixed = {"m | y" = 0.2, "y | m" = 0.1}\n', r"'y \| m' is stated twice"),
        (JOINT3 + 'fixed = {"m | y" = 0.2, "m|y" = 0.1}\n', r"'m\|y' is stated twice"),
        (
            JOINT3 + 'fixed = {"m | y" = 0.9, "m | z" = 0.9, "y | z" = -0.5}\n',
            r"correlations cannot all hold, their matrix is not positive definite",
        ),
    ],
)
def test_equations_that_do_not_go_together(text: str, message: str) -> None:
    """Each is a SpecError that names the outcomes and says what to write instead."""
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(HEAD + text)


@pytest.mark.parametrize("extra", ["fixed = 0.2\n", '[[prior]]\non = "cor residual"\ndist = "lkj(8)"\nreason = "S."\n'])
def test_a_residual_correlation_with_an_ancestor_may_be_stated_on_purpose(extra: str) -> None:
    """Fixed or with a prior of its own it is a sensitivity analysis, and allowed."""
    spec = ba.parse_model(HEAD + CHAIN + '[residual]\ncorrelate = ["m", "y"]\n' + extra)
    assert spec.residual is not None


@pytest.mark.parametrize(
    ("labels", "value", "message"),
    [
        ('a = "q ~ x"', "a", r"\[labels\] a: Unknown outcome 'q'. Valid: 'm', 'y'"),
        ('a = "m ~ xx"', "a", r"\[labels\] a: Unknown term 'xx'. Valid: 'x'. Did you mean 'x'\?"),
        ('a = "m"', "a", r"Label 'm' is not written outcome ~ term"),
        ('a = "m ~ x + m"', "a", r"names no single term"),
        ('a = "m ~ x"', "a * bb", r"Unknown label, estimand or moderator 'bb'"),
        ('a = "m ~ x"', "a; b", r"unexpected character ';'"),
        ('a = "m ~ x"', "eval(a)", r"Unknown function 'eval'"),
        ('e = "m ~ x"', "e + 1", r"\[estimands.e\] has the name of a label"),
        ('a = "m ~ x"', "cov(ward, a, a)", r"Unknown grouping factor in cov\(ward, a, a\): 'ward'"),
        ('a = "m ~ x"', "sigma(q)", r"Unknown outcome in sigma\(q\): 'q'"),
        ('a = "m ~ x"\nb = "y ~ m"', "cov(patient, a, b)", r"the model holds this correlation at 0"),
        ('a = "m ~ x"', "sd(patient, 2)", r"takes labels of coefficients; '2' is none"),
        ('a = "m ~ x"', "e * 2", r"Unknown label, estimand or moderator 'e'"),
    ],
)
def test_estimands_that_mean_nothing(labels: str, value: str, message: str) -> None:
    """Each is a SpecError that says which name, and the nearest valid one."""
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(HEAD + CHAIN + f"[labels]\n{labels}\n" + estimand(value))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("at = { w = [1] }", r"the moderator 'w' of 'at' does not occur in 'a'"),
        ("at = { a = [1, 2] }", r"the moderator 'a' of 'at' has the name of a label"),
        ("contrast = true", r"contrast = true needs two values or more"),
        ("rope = [0.1, -0.1]", r"the lower bound comes first"),
        ("level = 'middle'", r"level: 'middle' is not allowed. Valid: 'population'"),
        ("units = 'x'", r"estimands.e.units: Unknown key 'units'.*Did you mean 'unit'"),
    ],
)
def test_estimands_with_settings_that_do_not_fit(extra: str, message: str) -> None:
    """Moderators, contrasts, regions and levels are checked before any data are seen."""
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(HEAD + CHAIN + LABELS + estimand("a", extra))


def test_estimands_in_a_circle_are_refused() -> None:
    """Two estimands that need each other are named."""
    two = "[estimands.e]\nvalue = 'f + 1'\nunit = 'u'\n[estimands.f]\nvalue = 'e + 1'\nunit = 'u'\n"
    with pytest.raises(ba.SpecError, match=r"refer to each other in a circle: e -> f -> e"):
        ba.parse_model(HEAD + CHAIN + LABELS + two)


def test_a_product_of_paths_through_a_non_linear_link_is_refused() -> None:
    """A * b on the logit scale is no effect; neither by indirect(), nor hidden behind another estimand."""
    chain = equation("m", "x") + equation("y", "m + x", family="bernoulli")
    for value in ("a * b", "indirect(a, b)", "(a + c) * b"):
        with pytest.raises(ba.SpecError, match=r"whose link is not linear \(bernoulli\).*g-formula"):
            ba.parse_model(HEAD + chain + LABELS + estimand(value))
    hidden = "[estimands.f]\nvalue = 'a'\nunit = 'u'\n" + estimand("f * b")
    with pytest.raises(ba.SpecError, match="whose link is not linear"):
        ba.parse_model(HEAD + chain + LABELS + hidden)
    assert ba.parse_model(HEAD + chain + LABELS + estimand("exp(b) * 2 - b * c")).estimands


def test_a_product_of_paths_that_vary_together_needs_their_covariance() -> None:
    """With correlated slopes a * b is not the mean of the product; with the covariance, or indirect(), it is."""
    with pytest.raises(ba.SpecError, match=r"also has cov\(patient, a, b\). Write indirect\(a, b\)"):
        ba.parse_model(HEAD + CHAIN + LABELS + estimand("a * b") + TOGETHER)
    for value in ("a * b + cov(patient, a, b)", "indirect(a, b)", "a * 2 * b + 2 * cov(patient, b, a)"):
        assert ba.parse_model(HEAD + CHAIN + LABELS + estimand(value) + TOGETHER).estimands
    assert ba.parse_model(HEAD + CHAIN + LABELS + estimand("a * b")).estimands


def test_all_problems_are_reported_at_once() -> None:
    """A misspelt outcome, a lonely correlation and an unknown factor come in one message."""
    with pytest.raises(ba.SpecError) as caught:
        ba.parse_model(HEAD + CHAIN + '[labels]\na = "q ~ x"\n[groups.ward]\noptional = true\n' + TOGETHER[:0])
    assert len(caught.value.problems) == 2
