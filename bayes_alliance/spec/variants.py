"""Variants of a model: terms added, taken away or exchanged, and the labels that name them with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bayes_alliance._messages import quote, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.spec.exchanges import Swap, exchange_label, exchange_part, exchange_target
from bayes_alliance.spec.expressions import (
    Call,
    Expression,
    Formula,
    GroupTerm,
    Name,
    Term,
    render,
    render_group,
    render_term,
    write_formula,
)
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.variables_read import values_in

type Terms = str | Mapping[str, str]
"""Formula text, of a model's only equation or by outcome."""


def alter_model(
    spec: ModelSpec,
    *,
    add: Terms | None = None,
    drop: Terms | None = None,
    swap: Mapping[str, str] | None = None,
    formula: Terms | None = None,
    variables: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    estimands: Mapping[str, Mapping[str, object]] | None = None,
) -> ModelSpec:
    """Return a variant of a model.

    Parameters
    ----------
    spec : ModelSpec
        Not changed.
    add, drop : str or mapping of str to str, optional
        Terms and group terms, ``"age + (1 | site)"``, of the only equation or by outcome. What the model says of a
        grouping factor goes with its last group term.
    swap : mapping of str to str, optional
        A variable or call for another wherever it stands in formulas and labels: ``{"alliance": "lag(alliance)"}``.
        All exchanges are made at once; what is put in is not looked into again.
    formula : str or mapping of str to str, optional
        In place of an equation's whole formula, before anything is added or taken away.
    variables, labels : mapping of str to str, optional
        Declared variables and labels, new or in place of those of the same name.
    estimands : mapping of str to mapping, optional
        The same of estimands, each as its table in a model file:
        ``{"growth": {"value": "per_session", "unit": "points per session"}}``.

    Returns
    -------
    ModelSpec
        Checked like a model file.

    Raises
    ------
    SpecError
        If an outcome, a term to drop or something to exchange does not occur, or the variant is no valid model.
    """
    findings = Findings()
    formulas = {equation.outcome: equation.parsed for equation in spec.equation}
    for outcome, text in _by_outcome(spec, "formula", formula, findings).items():
        formulas[outcome] = parse_formula(text)
    swaps = _swaps(swap or {}, findings)
    found: set[Expression] = set()
    formulas = {outcome: _exchange(stated, swaps, found, findings) for outcome, stated in formulas.items()}
    targets = {name: exchange_label(text, swaps) for name, text in spec.labels.items()}
    findings.add(_left_behind(spec, swaps, set(estimands or {})))
    for lacking in [one.old for one in swaps if one.old not in found]:
        every = dict.fromkeys(render(part) for stated in formulas.values() for part in _parts(stated))
        findings.add([unknown("variable or call", render(lacking), every, "swap")])
    for outcome, text in _by_outcome(spec, "drop", drop, findings).items():
        formulas[outcome] = _without(formulas[outcome], parse_formula(text), outcome, findings)
    for outcome, text in _by_outcome(spec, "add", add, findings).items():
        more = parse_formula(text)
        known = {term.key() for term in formulas[outcome].terms}
        terms = (*formulas[outcome].terms, *(term for term in more.terms if term.key() not in known))
        formulas[outcome] = replace(formulas[outcome], terms=terms, groups=(*formulas[outcome].groups, *more.groups))
    if findings.problems:
        raise SpecError(findings.problems, f"a variant of {spec.title!r}")
    content = spec.model_dump(mode="json", exclude_defaults=True)
    for equation in content["equation"]:
        if formulas[equation["outcome"]] != spec.equation[spec.outcomes.index(equation["outcome"])].parsed:
            equation["formula"] = write_formula(formulas[equation["outcome"]])
    gone = (
        set(spec.factors)
        - {group.factor for stated in formulas.values() for group in stated.groups}
        - {factor for equation in spec.equation for own in equation.parameters.values() for factor in own.factors}
    )
    content["groups"] = {name: group for name, group in content.get("groups", {}).items() if name not in gone}
    content["prior"] = [
        stated | {"on": exchange_target(stated["on"], spec.outcomes[0], swaps)}
        for stated, own in zip(content.get("prior", []), spec.prior, strict=True)
        if own.target.factor not in gone
    ]
    content["variables"] = {**spec.variables, **(variables or {})}
    content["labels"] = {**targets, **(labels or {})}
    content["estimands"] = {**content.get("estimands", {}), **(estimands or {})}
    return make_model(content, f"a variant of {spec.title!r}")


def _by_outcome(spec: ModelSpec, what: str, given: Terms | None, findings: Findings) -> dict[str, str]:
    """Return formula texts by outcome, those of outcomes that the model has."""
    if given is None:
        return {}
    if isinstance(given, str):
        if len(spec.equation) > 1:
            findings.problem(
                f"the model has {quote(spec.outcomes)}.", where=f"{what} = {given!r}", fix="State it by outcome."
            )
            return {}
        return {spec.outcomes[0]: given}
    findings.add(
        [unknown("outcome", outcome, spec.outcomes, what) for outcome in given if outcome not in spec.outcomes]
    )
    return {outcome: text for outcome, text in given.items() if outcome in spec.outcomes}


