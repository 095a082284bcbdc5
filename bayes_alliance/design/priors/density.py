"""Log-densities of priors at numbers."""

from __future__ import annotations

import numpy as np
from scipy import stats

from bayes_alliance.spec.priors import Distribution


def log_density(prior: Distribution, x: np.ndarray) -> np.ndarray:
    """Return the log density of a prior, up to a constant for flat ones."""
    value = prior.value
    match prior.family:
        case "normal":
            return np.asarray(stats.norm.logpdf(x, value("mu"), value("sigma")))
        case "student_t":
            return np.asarray(stats.t.logpdf(x, value("nu"), value("mu"), value("sigma")))
        case "half_normal":
            return np.asarray(stats.halfnorm.logpdf(x, scale=value("sigma")))
        case "half_student_t":
            return np.asarray(np.log(2) + stats.t.logpdf(x, value("nu"), scale=value("sigma")))
        case "exponential":
            return np.asarray(stats.expon.logpdf(x, scale=value("mean")))
        case "lognormal":
            # x at 0 has no density, and no logarithm
            with np.errstate(divide="ignore"):
                return np.asarray(stats.lognorm.logpdf(x, value("spread"), scale=value("median")))
        case "beta":
            return np.asarray(stats.beta.logpdf(x, value("alpha"), value("beta")))
        case "lkj":
            return np.asarray(stats.beta.logpdf((x + 1) / 2, value("eta"), value("eta")))
        case "flat_positive":
            return np.zeros_like(x)
    raise ValueError(f"{prior} has no density of a number")
