"""The model as claimed: frozen records over a TOML file, checked without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bayes_alliance._messages import unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.names import ROLES
from bayes_alliance.spec.expressions import Call, Expression, Formula, Name, Operation, calls_in, centred_over
from bayes_alliance.spec.formula import parse_call, parse_formula
from bayes_alliance.spec.functions import VARIABLE_FUNCTIONS
from bayes_alliance.spec.priors import Distribution, PriorTarget, parse_distribution, parse_target

type Unit = Literal["session", "patient"]
type FamilyName = Literal["gaussian", "bernoulli"]
type PriorScale = Literal["none", "outcome_sd", "outcome_sd/predictor_sd"]

Words = Annotated[tuple[str, ...], Field(strict=False)]


class Record(BaseModel):
    """Base of what files hold: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EquationSpec(Record):
    """One outcome and what it depends on.

    ``unit`` says what a row of the equation is: ``session`` (every session of the table) or ``patient`` (one row per
    patient; a variable that varies within a patient is then an error). ``sigma`` names the factor whose levels have
    residual SDs of their own. ``missing = "drop"`` leaves out rows with a missing value and counts them by reason.
    """

    outcome: str = Field(min_length=1)
    unit: Unit
    formula: str = Field(min_length=1)
    family: FamilyName = "gaussian"
    sigma: str | None = None
    missing: Literal["drop"] = "drop"

    @property
    def parsed(self) -> Formula:
        """Return the formula as records."""
        return _parsed(self.formula)

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the model variables the equation reads, outcome first, grouping factors left out."""
        formula = self.parsed
        terms = [*formula.terms, *(term for group in formula.groups for term in group.terms)]
        names = [name for term in terms for part in term.parts for name in _values_in(part)]
        return tuple(dict.fromkeys([self.outcome, *names, *([self.sigma] if self.sigma else [])]))

    @property
    def centring_factors(self) -> tuple[str, ...]:
        """Return the grouping factors that within() and between() take means over."""
        formula = self.parsed
        terms = [*formula.terms, *(term for group in formula.groups for term in group.terms)]
        return tuple(dict.fromkeys(name for term in terms for part in term.parts for name in centred_over(part)))

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of the equation, ``therapist:patient`` kept whole."""
        return tuple(dict.fromkeys(group.factor for group in self.parsed.groups))


class GroupSpec(Record):
    """What holds for a grouping factor: may the study lack it, and may rows lack an id."""

    optional: bool = False
    missing: Literal["error", "none"] = "error"


class PriorSpec(Record):
    """A prior that replaces a default one; ``scale`` is the unit its location and scale are stated in."""

    on: str
    dist: str
    scale: PriorScale = "none"
    reason: str = Field(min_length=1)

    @property
    def target(self) -> PriorTarget:
        """Return the target as a record."""
        return parse_target(self.on)

    @property
    def distribution(self) -> Distribution:
        """Return the distribution as a record."""
        return parse_distribution(self.dist)


class ModelSpec(Record):
    """A model: its question, its declared variables, its equation, its priors. Knows no data.

    ``variables`` maps a name to a call such as ``window(alliance, 1, 4)``; ``groups`` is keyed by grouping factor.
    """

    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    references: Words = ()
    tags: Words = ()
    variables: dict[str, str] = Field(default_factory=dict)
    equation: Annotated[tuple[EquationSpec, ...], Field(strict=False)]
    groups: dict[str, GroupSpec] = Field(default_factory=dict)
    prior: Annotated[tuple[PriorSpec, ...], Field(strict=False)] = ()

    @property
    def declared(self) -> dict[str, Call]:
        """Return the declared variables as parsed calls."""
        return {name: parse_call(text, VARIABLE_FUNCTIONS) for name, text in self.variables.items()}

    def group(self, factor: str) -> GroupSpec:
        """Return what the model states for a grouping factor, or the defaults."""
        return self.groups.get(factor, GroupSpec())


def make_model(content: Mapping[str, object], where: str = "") -> ModelSpec:
    """Make a model from plain data, reporting every problem at once.

    Parameters
    ----------
    content : mapping
        What a TOML model file holds, as ``tomllib`` reads it.
    where : str
        Name of the file, for the message.

    Raises
    ------
    SpecError
        For an unknown key, a wrong type, a formula, variable or prior that does not parse, a ``[groups]`` entry
        that no formula uses.
    """
    try:
        spec = ModelSpec.model_validate(dict(content))
    except ValidationError as error:
        raise SpecError([_sentence(detail) for detail in error.errors()], where) from None
    problems = [*_language_problems(spec)]
    if not problems:
        problems = _name_problems(spec)
    if problems:
        raise SpecError(problems, where)
    return spec


