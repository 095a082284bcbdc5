"""Model files: what they hold, what they refuse, and that reading and writing agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import bayes_alliance as ba
from bayes_alliance.spec.priors import parse_distribution, parse_target
from bayes_alliance.spec.registry import model_names

HEAD = 'title = "t"\nquestion = "q"\n'
EQUATION = '[[equation]]\noutcome = "y"\nunit = "session"\nformula = "x + (1 | therapist)"\n'


def test_specs_are_frozen() -> None:
    """A spec cannot be changed after it was made."""
    spec = ba.load_model("growth/treatment")
    with pytest.raises(ValidationError, match="frozen"):
        spec.title = "other"


@pytest.mark.parametrize("name", model_names())
def test_every_model_survives_writing(name: str) -> None:
    """Reading what was written gives the same spec."""
    spec = ba.load_model(name)
    assert ba.parse_model(ba.write_model(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "not valid TOML"),
        ('title = "a"\ntitle = "b"\n', "not valid TOML"),
        (EQUATION, "title: required key is missing"),
        (HEAD, r"a model needs at least one \[\[equation\]\]|equation: required key"),
        (HEAD + 'ttile = "x"\n' + EQUATION, r"Unknown key 'ttile'.*Did you mean 'title'"),
        (HEAD + EQUATION + 'famly = "gaussian"\n', r"Unknown key 'famly'.*Did you mean 'family'"),
        (
            HEAD + EQUATION + 'family = "tweedie"\n',
            r"'tweedie' is not allowed. Valid: 'gaussian', 'student_t', 'censored', .* or 'gamma'",
        ),
        (HEAD + EQUATION + "missing = 3\n", r"equation\[1\].missing"),
        (HEAD + EQUATION.replace("x + ", "x + x.y( + "), "Unknown function 'x.y'"),
        (
            HEAD + EQUATION + "[groups.therapst]\noptional = true\n",
            r"belongs to no group term.*Did you mean 'therapist'",
        ),
        (HEAD + EQUATION + "[groups.therapist]\noptinal = true\n", r"Unknown key 'optinal'.*Did you mean 'optional'"),
        (HEAD + '[variables]\nz = "first(x)"\n' + EQUATION, "'z' is declared and used in no equation"),
        (HEAD + '[variables]\nx = "frist(a)"\n' + EQUATION, r"Unknown function 'frist'.*Did you mean 'first'"),
        (HEAD + '[variables]\nx = "a + 1"\n' + EQUATION, "is not a call"),
        (HEAD + '[variables]\npatient = "first(a)"\n' + EQUATION, "'patient' is the name of a role"),
        (HEAD + EQUATION.replace('"x +', '"y +'), "Outcome 'y' predicts itself"),
        (HEAD + EQUATION + EQUATION, "Outcome 'y' has 2 equations"),
        (HEAD + EQUATION + 'family = "bernoulli"\nsigma = "x"\n', "a bernoulli outcome has no residual SD"),
        (
            HEAD + EQUATION + '[[prior]]\non = "sd"\ndist = "normal(0, 1)"\nreason = "r"\n',
            "a prior may be on intercept",
        ),
        (HEAD + EQUATION + '[[prior]]\non = "b"\ndist = "norml(0, 1)"\nreason = "r"\n', r"Did you mean 'normal'"),
        (HEAD + EQUATION + '[[prior]]\non = "b"\ndist = "normal(0, 1)"\n', r"prior\[1\].reason: required key"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    """Unknown keys, values and names are refused with the nearest valid one."""
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(text)


def test_all_problems_come_at_once() -> None:
    """Three faults in a file are three problems in one error."""
    text = HEAD.replace("title", "titel") + EQUATION + 'famly = "gaussian"\n'
    with pytest.raises(ba.SpecError) as caught:
        ba.parse_model(text)
    assert len(caught.value.problems) == 3


def test_unknown_model_names_the_nearest() -> None:
    """A misspelt model is refused with a suggestion; a path that is not there is named."""
    with pytest.raises(ba.SpecError, match=r"Unknown model 'growth/treatmnt'.*Did you mean 'growth/treatment'"):
        ba.load_model("growth/treatmnt")
    with pytest.raises(ba.SpecError, match=r"'nowhere.toml' cannot be read"):
        ba.load_model("nowhere.toml")


def test_large_files_are_refused(tmp_path: Path) -> None:
    """A model file has at most a megabyte."""
    path = tmp_path / "m.toml"
    path.write_text("# " + "x" * 1_000_001)
    with pytest.raises(ba.SpecError, match="may have 1,000,000 bytes"):
        ba.load_model(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("normal", "is not written as name"),
        ("normal(0)", "takes mu, sigma; 1 were given"),
        ("normal(0, -1)", "sigma must be finite and above 0"),
        ("normal(nan, 1)", "mu must be finite"),
        ("normal(a, 1)", "parameters must be numbers"),
        ("cauchy(0, 1)", "Unknown distribution 'cauchy'"),
    ],
)
def test_distributions_are_checked(text: str, message: str) -> None:
    """A distribution has its parameters, finite and in range."""
    with pytest.raises(ba.SpecError, match=message):
        parse_distribution(text)


@pytest.mark.parametrize(
    "text",
    ["intercept", "b", "b session:condition", "sd patient", "sd patient log(session + 1)", "cor patient", "sigma"],
)
def test_targets_parse(text: str) -> None:
    """Every documented form of a target is one."""
    target = parse_target(text)
    assert " ".join(p for p in (target.kind, target.factor, target.effect) if p) == text


def test_scaling_a_distribution_moves_only_what_has_units() -> None:
    """Degrees of freedom stay, scales and locations are multiplied, locations are shifted."""
    assert parse_distribution("student_t(4, 1, 2)").scaled(10, 5).values == (4, 15, 20)
    assert parse_distribution("half_student_t(3, 0.3)").scaled(10, 5).values == (3, 3)
    assert parse_distribution("lkj(2)").scaled(10).values == (2,)