def _swaps(given: Mapping[str, str], findings: Findings) -> tuple[Swap, ...]:
    made = []
    for old, new in given.items():
        sides = [parse_formula(text).terms for text in (old, new)]
        if any(len(terms) != 1 or len(terms[0].parts) != 1 for terms in sides):
            findings.problem("each side is one variable or one call.", where=f"swap {old!r} for {new!r}")
            continue
        made.append(Swap(sides[0][0].parts[0], sides[1][0].parts[0]))
    return tuple(made)


def _exchange(formula: Formula, swaps: tuple[Swap, ...], found: set[Expression], findings: Findings) -> Formula:
    def term(one: Term) -> Term:
        parts = tuple(dict.fromkeys(exchange_part(part, swaps, found) for part in one.parts))
        if len(parts) < len(one.parts):
            findings.problem(f"swap makes {render_term(one)!r} a product of {render(parts[0])!r} with itself.")
        return Term(parts)

    groups = tuple(replace(group, terms=tuple(map(term, group.terms))) for group in formula.groups)
    return replace(formula, terms=tuple(dict.fromkeys(map(term, formula.terms))), groups=groups)


def _left_behind(spec: ModelSpec, swaps: tuple[Swap, ...], replaced: set[str]) -> list[Problem]:
    """Report exchanges of variables that also stand where no exchange reaches."""
    places = {f"sigma of {e.outcome}": e.sigma for e in spec.equation}
    places |= {f"centre of {e.outcome}": e.centre for e in spec.equation}
    places |= {f"[groups.{factor}] by": group.by for factor, group in spec.groups.items()}
    for e in spec.equation:
        places |= {f"raters of {e.outcome} ({name})": name for name in e.raters}
        places |= {
            f"{what} of {e.outcome}": v for what, v in (("error", e.error), ("trials", e.trials)) if isinstance(v, str)
        }
    for factor, group in spec.groups.items():
        places |= {f"[groups.{factor}] members ({name})": name for name in (*group.members, *group.weights)}
    places |= {f"[shrink.{name}] terms ({t})": t for name, shrink in spec.shrink.items() for t in shrink.terms}
    places |= {"[residual] by": spec.residual.by if spec.residual is not None else None}
    gone = {swap.old.name for swap in swaps if isinstance(swap.old, Name)}
    stays = {
        f"{own.parameter} of {e.outcome}": set(own.predictors) for e in spec.equation for own in e.parameters.values()
    }
    stays |= {
        f"[variables] {name}": {n for a in c.arguments for n in values_in(a)} for name, c in spec.declared.items()
    }
    stays |= {
        f"at of [estimands.{name}]": set(estimand.at)
        for name, estimand in spec.estimands.items()
        if name not in replaced
    }
    return [
        Problem(
            f"{name!r} also stands in {place}, which an exchange leaves.",
            where="swap",
            fix="Write a variant of the file instead.",
        )
        for place, names in stays.items()
        for name in sorted(names & gone)
    ] + [
        Problem(
            f"{swap.old.name!r} is also the {place}, which an exchange leaves.",
            where="swap",
            fix="Map its column instead.",
        )
        for swap in swaps
        for place, name in places.items()
        if isinstance(swap.old, Name) and name == swap.old.name
    ]


def _without(formula: Formula, gone: Formula, outcome: str, findings: Findings) -> Formula:
    """Return a formula without some terms and group terms, each of which it must have."""
    if not (gone.terms or gone.groups):
        findings.problem(
            "names no term; an intercept is left out by formula = '0 + ...'.", where=f"drop from {outcome}"
        )
    terms, groups = {term.key(): term for term in formula.terms}, {_key(group): group for group in formula.groups}
    for term in gone.terms:
        if terms.pop(term.key(), None) is None:
            stated = [render_term(one) for one in formula.terms]
            findings.add([unknown("term", render_term(term), stated, f"drop from {outcome}")])
    for group in gone.groups:
        if groups.pop(_key(group), None) is None:
            stated = [render_group(one) for one in formula.groups]
            findings.add([unknown("group term", render_group(group), stated, f"drop from {outcome}")])
    return replace(formula, terms=tuple(terms.values()), groups=tuple(groups.values()))


def _key(group: GroupTerm) -> tuple[str, bool, frozenset[frozenset[Name | Call]], bool]:
    return group.factor, group.intercept, frozenset(term.key() for term in group.terms), group.correlated


def _parts(formula: Formula) -> list[Name | Call]:
    terms = formula.every_term
    return [part for term in terms for part in term.parts]
