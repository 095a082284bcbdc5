"""Compiled step from sampled parameters to covariances and weights, and back: values, priors, gradients."""

from __future__ import annotations

import math

import numpy as np

from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.elimination import invert_symmetric
from bayes_alliance.collapse.kernel.loadings import fill_pieces, log_prior_loadings, pull_pieces
from bayes_alliance.collapse.kernel.parts import (
    BASES,
    BLOCK_COR,
    BLOCK_MEMBERS,
    BLOCK_SIZE,
    CLASS_COUNT,
    CLASS_GAP,
    CLASS_OUTCOME,
    CLASS_SIGMA,
    CLASS_SIZE,
    CLASS_STRATUM,
    CLASS_WEIGHT,
    CLASSES,
    COR_SHAPE,
    FACTOR_BASIS,
    FACTOR_BLOCKS,
    FACTOR_LAMBDA,
    FACTOR_SD,
    FACTOR_SIZE,
    FACTOR_STEP,
    FACTOR_STRATA,
    FACTORS,
    FIXED_COR,
    JOINT,
    PRIOR_CODE,
    PRIOR_VALUE,
    SIGMA_PLACE,
    SIGMAS,
)
from bayes_alliance.collapse.kernel.series import fill_series, pull_series

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@compiled
def log_prior_positive(code, scale, degrees, x):
    """Return the log-density of an SD's prior (codes of ``tables.PRIOR_CODES``) and its slope; even in x."""
    size = abs(x)
    if code == 0:
        return 0.5 * math.log(2 / math.pi) - math.log(scale) - 0.5 * (x / scale) ** 2, -x / scale**2
    if code == 1:
        half = 0.5 * (degrees + 1)
        constant = math.lgamma(half) - math.lgamma(0.5 * degrees) - 0.5 * math.log(degrees * math.pi)
        ratio = 1 + (x / scale) ** 2 / degrees
        value = math.log(2.0) + constant - math.log(scale) - half * math.log(ratio)
        return value, -2 * half * x / (degrees * scale**2 * ratio)
    if code == 2:
        return -math.log(scale) - size / scale, -(1.0 if x >= 0 else -1.0) / scale
    if code == 4:
        # SDs with this prior are sampled as logarithms and so are above 0
        apart = (math.log(size) - math.log(scale)) / degrees
        value = -math.log(size) - math.log(degrees) - 0.5 * math.log(2 * math.pi) - 0.5 * apart**2
        return value, -(1 + apart / degrees) / x
    return 0.0, 0.0


@compiled
def log_sech(v):
    """Return log(1 / cosh v) without overflow."""
    return math.log(2.0) - abs(v) - math.log1p(math.exp(-2 * abs(v)))


@compiled
def fill_cholesky(x, at, size, lower):
    """Write the Cholesky factor of a correlation matrix with partial correlations tanh(x[at:]); return log shapes.

    ``lower`` has shape (size, size). Rows are unit vectors in hyperspherical form, exact up to correlations of 1.
    """
    pair = at
    for i in range(size):
        before = 1.0
        for j in range(size):
            lower[i, j] = 0.0
        for j in range(i):
            lower[i, j] = math.tanh(x[pair]) * before
            before *= math.exp(log_sech(x[pair]))
            pair += 1
        lower[i, i] = before


@compiled
def pull_cholesky(x, at, size, lower, lower_bar, gradient):
    """Add the adjoint of the partial correlations to ``gradient``."""
    pair = at
    for i in range(size):
        before = 1.0
        for j in range(i):
            sech = math.exp(log_sech(x[pair]))
            total = lower_bar[i, j] * before * sech * sech
            rest = 0.0
            for k in range(j + 1, i + 1):
                rest += lower_bar[i, k] * lower[i, k]
            gradient[pair] += total - math.tanh(x[pair]) * rest
            before *= sech
            pair += 1


@compiled
def log_prior_correlations(x, at, count, shape, shape_at, gradient):
    """Return the log-density of partial correlations tanh(x) with symmetric beta priors, Jacobian included."""
    total = 0.0
    for k in range(count):
        alpha = shape[shape_at + k]
        constant = math.lgamma(2 * alpha) - 2 * math.lgamma(alpha) - (2 * alpha - 1) * math.log(2.0)
        total += constant + 2 * alpha * log_sech(x[at + k])
        gradient[at + k] -= 2 * alpha * math.tanh(x[at + k])
    return total


