"""The formula language: what it means by cases, and what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_alliance.errors import SpecError
from bayes_alliance.spec.expressions import render_group, render_term, write_formula
from bayes_alliance.spec.formula import parse_formula


def shape(text: str) -> tuple[bool, list[str], list[str]]:
    """Return intercept, terms and group terms of a formula as text."""
    formula = parse_formula(text)
    return formula.intercept, [render_term(t) for t in formula.terms], [render_group(g) for g in formula.groups]


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("x", (True, ["x"], [])),
        ("1", (True, [], [])),
        ("0 + x", (False, ["x"], [])),
        ("x - 1", (False, ["x"], [])),
        ("a * b", (True, ["a", "b", "a:b"], [])),
        ("a * b * c", (True, ["a", "b", "a:b", "c", "a:c", "b:c", "a:b:c"], [])),
        ("a:b + b:a", (True, ["a:b"], [])),
        ("(a + b):c", (True, ["a:c", "b:c"], [])),
        ("a:a", (True, ["a"], [])),
        ("hamd.b + `odd name`", (True, ["hamd.b", "odd name"], [])),
        ("log(session + 1) * arm", (True, ["log(session + 1)", "arm", "log(session + 1):arm"], [])),
        ("(1 | g)", (True, [], ["(1 | g)"])),
        ("(x | g)", (True, [], ["(1 + x | g)"])),
        ("(1 + x || g)", (True, [], ["(1 + x || g)"])),
        ("(0 + x | g)", (True, [], ["(0 + x | g)"])),
        ("(1 | a/b)", (True, [], ["(1 | a)", "(1 | a:b)"])),
        ("(1 | a/b/c)", (True, [], ["(1 | a)", "(1 | a:b)", "(1 | a:b:c)"])),
        ("(1 | g) + (0 + x | g)", (True, [], ["(1 | g)", "(0 + x | g)"])),
        ("within(x, patient) + between(x, patient)", (True, ["within(x, patient)", "between(x, patient)"], [])),
        ("log((a + b) * 2)", (True, ["log((a + b) * 2)"], [])),
        ("log(a - (b - c))", (True, ["log(a - (b - c))"], [])),
        ("lag(x, 2)", (True, ["lag(x, 2)"], [])),
        ('within(x, patient, means="observed")', (True, ['within(x, patient, means="observed")'], [])),
    ],
)
def test_meaning(text: str, meaning: tuple[bool, list[str], list[str]]) -> None:
    """Operators mean what they mean in lme4 and brms."""
    assert shape(text) == meaning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os')", r"unexpected character \"'\", at character 12"),
        ("__import__(os)", r"Unknown function '__import__', at character 1. Valid: 'log', 'sqrt'"),
        ("os.system(x)", r"Unknown function 'os.system'"),
        ("np.save(path, x)", r"Unknown function 'np.save'"),
        ("eval(x)", r"Unknown function 'eval'"),
        ("lgo(x)", r"Unknown function 'lgo'.*Did you mean 'log'"),
        ("I(x)", r"Unknown function 'I'"),
        ("y ~ x", r"the outcome is stated by the key 'outcome'"),
        ("x y", r"'y' is left over"),
        ("x +", r"expected a variable .* found 'the end'"),
        ("x ++ y", r"expected a variable"),
        ("x - y", r"terms cannot be taken away"),
        ("2 + x", r"2 is not a term"),
        ("x^2", r"'\^' is left over"),
        ("a / b", r"'/' is left over"),
        ("(x | g", r"expected \)"),
        ("(x | )", r"expected <name>"),
        ("(0 | g)", r"a group term needs an intercept or a variable"),
        ("((1 | g) | h)", r"a group term may not hold another one"),
        ("(1 | g) + (1 + x | g)", r"the intercept of 'g' is stated twice"),
        ("(0 + x | g) + (1 + x | g)", r"the x of 'g' is stated twice"),
        ("(1 | g):x", r"a product needs variables on both sides"),
        ("1 * x", r"'\*' is left over"),
        ("within(x)", r"within\(\) is written within\(alliance, patient\); 1 arguments were given"),
        ("log(x, base=2)", r"Unknown argument of log\(\) 'base'"),
        ("x[0]", r"unexpected character '\['"),
        ("x; y", r"unexpected character ';'"),
        ("", r"expected a variable"),
        ("0", r"neither an intercept nor a term"),
        ("(" * 40 + "x" + ")" * 40, r"nested more than 32 deep"),
        ("log(" + "-" * 3000 + "x)", r"nested more than 32 deep"),
        ("x + " * 2000 + "x", r"may have 4000 characters"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    """Whatever the grammar does not hold is refused with its place."""
    with pytest.raises(SpecError, match=message):
        parse_formula(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abgx01+-*:/|()~., \"'`=_[]{}logithn", max_size=40))
def test_any_text_parses_or_is_a_spec_error(text: str) -> None:
    """No text makes the parser raise anything but SpecError."""
    with contextlib.suppress(SpecError):
        parse_formula(text)


NAMES = st.sampled_from(["a", "b", "session", "hamd.b", "`odd name`", "log(a + 1234567.8)", "lag(b, 2)"])
TERMS = st.lists(
    st.lists(NAMES, min_size=1, max_size=3, unique=True).map(":".join), min_size=1, max_size=4, unique=True
)
GROUPS = st.lists(
    st.sampled_from(["(1 | g)", "(1 + a || h)", "(0 + b | `my group`)", "(a | k/m)", "(1 + log(a + 0.1) | n)"]),
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(TERMS, GROUPS, st.booleans())
def test_writing_and_parsing_agree(terms: list[str], groups: list[str], intercept: bool) -> None:
    """A formula written from its records parses to the same records: numbers in full, odd names in backticks."""
    formula = parse_formula(" + ".join(["1" if intercept else "0", *terms, *groups]))
    assert parse_formula(write_formula(formula)) == formula
