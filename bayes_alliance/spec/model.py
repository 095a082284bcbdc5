"""The model as claimed: frozen records over a TOML file, checked without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, model_serializer, model_validator

from bayes_alliance.names import MEAN, Coefficient, predictor_label
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.families import FAMILY, PROBIT, FamilyName, LinkName, find_family
from bayes_alliance.spec.expressions import Call, Expression, Formula
from bayes_alliance.spec.formula import parse_call, parse_formula
from bayes_alliance.spec.functions import VARIABLE_FUNCTIONS
from bayes_alliance.spec.labels import LabelTarget, parse_estimand, parse_label
from bayes_alliance.spec.parts import Bound, CourseSpec, GroupSpec, Record, ResidualSpec, Words
from bayes_alliance.spec.priors import Distribution, PriorTarget, parse_distribution, parse_target
from bayes_alliance.spec.variables_read import factors_in, values_in

type Unit = Literal["session", "patient", "therapist", "group", "site"]
type PriorScale = Literal["none", "outcome_sd", "outcome_sd/predictor_sd"]
type Level = Literal[
    "population", "within_patient", "between_patient", "between_therapist", "between_group", "contextual"
]

Reliability = Annotated[
    Annotated[float, Field(gt=0, le=1), Tag("number")] | Annotated[Coefficient, Tag("name")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "number"),
]
"""A number, or the coefficient that items tell."""


class PredictorSpec(Record):
    """A linear predictor of an equation: of the outcome's mean, or of a parameter of its family.

    ``name`` is what labels and priors call it: the outcome, or ``sigma(outcome)`` and the like. ``parameter`` is
    ``mean``, or the parameter that the formula is of, on the scale of that parameter's link.
    """

    name: str
    parameter: str
    formula: str

    @property
    def parsed(self) -> Formula:
        """Return the formula as records."""
        return _parsed(self.formula)

    @property
    def of_mean(self) -> bool:
        """Return whether it is that of the outcome's mean."""
        return self.parameter == MEAN

    @property
    def predictors(self) -> tuple[str, ...]:
        """Return the model variables that stand in the formula; the outcome is one if it reads its own past."""
        return tuple(dict.fromkeys(name for part in self._parts for name in values_in(part)))

    @property
    def centring_factors(self) -> tuple[str, ...]:
        """Return the grouping factors that within(), between() and surface() take means over."""
        return tuple(dict.fromkeys(name for part in self._parts for name in factors_in(part)))

    @property
    def _parts(self) -> list[Expression]:
        return [part for term in self.parsed.every_term for part in term.parts]

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of the formula, ``therapist:patient`` kept whole."""
        return tuple(dict.fromkeys(group.factor for group in self.parsed.groups))


FORMULAS: Final = tuple(dict.fromkeys(name for family in FAMILY.values() for name in family.shapes))
"""Keys of an equation that are formulas of a family's parameters; ``sigma`` may name a factor, too."""


