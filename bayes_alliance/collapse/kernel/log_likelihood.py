"""The compiled log-likelihood with population and group effects integrated out, and its exact gradient.

Effects are eliminated from the innermost units outward, as in a Cholesky factorisation of the mixed model's equations
(Bates, Mächler, Bolker and Walker 2015, section 3), scaled by the factor of their covariance: variances may be 0.
The gradient runs the same steps backward (reverse mode), a constant multiple of the cost.
"""

from __future__ import annotations

import math

import numpy as np

from bayes_alliance.collapse.kernel.backward import backward, last_adjoint
from bayes_alliance.collapse.kernel.compiled import compiled
from bayes_alliance.collapse.kernel.effects import draw_coefs, draw_effects
from bayes_alliance.collapse.kernel.forward import forward, solve_last
from bayes_alliance.collapse.kernel.loadings import fill_shifts, pull_shifts
from bayes_alliance.collapse.kernel.parameters import (
    fill_scales,
    fill_sizes,
    fill_weights,
    log_prior,
    pull_scales,
    pull_weights,
)
from bayes_alliance.collapse.kernel.parts import (
    CONSTANT,
    ROWS,
    STATE,
)
from bayes_alliance.collapse.kernel.shrinkage import fill_coef_scales, log_prior_scales, pull_last, standardise_last

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

DIGITS = 1e-11
"""Share of the outcomes' weighted squares below which what the model leaves of them is lost in rounding."""


@compiled
def _part(N, state, number):
    return state[N[N[STATE] + number] : N[N[STATE] + number + 1]]


@compiled
def _square(N, state, number):
    part = _part(N, state, number)
    size = int(math.sqrt(len(part)) + 0.5)
    return part.reshape(size, size)


@compiled
def _parts(N, state):
    """Return the parts of the working memory, in the order that ``parts.STATE`` has."""
    return (
        _part(N, state, 0),
        _part(N, state, 1),
        _part(N, state, 2),
        _part(N, state, 3),
        _part(N, state, 4),
        _square(N, state, 5),
        _part(N, state, 6),
        _part(N, state, 7),
        _part(N, state, 8),
        _part(N, state, 9),
        _square(N, state, 10),
    )


@compiled
def log_density(N, R, x, logs, state, normals, coefs, crossed, joint):
    """Return log-likelihood plus log prior at a sampled vector; -inf where numbers break down.

    Parameters
    ----------
    N, R
        Packed statistics.
    x, logs
        The sampled vector, and which SDs are sampled by their logarithms; the others have either sign.
    state
        Working memory, left with what ``slope_of`` and ``effects_of`` read.
    normals, coefs
        One draw of coefficients is written to ``coefs``, from standard normals; none where these are empty.
    crossed, joint
        True where factors cross, residuals correlate; else None, and the compiler leaves these parts out.
    """
    state[:] = 0.0
    slope, sizes, lam, weights, work, last, inner, shifts, scales, mean, factor = _parts(N, state)
    fill_sizes(N, x, logs, sizes)
    total = log_prior(N, R, x, sizes, logs, slope) + log_prior_scales(N, R, x, slope)
    fill_scales(N, R, x, sizes, lam)
    log_residual = fill_weights(N, R, x, weights, joint)
    half, square = forward(N, R, lam, weights, work, last, inner)
    fill_coef_scales(N, R, x, scales)
    standardise_last(N, R, scales, last)
    fill_shifts(N, R, x, shifts)
    quadratic, log_det = solve_last(N, lam, last, shifts, mean, factor, crossed)
    total += R[N[CONSTANT]] - 0.5 * (N[ROWS] * math.log(2 * math.pi) + log_residual + half + log_det + quadratic)
    if len(normals) > 0:
        draw_coefs(N, R, mean, factor, scales, normals, coefs, crossed)
    broken = quadratic < DIGITS * square or not math.isfinite(total)
    return -math.inf if broken else total


@compiled
def slope_of(N, R, x, logs, state, crossed, joint):
    """Return the gradient by the sampled vector from the working memory of ``log_density``, which is used up."""
    slope, sizes, lam, weights, work, last, inner, shifts, scales, mean, factor = _parts(N, state)
    lam_bar = np.zeros(len(lam))
    weight_bar = np.zeros(len(weights))
    bar = last_adjoint(N, lam, last, shifts, factor, mean, lam_bar, crossed)
    pull_last(N, R, x, scales, last, bar, slope)
    backward(N, R, lam, weights, work, bar, inner, lam_bar, weight_bar)
    pull_scales(N, R, x, sizes, lam_bar, logs, slope)
    pull_weights(N, R, x, weights, weight_bar, slope, joint)
    pull_shifts(N, R, shifts, mean, slope)
    return slope


@compiled
def effects_of(N, R, state, units, tables, normals, effects, crossed):
    """Write one draw of effects from the working memory of ``log_density``; see ``draw_effects``."""
    _, _, lam, weights, work, _, _, _, scales, mean, factor = _parts(N, state)
    draw_effects(N, R, units, tables, lam, weights, work, mean, factor, scales, normals, effects, crossed)


@compiled
def _unframe(frame, z, x):
    """Write centre + scale z to ``x``; return which SDs are sampled as logarithms, and where the scale begins.

    ``frame`` holds the number of SDs, which of them are logarithms, the centre, and the scale by rows.
    """
    size, sds = len(z), int(frame[0])
    logs = np.empty(sds, dtype=np.bool_)
    for i in range(sds):
        logs[i] = frame[1 + i] > 0
    centre = 1 + sds
    scale = centre + size
    for i in range(size):
        x[i] = frame[centre + i]
        for j in range(size):
            x[i] += frame[scale + i * size + j] * z[j]
    return logs, scale


@compiled
def framed_density(N, R, frame, z, state, normals, coefs, crossed, joint):
    """Return the log-density at centre + scale z; see ``log_density``."""
    x = np.empty(len(z))
    logs, _ = _unframe(frame, z, x)
    return log_density(N, R, x, logs, state, normals, coefs, crossed, joint)


@compiled
def framed_slope(N, R, frame, z, state, gradient, crossed, joint):
    """Write the gradient by z at a point whose density has just been worked out."""
    size = len(z)
    x = np.empty(size)
    logs, scale = _unframe(frame, z, x)
    slope = slope_of(N, R, x, logs, state, crossed, joint)
    for j in range(size):
        gradient[j] = 0.0
        for i in range(size):
            gradient[j] += frame[scale + i * size + j] * slope[i]
