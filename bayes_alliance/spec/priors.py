"""Priors as claims: a target, a distribution, the scale it is stated on, and a reason. Numbers come in ``design``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from bayes_alliance._messages import shorten, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.spec.parameters import SHAPES

type Support = Literal["real", "positive", "unit", "correlation", "stated", "shares", "shrunk"]


@dataclass(frozen=True)
class DistributionFamily:
    """A named distribution: its parameters in order, and what kind of quantity it can describe.

    ``in_units`` marks the parameters that carry the unit of the quantity and so are multiplied by a prior's scale.
    """

    name: str
    parameters: tuple[str, ...]
    in_units: tuple[bool, ...]
    support: Support


FAMILIES: Final = {
    family.name: family
    for family in (
        DistributionFamily("normal", ("mu", "sigma"), (True, True), "real"),
        DistributionFamily("student_t", ("nu", "mu", "sigma"), (False, True, True), "real"),
        DistributionFamily("half_normal", ("sigma",), (True,), "positive"),
        DistributionFamily("half_student_t", ("nu", "sigma"), (False, True), "positive"),
        DistributionFamily("exponential", ("mean",), (True,), "positive"),
        DistributionFamily("lognormal", ("median", "spread"), (True, False), "positive"),
        DistributionFamily("flat_positive", (), (), "positive"),
        DistributionFamily("beta", ("alpha", "beta"), (False, False), "unit"),
        DistributionFamily("lkj", ("eta",), (False,), "correlation"),
        DistributionFamily("equal", ("correlation",), (False,), "stated"),
        DistributionFamily("dirichlet", ("alpha",), (False,), "shares"),
        DistributionFamily("horseshoe", ("relevant", "slab_df", "slab"), (False, False, False), "shrunk"),
        DistributionFamily("r2d2", ("mean", "precision", "concentration"), (False, False, False), "shrunk"),
    )
}


@dataclass(frozen=True)
class Distribution:
    """A distribution with numbers, such as ``half_student_t(3, 0.3)``."""

    family: str
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{value:.4g}' for value in self.values)})"

    @property
    def support(self) -> Support:
        """Return the kind of quantity the distribution can describe."""
        return FAMILIES[self.family].support

    def value(self, parameter: str) -> float:
        """Return the number of one named parameter."""
        return self.values[FAMILIES[self.family].parameters.index(parameter)]

    def scaled(self, factor: float, shift: float = 0.0) -> Distribution:
        """Return the distribution of the quantity times ``factor`` plus ``shift``."""
        family = FAMILIES[self.family]
        values = [v * factor if unit else v for v, unit in zip(self.values, family.in_units, strict=True)]
        if "mu" in family.parameters:
            values[family.parameters.index("mu")] += shift
        return Distribution(self.family, tuple(values))


_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*\Z")


def parse_distribution(text: str) -> Distribution:
    """Parse a distribution written as a call with numbers.

    Parameters
    ----------
    text : str
        Such as ``"half_student_t(3, 0.3)"``: name of a family, then its parameters in order.

    Raises
    ------
    SpecError
        If the name is unknown, the number of parameters is wrong, or a number is not finite or out of range.
    """
    match = _CALL.match(text)
    if match is None:
        raise SpecError(f"Prior {shorten(text)} is not written as name(number, …), such as normal(0, 2.5).")
    name, inside = match.groups()
    if name not in FAMILIES:
        raise SpecError(unknown("distribution", name, FAMILIES, f"Prior {shorten(text)}"))
    family = FAMILIES[name]
    try:
        values = tuple(float(part) for part in inside.split(",") if inside.strip())
    except ValueError:
        raise SpecError(
            f"Prior {shorten(text)}: parameters must be numbers ({', '.join(family.parameters)})."
        ) from None
    if len(values) != len(family.parameters):
        need = ", ".join(family.parameters) or "no parameters"
        raise SpecError(f"Prior {shorten(text)}: {name} takes {need}; {len(values)} were given.")
    for parameter, value in zip(family.parameters, values, strict=True):
        if parameter == "correlation":
            if not -1 < value < 1:
                raise SpecError(f"Prior {shorten(text)}: a correlation is between -1 and 1.")
        elif not math.isfinite(value) or (parameter != "mu" and value <= 0):
            need = "finite" if parameter == "mu" else "finite and above 0"
            raise SpecError(f"Prior {shorten(text)}: {parameter} must be {need}.")
    return Distribution(name, values)


TARGET_FORMS: Final = (
    f"intercept, b, b TERM, sd FACTOR, sd FACTOR EFFECT, cor FACTOR, cor residual, sigma, sigma LEVEL, threshold, "
    f"{', '.join(SHAPES)}, mo VARIABLE, and any of them after an outcome and a colon, such as 'alliance: b TERM'"
)


@dataclass(frozen=True)
class PriorTarget:
    """What a prior is on: a class of parameters and, where given, one member.

    ``kind`` is intercept, b, sd, cor, sigma, threshold, a further parameter of an outcome, or mo, the steps of an
    ordered predictor; ``factor`` names the grouping factor of an sd or cor; ``effect`` is the term of a coefficient or
    the group effect of an sd, as written in the formula, the level of a sigma, or the variable of mo; ``outcome`` the
    equation it holds for, all where it is None.
    """

    kind: str
    factor: str | None = None
    effect: str | None = None
    outcome: str | None = None

    @property
    def specificity(self) -> int:
        """Return how narrow the target is; the narrower prior wins."""
        return (self.factor is not None) + 2 * (self.effect is not None) + 4 * (self.outcome is not None)

    def __str__(self) -> str:
        what = " ".join(part for part in (self.kind, self.factor, self.effect) if part)
        return what if self.outcome is None else f"{self.outcome}: {what}"


def parse_target(text: str) -> PriorTarget:
    """Parse the ``on`` of a prior: one of the forms in ``TARGET_FORMS``.

    Raises
    ------
    SpecError
        If the text is none of them.
    """
    outcome, colon, what = text.partition(": ")
    if not colon or " " in outcome.strip():
        outcome, what = "", text
    kind, _, rest = what.strip().partition(" ")
    words = rest.split(maxsplit=1)
    found: PriorTarget | None = None
    match kind, len(words):
        case "intercept", 0:
            found = PriorTarget("intercept")
        case "sigma", 0:
            found = PriorTarget("sigma")
        case single, 0 if single == "threshold" or single in SHAPES:
            found = PriorTarget(single)
        case "sigma", _:
            found = PriorTarget("sigma", effect=rest.strip())
        case "mo", 1:
            found = PriorTarget("mo", effect=words[0])
        case "b", 0:
            found = PriorTarget("b")
        case "b", _:
            found = PriorTarget("b", effect=rest.strip())
        case "cor", 1:
            found = PriorTarget("cor", factor=words[0])
        case "sd", 1:
            found = PriorTarget("sd", factor=words[0])
        case "sd", 2:
            found = PriorTarget("sd", factor=words[0], effect=words[1].strip())
    if found is None or (outcome and found.kind == "cor"):
        raise SpecError(f"Prior on {shorten(text)}: a prior may be on {TARGET_FORMS}.")
    return replace(found, outcome=outcome.strip() or None)
