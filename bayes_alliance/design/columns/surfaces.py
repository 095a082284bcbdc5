"""Response surfaces: two ratings on one scale as a polynomial, whole or in one of the forms theories say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bayes_alliance._messages import unknown
from bayes_alliance.design.columns.evaluator import Evaluator
from bayes_alliance.design.columns.means import pooled_mean, unit_means, unlagged
from bayes_alliance.design.columns.values import Value
from bayes_alliance.spec.expressions import Call, Formula, Name, Number, Text, render

MONOMIALS = ("x", "y", "x^2", "x*y", "y^2")
"""What a surface is a sum of: x is the first rating, y the second."""

_SQUARE = {"x^2": 1.0, "x*y": -2.0, "y^2": 1.0}
PIECES: Mapping[str, Mapping[str, float]] = {
    **{name: {name: 1.0} for name in MONOMIALS},
    "x - y": {"x": 1.0, "y": -1.0},
    "x + y": {"x": 1.0, "y": 1.0},
    "(x - y)^2": _SQUARE,
    "(x - y)^3": {},
    "(x + y)*(x - y)^2": {},
}
"""The columns there are, as labels name them, as sums of monomials up to the second degree."""

UNLIKE = 4
"""Times as wide as the other that ratings on one scale are not: a sum of items beside their mean."""

CUBIC: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "(x - y)^3": lambda x, y: (x - y) ** 3,
    "(x + y)*(x - y)^2": lambda x, y: (x + y) * (x - y) ** 2,
}
"""The columns of third degree."""

FORMS: Mapping[str, tuple[str, ...]] = {
    "full": MONOMIALS,
    "linear": ("x", "y"),
    "IA": ("x", "y", "x*y"),
    "SQD": ("(x - y)^2",),
    "SSQD": ("x - y", "(x - y)^2"),
    "RR": ("x + y", "(x - y)^2"),
    "SRR": ("x", "y", "(x - y)^2"),
    "CA": ("x + y", "(x - y)^2", "(x - y)^3"),
    "CL": ("x + y", "(x - y)^2", "(x + y)*(x - y)^2"),
}
"""The forms and their columns: interaction, squared difference and its shift, rising ridge and its shift (Schönbrodt
2016), cubic models of asymmetric and of level-dependent congruence (Humberg et al. 2022). Each is the full polynomial,
of second or third degree, under equations that are linear in its coefficients."""


PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "a1": {"x": 1, "y": 1},
    "a2": {"x^2": 1, "x*y": 1, "y^2": 1},
    "a3": {"x": 1, "y": -1},
    "a4": {"x^2": 1, "x*y": -1, "y^2": 1},
    "a5": {"x^2": 1, "y^2": -1},
}
"""Surface parameters as sums of coefficients: slope and curvature along the line of congruence (a1, a2), along the line
of incongruence (a3, a4), and the tilt of the ridge (a5). Source: Edwards (2002); Humberg, Nestler and Back (2019)."""


def surface_calls(formula: Formula) -> frozenset[str]:
    """Return the calls of surface() in a formula, as the parts of its columns spell them."""
    parts = [part for term in formula.terms for part in term.parts]
    return frozenset(render(part) for part in parts if isinstance(part, Call) and part.function == "surface")


def surface_weights(pieces: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return a1 to a5 as weighted sums of the coefficients of a form's columns; what a form sets to 0 has no weights.

    Of cubic forms slopes and curvatures are those at the centre.
    """
    found = {}
    for name, wanted in PARAMETERS.items():
        weights = {p: sum(wanted.get(part, 0) * w for part, w in PIECES[p].items()) for p in pieces}
        found[name] = {piece: weight for piece, weight in weights.items() if weight}
    return found


def form_of(call: Call) -> str:
    """Return the form that a surface states, or the whole polynomial."""
    stated = dict(call.keywords).get("form", Text("full"))
    return stated.value if isinstance(stated, Text) else render(stated)


def pieces_of(call: Call) -> tuple[str, ...]:
    """Return the columns of a surface by name."""
    return FORMS.get(form_of(call), MONOMIALS)


