"""What a table must hold for a model: columns of variables and of ids, with their meaning, unit and scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from bayes_alliance.errors import SpecError
from bayes_alliance.names import ROLES, SESSION, TIME, VISIT
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.spec.parts import Record
from bayes_alliance.spec.toml import parse_toml, read_text
from bayes_alliance.spec.variables_read import values_in

VARIABLES: Final = Path(__file__).resolve().parent / "variables.toml"


class VariableMeaning(Record):
    """What a variable holds: a sentence, the unit that has one value, and how the column is written."""

    meaning: str
    unit: Literal["session", "patient", "therapist", "group", "site"]
    holds: Literal["number", "whole number", "0 or 1", "words", "id"]


@dataclass(frozen=True)
class Need:
    """A column that a model reads: a variable, or the ids of a role.

    ``unit`` is what has one value, ``holds`` how the column is written; they and ``meaning`` are empty for a variable
    that no registered model has. ``note`` says what is read where there is no such column, what is computed from it,
    and what is stated beside it.
    """

    name: str
    meaning: str
    unit: str
    holds: str
    optional: bool = False
    note: str = ""

    @property
    def text(self) -> str:
        """Return the meaning and the note."""
        return f"{self.meaning} {self.note}".strip()


@lru_cache(maxsize=1)
def variable_meanings() -> Mapping[str, VariableMeaning]:
    """Return what the variables of registered models hold, by name.

    Raises
    ------
    SpecError
        If the file of the package is damaged.
    """
    content = parse_toml(read_text(VARIABLES, "Variables"), "A file of variables", VARIABLES.name)
    try:
        return {name: VariableMeaning.model_validate(own) for name, own in content.items()}
    except ValueError as error:
        raise SpecError(f"{VARIABLES.name} cannot be read: {error}. Reinstall bayes_alliance.") from None


def list_needs(spec: ModelSpec) -> tuple[Need, ...]:
    """Return what a table must hold for a model: ids first, then variables in the order they are read.

    Parameters
    ----------
    spec : ModelSpec
        Registered or not; variables that no registered model has come without a meaning.

    Returns
    -------
    tuple of Need
        Of columns: declared variables are replaced by what they are worked out of.
    """
    return (*_ids(spec), *(_variable(spec, name) for name in needed_variables(spec) if name not in ROLES))


def _ids(spec: ModelSpec) -> list[Need]:
    """Return the ids that a model reads, of patients always."""
    units = {equation.unit for equation in spec.equation}
    over = {name for equation in spec.equation for name in equation.centring_factors} | (units - {SESSION})
    found = {"patient": False}
    for factor in spec.factors:
        for part in factor.split(":"):
            found[part] = found.get(part, True) and spec.group(factor).optional and part not in over
        found |= {member: False for member in spec.group(factor).members if member not in found}
    found |= dict.fromkeys(sorted(over), False)
    if SESSION in units or SESSION in needed_variables(spec) or spec.variables:
        found[SESSION] = False
    unknown = VariableMeaning(meaning="", unit="patient", holds="id")
    known = {name: variable_meanings().get(name, unknown) for name in found}
    return [Need(name, own.meaning, own.unit, own.holds, found[name]) for name, own in known.items()]


def _variable(spec: ModelSpec, name: str) -> Need:
    known = variable_meanings().get(name)
    own = [equation for equation in spec.equation if name in (equation.outcome, *equation.raters)]
    computed = _computed(spec, name)
    notes = [f"{', '.join(computed)} {'is' if len(computed) == 1 else 'are'} computed from it."] if computed else []
    if name in (TIME, VISIT):
        notes.append("The session number, unless a column is named.")
    if any(equation.kind.bounds == "needed" and equation.bounds is None for equation in own):
        notes.append("The ends of its scale are stated with the data (bounds).")
    return Need(
        name=name,
        meaning=known.meaning if known else "",
        unit=_unit(spec, name, known),
        holds=known.holds if known else "",
        optional=name in (TIME, VISIT) or name in spec.optional or _only_with_optional_groups(spec, name),
        note=" ".join(notes),
    )


def _computed(spec: ModelSpec, name: str) -> list[str]:
    """Return the declared variables that are computed from a column."""
    reads = {
        own: {v for argument in call.arguments for v in values_in(argument)} for own, call in spec.declared.items()
    }
    return [own for own, read in reads.items() if name in read]


def _unit(spec: ModelSpec, name: str, known: VariableMeaning | None) -> str:
    """Return what has one value of a variable: a row of its own equation, or of the equations that read it."""
    for equation in spec.equation:
        if name in (equation.outcome, *equation.raters):
            return equation.unit
    if known is None or known.unit != SESSION or _computed(spec, name):
        return known.unit if known else ""
    units = [equation.unit for equation in spec.equation if name in spec.variables_of(equation)]
    return SESSION if SESSION in units or not units else units[0]


def _only_with_optional_groups(spec: ModelSpec, name: str) -> bool:
    """Return whether a variable is read in effects of factors that a study may lack, and nowhere else."""
    terms = [(group, term) for own in spec.linear_predictors for group in own.parsed.groups for term in group.terms]
    inside = [group for group, term in terms if name in {v for part in term.parts for v in values_in(part)}]
    fixed = [part for own in spec.linear_predictors for term in own.parsed.terms for part in term.parts]
    elsewhere = name in {v for part in fixed for v in values_in(part)} or name in spec.outcomes
    return bool(inside) and not elsewhere and all(spec.group(group.factor).optional for group in inside)
