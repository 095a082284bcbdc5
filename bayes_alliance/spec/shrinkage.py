"""Claims about shrinkage priors: which coefficients share one, and whether the study could have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bayes_alliance._messages import quote, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.expressions import Call, Name, render_term
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.model import EquationSpec, ModelSpec, ShrinkSpec


def shrunk_outcomes(spec: ModelSpec, shrink: ShrinkSpec) -> tuple[str, ...]:
    """Return the outcomes whose coefficients share a shrinkage prior: those named, else all that have the terms."""
    having = [e.outcome for e in spec.equation if set(shrink.terms) <= set(terms_of(e))]
    return tuple(shrink.outcomes) or tuple(having)


def spell_terms(spec: ModelSpec) -> ModelSpec:
    """Return a model whose shrinkage priors spell terms as formulas do: ``z:x`` for ``x:z``, spaces as they are put."""
    known = {term.key(): render_term(term) for e in spec.equation for term in e.parsed.terms}
    shrink = {}
    for name, stated in spec.shrink.items():
        terms = tuple(known.get(_key(term), term) for term in stated.terms)
        shrink[name] = stated.model_copy(update={"terms": terms})
    return spec.model_copy(update={"shrink": shrink}) if shrink else spec


def _key(text: str) -> frozenset[Name | Call]:
    try:
        terms = parse_formula(text).terms
    except SpecError:
        return frozenset()
    return terms[0].key() if len(terms) == 1 else frozenset()


def terms_of(equation: EquationSpec) -> tuple[str, ...]:
    """Return the terms of an equation as text."""
    return tuple(render_term(term) for term in equation.parsed.terms)


def check_shrinkage(spec: ModelSpec) -> list[Problem]:
    """Report shrinkage priors of terms no equation has, of terms that have another prior, and numbers that are none."""
    problems = [one.under(f"[shrink.{name}]") for name, s in spec.shrink.items() for one in _one(spec, name, s)]
    taken: dict[tuple[str, str], str] = {}
    for name, shrink in spec.shrink.items():
        for outcome in shrunk_outcomes(spec, shrink):
            for term in shrink.terms:
                if taken.setdefault((outcome, term), name) != name:
                    problems.append(
                        Problem(f"[shrink.{name}] {term!r} of {outcome!r} is in [shrink.{taken[outcome, term]}], too.")
                    )
    return problems


def _one(spec: ModelSpec, name: str, shrink: ShrinkSpec) -> Iterator[Problem]:
    if not name.isidentifier():
        yield Problem("its name is not a word.", fix="Use letters, digits and underscores.")
    if len(set(shrink.terms)) < 2:
        yield Problem(f"two different terms or more are needed; it names {quote(shrink.terms)}.")
    for outcome in shrink.outcomes:
        if outcome not in spec.outcomes:
            yield unknown("outcome", outcome, spec.outcomes)
    equations = [e for e in spec.equation if e.outcome in shrunk_outcomes(spec, shrink)]
    if not equations:
        known = dict.fromkeys(term for e in spec.equation for term in terms_of(e))
        yield from (unknown("term", term, known) for term in shrink.terms if term not in known)
        if set(shrink.terms) <= set(known):
            yield Problem(f"no equation has all of the terms {quote(shrink.terms)}.")
    for equation in equations:
        own = terms_of(equation)
        yield from (
            unknown("term", term, own, f"outcome {equation.outcome!r}") for term in shrink.terms if term not in own
        )
    if shrink.contrast and len(shrunk_outcomes(spec, shrink)) != 2:
        yield Problem(
            f"contrast = true is about two outcomes; these are {quote(shrunk_outcomes(spec, shrink)) or 'none'}."
        )
    if shrink.contrast and len({equation.kind.unit for equation in equations}) > 1:
        units = ", ".join(f"{e.outcome!r} in {e.kind.unit}" for e in equations)
        yield Problem(f"contrast = true needs coefficients in one unit; these are of {units}.")
    yield from _numbers(shrink.dist, shrink, shrink.terms)


def _numbers(dist: str, shrink: ShrinkSpec, terms: Sequence[str]) -> Iterator[Problem]:
    try:
        prior = shrink.distribution
    except SpecError as error:
        yield from error.problems
        return
    if prior.support != "shrunk":
        known = "horseshoe(relevant, slab_df, slab) or r2d2(mean, precision, concentration)"
        yield Problem(f"dist = {dist!r} shrinks nothing.", fix=f"Write {known}.")
    elif prior.family == "horseshoe" and prior.value("relevant") >= len(terms):
        yield Problem(
            f"of {len(terms)} terms fewer than that are expected to matter, not {prior.values[0]:g}.",
            where=f"dist = {dist!r}",
        )
    elif prior.family == "r2d2" and prior.value("mean") >= 1:
        yield Problem(
            f"the mean share of variance lies between 0 and 1, not at {prior.values[0]:g}.", where=f"dist = {dist!r}"
        )