class EquationSpec(Record):
    """One outcome and what it depends on.

    ``unit`` says what a row of the equation is: ``session`` (every session of the table), or ``patient``,
    ``therapist``, ``group`` or ``site`` (one row each; a variable that varies within one is then an error). ``centre``
    names a variable whose mean is taken from the outcome, so that the intercept is a directional bias. ``sigma`` names
    the factor whose levels have residual SDs of their own, or is a formula of the log residual SD. ``formulas`` are
    those of the other parameters of the family, such as ``phi``; a file states each under its parameter. ``link =
    "probit"`` takes the place of the logit where the family allows it; a stated logit, the default there, is not kept.
    ``residuals =
    "ar1"`` lets those of a patient's sessions correlate, less the more session numbers lie between; with
    ``"unstructured"`` every session number is a visit with a residual SD of its own, and every pair of visits has a
    correlation of its own. ``bounds`` are the
    lowest and highest value the outcome can have (``inf`` where open), ``trials`` the number, or the variable that
    holds it, successes are out of. ``missing = "drop"`` leaves out rows with a missing value and counts them by reason;
    with ``"model"`` a missing outcome is a parameter. What was measured with error is stated by ``error``, its SD (a
    number, or the variable that holds it), by ``reliability`` (a number, or the name of the coefficient that is worked
    out from the items of a score), or by ``raters``, the variables that hold the ratings of several raters, whose
    agreement tells the error.
    """

    outcome: str = Field(min_length=1)
    unit: Unit
    formula: str = Field(min_length=1)
    family: FamilyName = "gaussian"
    link: LinkName | None = None
    centre: str | None = None
    sigma: str | None = None
    formulas: dict[str, str] = Field(default_factory=dict)
    bounds: Annotated[tuple[Bound, Bound], Field(strict=False)] | None = None
    trials: Annotated[int, Field(gt=0)] | str | None = None
    residuals: Literal["independent", "ar1", "unstructured"] = "independent"
    missing: Literal["drop", "model"] = "drop"
    reliability: Reliability | None = None
    error: Annotated[float, Field(gt=0)] | str | None = None
    raters: Words = ()

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, content: Any) -> Any:
        """Gather the formulas of parameters, each stated under its name, and leave out the default link."""
        if not isinstance(content, Mapping):
            return content
        if content.get("link") == "logit" and content.get("family") in tuple(PROBIT):
            content = {name: value for name, value in content.items() if name != "link"}
        stated = {name: content[name] for name in FORMULAS if content.get(name) is not None}
        rest = {name: value for name, value in content.items() if name not in FORMULAS}
        return {**rest, "formulas": {**content.get("formulas", {}), **stated}} if stated else rest

    @model_serializer(mode="wrap")
    def _spread_out(self, write: Callable[[EquationSpec], dict[str, Any]]) -> dict[str, Any]:
        content = write(self)
        formulas: dict[str, Any] = content.pop("formulas", {})
        return {**content, **formulas}

    @property
    def parsed(self) -> Formula:
        """Return the formula as records."""
        return _parsed(self.formula)

    @property
    def mean(self) -> PredictorSpec:
        """Return the linear predictor of the mean."""
        return PredictorSpec(name=self.outcome, parameter=MEAN, formula=self.formula)

    @property
    def parameters(self) -> dict[str, PredictorSpec]:
        """Return the linear predictors of the family's parameters that have a formula, by parameter."""
        stated = dict(self.formulas)
        if self.sigma is not None and self.sigma_factor is None:
            stated = {"sigma": self.sigma, **stated}
        return {
            name: PredictorSpec(name=predictor_label(name, self.outcome), parameter=name, formula=formula)
            for name, formula in stated.items()
        }

    @property
    def linear_predictors(self) -> tuple[PredictorSpec, ...]:
        """Return the linear predictor of the mean, then those of parameters."""
        return (self.mean, *self.parameters.values())

    @property
    def kind(self) -> Outcome:
        """Return the family of the outcome, with its link."""
        return find_family(self.family, self.link)

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the model variables the equation reads, outcome first, grouping factors left out."""
        extra = [name for name in (self.sigma_factor, self.centre, self.trials, self.error) if isinstance(name, str)]
        extra += [name for own in self.parameters.values() for name in own.predictors]
        return tuple(dict.fromkeys([self.outcome, *self.raters, *self.predictors, *extra]))

    @property
    def measured(self) -> bool:
        """Return whether what is observed of the outcome is its true value and an error of measurement."""
        return self.reliability is not None or self.error is not None or bool(self.raters)

    @property
    def modelled(self) -> bool:
        """Return whether some values of the outcome are parameters: missing ones, or true ones behind errors."""
        return self.measured or self.missing == "model"

    @property
    def shapes(self) -> tuple[str, ...]:
        """Return the further parameters the outcome has one of: of its family, without formula, and what is added."""
        own = [name for name in self.kind.shapes if name not in self.formulas]
        return (*own, *["ar"] * (self.residuals == "ar1"), *["error"] * bool(self.raters))

    @property
    def sigma_factor(self) -> str | None:
        """Return the factor whose levels have residual SDs of their own, where ``sigma`` is a name."""
        return self.sigma if self.sigma is not None and self.sigma.strip().isidentifier() else None

    @property
    def predictors(self) -> tuple[str, ...]:
        """Return the model variables in the formula of the mean."""
        return self.mean.predictors

    @property
    def centring_factors(self) -> tuple[str, ...]:
        """Return the grouping factors that within(), between() and surface() take means over."""
        return tuple(dict.fromkeys(name for own in self.linear_predictors for name in own.centring_factors))

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of all formulas, ``therapist:patient`` kept whole."""
        return tuple(dict.fromkeys(factor for own in self.linear_predictors for factor in own.factors))


class EstimandSpec(Record):
    """A quantity worked out from the posterior, draw by draw.

    ``value`` is arithmetic over labels, other estimands and the moderators of ``at``, which are set to each of the
    values stated; ``contrast`` adds the differences between them. ``meaning`` says in one plain sentence what the
    number is, ``reason`` why it is stated this way. ``rope`` is the region of practical equivalence in the unit of the
    value: without one no probability of equivalence is given.
    """

    value: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    meaning: str = ""
    level: Level = "population"
    at: dict[str, Annotated[tuple[float, ...], Field(strict=False)]] = Field(default_factory=dict)
    contrast: bool = False
    rope: Annotated[tuple[float, float], Field(strict=False)] | None = None
    reason: str = ""

    @property
    def parsed(self) -> Expression:
        """Return the value as an expression."""
        return parse_estimand(self.value)

    @property
    def entries(self) -> int:
        """Return how many numbers it is: one per combination of values in ``at``, and one per contrast of two."""
        sizes = [len(values) for values in self.at.values()]
        each = math.prod(sizes)
        return each + each * sum(size - 1 for size in sizes) // 2 if self.contrast else each


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


