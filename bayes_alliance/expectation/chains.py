"""Which equations an outcome follows from, in which order they are drawn, and whether means follow from means."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bayes_alliance._messages import are, quote
from bayes_alliance.design.columns.functions import functions_around
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.drawn_evaluator import Places, find_places, unit_of
from bayes_alliance.expectation.expected import Effects
from bayes_alliance.expectation.new_data import Units
from bayes_alliance.expectation.set_calls import parts_of
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.equation_order import sort_outcomes
from bayes_alliance.spec.expressions import Call, Expression, Name, Operation, calls_in, render
from bayes_alliance.spec.functions import CURRENT
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.variables_read import factors_in, values_in


@dataclass(frozen=True, eq=False)
class Chain:
    """The equations that an outcome follows from, itself last, over rows of its unit.

    ``equations`` are by the model's name of their outcome, in the order in which those of one session are drawn, and
    ``fitted`` the same over the fit's rows; ``units`` are those of new rows. ``blocks`` are the outcomes that are drawn
    together, session by session where they read each other's or their own earlier values. ``straight`` says that each
    follows from what it reads by a straight line, so that means follow from means. ``given`` holds values of outcomes
    that new rows state, by their place among these; those that are missing are drawn. ``calls`` are, by equation, those
    that new rows have columns of.
    """

    design: Design
    equations: Mapping[str, EquationDesign]
    fitted: Mapping[str, EquationDesign]
    units: Mapping[str, Mapping[str, Units] | None]
    blocks: tuple[tuple[tuple[str, ...], bool], ...]
    groups: Mapping[str, Effects]
    straight: bool
    given: Mapping[str, np.ndarray] = field(default_factory=dict)
    calls: Mapping[str, set[str]] = field(default_factory=dict)

    @cached_property
    def places(self) -> Places:
        """Return where the rows of the equations meet."""
        return find_places(self.equations, self.units)

    def stated(self, e: EquationDesign) -> set[str]:
        """Return the calls of an equation that new rows have columns of."""
        return self.calls.get(e.spec.outcome, set())

    @property
    def outcome(self) -> str:
        """Return the model's name of the outcome that is asked for."""
        return list(self.equations)[-1]


def names_read(spec: ModelSpec, outcome: str, held: Collection[str]) -> tuple[str, ...]:
    """Return the outcomes that one follows from, itself last, each after those it reads in its own session."""
    found: set[str] = set()
    waiting = [outcome]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [one for one in _reads(spec, name) if one not in held]
    order = [one for one in sort_outcomes(spec) if one in found and one != outcome]
    return (*order, outcome)


def _reads(spec: ModelSpec, outcome: str) -> set[str]:
    equation = next(e for e in spec.equation if e.outcome == outcome)
    parts = [part for term in equation.parsed.every_term for part in term.parts]
    parts += [p for own in equation.parameters.values() for term in own.parsed.every_term for p in term.parts]
    return {name for part in parts for name in values_in(part)} & set(spec.outcomes)


def find_blocks(spec: ModelSpec, names: Sequence[str]) -> tuple[tuple[tuple[str, ...], bool], ...]:
    """Return outcomes in the order in which they can be drawn, those in a circle through earlier sessions together."""
    reach = {name: _reads(spec, name) & set(names) for name in names}
    for _ in names:
        reach = {name: own | {far for one in own for far in reach[one]} for name, own in reach.items()}
    blocks: list[tuple[tuple[str, ...], bool]] = []
    left = list(names)
    while left:
        for name in left:
            circle = tuple(one for one in left if one == name or (one in reach[name] and name in reach[one]))
            if not (reach[name] & set(left)) - set(circle):
                blocks.append((circle, name in reach[name]))
                left = [one for one in left if one not in circle]
                break
    return tuple(blocks)


