"""Compiled: scales of coefficients that share a shrinkage prior, what they do to the last block, and back.

A horseshoe's scales are half-Cauchy and its slab squared inverse gamma (Piironen and Vehtari 2017, section 2.3); of the
other kind a beta share of the variance is divided by a Dirichlet (Zhang, Naughton, Bondell and Reich 2022), part by
part of what those before it leave, which are independent betas. All are sampled as logarithms or log-odds.
"""

from __future__ import annotations

import math

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.parameters import log_sech
from bayes_alliance.collapse.kernel.parts import (
    COEFS,
    MIX,
    MIX_WEIGHT,
    SHRUNK,
    SHRUNK_COUNT,
    SHRUNK_SLOT,
    SHRUNK_VALUE,
    UNMIX,
    UNMIX_WEIGHT,
)

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def _prior(N, number):
    """Return of a shrinkage prior its kind, its first parameter, its first slot and how many slots it has."""
    at = N[SHRUNK] + 4 * number
    return N[at], N[at + 1], N[SHRUNK_SLOT] + N[at + 2], N[at + 3]


@compiled
def _log1p_exp(x):
    """Return log(1 + exp(x)) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@compiled
def _log_prior_odds(x, at, alpha, beta, gradient):
    """Return the log-density of log-odds whose share is Beta(alpha, beta), and add its gradient."""
    constant = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
    gradient[at] += alpha - (alpha + beta) * math.exp(-_log1p_exp(-x[at]))
    return constant - alpha * _log1p_exp(-x[at]) - beta * _log1p_exp(x[at])


@compiled
def log_prior_scales(N, R, x, gradient):
    """Return the log prior of all scales as they are sampled, and add its gradient."""
    total = 0.0
    for number in range(N[N[SHRUNK_COUNT]]):
        kind, first, _, slots = _prior(N, number)
        values = N[SHRUNK_VALUE] + 3 * number
        one, two, three = R[values], R[values + 1], R[values + 2]
        if kind == 0:
            half = 0.5 * two
            total += half * math.log(half) - math.lgamma(half) - half * (x[first + 1] + math.exp(-x[first + 1]))
            gradient[first + 1] += half * (math.exp(-x[first + 1]) - 1.0)
            for i in range(slots + 1):
                at = first + (i + 1 if i > 0 else 0)
                total += log_sech(x[at]) - math.log(math.pi)
                gradient[at] -= math.tanh(x[at])
        else:
            total += _log_prior_odds(x, first, one, two, gradient)
            for i in range(slots - 1):
                total += _log_prior_odds(x, first + 1 + i, three, three * (slots - 1 - i), gradient)
    return total


@compiled
def fill_coef_scales(N, R, x, scales):
    """Write the prior SDs of standardised coefficients, shape (coef,); 1 where a coefficient has its own prior."""
    scales[:] = 1.0
    for number in range(N[N[SHRUNK_COUNT]]):
        kind, first, slot, slots = _prior(N, number)
        left = -_log1p_exp(-x[first])
        for i in range(slots):
            if kind == 0:
                wide = 2.0 * (math.log(R[N[SHRUNK_VALUE] + 3 * number]) + x[first] + x[first + 2 + i])
                squared = 2.0 * math.log(R[N[SHRUNK_VALUE] + 3 * number + 2]) + x[first + 1]
                log_square = min(wide, squared) - math.log1p(math.exp(-abs(wide - squared)))
            else:
                log_square = left
                if i < slots - 1:
                    log_square -= _log1p_exp(-x[first + 1 + i])
                    left -= _log1p_exp(x[first + 1 + i])
            scales[N[slot + i]] = math.exp(0.5 * log_square)


@compiled
def mix_coefs(N, R, scales, values, back):
    """Replace what belongs to coefficients, the first of ``values``, by what belongs to standardised ones, or back."""
    mixed = np.zeros(N[COEFS])
    for entry in range(N[N[SHRUNK_COUNT] + 1]):
        coef, slot = N[N[MIX] + 2 * entry], N[N[MIX] + 2 * entry + 1]
        weight = R[N[MIX_WEIGHT] + entry] * scales[slot]
        if back:
            mixed[coef] += weight * values[slot]
        else:
            mixed[slot] += weight * values[coef]
    for entry in range(N[N[SHRUNK_COUNT] + 1]):
        place = N[N[MIX] + 2 * entry + (0 if back else 1)]
        values[place] = mixed[place]


@compiled
def _mix_table(N, R, scales, table, back):
    """Do the same to the lines and columns of a square table."""
    size, entries = table.shape[0], N[N[SHRUNK_COUNT] + 1]
    for turned in range(2):
        mixed = np.zeros((N[COEFS], size))
        for entry in range(entries):
            coef, slot = N[N[MIX] + 2 * entry], N[N[MIX] + 2 * entry + 1]
            weight = R[N[MIX_WEIGHT] + entry] * scales[slot]
            to, source = (coef, slot) if back else (slot, coef)
            for c in range(size):
                mixed[to, c] += weight * (table[source, c] if turned == 0 else table[c, source])
        for entry in range(entries):
            to = N[N[MIX] + 2 * entry + (0 if back else 1)]
            for c in range(size):
                if turned == 0:
                    table[to, c] = mixed[to, c]
                else:
                    table[c, to] = mixed[to, c]


@compiled
def standardise_last(N, R, scales, last):
    """Turn the last block's coefficients into standardised ones, whose prior covariance is the identity."""
    if N[N[SHRUNK_COUNT]] > 0:
        _mix_table(N, R, scales, last, False)


