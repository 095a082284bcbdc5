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
from bayes_alliance.collapse.kernel.effects import draw_effects
from bayes_alliance.collapse.kernel.forward import forward, most_effects, solve_last
from bayes_alliance.collapse.kernel.loadings import fill_shifts, pull_shifts
from bayes_alliance.collapse.kernel.parameters import (
    fill_scales,
    fill_weights,
    log_prior,
    pull_scales,
    pull_weights,
    sizes_of,
)
from bayes_alliance.collapse.kernel.parts import (
    COEFS,
    CONSTANT,
    CROSSED_COLUMNS,
    LAMBDA_SIZE,
    OUTCOMES,
    PATTERNS,
    ROWS,
    WEIGHTS_SIZE,
    WORK_SIZE,
)

# numba has no types for mypy; shapes are in the docstrings
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

DIGITS = 1e-11
"""Share of the outcomes' weighted squares below which what the model leaves of them is lost in rounding."""


@compiled
def log_density(N, R, x, logs, gradient, units, tables, depth, normals, effects, crossed, joint, slopes):
    """Return log-likelihood plus log prior at a sampled vector; -inf where numbers break down.

    Parameters
    ----------
    N, R
        Packed statistics.
    x, logs
        The sampled vector, and which SDs are sampled by their logarithms; the others have either sign.
    gradient
        Written, if ``slopes`` is true.
    units, tables, depth, normals, effects
        With a depth of 0 one draw of coefficients is written to ``effects``, from standard ``normals``; with a larger
        one, crossed effects and those of so many levels of the chain, given the coefficients that ``normals`` begins
        with. ``units`` and ``tables`` are statistics that are not pooled.
    crossed, joint, slopes
        True where factors cross, residuals correlate, gradients are wanted; else None, and the compiler leaves these
        parts out.
    """
    slope = np.zeros(len(x))
    sizes = sizes_of(N, x, logs)
    total = log_prior(N, R, x, sizes, logs, slope)
    lam = np.empty(N[LAMBDA_SIZE])
    fill_scales(N, R, x, sizes, lam)
    weights = np.empty(N[WEIGHTS_SIZE])
    log_residual = fill_weights(N, R, x, weights, joint)
    work = np.zeros(N[WORK_SIZE])
    size = N[OUTCOMES] + N[COEFS] + N[CROSSED_COLUMNS]
    last = np.zeros((size, size))
    inner = np.empty((N[PATTERNS], 2 * most_effects(N) ** 2))
    half, square = forward(N, R, lam, weights, work, last, inner)
    shifts = fill_shifts(N, R, x)
    covariance, mean, quadratic, log_det, factor = solve_last(N, R, lam, last, shifts, crossed, slopes)
    total += R[N[CONSTANT]] - 0.5 * (N[ROWS] * math.log(2 * math.pi) + log_residual + half + log_det + quadratic)
    if depth >= 0:
        last_block = (last, shifts, mean, factor)
        draw_effects(N, units, tables, lam, weights, work, last_block, depth, normals, effects, crossed)
    if slopes is not None:
        lam_bar = np.zeros(len(lam))
        weight_bar = np.zeros(len(weights))
        bar = last_adjoint(N, R, lam, last, shifts, factor, covariance, mean, lam_bar, crossed)
        backward(N, R, lam, weights, work, bar, inner, lam_bar, weight_bar)
        pull_scales(N, R, x, sizes, lam_bar, logs, slope)
        pull_weights(N, R, x, weights, weight_bar, slope, joint)
        pull_shifts(N, R, shifts, mean, slope)
        for i in range(len(x)):
            gradient[i] = slope[i]
    broken = quadratic < DIGITS * square or not math.isfinite(total)
    return -math.inf if broken else total


@compiled
def framed_density(N, R, frame, z, gradient, units, tables, depth, normals, effects, crossed, joint, slopes):
    """Return the log-density at centre + scale z and write its gradient by z; see ``log_density``.

    ``frame`` holds the number of SDs, which of them are sampled as logarithms, the centre, and the scale by rows.
    """
    size, sds = len(z), int(frame[0])
    logs = np.empty(sds, dtype=np.bool_)
    for i in range(sds):
        logs[i] = frame[1 + i] > 0
    centre = 1 + sds
    scale = centre + size
    x, slope = np.empty(size), np.empty(size)
    for i in range(size):
        x[i] = frame[centre + i]
        for j in range(size):
            x[i] += frame[scale + i * size + j] * z[j]
    total = log_density(N, R, x, logs, slope, units, tables, depth, normals, effects, crossed, joint, slopes)
    if slopes is not None:
        for j in range(size):
            gradient[j] = 0.0
            for i in range(size):
                gradient[j] += frame[scale + i * size + j] * slope[i]
    return total
