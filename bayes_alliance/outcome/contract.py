"""What every family of outcomes does: checks, densities, expectations, draws, and its words.

``import scipy`` loads its parts when they are first used, so that reading a model file does not wait for them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal

import numpy as np
import scipy

from bayes_alliance._messages import count_of
from bayes_alliance.findings import Problem
from bayes_alliance.outcome.curves import Link, curve_of
from bayes_alliance.outcome.integrand import Integrand
from bayes_alliance.outcome.normal_effects import integrate, integrate_same
from bayes_alliance.outcome.scale import OPEN, ObservedOutcome, OutcomeScale

type Bounds = Literal["none", "allowed", "needed"]
type Measure = Literal["density", "probability", "density and probability"]

FAR: Final = 500.0
"""Linear predictors are cut off here where their exponential is needed: it would overflow."""


@dataclass(frozen=True)
class Parameter:
    """A parameter that a family has beside its linear predictor.

    ``symbol`` is its LaTeX, ``short`` what readers call it, and ``words`` say what it means. ``prior`` and its
    ``reason`` are the default where it is one number. ``link`` is that of its formula, where the model states one;
    ``intercept`` is then the default prior of the formula's intercept. ``scaled`` says whether these priors are in SDs
    of the outcome.
    """

    name: str
    symbol: str
    link: Literal["log", "logit"]
    short: str
    words: str
    prior: str
    reason: str
    intercept: str
    intercept_reason: str
    scaled: bool = False

    @property
    def unit(self) -> str:
        """Return what coefficients of its formula are in."""
        return f"log {self.short}" if self.link == "log" else f"log-odds of {self.short}"

    def inverse(self, predictor: np.ndarray) -> np.ndarray:
        """Return the parameter at values of its linear predictor."""
        return np.asarray(np.exp(predictor) if self.link == "log" else scipy.special.expit(predictor))


SIGMA: Final = Parameter(
    "sigma",
    r"\sigma",
    "log",
    "residual SD",
    "SD of the residuals",
    "half_student_t(3, 1)",
    "The residual SD is about the outcome's SD or smaller.",
    "normal(-0.5, 0.7)",
    "At average predictors the residual SD is .15 to 2.5 SDs of the outcome, most likely near .6.",
    scaled=True,
)
"""The residual SD."""


class Outcome(ABC):
    """A family of outcomes.

    Attributes
    ----------
    name : str
        As models state it.
    link : {"identity", "logit", "probit", "cloglog", "log"}
        Of the linear predictor.
    values : str
        What the outcome may be, in words.
    unit : str
        What coefficients are in.
    words : str
        Completes "given its predictors the outcome is …".
    latent_scale : str
        The scale that shares of variance are on.
    parameters : tuple of Parameter
        Beside the linear predictor.
    thresholds : bool
        Whether it has cutpoints on the scale of the linear predictor.
    intercept : bool
        Whether it has an intercept. Thresholds of ordered categories take its place.
    bounds : {"none", "allowed", "needed"}
        Whether an equation or the table states the lowest and the highest value.
    open_bounds : bool
        Whether one of the bounds may be infinite.
    whole : bool
        Whether values between the bounds are whole numbers.
    positive : bool
        Whether values are numbers above 0.
    trials : bool
        Whether an equation states what the successes are out of.
    binary : bool
        Whether it is 0 or 1.
    linear : bool
        Whether the expected outcome is the linear predictor itself.
    same_expected : bool
        Whether the expected outcome is the same function of the linear predictor in every row and draw.
    normal : bool
        Whether it is the linear predictor and a normal residual: what correlated residuals, modelled values and the
        exact engine need.
    several_modes : bool
        Whether the density of a few rows can have several modes as a function of their linear predictor.
    measure : {"density", "probability", "density and probability"}
        What its rows have. Rows of different measures do not compare.
    integrand : Integrand, optional
        How the quadrature engine works its rows out; None where it does not.
    """

    name: ClassVar[str]
    link: ClassVar[Link]
    values: ClassVar[str]
    unit: ClassVar[str]
    words: ClassVar[str]
    latent_scale: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    thresholds: ClassVar[bool] = False
    intercept: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = "none"
    open_bounds: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    positive: ClassVar[bool] = False
    trials: ClassVar[bool] = False
    binary: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    same_expected: ClassVar[bool] = False
    normal: ClassVar[bool] = False
    several_modes: ClassVar[bool] = False
    measure: ClassVar[Measure] = "probability"
    integrand: ClassVar[Integrand | None] = None

    @property
    def spread(self) -> bool:
        """Return whether it has residual SDs."""
        return SIGMA in self.parameters

    @property
    def shapes(self) -> tuple[str, ...]:
        """Return the names of its parameters, the residual SD left out."""
        return tuple(parameter.name for parameter in self.parameters if parameter != SIGMA)

    # of values in a study

    def check(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values that an outcome of the family cannot have, or that say nothing.

        Parameters
        ----------
        observed : ObservedOutcome
            With one row or more, none of them missing.
        """
        values, label = observed.values, observed.label
        problems = self.impossible(observed) or self._outside(observed)
        if problems:
            return problems
        if np.ptp(values) == 0 and (observed.trials is None or np.ptp(observed.trials) == 0):
            constant = f"Outcome {label!r} is constant ({values[0]:g}) in the {count_of(len(values), 'row')} used."
            return [Problem(constant)]
        if self.link == "identity" and set(np.unique(values)) == {0.0, 1.0}:
            binary = f"Outcome {label!r} has only 0 and 1 and the equation is {self.name}."
            return [Problem(binary, fix='State family = "bernoulli".')]
        return []

    def impossible(self, observed: ObservedOutcome) -> list[Problem]:
        """Report values that the family does not have; bounds are checked elsewhere."""
        del observed
        return []

    def _outside(self, observed: ObservedOutcome) -> list[Problem]:
        if observed.bounds is None:
            return []
        low, high = observed.bounds
        outside = (observed.values < low) | (observed.values > high)
        if not outside.any():
            return []
        return [
            Problem(
                f"{self.where(observed)} outside its bounds [{low:g}, {high:g}] in {observed.show(outside)}.",
                fix="Correct the values, or state the bounds of the scale as it was scored.",
            )
        ]

    def where(self, observed: ObservedOutcome) -> str:
        """Return how a sentence about impossible values begins."""
        return f"Outcome {observed.label!r} of a {self.name} equation has values"

    def make_scale(self, observed: ObservedOutcome) -> OutcomeScale:
        """Make the scale of an outcome whose values have been checked."""
        return OutcomeScale(observed.bounds or OPEN.bounds, observed.trials)

    def notes(self, observed: ObservedOutcome) -> list[str]:
        """Say what a reader should know about the values."""
        del observed
        return []

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return numbers between the bounds as values that the outcome can have."""
        return np.rint(values) if self.whole else values

    def level(self, y: np.ndarray, scale: OutcomeScale) -> float:
        """Return the mean of outcomes; of successes and bounded scores as a share between 0 and 1."""
        del scale
        return float(y.mean())

    def linear_level(self, y: np.ndarray, scale: OutcomeScale) -> tuple[float, float]:
        """Return mean and SD that priors of the linear predictor are scaled to, on its scale.

        Behind a link the SD is 1; of probits it is 1 / 1.7, so that default priors say the same of probabilities as
        those of log-odds do.
        """
        level, least = self.level(y, scale), 0.5 / len(y)
        match self.link:
            case "identity":
                return level, float(y.std(ddof=1))
            case "log":
                return float(np.log(max(level, least))), 1.0
            case "cloglog":
                return float(np.log(-np.log1p(-np.clip(level, least, 1 - least)))), 1.0
            case "logit" | "probit":
                curve, share = curve_of(self.link), np.clip(level, least, 1 - least)
                return float(curve.quantile(share)), curve.outcome_sd

    def steepness(self, y: np.ndarray, scale: OutcomeScale) -> np.ndarray | float:
        """Return how far an average outcome moves per unit of its linear predictor, a number or of shape (obs,)."""
        level = self.level(y, scale)
        share = float(np.clip(level, 0.01, 0.99))
        match self.link:
            case "identity":
                return 1.0
            case "log":
                return max(level, 0.01)
            case "cloglog":
                return -(1 - share) * float(np.log1p(-share))
            case "logit" | "probit":
                return curve_of(self.link).density_at(share)

    # of rows given their linear predictors

    @abstractmethod
    def log_density(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""

    @abstractmethod
    def derivatives(self, rows: OutcomeRows, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""

    def information(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return a positive measure of curvature: the observed information where it is positive, else the expected."""
        return np.asarray(np.maximum(-self.derivatives(rows, linear)[1], np.finfo(float).tiny))

    def sharpest(self, rows: OutcomeRows) -> np.ndarray:
        """Return the highest curvature that a row's log-density can have; with several modes, that of a peak."""
        return np.asarray(self.information(rows, np.zeros((1, len(rows.y)))) * 4)

    @abstractmethod
    def log_cdf(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""

    @abstractmethod
    def quantile(self, rows: OutcomeRows, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest outcome whose probability of being reached is ``p`` or more."""

    @abstractmethod
    def expected(self, rows: OutcomeRows, linear: np.ndarray) -> np.ndarray:
        """Return the expected outcome, of the shape of ``linear``; of successes their share of the trials."""

    def expected_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the expected outcome with a normal effect of mean 0 added to the linear predictor.

        By the trapezoidal rule, with points as close as the link asks for, unless a family has a closed form.
        """
        if self.linear:  # an effect of mean 0 leaves it as it is
            return self.expected(rows, linear)
        mean = integrate_same if self.same_expected else integrate
        return mean(lambda at: self.expected(rows, at), linear, np.sqrt(variance))

    def category_over(self, rows: OutcomeRows, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the probability of every row's category with a normal effect of mean 0 added to the linear predictor.

        Of outcomes that are categories: 0 and 1, ordered ones, the ends of a scale. By the trapezoidal rule unless a
        family has a closed form.
        """
        return integrate(lambda at: np.exp(self.log_density(rows, at)), linear, np.sqrt(variance))

    @abstractmethod
    def draw(self, rows: OutcomeRows, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew, of the shape of ``linear``."""

    @abstractmethod
    def latent_variance(self, given: Mapping[str, np.ndarray], level: float) -> np.ndarray | float:
        """Return the variance of a row around its linear predictor, on the predictor's scale.

        Parameters
        ----------
        given : mapping of str to ndarray
            Parameters of the family in every draw; of residual SDs the root of their mean square.
        level : float
            As in ``level``.
        """

    # for people

    @abstractmethod
    def latex(self, outcome: str, given: Mapping[str, str]) -> str:
        """Return how the outcome is distributed, as LaTeX with one ``&``; ``given`` are symbols of its parameters."""

    def difference_unit(self, outcome: str) -> str:
        """Return what differences of the expected outcome are in."""
        return f"expected {outcome}"


@dataclass(frozen=True, eq=False)
class OutcomeRows:
    """Outcomes of some rows and, as drawn, the parameters of their family.

    ``y`` has shape (obs,). ``given`` maps parameters to shape (draw, obs) or (draw, 1), and ``threshold`` to
    (draw, threshold). The methods are those of the family.
    """

    family: Outcome
    y: np.ndarray
    given: Mapping[str, np.ndarray]
    scale: OutcomeScale = OPEN

    def chosen(self, rows: np.ndarray) -> OutcomeRows:
        """Return some of the rows."""
        given = {
            name: values[..., rows] if name != "threshold" and values.shape[-1] == len(self.y) else values
            for name, values in self.given.items()
        }
        return OutcomeRows(self.family, self.y[rows], given, self.scale.rows(rows))

    def drawn(self, draws: slice) -> OutcomeRows:
        """Return some of the draws."""
        return replace(self, given={name: values[draws] for name, values in self.given.items()})

    def at_points(self) -> OutcomeRows:
        """Return the same for linear predictors of shape (draw, point, obs)."""
        return replace(self, given={name: values[:, None] for name, values in self.given.items()})

    def log_density(self, linear: np.ndarray) -> np.ndarray:
        """Return the log-density of every row given its linear predictor, of the same shape."""
        return self.family.log_density(self, linear)

    def derivatives(self, linear: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of every row's log-density in its linear predictor."""
        return self.family.derivatives(self, linear)

    def information(self, linear: np.ndarray) -> np.ndarray:
        """Return a positive measure of the curvature of every row's log-density."""
        return self.family.information(self, linear)

    def log_cdf(self, linear: np.ndarray) -> np.ndarray:
        """Return the log of the probability of an outcome up to that of every row."""
        return self.family.log_cdf(self, linear)

    def quantile(self, linear: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Return the smallest outcome whose probability of being reached is ``p`` or more."""
        return self.family.quantile(self, linear, p)

    def expected(self, linear: np.ndarray) -> np.ndarray:
        """Return the expected outcome; of successes their share of the trials."""
        return self.family.expected(self, linear)

    def expected_over(self, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the expected outcome with a normal effect added to the linear predictor.

        Parameters
        ----------
        linear, variance : ndarray, shape (draw, obs)
            The linear predictor, and the variance of the effect.
        """
        return self.family.expected_over(self, linear, variance)

    def category_over(self, linear: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the probability of every row's category with a normal effect added, as in ``expected_over``."""
        return self.family.category_over(self, linear, variance)

    def draw(self, linear: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw the outcome of every row anew."""
        return self.family.draw(self, linear, rng)
