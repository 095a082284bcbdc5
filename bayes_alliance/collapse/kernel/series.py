"""Compiled densities of sessions given the one before: weights of the two, and back.

Residuals of a series are a stationary autoregression of first order. With rho the correlation over the gap between two
sessions, the standardised residual of the later one is normal around rho times that of the earlier one, with variance
1 - rho squared (Hamilton 1994, section 5.2).
"""

from __future__ import annotations

import math

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.parts import (
    CLASS_COUNT,
    CLASS_GAP,
    CLASS_SIGMA,
    CLASS_STRATUM,
    CLASS_WEIGHT,
    SIGMA_PLACE,
)

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def power(value, gap):
    """Return tanh(value) to the power of the gap, the correlation over it, and 1 less its square."""
    if value == 0.0:
        return 0.0, 1.0
    log_size = gap * math.log1p(-2.0 / (math.exp(min(2 * abs(value), 700.0)) + 1.0))
    sign = -1.0 if value < 0 and gap % 2 == 1 else 1.0
    return sign * math.exp(log_size), -math.expm1(2 * log_size)


@compiled
def fill_series(N, x, c, at, weights):
    """Write the weights of a session and one before in the density of the first; return log variances over rows."""
    place = N[N[CLASS_WEIGHT] + c]
    rho, left = power(x[N[N[SIGMA_PLACE] + 1] + N[N[CLASS_STRATUM] + c]], N[N[CLASS_GAP] + c])
    one, two = x[N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at]], x[N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at + 1]]
    weights[place] = math.exp(-2 * one) / left
    weights[place + 1] = -rho * math.exp(-one - two) / left
    weights[place + 2] = weights[place + 1]
    weights[place + 3] = rho * rho * math.exp(-2 * two) / left
    return N[N[CLASS_COUNT] + c] * (2 * one + math.log(left))


@compiled
def pull_series(N, x, c, at, weights, weight_bar, gradient):
    """Pass the adjoint of such weights to both log residual SDs and to the correlation of neighbours."""
    place, count, gap = N[N[CLASS_WEIGHT] + c], N[N[CLASS_COUNT] + c], N[N[CLASS_GAP] + c]
    at_cor = N[N[SIGMA_PLACE] + 1] + N[N[CLASS_STRATUM] + c]
    value = x[at_cor]
    rho, left = power(value, gap)
    one, two = N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at], N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at + 1]
    both = weight_bar[place + 1] + weight_bar[place + 2]
    gradient[one] -= 2 * weights[place] * weight_bar[place] + weights[place + 1] * both + count
    gradient[two] -= weights[place + 1] * both + 2 * weights[place + 3] * weight_bar[place + 3]
    slope = weight_bar[place] * weights[place] * 2 * rho / left
    slope -= both * math.exp(-x[one] - x[two]) * (1 + rho * rho) / (left * left)
    slope += weight_bar[place + 3] * math.exp(-2 * x[two]) * 2 * rho / (left * left)
    slope += count * rho / left
    apart = math.cosh(value) ** -2
    if gap > 1:  # of tanh(value) to the power of the gap
        apart = apart * gap * rho / math.tanh(value) if value != 0.0 else 0.0
    gradient[at_cor] += slope * apart