class ShrinkSpec(Record):
    """A prior that many coefficients share: most of them near 0, a few as large as the data say.

    ``terms`` are those of the ``outcomes`` named, or of every outcome that has all of them. ``dist`` is
    ``horseshoe(relevant, slab_df, slab)``, of which about ``relevant`` are expected to matter (Piironen and Vehtari
    2017), or ``r2d2(mean, precision, concentration)`` of the share of the outcome's variance they explain together
    (Zhang et al. 2022). With ``contrast`` the mean and the difference of two outcomes' coefficients are shrunk, each by
    itself, in place of the coefficients.
    """

    terms: Words
    outcomes: Words = ()
    dist: str = "horseshoe(1, 4, 2)"
    contrast: bool = False
    reason: str = Field(min_length=1)

    @property
    def distribution(self) -> Distribution:
        """Return the distribution as a record."""
        return parse_distribution(self.dist)


class ModelSpec(Record):
    """A model: its question, its declared variables, its equations, its estimands, its priors. Knows no data.

    ``variables`` maps a name to a call such as ``window(alliance, 1, 4)``; ``labels`` a name to ``outcome ~ term``;
    ``groups`` is keyed by grouping factor, ``shrink`` by the name of a prior that many coefficients share. With
    ``rows = "common"`` the equations of a unit use the rows that all of them can use, with ``"own"`` each uses all it
    can. ``optional`` names predictors that a study may lack: their terms are then left out, with a message.
    ``otherwise`` names, by variable or role, the registered model for studies that lack it, and by ``sessions`` that
    for studies with one session per patient. ``course`` is the form that
    ``time`` was given when the model was loaded; the formulas have it already.
    """

    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    references: Words = ()
    tags: Words = ()
    variables: dict[str, str] = Field(default_factory=dict)
    optional: Words = ()
    otherwise: dict[str, str] = Field(default_factory=dict)
    course: CourseSpec | None = None
    equation: Annotated[tuple[EquationSpec, ...], Field(strict=False)]
    rows: Literal["own", "common"] = "own"
    labels: dict[str, str] = Field(default_factory=dict)
    estimands: dict[str, EstimandSpec] = Field(default_factory=dict)
    groups: dict[str, GroupSpec] = Field(default_factory=dict)
    residual: ResidualSpec | None = None
    shrink: dict[str, ShrinkSpec] = Field(default_factory=dict)
    prior: Annotated[tuple[PriorSpec, ...], Field(strict=False)] = ()

    @property
    def declared(self) -> dict[str, Call]:
        """Return the declared variables as parsed calls."""
        return {name: parse_call(text, VARIABLE_FUNCTIONS) for name, text in self.variables.items()}

    @property
    def label_targets(self) -> dict[str, LabelTarget]:
        """Return the labels as parsed targets."""
        return {name: parse_label(text) for name, text in self.labels.items()}

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Return the outcomes in the order of their equations."""
        return tuple(equation.outcome for equation in self.equation)

    @property
    def raters(self) -> dict[str, tuple[str, ...]]:
        """Return the variables that hold the ratings of outcomes that are no columns themselves."""
        return {equation.outcome: equation.raters for equation in self.equation if equation.raters}

    @property
    def linear_predictors(self) -> tuple[PredictorSpec, ...]:
        """Return the linear predictors of every equation, that of the mean first."""
        return tuple(own for equation in self.equation for own in equation.linear_predictors)

    @property
    def factors(self) -> tuple[str, ...]:
        """Return the grouping factors of all equations, in the order they are first named."""
        return tuple(dict.fromkeys(factor for equation in self.equation for factor in equation.factors))

    def variables_of(self, equation: EquationSpec) -> tuple[str, ...]:
        """Return what an equation reads, and the variables whose levels have covariances of their own in it."""
        by = [*(self.group(factor).by for factor in equation.factors), self.residual_by(equation)]
        weights = [name for factor in equation.factors for name in self.group(factor).weights]
        return tuple(dict.fromkeys([*equation.variables, *weights, *(name for name in by if name)]))

    def residual_by(self, equation: EquationSpec) -> str | None:
        """Return the variable whose levels have residual covariances of their own in an equation."""
        if self.residual is None:
            return None
        joint = equation.outcome in self.residual.correlate or equation.residuals == "unstructured"
        return self.residual.by if joint else None

    def group(self, factor: str) -> GroupSpec:
        """Return what the model states for a grouping factor, or the defaults."""
        return self.groups.get(factor, GroupSpec())


@lru_cache(maxsize=256)
def _parsed(formula: str) -> Formula:
    return parse_formula(formula)
