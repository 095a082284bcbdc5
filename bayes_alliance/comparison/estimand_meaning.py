"""What an estimand is of, as text: two analyses answer one question where it is the same."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bayes_alliance.design.design import Design
from bayes_alliance.spec.expressions import render

_WORD = re.compile(r"[^\W\d][\w.]*")


def describe_meaning(design: Design, estimand: str) -> str:
    """Return an estimand as arithmetic over coefficients in a study's columns, with what is declared of these.

    Two analyses in which this text is the same answer one question: covariates and priors do not change it, another
    rater, window, lag, centring or reference does, and so does another term of the same variable (an interaction makes
    a main effect one at 0).
    """
    one = next(made for made in design.estimands if made.name == estimand)
    text = render(one.value, lambda name: f"b[{one.labels[name]}]" if name in one.labels else name)
    definitions: dict[str, str] = {}
    known = set(_WORD.findall(text))
    for variable, call in design.spec.declared.items():
        if {variable, design.columns.get(variable, variable)} & known:
            definitions[variable] = render(call, lambda name: design.columns.get(name, name))
    parts = [f"{variable} = {definition}" for variable, definition in definitions.items()]
    parts += dict.fromkeys(part for label in one.labels.values() if label in text for part in _context(design, label))
    return "; ".join([f"{text} ({one.unit}, {one.level})", *parts])


def _context(design: Design, label: str) -> Iterator[str]:
    """Yield what a coefficient is against and beside: reference levels, and other terms of the same variables."""
    pairs = ((e, own) for e in design.equations for own in e.linear_predictors)
    equation, predictor = next((e, own) for e, own in pairs if label in own.coef_labels)
    place = predictor.coef_labels.index(label)
    known = {variable.label: variable for variable in equation.variables.values()}

    def read(i: int) -> set[str]:
        return set(_WORD.findall(predictor.coef.labels[i])) & set(known)

    own = read(place)
    for name in sorted(own):
        levels = known[name].levels
        if levels is not None:
            yield f"{name} against {levels[0]}"
    for i, other in enumerate(predictor.coef.labels):
        if predictor.coef.terms[i] != predictor.coef.terms[place] and read(i) & own:
            yield f"beside {other}"