@compiled
def fill_sizes(N, x, logs, sizes):
    """Write SDs of effects, exponentials of what is sampled where ``logs`` is true; behind them residual SDs."""
    count = len(logs)
    for i in range(count):
        sizes[i] = math.exp(x[i]) if logs[i] else x[i]
    for i in range(N[SIGMAS]):
        sizes[count + i] = math.exp(x[N[N[SIGMA_PLACE]] + i])


@compiled
def pull_size(N, sizes, logs, place, slope, gradient):
    """Add the adjoint of an SD to that of what is sampled."""
    if place >= len(logs):
        gradient[N[N[SIGMA_PLACE]] + place - len(logs)] += slope * sizes[place]
    else:
        gradient[place] += slope * (sizes[place] if logs[place] else 1.0)


@compiled
def _place_of_sd(N, f, effect):
    """Return where the SD of an effect of a factor stands, its strata one after the other."""
    return N[N[FACTOR_SD] + f] + N[N[FACTOR_STEP] + f] * effect


@compiled
def fill_scales(N, R, x, sizes, lam):
    """Write basis x SDs x Cholesky factor of every factor and stratum; ``lam`` is flat."""
    member = 0
    for f in range(N[FACTORS]):
        q = N[N[FACTOR_SIZE] + f]
        for s in range(N[N[FACTOR_STRATA] + f]):
            raw = np.zeros((q, q))
            for a in range(q):
                raw[a, a] = sizes[_place_of_sd(N, f, s * q + a)]
            at = member
            for block in range(N[N[FACTOR_BLOCKS] + f], N[N[FACTOR_BLOCKS] + f + 1]):
                size = N[N[BLOCK_SIZE] + block]
                lower = np.empty((size, size))
                fill_cholesky(x, N[N[BLOCK_COR] + block] + s * size * (size - 1) // 2, size, lower)
                for i in range(size):
                    a = N[N[BLOCK_MEMBERS] + at + i]
                    for j in range(size):
                        raw[a, N[N[BLOCK_MEMBERS] + at + j]] = sizes[_place_of_sd(N, f, s * q + a)] * lower[i, j]
                at += size
            start = N[N[FACTOR_LAMBDA] + f] + s * q * q
            basis = N[N[FACTOR_BASIS] + f]
            for i in range(q):
                for j in range(q):
                    total = 0.0
                    for k in range(q):
                        total += R[N[BASES] + basis + i * q + k] * raw[k, j]
                    lam[start + i * q + j] = total
        for block in range(N[N[FACTOR_BLOCKS] + f], N[N[FACTOR_BLOCKS] + f + 1]):
            member += N[N[BLOCK_SIZE] + block]


@compiled
def pull_scales(N, R, x, sizes, lam_bar, logs, gradient):
    """Add the adjoints of SDs and partial correlations to ``gradient``."""
    member = 0
    for f in range(N[FACTORS]):
        q = N[N[FACTOR_SIZE] + f]
        for s in range(N[N[FACTOR_STRATA] + f]):
            bar = np.zeros((q, q))
            start = N[N[FACTOR_LAMBDA] + f] + s * q * q
            for i in range(q):
                for j in range(q):
                    for k in range(q):
                        bar[i, j] += R[N[BASES] + N[N[FACTOR_BASIS] + f] + k * q + i] * lam_bar[start + k * q + j]
            single = np.ones(q, dtype=np.bool_)
            at = member
            for block in range(N[N[FACTOR_BLOCKS] + f], N[N[FACTOR_BLOCKS] + f + 1]):
                size = N[N[BLOCK_SIZE] + block]
                lower = np.empty((size, size))
                lower_bar = np.zeros((size, size))
                place = N[N[BLOCK_COR] + block] + s * size * (size - 1) // 2
                fill_cholesky(x, place, size, lower)
                for i in range(size):
                    a = N[N[BLOCK_MEMBERS] + at + i]
                    single[a] = False
                    total = 0.0
                    for j in range(i + 1):
                        value = bar[a, N[N[BLOCK_MEMBERS] + at + j]]
                        total += value * lower[i, j]
                        lower_bar[i, j] = value * sizes[_place_of_sd(N, f, s * q + a)]
                    pull_size(N, sizes, logs, _place_of_sd(N, f, s * q + a), total, gradient)
                pull_cholesky(x, place, size, lower, lower_bar, gradient)
                at += size
            for a in range(q):
                if single[a]:
                    pull_size(N, sizes, logs, _place_of_sd(N, f, s * q + a), bar[a, a], gradient)
        for block in range(N[N[FACTOR_BLOCKS] + f], N[N[FACTOR_BLOCKS] + f + 1]):
            member += N[N[BLOCK_SIZE] + block]


@compiled
def residual_lower(N, R, x, stratum, size):
    """Return the Cholesky factor of the residual correlations of a stratum, shape (size, size)."""
    lower = np.zeros((size, size))
    if N[N[JOINT] + 2] == 1:
        for i in range(size):
            for j in range(i + 1):
                lower[i, j] = R[N[FIXED_COR] + i * size + j]
        return lower
    fill_cholesky(x, N[N[SIGMA_PLACE] + 1] + stratum * size * (size - 1) // 2, size, lower)
    return lower


@compiled
def fill_weights(N, R, x, weights, joint):
    """Write the inverse of every class's residual covariance; return the sum over rows of log determinants.

    Of a session given one before, what stands between the two in its density, and the log of its variance.
    """
    total, at = 0.0, 0
    for c in range(N[CLASSES]):
        size, place = N[N[CLASS_SIZE] + c], N[N[CLASS_WEIGHT] + c]
        if joint is None or size == 1:
            known = N[N[CLASS_SIGMA] + at] < 0
            log_sigma = 0.0 if known else x[N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at]]
            weights[place] = math.exp(-2 * log_sigma)
            total += 2 * log_sigma * N[N[CLASS_COUNT] + c]
        if joint is not None and size > 1:
            if N[N[CLASS_GAP] + c] > 0:
                total += fill_series(N, x, c, at, weights)
            else:
                total += _fill_joint(N, R, x, c, at, weights)
        at += size
    fill_pieces(N, R, x, weights)
    return total


@compiled
def _class_covariance(N, R, x, c, at):
    size = N[N[CLASS_SIZE] + c]
    lower = residual_lower(N, R, x, N[N[CLASS_STRATUM] + c], N[N[JOINT]])
    covariance = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            total = 0.0
            for k in range(N[N[JOINT]]):
                total += lower[N[N[CLASS_OUTCOME] + at + i], k] * lower[N[N[CLASS_OUTCOME] + at + j], k]
            scale = (
                x[N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at + i]] + x[N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at + j]]
            )
            covariance[i, j] = math.exp(scale) * total
    return covariance