@compiled
def pull_last(N, R, x, scales, last, bar, gradient):
    """Pass the adjoint of the standardised last block to the scales, and turn it into that of the block itself."""
    if N[N[SHRUNK_COUNT]] == 0:
        return
    for number in range(N[N[SHRUNK_COUNT]]):
        kind, first, slot, slots = _prior(N, number)
        left = 0.0
        for back in range(slots):
            i = slots - 1 - back
            place, slope = N[slot + i], 0.0
            for c in range(last.shape[0]):
                slope += 2.0 * last[place, c] * bar[place, c]
            # slope is that of the logarithm of the standardised coefficient's SD
            if kind == 0:
                wide = 2.0 * (math.log(R[N[SHRUNK_VALUE] + 3 * number]) + x[first] + x[first + 2 + i])
                squared = 2.0 * math.log(R[N[SHRUNK_VALUE] + 3 * number + 2]) + x[first + 1]
                share = math.exp(-_log1p_exp(wide - squared))
                gradient[first] += share * slope
                gradient[first + 1] += 0.5 * (1.0 - share) * slope
                gradient[first + 2 + i] += share * slope
            else:
                if i < slots - 1:
                    share = math.exp(-_log1p_exp(-x[first + 1 + i]))
                    gradient[first + 1 + i] += 0.5 * ((1.0 - share) * slope - share * left)
                left += slope
        if kind != 0:
            gradient[first] += 0.5 * math.exp(-_log1p_exp(x[first])) * left
    _mix_table(N, R, scales, bar, True)


@compiled
def standardise_coefs(N, R, scales, values):
    """Replace coefficients, the first of ``values``, by standardised ones."""
    mixed = np.zeros(N[COEFS])
    for entry in range(N[N[SHRUNK_COUNT] + 2]):
        coef, slot = N[N[UNMIX] + 2 * entry], N[N[UNMIX] + 2 * entry + 1]
        mixed[slot] += R[N[UNMIX_WEIGHT] + entry] * values[coef] / scales[slot]
    for entry in range(N[N[SHRUNK_COUNT] + 2]):
        slot = N[N[UNMIX] + 2 * entry + 1]
        values[slot] = mixed[slot]
