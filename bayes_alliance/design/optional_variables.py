"""Predictors a study may lack: their terms, and what is worked out of these, taken out of the spec, and said so."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bayes_alliance._messages import quote
from bayes_alliance.design.columns.variables import has_one_value
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings
from bayes_alliance.spec.estimand_validation import answerable
from bayes_alliance.spec.expressions import (
    Formula,
    GroupTerm,
    Term,
    render_group,
    render_term,
    write_formula,
)
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.model import EquationSpec, ModelSpec, PriorSpec, ShrinkSpec
from bayes_alliance.spec.variables_read import values_in
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


def leave_out_lacking(spec: ModelSpec, study: Study[SessionTable], findings: Findings) -> ModelSpec:
    """Return the model without the optional predictors that the study has no column for, or one value of.

    With a predictor go the terms that read it, residual SDs and covariances by its levels, labels of its coefficients,
    estimands that need one of these, and priors of theirs.
    """
    known = {*study.columns, *study.sessions.frame.columns, *study.sessions.roles}
    absent = [name for name in spec.optional if name not in known]
    single = [name for name in spec.optional if name in known and has_one_value(name, study)]
    lacking = [*absent, *single]
    if not lacking:
        return spec
    gone: list[str] = []
    equations = tuple(_equation(equation, lacking, gone) for equation in spec.equation)
    labels = {n: t for n, t in spec.labels.items() if not _named(spec.label_targets[n].term, lacking)}
    estimands = answerable(spec.estimands, set(spec.labels) - set(labels))
    groups = {n: g.model_copy(update={"by": None}) if g.by in lacking else g for n, g in spec.groups.items()}
    residual = spec.residual
    if residual is not None and residual.by in lacking:
        residual = residual.model_copy(update={"by": None})
    shrink = {name: _shrunk(own, lacking) for name, own in spec.shrink.items()}
    unasked = [name for name in spec.estimands if name not in estimands]
    why = [f"no {', '.join(absent)}"] if absent else []
    why += [f"one level of {', '.join(single)}"] if single else []
    findings.note(
        f"The study has {' and '.join(why)}; left out of the model: {', '.join(dict.fromkeys(gone))}"
        + (f"; not answered: {quote(unasked)}." if unasked else ".")
    )
    return spec.model_copy(
        update={
            "equation": equations,
            "labels": labels,
            "estimands": estimands,
            "groups": groups,
            "residual": residual,
            "shrink": {name: own for name, own in shrink.items() if own.terms},
            "prior": tuple(prior for prior in spec.prior if not _about(prior, lacking)),
            "optional": tuple(name for name in spec.optional if name not in lacking),
        }
    )


def _equation(equation: EquationSpec, lacking: Collection[str], gone: list[str]) -> EquationSpec:
    update: dict[str, object] = {"formula": _formula(equation.parsed, lacking, gone)}
    formulas = {name: _formula(own.parsed, lacking, gone) for name, own in equation.parameters.items()}
    if equation.sigma_factor in lacking and equation.sigma_factor is not None:
        gone.append(f"residual SDs by {equation.sigma_factor}")
        update["sigma"] = None
    update |= {"sigma": formulas.pop("sigma")} if "sigma" in formulas else {}
    return equation.model_copy(update={**update, "formulas": formulas})


def _formula(formula: Formula, lacking: Collection[str], gone: list[str]) -> str:
    """Return a formula without the terms that read what is lacking."""
    gone += [render_term(term) for term in formula.terms if _reads(term, lacking)]
    groups = []
    for group in formula.groups:
        kept = tuple(term for term in group.terms if not _reads(term, lacking))
        if not kept and not group.intercept:
            gone.append(render_group(group))
        else:
            gone += [f"{render_term(t)} of {group.factor}s" for t in group.terms if _reads(t, lacking)]
            groups.append(GroupTerm(group.factor, group.intercept, kept, group.correlated))
    terms = tuple(term for term in formula.terms if not _reads(term, lacking))
    return write_formula(Formula(formula.intercept, terms, tuple(groups)))


def _reads(term: Term, lacking: Collection[str]) -> bool:
    return any(set(values_in(part)) & set(lacking) for part in term.parts)


def _named(parts: Collection[str], lacking: Collection[str]) -> bool:
    """Return whether parts of a term, as text, read what is lacking."""
    return any(_text_reads(part, lacking) for part in parts)


def _text_reads(text: str, lacking: Collection[str]) -> bool:
    try:
        terms = parse_formula(text).every_term
    except SpecError:
        return False
    return any(_reads(term, lacking) for term in terms)


def _shrunk(own: ShrinkSpec, lacking: Sequence[str]) -> ShrinkSpec:
    return own.model_copy(update={"terms": tuple(term for term in own.terms if not _text_reads(term, lacking))})


def _about(prior: PriorSpec, lacking: Collection[str]) -> bool:
    """Return whether a prior is of a coefficient, or an effect, that goes."""
    effect = prior.target.effect
    return effect is not None and (effect in lacking or _text_reads(effect, lacking))