@compiled
def pull_weights(N, R, x, weights, weight_bar, gradient, joint):
    """Add the adjoints of log residual SDs and their correlations to ``gradient``."""
    pull_pieces(N, R, x, weights, weight_bar, gradient)
    at, whole = 0, N[N[JOINT]]
    lower_bar = np.zeros((max(N[N[JOINT] + 1], 1), whole, whole))
    for c in range(N[CLASSES]):
        size, place = N[N[CLASS_SIZE] + c], N[N[CLASS_WEIGHT] + c]
        if (joint is None or size == 1) and N[N[CLASS_SIGMA] + at] >= 0:
            sigma = N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at]
            gradient[sigma] -= 2 * weights[place] * weight_bar[place] + N[N[CLASS_COUNT] + c]
        if joint is not None and size > 1:
            if N[N[CLASS_GAP] + c] > 0:
                pull_series(N, x, c, at, weights, weight_bar, gradient)
            else:
                _pull_joint(N, R, x, c, at, weights, weight_bar, lower_bar, gradient)
        at += size
    if joint is not None and N[N[JOINT] + 2] == 0:
        for s in range(N[N[JOINT] + 1]):
            lower = residual_lower(N, R, x, s, whole)
            place = N[N[SIGMA_PLACE] + 1] + s * whole * (whole - 1) // 2
            pull_cholesky(x, place, whole, lower, lower_bar[s], gradient)


@compiled
def sigma_of(N, R, x, at):
    """Return the log residual SD of one outcome of a class."""
    return x[N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at]]