@lru_cache(maxsize=256)
def _parsed(formula: str) -> Formula:
    return parse_formula(formula)


def _values_in(part: Expression) -> list[str]:
    """Return the variables whose values a part reads; the factor in ``within(x, patient)`` is not one."""
    if isinstance(part, Name):
        return [part.name]
    if isinstance(part, Operation):
        return [*_values_in(part.left), *_values_in(part.right)]
    if not isinstance(part, Call):
        return []
    arguments = part.arguments[:1] if part.function in ("within", "between") else part.arguments
    return [name for argument in arguments for name in _values_in(argument)]


def _language_problems(spec: ModelSpec) -> list[str]:
    """Collect what the parsers refuse."""
    problems: list[str] = []

    def collect(parse: object, *texts: str) -> None:
        try:
            parse(*texts)  # type: ignore[operator]
        except SpecError as error:
            problems.extend(error.problems)

    for equation in spec.equation:
        collect(_parsed, equation.formula)
    for text in spec.variables.values():
        collect(lambda t: parse_call(t, VARIABLE_FUNCTIONS), text)
    for prior in spec.prior:
        collect(parse_target, prior.on)
        collect(parse_distribution, prior.dist)
    return problems


def _name_problems(spec: ModelSpec) -> list[str]:
    """Collect names that do not fit together."""
    problems = [] if spec.equation else ["equation: a model needs at least one [[equation]]."]
    factors = list(dict.fromkeys(factor for equation in spec.equation for factor in equation.factors))
    used = {name for equation in spec.equation for name in equation.variables}
    for factor in spec.groups:
        if factor not in factors:
            problems.append(
                f"[groups.{factor}] belongs to no group term. {unknown('grouping factor', factor, factors)}"
            )
    for name in spec.variables:
        if name in ROLES:
            problems.append(f"[variables] {name!r} is the name of a role; choose another.")
        if name not in used:
            problems.append(f"[variables] {name!r} is declared and used in no equation.")
    outcomes = [equation.outcome for equation in spec.equation]
    for outcome in dict.fromkeys(outcomes):
        if outcomes.count(outcome) > 1:
            problems.append(f"Outcome {outcome!r} has {outcomes.count(outcome)} equations; state one.")
    for equation in spec.equation:
        read = [n for t in equation.parsed.terms for p in t.parts for n in _unlagged(p)]
        if equation.outcome in read:
            problems.append(f"Outcome {equation.outcome!r} predicts itself in {equation.formula!r}.")
        if equation.family == "bernoulli" and equation.sigma:
            problems.append(f"sigma = {equation.sigma!r}: a bernoulli outcome has no residual SD.")
    return problems


def _unlagged(part: Expression) -> list[str]:
    """Return the variables a part reads at the row's own session."""
    if isinstance(part, Name):
        return [part.name]
    if isinstance(part, Operation):
        return [*_unlagged(part.left), *_unlagged(part.right)]
    if not isinstance(part, Call) or any(call.function == "lag" for call in calls_in(part)):
        return []
    return [name for argument in part.arguments for name in _unlagged(argument)]


_VALID_KEYS: Mapping[str, Sequence[str]] = {
    "": tuple(ModelSpec.model_fields),
    "equation": tuple(EquationSpec.model_fields),
    "groups": tuple(GroupSpec.model_fields),
    "prior": tuple(PriorSpec.model_fields),
}


def _sentence(detail: Mapping[str, Any]) -> str:
    """Turn one pydantic finding into our sentence."""
    finding = dict(detail)
    location = list(finding["loc"])
    path = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    table = str(location[0]) if len(location) > 1 else ""
    if finding["type"] == "extra_forbidden":
        return f"{path}: {unknown('key', str(location[-1]), _VALID_KEYS.get(table, ()))}"
    if finding["type"] == "missing":
        return f"{path}: required key is missing."
    if finding["type"] == "literal_error":
        allowed = finding["ctx"]["expected"]
        return f"{path}: {finding['input']!r} is not allowed. Valid: {allowed}."
    return f"{path}: {finding['msg']} (found {finding['input']!r})."
