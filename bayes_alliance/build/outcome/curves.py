"""Distribution functions behind a link as PyTensor graphs: logistic (logit) and normal (probit)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, assert_never

import numpy as np
import pytensor.tensor as pt
import scipy
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.outcome.curves import Link

MIDDLE: Final = 25.0
"""SDs beyond which the normal curve is 0 or 1 to the last digit of what is worked out with it."""


class CurveGraph(ABC):
    """The distribution function of a latent variable, which is symmetric around 0."""

    @abstractmethod
    def log_cdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a latent variable up to ``x``."""

    @abstractmethod
    def log_between(self, low: TensorVariable, high: TensorVariable) -> TensorVariable:
        """Return the log of the probability between two numbers, without the loss of a difference."""

    @abstractmethod
    def quantile(self, below: TensorVariable, beyond: TensorVariable) -> TensorVariable:
        """Return the number with a share of latent variables below it, and the rest beyond."""

    @abstractmethod
    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a latent variable up to ``x``, as numbers."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw latent variables."""


class LogisticGraph(CurveGraph):
    """The standard logistic distribution function."""

    def log_cdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a latent variable up to ``x``."""
        return -pt.softplus(-x)

    def log_between(self, low: TensorVariable, high: TensorVariable) -> TensorVariable:
        """Return the log of the probability between two numbers, without the loss of a difference."""
        return -pt.softplus(-high) - pt.softplus(low) + pt.log(-pt.expm1(low - high))

    def quantile(self, below: TensorVariable, beyond: TensorVariable) -> TensorVariable:
        """Return the number with a share of latent variables below it, and the rest beyond."""
        return pt.log(below) - pt.log(beyond)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a latent variable up to ``x``, as numbers."""
        return np.asarray(scipy.special.expit(x))

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw latent variables."""
        return rng.logistic(size=shape)


class NormalGraph(CurveGraph):
    """The standard normal distribution function."""

    def log_cdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a latent variable up to ``x``; each branch sees what it is exact for."""
        low, high = pt.minimum(x, 0.0) / np.sqrt(2), pt.maximum(x, 0.0) / np.sqrt(2)
        return pt.switch(pt.lt(x, 0), np.log(0.5) + pt.log(pt.erfcx(-low)) - low**2, pt.log1p(-0.5 * pt.erfc(high)))

    def log_between(self, low: TensorVariable, high: TensorVariable) -> TensorVariable:
        """Return the log of the probability between two numbers, without the loss of a difference.

        An interval above 0 is taken as its mirror image. What lies below its lower end is then a share of what lies
        below the higher one.
        """
        mirrored = pt.gt(low + high, 0)
        below, above = pt.switch(mirrored, -high, low), pt.switch(mirrored, -low, high)
        near = pt.minimum(above, MIDDLE)
        scaled = pt.log(pt.erfcx(-below / np.sqrt(2))) - pt.log(pt.erfcx(-near / np.sqrt(2)))
        share = scaled + (near - below) * (near + below) / 2
        return self.log_cdf(above) + pt.log(-pt.expm1(share))

    def quantile(self, below: TensorVariable, beyond: TensorVariable) -> TensorVariable:
        """Return the number with a share of latent variables below it, and the rest beyond."""
        lower, upper = (-pt.erfcinv(2 * pt.minimum(share, 0.5)) for share in (below, beyond))
        return np.sqrt(2) * pt.switch(pt.lt(below, beyond), lower, -upper)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a latent variable up to ``x``, as numbers."""
        return np.asarray(scipy.special.ndtr(x))

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw latent variables."""
        return rng.normal(size=shape)


LOGISTIC: Final = LogisticGraph()
"""Behind the logit."""

NORMAL: Final = NormalGraph()
"""Behind the probit."""


def curve_of(link: Link) -> CurveGraph:
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