@compiled
def log_prior(N, R, x, sizes, logs, gradient):
    """Return the log prior of the sampled vector, Jacobians included, and add its gradient."""
    total, count = log_prior_loadings(N, x, gradient), len(logs)
    for i in range(count):
        value, slope = log_prior_positive(
            N[N[PRIOR_CODE] + i], R[N[PRIOR_VALUE] + 2 * i], R[N[PRIOR_VALUE] + 2 * i + 1], sizes[i]
        )
        total += value + (x[i] if logs[i] else 0.0)
        gradient[i] += slope * sizes[i] + 1.0 if logs[i] else slope
    for i in range(N[SIGMAS]):
        place, prior = N[N[SIGMA_PLACE]] + i, count + i
        sigma = math.exp(x[place])
        value, slope = log_prior_positive(
            N[N[PRIOR_CODE] + prior], R[N[PRIOR_VALUE] + 2 * prior], R[N[PRIOR_VALUE] + 2 * prior + 1], sigma
        )
        total += value + x[place]
        gradient[place] += slope * sigma + 1.0
    shape = 0
    for f in range(N[FACTORS]):
        for block in range(N[N[FACTOR_BLOCKS] + f], N[N[FACTOR_BLOCKS] + f + 1]):
            pairs = N[N[BLOCK_SIZE] + block] * (N[N[BLOCK_SIZE] + block] - 1) // 2
            for s in range(N[N[FACTOR_STRATA] + f]):
                total += log_prior_correlations(
                    x, N[N[BLOCK_COR] + block] + s * pairs, pairs, R, N[COR_SHAPE] + shape, gradient
                )
            shape += pairs
    if N[N[JOINT]] > 1 and N[N[JOINT] + 2] == 0:
        pairs = N[N[JOINT]] * (N[N[JOINT]] - 1) // 2
        for s in range(N[N[JOINT] + 1]):
            total += log_prior_correlations(
                x, N[N[SIGMA_PLACE] + 1] + s * pairs, pairs, R, N[COR_SHAPE] + shape, gradient
            )
    return total


@compiled
def _fill_joint(N, R, x, c, at, weights):
    """Write the inverse residual covariance of one class with several outcomes; return its log determinants."""
    size, place = N[N[CLASS_SIZE] + c], N[N[CLASS_WEIGHT] + c]
    covariance = _class_covariance(N, R, x, c, at)
    inverse = np.empty((size, size))
    log_det = N[N[CLASS_COUNT] + c] * invert_symmetric(covariance, inverse)
    for i in range(size):
        for j in range(size):
            weights[place + i * size + j] = 0.5 * (inverse[i, j] + inverse[j, i])
    return log_det


@compiled
def _pull_joint(N, R, x, c, at, weights, weight_bar, lower_bar, gradient):
    """Pass the adjoint of such an inverse to log residual SDs and to the factor of the correlations."""
    size, place, whole = N[N[CLASS_SIZE] + c], N[N[CLASS_WEIGHT] + c], N[N[JOINT]]
    inverse = np.empty((size, size))
    bar = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            inverse[i, j] = weights[place + i * size + j]
            bar[i, j] = 0.5 * (weight_bar[place + i * size + j] + weight_bar[place + j * size + i])
    covariance = _class_covariance(N, R, x, c, at)
    slope = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            slope[i, j] = -0.5 * N[N[CLASS_COUNT] + c] * inverse[i, j]
            for k in range(size):
                for m in range(size):
                    slope[i, j] -= inverse[i, k] * bar[k, m] * inverse[m, j]
    lower = residual_lower(N, R, x, N[N[CLASS_STRATUM] + c], whole)
    for i in range(size):
        sigma = N[N[SIGMA_PLACE]] + N[N[CLASS_SIGMA] + at + i]
        for j in range(size):
            gradient[sigma] += 2 * slope[i, j] * covariance[i, j]
            scale = math.exp(sigma_of(N, R, x, at + i) + sigma_of(N, R, x, at + j))
            for k in range(whole):
                lower_bar[N[N[CLASS_STRATUM] + c], N[N[CLASS_OUTCOME] + at + i], k] += (
                    2 * slope[i, j] * scale * lower[N[N[CLASS_OUTCOME] + at + j], k]
                )
