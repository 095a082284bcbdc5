"""An equation for people: as a formula and as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from bayes_alliance._messages import visible
from bayes_alliance.spec.expressions import Call, Expression, Formula, Name, Number, Operation, Term, Text
from bayes_alliance.spec.model import EquationSpec


def equation_text(equation: EquationSpec) -> str:
    """Return the equation as statisticians write it: ``outcome ~ formula``."""
    sigma = f", sigma ~ {equation.sigma}" if equation.sigma_factor else ""
    links = {parameter.name: parameter.link for parameter in equation.kind.parameters}
    sigma += "".join(f", {links.get(name, 'log')} {name} ~ {own.formula}" for name, own in equation.parameters.items())
    centre = f", outcome less the mean of {equation.centre}" if equation.centre else ""
    formula = " ".join(equation.formula.split())
    series = f", residuals {equation.residuals}" if equation.residuals != "independent" else ""
    measured = f", {_measured(equation)}" if equation.modelled else ""
    further = f"{sigma}{centre}{series}{measured}"
    family = f"{equation.family}, {equation.link} link" if equation.link else equation.family
    return f"{equation.outcome} ~ {formula}{further}   ({family}, one row per {equation.unit})"


def _measured(equation: EquationSpec) -> str:
    """Return what is observed of an outcome with modelled values."""
    parts = ["missing values modelled"] if equation.missing == "model" else []
    if equation.reliability is not None:
        parts.append(f"measured with reliability {_reliability(equation)}")
    if equation.error is not None:
        parts.append(f"measured with an error of SD {equation.error}")
    if equation.raters:
        parts.append(f"rated by {', '.join(equation.raters)}")
    return ", ".join(parts)


def _reliability(equation: EquationSpec) -> str:
    """Return a reliability as a number, or the coefficient that is worked out from items: R_KF."""
    return equation.reliability if isinstance(equation.reliability, str) else f"{equation.reliability:g}"


def equation_latex(equation: EquationSpec) -> str:
    """Return the equation as LaTeX; row n lies in level j[n] of each grouping factor."""
    terms, covariances = _sum(equation.parsed, r"\beta", "u", equation.kind.intercept)
    outcome = rf"{_word(equation.outcome)}_n"
    if equation.centre:
        outcome += rf" - \overline{{{_word(equation.centre)}}}"
    predictor = r"\mu_n" if equation.kind.link == "identity" else r"\eta_n"
    spread = rf"\sigma_{{{_word(equation.sigma_factor)}[n]}}" if equation.sigma_factor else r"\sigma"
    symbols = {parameter.name: parameter.symbol for parameter in equation.kind.parameters} | {"sigma": spread}
    symbols |= {p.name: f"{p.symbol}_n" for p in equation.kind.parameters if p.name in equation.parameters}
    likelihood = equation.kind.latex(outcome, symbols)
    if equation.residuals == "ar1":
        before = rf"\rho^{{d_n}} ({outcome.replace('_n', '_{n-}')} - \mu_{{n-}})"
        likelihood = rf"{outcome} &\sim \mathrm{{N}}(\mu_n + {before}, {spread}^2 (1 - \rho^{{2 d_n}}))"
    if equation.residuals == "unstructured":
        patient = outcome.replace("_n", "_{p}")
        likelihood = rf"{patient} &\sim \mathrm{{N}}(\mu_p, \Sigma_p), \quad n \in p"
    lines = [likelihood, *_observed(equation), rf"{predictor} &= {' + '.join(terms)}", *covariances]
    for number, parameter in enumerate(p for p in equation.kind.parameters if p.name in equation.parameters):
        letter, effect = _LETTERS[number % len(_LETTERS)]
        terms, covariances = _sum(equation.parameters[parameter.name].parsed, letter, effect)
        link = r"\log" if parameter.link == "log" else r"\mathrm{logit}\,"
        lines += [rf"{link} {symbols[parameter.name]} &= {' + '.join(terms)}", *covariances]
    body = " \\\\\n  ".join(lines)
    return f"\\begin{{aligned}}\n  {body}\n\\end{{aligned}}"


_LETTERS = ((r"\gamma", "v"), (r"\delta", "w"), (r"\kappa", "s"))
"""Coefficients and group effects of the formulas of parameters."""


_COEFFICIENTS: Mapping[str, str] = {"alpha": r"\alpha", "omega": r"\omega", "R_C": "R_C", "R_KF": "R_{KF}"}


def _observed(equation: EquationSpec) -> list[str]:
    """Return how what is measured of an outcome lies around it."""
    outcome = _word(equation.outcome)
    if equation.raters:
        return [rf"{_word(rater)}_n &\sim \mathrm{{N}}({outcome}_n, \epsilon^2)" for rater in equation.raters]
    if not equation.measured:
        return []
    error = rf"{_word(equation.error)}_n" if isinstance(equation.error, str) else r"\epsilon"
    note = ""
    if equation.reliability is not None:
        told = _reliability(equation)
        note = rf" \quad (1 - \epsilon^2 / \mathrm{{Var}} = {_COEFFICIENTS.get(told, told)})"
    return [rf"{outcome}^{{\mathrm{{obs}}}}_n &\sim \mathrm{{N}}({outcome}_n, {error}^2){note}"]


def _sum(formula: Formula, coefficient: str, effect: str, intercept: bool = True) -> tuple[list[str], list[str]]:
    """Return the terms of a linear predictor, and the distributions of its group effects."""
    terms = [rf"{coefficient}_0"] if formula.intercept and intercept else []
    terms += [rf"{coefficient}_{{{i}}}\,{_term(term)}" for i, term in enumerate(formula.terms, start=1)]
    covariances = []
    for group in formula.groups:
        factor = _word(group.factor)
        level = rf"{factor}[n]"
        effects = [("0", "")] if group.intercept else []
        effects += [(str(i), rf"\,{_term(term)}") for i, term in enumerate(group.terms, start=1)]
        terms += [rf"{effect}^{{{factor}}}_{{{i},{level}}}{value}" for i, value in effects]
        kind = (
            rf"\Sigma_{{{factor}}}"
            if group.correlated and len(effects) > 1
            else rf"\mathrm{{diag}}(\tau^2_{{{factor}}})"
        )
        vector = ", ".join(rf"{effect}^{{{factor}}}_{{{i}}}" for i, _ in effects)
        covariances.append(rf"({vector})^\top &\sim \mathrm{{N}}(0, {kind})")
    return terms, covariances


def _term(term: Term) -> str:
    return r" \cdot ".join(_expression(part, row=True) for part in term.parts)


def _expression(expression: Expression, row: bool = False) -> str:
    match expression:
        case Name(name):
            return f"{_word(name)}{'_n' if row else ''}"
        case Number(value):
            return f"{value:g}"
        case Text(value):
            return _word(value)
        case Operation(operator, left, right):
            sign = {"*": r"\cdot"}.get(operator, operator)
            return f"{_expression(left, row)} {sign} {_expression(right, row)}"
        case Call(function, arguments, _):
            inside = ", ".join(_expression(argument, row and i == 0) for i, argument in enumerate(arguments))
            name = {"log": r"\log", "sqrt": r"\sqrt"}.get(function, rf"\mathrm{{{function}}}")
            return f"{name}{{{inside}}}" if function == "sqrt" else f"{name}({inside})"


_SIGNS = {
    "\\": r"\backslash ",
    "^": r"\wedge ",
    "~": r"\sim ",
    " ": r"\ ",
    **{sign: f"\\{sign}" for sign in "_&%$#{}"},
}
"""What LaTeX reads as a command, and how it is written."""


def _word(name: str) -> str:
    """Return a name upright, with every sign that LaTeX reads as a command written out."""
    plain = visible(" ".join(name.split()))
    return rf"\mathrm{{{''.join(_SIGNS.get(character, character) for character in plain)}}}"