def make_chain(
    design: Design,
    equations: Mapping[str, EquationDesign],
    fitted: Mapping[str, EquationDesign],
    units: Mapping[str, Mapping[str, Units] | None],
    groups: Mapping[str, Effects],
    *,
    bent: bool = False,
    given: Mapping[str, np.ndarray] | None = None,
    calls: Mapping[str, set[str]] | None = None,
) -> Chain:
    """Return the equations that an outcome follows from.

    Parameters
    ----------
    design : Design
        Of the fit.
    equations, fitted, units
        By the model's name of the outcome, in the order of ``names_read``; see ``Chain``.
    groups : mapping of str to {"own", "new", "zero"}
        By factor.
    bent : bool
        Whether what is asked for is no mean, so that outcomes are drawn in any case.
    given, calls : mapping, optional
        See ``Chain``.

    Raises
    ------
    FitError
        If what is read of a drawn outcome cannot be worked out session by session.
    """
    findings = Findings()
    blocks = find_blocks(design.spec, list(equations))
    new = any(own is not None for own in units.values())
    known = {"patient", *(group.factor for e in fitted.values() for group in e.groups if group.weight is None)}
    for name, e in fitted.items():
        _check_units(e, fitted, new, findings)
        circle = next((own for own, follows in blocks if name in own and follows), ())
        for part in parts_of(e):
            _check_reads(e, part, set(equations), circle, findings)
            for factor in factors_in(part) if set(equations) & set(values_in(part)) else ():
                if factor not in known:
                    findings.problem(
                        f"{render(part)} is a mean of each {factor}, and no equation that is drawn says in which "
                        f"{factor} a row is.",
                        fix="Set it to values.",
                    )
    straight = not bent and all(is_straight(e, set(equations), groups, new=new) for e in fitted.values())
    if new and not straight:
        series = [e.outcome for e in fitted.values() if e.serial]
        joint = design.residual is not None and bool(
            {e.outcome for e in fitted.values()} & set(design.residual.outcomes)
        )
        if series or joint:
            findings.problem("Residuals of new rows that correlate are not drawn.", fix="Use the fit's own rows.")
    findings.stop(FitError)
    chain = Chain(design, equations, fitted, units, blocks, groups, straight, given or {}, calls or {})
    _check_places(chain, findings)
    findings.stop(FitError)
    return chain


def _check_places(chain: Chain, findings: Findings) -> None:
    """Report means of a factor's units over outcomes that are drawn in rows whose unit no equation says."""
    for e in chain.fitted.values():
        for part in parts_of(e):
            for factor in factors_in(part) if isinstance(part, Call) and part.function not in CURRENT else ():
                for name in set(chain.equations) & set(values_in(part)):
                    own = chain.fitted[name]
                    code = chain.places.units[factor][chain.places.of_rows[name]]
                    if (code < 0).any() and factor not in {group.factor for group in own.groups}:
                        findings.problem(
                            f"{render(part)} is a mean of each {factor}, and the equation of {own.outcome!r} does not "
                            f"say in which {factor} {int((code < 0).sum())} of its {len(code)} rows are.",
                            fix=f"Give it a term (1 | {factor}), or set the mean to values.",
                        )


def check_own_residuals(chain: Chain, *, drawn: bool) -> None:
    """Refuse to keep the residuals of outcomes that have none in their own units.

    ``drawn`` says whether the last outcome is drawn, too, and not what is expected of it.

    Raises
    ------
    FitError
        Naming the outcomes.
    """
    every = [e for name, e in chain.equations.items() if drawn or name != chain.outcome]
    odd = [f"{e.outcome!r} ({e.family})" for e in every if not e.kind.linear]
    if odd:
        raise FitError(
            Problem(
                f"{', '.join(odd)} {are(len(odd), 'has', 'have')} no residuals that rows could keep.",
                allowed="Outcomes that are a mean and a residual: gaussian, student_t.",
                fix="Leave residuals= out: they are drawn anew.",
            )
        )