def surface(evaluator: Evaluator, call: Call) -> list[tuple[str, Value]]:
    """Return x, y and their squares and product, both less one common constant (or the common mean of a unit).

    Taking one constant from both keeps x - y, which surfaces are about, as it is (Nestler, Humberg and Schönbrodt
    2019).
    """
    x, y = (evaluator.value(argument) for argument in call.arguments)
    form = form_of(call)
    if form not in FORMS:
        evaluator.findings.add([unknown("form", form, FORMS, render(call))])
        return [("", evaluator.nothing())]
    if x.latent or y.latent:
        evaluator.findings.problem("a surface takes observed values, not latent means.", where=render(call))
        return [("", evaluator.nothing())]
    centre = dict(call.keywords).get("centre", Text("pooled"))
    match centre:
        case Number(value):
            taken = np.full(len(evaluator.rows), value)
            note = f"both less the stated {value:g}"
        case Name(factor):
            means = [unit_means(evaluator, unlagged(argument), factor) for argument in call.arguments]
            taken = (means[0] + means[1]) / 2
            note = f"both less the common mean of each {factor}"
        case Text("pooled"):
            taken = np.full(len(evaluator.rows), pooled_mean(evaluator, call.arguments))
            note = f"both less {taken[0]:.4g}, their common mean"
        case _:
            evaluator.findings.problem('centre is "pooled", a number, or a grouping factor.', where=render(call))
            return [("", evaluator.nothing())]
    if not isinstance(centre, Name):
        evaluator.constants[render(call)] = float(taken[0])
    evaluator.findings.note(f"{render(call)}: {note}.")
    _check_scales(evaluator, call, x.numbers, y.numbers)
    return surface_columns(form, x.numbers - taken, y.numbers - taken)


def surface_columns(form: str, x: np.ndarray, y: np.ndarray) -> list[tuple[str, Value]]:
    """Return the columns of a form by name, of two ratings less their constant."""
    return [(name, Value(_column(name, x, y))) for name in FORMS[form]]


def _column(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return one column of a surface."""
    if name in CUBIC:
        return np.asarray(CUBIC[name](x, y))
    monomials = dict(zip(MONOMIALS, (x, y, x**2, x * y, y**2), strict=True))
    return np.asarray(sum(weight * monomials[part] for part, weight in PIECES[name].items()))


def _check_scales(evaluator: Evaluator, call: Call, x: np.ndarray, y: np.ndarray) -> None:
    """Refuse two sides that do not look like ratings on one scale, and a centre that nobody is near.

    ``metric="common"`` says that they are, however they are spread.
    """
    if np.isnan(x).all() or np.isnan(y).all():
        return
    keywords = dict(call.keywords)
    wide = [float(np.nanmax(v) - np.nanmin(v)) for v in (x, y)]
    apart = np.nanmax(x) < np.nanmin(y) or np.nanmax(y) < np.nanmin(x)
    ranges = " and ".join(f"{np.nanmin(v):g} to {np.nanmax(v):g}" for v in (x, y))
    metric = keywords.get("metric")
    if metric not in (None, Text("common")):
        evaluator.findings.problem(
            'metric is "common", where the two are known to be on one scale.', where=render(call)
        )
    elif metric is None and not apart and min(wide) * UNLIKE >= max(wide) > min(wide) * 2:
        evaluator.findings.note(
            f"{render(call)}: the two run from {ranges}; they are taken to be ratings on one scale."
        )
    elif metric is None and (apart or min(wide) * UNLIKE < max(wide)):
        evaluator.findings.problem(
            f"the two run from {ranges}.",
            where=render(call),
            allowed="A surface compares them number by number, so they must be ratings on one scale.",
            fix='Rescale them, or state metric="common" if they are on one all the same.',
        )
    centre = keywords.get("centre")
    low, high = min(np.nanmin(x), np.nanmin(y)), max(np.nanmax(x), np.nanmax(y))
    if isinstance(centre, Number) and not low <= centre.value <= high:
        evaluator.findings.problem(
            f"centre={centre.value:g} lies in no one's range ({ranges}): slopes at the centre would be those "
            "of nobody.",
            where=render(call),
            fix='State a value inside, such as the middle of the scale, or "pooled".',
        )
