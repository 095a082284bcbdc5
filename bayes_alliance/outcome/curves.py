"""Distribution functions behind a link: logistic (logit) and normal (probit), with what both need in their tails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final, Literal, assert_never

import numpy as np
import scipy

from bayes_alliance.outcome.normal_effects import integrate, integrate_same

type Link = Literal["identity", "logit", "probit", "cloglog", "log"]

LOGISTIC_VARIANCE: Final = np.pi**2 / 3
"""Variance of a standard logistic variable (Snijders and Bosker 2012)."""

LOGITS_PER_PROBIT: Final = 1.7
"""Log-odds in one probit: the logistic curve of 1.7 x and the normal curve of x differ by < .01 (Camilli 1994)."""

ENDLESS: Final = 1e10
"""Stands for an infinite distance: no normal variable lies further out."""

DEEP: Final = 200.0
"""Distances into the tail beyond which the curvature of the log of the normal curve is taken from its series."""


class Curve(ABC):
    """The distribution function of a latent variable, which is symmetric around 0.

    Attributes
    ----------
    unit : str
        What linear predictors are in.
    latent_scale : str
        The scale that shares of variance are on.
    latex : str
        The distribution function.
    variance : float
        Of the latent variable.
    outcome_sd : float
        What default priors count as one SD of the outcome, on the scale of the linear predictor.
    """

    unit: ClassVar[str]
    latent_scale: ClassVar[str]
    latex: ClassVar[str]
    variance: ClassVar[float]
    outcome_sd: ClassVar[float]

    @abstractmethod
    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a latent variable up to ``x``."""

    @abstractmethod
    def log_cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the log of the probability, exact in the lower tail."""

    @abstractmethod
    def quantile(self, share: np.ndarray) -> np.ndarray:
        """Return the number that a share of latent variables lies below."""

    @abstractmethod
    def density_at(self, share: float) -> float:
        """Return the slope of the curve where it has reached a share."""

    @abstractmethod
    def log_derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of ``log_cdf``."""

    @abstractmethod
    def log_between(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the log of the probability between two numbers, without the loss of a difference."""

    @abstractmethod
    def derivatives_between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of ``log_between`` in a predictor that both distances fall with."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw latent variables."""

    @abstractmethod
    def cdf_over(self, x: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean of ``cdf`` with a normal effect of mean 0 added to ``x``."""

    @abstractmethod
    def between_over(self, low: np.ndarray, high: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean probability between two numbers that a normal effect of mean 0 is taken from."""


class Logistic(Curve):
    """The standard logistic distribution function."""

    unit = "log-odds"
    latent_scale = "latent logit scale, residual variance pi^2 / 3"
    latex = r"\mathrm{logit}^{-1}"
    variance = LOGISTIC_VARIANCE
    outcome_sd = 1.0

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a latent variable up to ``x``."""
        return np.asarray(scipy.special.expit(x))

    def log_cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the log of the probability, exact in the lower tail."""
        return np.asarray(scipy.special.log_expit(x))

    def quantile(self, share: np.ndarray) -> np.ndarray:
        """Return the number that a share of latent variables lies below."""
        return np.asarray(scipy.special.logit(share))

    def density_at(self, share: float) -> float:
        """Return the slope of the curve where it has reached a share."""
        return share * (1 - share)

    def log_derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of ``log_cdf``."""
        beyond = scipy.special.expit(-x)
        return beyond, -scipy.special.expit(x) * beyond

    def log_between(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the log of the probability between two numbers, without the loss of a difference."""
        return np.asarray(scipy.special.log_expit(high) + scipy.special.log_expit(-low) + np.log(-np.expm1(low - high)))

    def derivatives_between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of ``log_between`` in a predictor that both distances fall with."""
        first = scipy.special.expit(low) - scipy.special.expit(-high)
        return first, -(
            scipy.special.expit(low) * scipy.special.expit(-low)
            + scipy.special.expit(high) * scipy.special.expit(-high)
        )

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw latent variables."""
        return rng.logistic(size=shape)

    def cdf_over(self, x: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean of ``cdf`` with a normal effect of mean 0 added to ``x``, by the trapezoidal rule."""
        return integrate_same(scipy.special.expit, x, np.sqrt(variance))

    def between_over(self, low: np.ndarray, high: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean probability between two numbers that a normal effect of mean 0 is taken from."""

        def between(effect: np.ndarray) -> np.ndarray:
            return np.exp(self.log_between(low - effect, high - effect))

        return integrate(between, np.zeros(np.broadcast_shapes(low.shape, variance.shape)), np.sqrt(variance))


class Normal(Curve):
    """The standard normal distribution function."""

    unit = "probits"
    latent_scale = "latent probit scale, residual variance 1"
    latex = r"\Phi"
    variance = 1.0
    outcome_sd = 1 / LOGITS_PER_PROBIT

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a latent variable up to ``x``."""
        return np.asarray(scipy.special.ndtr(x))

    def log_cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the log of the probability, exact in the lower tail."""
        return np.asarray(scipy.special.log_ndtr(x))

    def quantile(self, share: np.ndarray) -> np.ndarray:
        """Return the number that a share of latent variables lies below."""
        return np.asarray(scipy.special.ndtri(share))

    def density_at(self, share: float) -> float:
        """Return the slope of the curve where it has reached a share."""
        return float(np.exp(-0.5 * scipy.special.ndtri(share) ** 2) / np.sqrt(2 * np.pi))

    def log_derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of ``log_cdf``."""
        first = _ratio(x)
        far = np.maximum(-x, DEEP)
        series = -1 + far**-2 - 6 * far**-4  # x + first is lost there as a difference
        return first, np.where(x < -DEEP, series, -first * (np.maximum(x, -DEEP) + _ratio(np.maximum(x, -DEEP))))

    def log_between(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the log of the probability between two numbers, without the loss of a difference."""
        below, above, _ = _in_lower_tail(low, high)
        return np.asarray(scipy.special.log_ndtr(above) + np.log(-np.expm1(_log_share(below, above))))

    def derivatives_between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and second derivative of ``log_between`` in a predictor that both distances fall with."""
        below, above, sign = _in_lower_tail(low, high)
        share = _log_share(below, above)
        at_above = _ratio(above) / -np.expm1(share)
        at_below = _ratio(below) * np.exp(share) / -np.expm1(share)
        first = at_above - at_below
        return -sign * first, below * at_below - above * at_above - first**2

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw latent variables."""
        return rng.normal(size=shape)

    def cdf_over(self, x: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean of ``cdf`` with a normal effect of mean 0 added to ``x``: two normal variables add up."""
        return self.cdf(x / np.sqrt(1 + variance))

    def between_over(self, low: np.ndarray, high: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Return the mean probability between two numbers that a normal effect of mean 0 is taken from."""
        spread = np.sqrt(1 + variance)
        return np.exp(self.log_between(low / spread, high / spread))


def _ratio(x: np.ndarray) -> np.ndarray:
    """Return the normal density over the normal distribution function, without the loss of either in a tail."""
    return np.asarray(np.sqrt(2 / np.pi) / scipy.special.erfcx(-x / np.sqrt(2)))


def _in_lower_tail(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an interval, or its mirror image, as that of both whose middle is below 0, and the sign it has then."""
    low, high = np.clip(low, -ENDLESS, ENDLESS), np.clip(high, -ENDLESS, ENDLESS)
    mirrored = low + high > 0
    return np.where(mirrored, -high, low), np.where(mirrored, -low, high), np.where(mirrored, -1.0, 1.0)


def _log_share(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the log of the share of what lies below the higher number that lies below the lower one, too."""
    with np.errstate(divide="ignore"):  # nothing lies below an infinite number
        scaled = np.log(scipy.special.erfcx(-low / np.sqrt(2)) / scipy.special.erfcx(-high / np.sqrt(2)))
    return np.asarray(scaled + (high - low) * (high + low) / 2)


LOGISTIC: Final = Logistic()
"""Behind the logit."""

NORMAL: Final = Normal()
"""Behind the probit."""


def curve_of(link: Link) -> Curve:
    """Return the distribution function behind a link of probabilities.

    Raises
    ------
    ValueError
        If no symmetric latent variable is behind the link.
    """
    match link:
        case "logit":
            return LOGISTIC
        case "probit":
            return NORMAL
        case "identity" | "cloglog" | "log":
            raise ValueError(f"No symmetric latent variable is behind the link {link}.")
        case _:
            assert_never(link)