def _check_units(e: EquationDesign, fitted: Mapping[str, EquationDesign], new: bool, findings: Findings) -> None:
    """Report outcomes of other units that are read in another way than as values of a wider unit or means of sessions.

    What an equation's linear predictor says, by value() and the like, is of every row that reads it.
    """
    for part in parts_of(e):
        for name in set(fitted) & set(values_in(part)):
            other = fitted[name]
            if other.spec.unit == e.spec.unit or (isinstance(part, Call) and part.function in CURRENT):
                continue
            means = isinstance(part, Call) and part.function == "between" and name not in e.variables
            if (means and not new) or (not means and (new or unit_of(e, other.spec.unit) is not None)):
                continue
            what = f"{e.outcome!r} has a row per {e.spec.unit} and {other.outcome!r} one per {other.spec.unit}"
            if means:
                findings.problem(
                    f"{what}: new rows do not say what {render(part)} is a mean of.",
                    fix=f"Give {render(part)} as a column.",
                )
            else:
                findings.problem(
                    f"{what}, and the equation of {e.outcome!r} does not say in which {other.spec.unit} a row is.",
                    fix=f"Give it a term (1 | {other.spec.unit}), or set {other.outcome!r} to values.",
                )


def _check_reads(
    e: EquationDesign, part: Name | Call, drawn: set[str], circle: Collection[str], findings: Findings
) -> None:
    """Report what is read of drawn outcomes that drawing them in order does not give."""
    read = drawn & set(values_in(part))
    if not read or not isinstance(part, Call):
        return
    text = render(part)
    for call in calls_in(part):
        keywords = dict(call.keywords)
        of = drawn & set(values_in(call))
        if not of:
            continue
        if call.function in CURRENT:
            if render(call) != text:
                findings.problem(f"{text} of what follows is not worked out.", fix="Set it to values.")
        elif (
            call.function == "others"
            or "detrend" in keywords
            or (call.function == "surface" and functions_around(call))
        ):
            findings.problem(f"{text} of outcomes that are drawn is not worked out.", fix="Set it to values.")
        elif call.function in ("between", "within") and "means" not in keywords and of & set(circle):
            findings.problem(
                f"{text} is a mean over all sessions of {quote(sorted(of))}, the later ones too, which follow from it.",
                fix='Take latent means, means="latent".',
            )
        elif call.function in ("between", "within"):
            inner = call.arguments[0]
            while isinstance(inner, Call) and inner.function in ("lag", "mi"):
                inner = inner.arguments[0]
            if not isinstance(inner, Name):
                findings.problem(f"{text} of outcomes that are drawn is not worked out.", fix="Set it to values.")


def is_straight(e: EquationDesign, drawn: set[str], groups: Mapping[str, Effects], *, new: bool) -> bool:
    """Return whether the mean of an outcome is a straight line in all drawn outcomes that it reads.

    ``groups`` says by factor what is done with its effects, and ``new`` whether rows are new ones.
    """
    if not e.kind.linear:
        return False
    for term in e.spec.parsed.terms:
        reading = [part for part in term.parts if drawn & set(values_in(part))]
        if len(reading) > 1 or not all(_linear_in(part, drawn) for part in reading):
            return False
    for group in e.spec.parsed.groups:
        reads = any(drawn & set(values_in(part)) for term in group.terms for part in term.parts)
        if reads and (groups[group.factor] == "new" or (groups[group.factor] == "own" and new)):
            return False
    return True


def _linear_in(expression: Expression, drawn: set[str]) -> bool:
    match expression:
        case Name():
            return True
        case Operation("+" | "-", left, right):
            return _linear_in(left, drawn) and _linear_in(right, drawn)
        case Operation("*", left, right):
            reads = [bool(drawn & set(values_in(one))) for one in (left, right)]
            return not all(reads) and _linear_in(left, drawn) and _linear_in(right, drawn)
        case Operation("/", left, right):
            return not drawn & set(values_in(right)) and _linear_in(left, drawn)
        case Call("lag" | "within" | "between" | "mi" | "centred" | "value" | "slope" | "effect", (inner, *_)):
            return _linear_in(inner, drawn)
        case _:
            return not drawn & set(values_in(expression))
