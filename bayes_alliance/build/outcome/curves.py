"""Distribution functions behind a link as PyTensor graphs: logistic (logit) and normal (probit)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Final

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.outcome import curves
from bayes_alliance.outcome.curves import Curve, Link

MIDDLE: Final = 25.0
"""SDs beyond which the normal curve is 0 or 1 to the last digit of what is worked out with it."""


class CurveGraph(ABC):
    """The distribution function of a latent variable, which is symmetric around 0.

    Attributes
    ----------
    numbers : Curve
        The same function of numbers, which draws.
    """

    numbers: ClassVar[Curve]

    @abstractmethod
    def log_cdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a latent variable up to ``x``."""

    @abstractmethod
    def log_between(self, low: TensorVariable, high: TensorVariable) -> TensorVariable:
        """Return the log of the probability between two numbers, without the loss of a difference."""

    @abstractmethod
    def quantile(self, below: TensorVariable, beyond: TensorVariable) -> TensorVariable:
        """Return the number with a share of latent variables below it, and the rest beyond."""


class LogisticGraph(CurveGraph):
    """The standard logistic distribution function."""

    numbers = curves.LOGISTIC

    def log_cdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a latent variable up to ``x``."""
        return -pt.softplus(-x)

    def log_between(self, low: TensorVariable, high: TensorVariable) -> TensorVariable:
        """Return the log of the probability between two numbers, without the loss of a difference."""
        return -pt.softplus(-high) - pt.softplus(low) + pt.log(-pt.expm1(low - high))

    def quantile(self, below: TensorVariable, beyond: TensorVariable) -> TensorVariable:
        """Return the number with a share of latent variables below it, and the rest beyond."""
        return pt.log(below) - pt.log(beyond)


class NormalGraph(CurveGraph):
    """The standard normal distribution function."""

    numbers = curves.NORMAL

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
    numbers = curves.curve_of(link)
    return next(curve for curve in (LOGISTIC, NORMAL) if curve.numbers is numbers)
