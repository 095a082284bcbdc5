"""Outcomes of a world, simulated or expected: linear predictors, group effects, residuals, families in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr, ndtri

from bayes_alliance.spec.expressions import Name
from bayes_alliance.spec.model import EquationSpec
from tests.truth.worlds import Truth, View, World, is_dynamic, level_of

type Effects = dict[str, np.ndarray]
"""Per factor, effects of shape (replicate or 1, level and new level, effect)."""

REACH, POINTS = 7.0, 101
"""How far, in SDs, and how finely the normal sum of a row's group effects is integrated over."""


def factors_of(truth: Truth) -> list[str]:
    return [n[3:] for n in truth.names if n.startswith("sd_")]


def factor_name(world: World, key: str) -> str:
    """Return a grouping factor as formulas write it."""
    spec = world.study.spec
    return next((f for e in spec.equation for f in e.factors if f.replace(":", "_") == key), key)


@dataclass(frozen=True, eq=False)
class Membership:
    """Each row's levels of a factor with their weights: codes below 0 are none; those beyond the levels are new."""

    codes: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]


def membership(view: View, factor: str) -> Membership:
    """Return which levels rows belong to, in the world as it is set; see ``_membership``."""
    return view.world.remember(("membership", view.unit, factor), lambda: _membership(view, factor))


def _membership(view: View, factor: str) -> Membership:
    """Return which levels rows belong to, in the world as it is set.

    A row without an id gets a level of its own where its covariates ask for one: the unit that it would have had. Where
    observed membership hangs on a factor that is set (groups in one arm only), it is the membership of the level set.
    """
    world, spec = view.world, view.world.study.spec
    levels = {k: i for i, k in enumerate(world.truth.levels(factor))}
    stated = spec.group(factor)
    if stated.members:
        columns = [world.study.factor_column(m) for m in stated.members]
        codes = [np.array([levels.get(str(k), -1) for k in view.column(c)[0]]) for c in columns]
        weights = [view.column(world.study.label(w))[0] for w in stated.weights]
        return Membership(tuple(codes), tuple(np.where(c >= 0, w, 0.0) for c, w in zip(codes, weights, strict=True)))
    ids = view.ids(factor)
    fresh = len(levels) + world.study.rows_of("patient")[2][view.first]
    code = np.array([levels.get(k, -1) for k in ids])
    code = np.where(code < 0, fresh, code)
    inside = (ids != "") | gated(view, factor)
    for column in world.replaced:
        observed = world.observed.column(column)
        if observed.dtype == object and column in world.study.frame:
            first = View(world.observed, view.unit)
            arm, there = first.column(column)[0], first.ids(factor) != ""
            shares = {level: there[arm == level].mean() for level in set(arm) - {""}}
            if set(shares.values()) == {0.0, 1.0} and not gated(view, factor).any():
                inside = np.array([shares[a] == 1.0 for a in view.column(column)[0]])
    return Membership((np.where(inside, code, -1),), (inside.astype(float),))


def gated(view: View, factor: str) -> np.ndarray:
    """Return the rows that every effect of a factor asks into a level although they may have no id."""
    world = view.world
    labels = [
        label
        for e in world.study.spec.equation
        for _, label in world.truth.effects(factor, world.study.label(e.outcome))
    ]
    gates = [label for label in labels if label.endswith("]") and ":" not in label and "(" not in label]
    if not gates or len(gates) < len(labels):
        return np.zeros(len(view), dtype=bool)
    return np.any([view.labelled(g)[0] != 0 for g in gates], axis=0)


def state_effects(
    world: World, how: str, replicates: int = 1, rng: np.random.Generator | None = None, only: str | None = None
) -> Effects:
    """Return effects of all factors: ``own`` as drawn, ``new`` from their distribution, or ``zero``.

    Levels that no row had are new ones, whatever ``how`` says, but for ``zero``.
    """
    found = {}
    for key in factors_of(world.truth):
        factor = factor_name(world, key)
        own = world.truth.own_effects(factor)
        people = len(world.study.rows_of("patient")[0])
        size = len(own) + people
        mode = how if only in (None, factor) else "zero"
        if mode == "zero":
            found[factor] = np.zeros((1, size, own.shape[1]))
            continue
        drawn = (
            draw_effects(world, factor, size, replicates, rng) if rng is not None else np.zeros((1, size, own.shape[1]))
        )
        if mode == "own":
            drawn[:, : len(own)] = own
        found[factor] = drawn
    return found


def draw_effects(world: World, factor: str, size: int, replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Draw effects, each replicate followed by its mirror image."""
    covariance = world.truth.covariance(factor)
    z = rng.normal(size=(replicates // 2, size, covariance.shape[-1]))
    z = np.concatenate([z, -z])
    roots = np.array([np.linalg.cholesky(c + 1e-14 * np.eye(len(c))) for c in covariance])
    strata = world.truth.strata(factor)
    if not strata:
        return np.asarray(z @ roots[0].T)
    view = world.view("session")
    code = membership(view, factor).codes[0]
    out = np.empty_like(z)
    stratum = np.zeros(size, dtype=int)
    for i, label in enumerate(strata):
        column, level = label[:-1].split("[")
        stratum[code[level_of(view.column(column), level)[0] > 0]] = i
    for i in range(len(strata)):
        out[:, stratum == i] = z[:, stratum == i] @ roots[i].T
    return out


def linear_predictor(view: View, outcome: str, effects: Effects | None = None, *, still: bool = False) -> np.ndarray:
    """Return an equation's linear predictor, shape (replicate, row), by default with effects as drawn.

    ``still`` leaves out what is about deviations and earlier sessions: what another equation reads of this one.
    """
    truth = view.world.truth
    if effects is None:
        effects = view.world.effects or state_effects(view.world, "own")
    labels = [label for label in truth.labels(outcome) if not (still and is_dynamic(label))]
    total = np.zeros((1, len(view)))
    for label, x in zip(labels, view.columns(labels, outcome), strict=True):
        total = total + truth.one("b", coef=f"{outcome}, {label}") * x
    for factor in effects:
        for covariate, share, code, place in covariates(view, outcome, factor, still=still):
            inside = code >= 0
            drawn = effects[factor][:, np.where(inside, code, 0), place]
            total = total + np.where(inside & (share != 0), share * covariate * drawn, 0.0)
    return total


def covariates(view: View, outcome: str, factor: str, *, still: bool = False):
    """Yield every effect's covariate with the share, code and place of the level that it belongs to."""
    effects = [
        (i, label) for i, label in view.world.truth.effects(factor, outcome) if not (still and is_dynamic(label))
    ]
    if not effects:
        return
    member = membership(view, factor)
    columns = view.columns([label for _, label in effects], outcome)
    for (place, _), x in zip(effects, columns, strict=True):
        for code, share in zip(member.codes, member.weights, strict=True):
            yield x, share, code, place


def variance_of_effects(view: View, outcome: str, other: str | None = None, *, new_only: bool = False) -> np.ndarray:
    """Return the variance of the sum of each row's group effects, those of new units, shape (replicate, row).

    With ``other`` their covariance with the sum of the effects on that one; with ``new_only`` of rows alone whose unit
    is none of the observed ones.
    """
    world, total = view.world, np.zeros((1, len(view)))
    for key in factors_of(world.truth):
        factor = factor_name(world, key)
        effects, others = (world.truth.effects(factor, o) for o in (outcome, other or outcome))
        if not effects or not others:
            continue
        member, known = membership(view, factor), len(world.truth.levels(factor))
        columns, further = (view.columns([label for _, label in own], outcome) for own in (effects, others))
        covariance = world.truth.covariance(factor)
        chosen = np.broadcast_to(stratum_of(view, factor), (len(view),))
        for code, share in zip(member.codes, member.weights, strict=True):
            counts = (code >= known) if new_only else (code >= 0)
            for (i, _), x in zip(effects, columns, strict=True):
                for (j, _), y in zip(others, further, strict=True):
                    total = total + np.where(counts, np.nan_to_num(x * y) * covariance[chosen, i, j] * share**2, 0.0)
    return total


def stratum_of(view: View, factor: str) -> np.ndarray:
    strata = view.world.truth.strata(factor)
    code = np.zeros(len(view), dtype=int)
    for i, label in enumerate(strata):
        column, level = label[:-1].split("[")
        code[level_of(view.column(column), level)[0] > 0] = i
    return code


def static_part(view: View, outcome: str) -> np.ndarray:
    """Return the mean that an outcome's equation implies in each row, with effects as drawn."""
    return linear_predictor(view, outcome, still=True)


def residual_sd(view: View, outcome: str, effects: Effects | None = None) -> np.ndarray:
    """Return every row's residual SD, shape (replicate, row)."""
    truth = view.world.truth
    if truth.labels(f"sigma({outcome})"):
        return np.exp(linear_predictor(view, f"sigma({outcome})", effects))
    labels = [v for v in truth.dims["sigma_coef"] if v == outcome or v.startswith(f"{outcome}, ")]
    if labels == [outcome]:
        return np.full((1, len(view)), truth.one("sigma", sigma_coef=outcome))
    total = np.full((1, len(view)), np.nan)
    if outcome in labels:
        total = np.full((1, len(view)), truth.one("sigma", sigma_coef=outcome))
    for label in labels:
        own = label.removeprefix(f"{outcome}, ")
        if own == "first":
            starts = view.starts(truth.labels(outcome), outcome)
            total = np.where(starts, truth.one("sigma", sigma_coef=label), total)
        elif own.endswith("]"):
            parts = [part[:-1].split("[") for part in own.split(":")]  # a level, or a visit in an arm
            here = np.prod([level_of(view.column(column), level) > 0 for column, level in parts], axis=0) > 0
            total = np.where(here, truth.one("sigma", sigma_coef=label), total)
    return total


def parameter_of(view: View, name: str, outcome: str, effects: Effects | None = None) -> np.ndarray:
    """Return a parameter of the family in every row: by its formula, on its link, or one number for all."""
    part = f"{name}({outcome})"
    if not view.world.truth.labels(part):
        return np.asarray(view.world.truth.one(name, **{f"{name}_coef": outcome}))
    eta = linear_predictor(view, part, effects)
    return expit(eta) if name == "zi" else np.exp(eta)


def bounds_of(view: View, equation: EquationSpec) -> tuple[float, float]:
    study = view.world.study
    if equation.bounds is not None:
        return equation.bounds
    call = study.spec.declared.get(equation.outcome)
    label = study.label(call.arguments[0].name) if call is not None else study.label(equation.outcome)
    if label in study.bounds:
        return study.bounds[label]
    values = study.frame[label]
    return float(values.min()), float(values.max())


def share(equation: EquationSpec, eta: np.ndarray) -> np.ndarray:
    """Return the chance that a link makes of a linear predictor, logistic or normal."""
    return ndtr(eta) if equation.link == "probit" else 1 / (1 + np.exp(-eta))


def expected(
    view: View,
    outcome: str,
    eta: np.ndarray,
    effects: Effects | None = None,
    given: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Return expected outcomes at linear predictors; of successes their share of the trials.

    ``given`` are parameters of the family that are to be taken in place of those of the rows.
    """
    study, truth, given = view.world.study, view.world.truth, given or {}
    equation = study.equation(outcome)
    match equation.family:
        case "gaussian" | "student_t":
            return eta + offset_of(view, equation)
        case "bernoulli" | "binomial" | "beta_binomial":
            return share(equation, eta)
        case "hazard":
            return 1 - np.exp(-np.exp(eta))
        case "negative_binomial" | "poisson" | "gamma":
            return np.exp(eta)
        case "zero_inflated_poisson" | "zero_inflated_negative_binomial":
            zi = given["zi"] if "zi" in given else parameter_of(view, "zi", outcome, effects)
            return (1 - zi) * np.exp(eta)
        case "lognormal":
            sigma = given["sigma"] if "sigma" in given else residual_sd(view, outcome, effects)
            return np.exp(eta + sigma**2 / 2)
        case "censored":
            low, high = bounds_of(view, equation)
            sigma = given["sigma"] if "sigma" in given else residual_sd(view, outcome, effects)

            def area(x: np.ndarray) -> np.ndarray:
                return x * ndtr(x) + np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

            # the mean of a score between two ends is the lower one and the chances to be above what lies between
            above = area((eta - low) / sigma) if np.isfinite(low) else None
            if above is None:
                return eta - sigma * area((eta - high) / sigma)
            return low + sigma * (above - (area((eta - high) / sigma) if np.isfinite(high) else 0.0))
        case "cumulative" | "ordered_beta":
            low, high = bounds_of(view, equation)
            cuts = thresholds(truth, outcome)
            if equation.family == "cumulative":
                chances = np.array([share(equation, eta - c) for c in cuts])
                return low + chances.sum(axis=0)
            ceiling, inside = expit(eta - cuts[1]), expit(eta - cuts[0]) - expit(eta - cuts[1])
            return low + (high - low) * (ceiling + inside * expit(eta))
    raise NotImplementedError(equation.family)


def thresholds(truth: Truth, outcome: str) -> list[float]:
    return [v for k, v in truth.mapping("threshold").items() if k.startswith(f"{outcome}, ")]


def offset_of(view: View, equation: EquationSpec) -> float:
    """Return the mean of the variable whose mean is taken from the outcome."""
    if equation.centre is None:
        return 0.0
    return view._constant(Name(view.world.study.label(equation.centre)))


def marginal_mean(view: View, outcome: str, *, groups: str = "integrated") -> np.ndarray:
    """Return every row's expected outcome, group effects integrated out (a fine sum over a normal) or at 0."""
    zero = state_effects(view.world, "zero")
    eta = linear_predictor(view, outcome, zero)
    if groups == "zero" or view.world.study.equation(outcome).family in ("gaussian", "student_t"):
        return expected(view, outcome, eta, zero)
    sd = np.sqrt(variance_of_effects(view, outcome))
    x = np.linspace(-REACH, REACH, POINTS)
    w = np.exp(-x * x / 2)
    w /= w.sum()
    parts = [
        name
        for name in ("sigma", "zi", "phi", "shape", "nu")
        for k in factors_of(view.world.truth)
        if view.world.truth.effects(factor_name(view.world, k), f"{name}({outcome})")
    ]
    if not parts:
        return np.asarray(sum(wi * expected(view, outcome, eta + xi * sd, zero) for xi, wi in zip(x, w, strict=True)))
    # a parameter varies with units, too, and may go along with their level
    assert len(set(parts)) == 1, "one parameter that varies with units"
    part = f"{parts[0]}({outcome})"
    log_sigma, log_sd = linear_predictor(view, part, zero), np.sqrt(variance_of_effects(view, part))
    both = variance_of_effects(view, outcome, part)
    along = np.divide(both, sd, out=np.zeros_like(both * sd), where=sd > 0)
    rest = np.sqrt(np.maximum(log_sd**2 - along**2, 0.0))
    total = np.zeros_like(eta * sd)
    for xi, wi in zip(x[::2], 2 * w[::2], strict=True):
        for zi, vi in zip(x[::2], 2 * w[::2], strict=True):
            at = log_sigma + along * xi + rest * zi
            own = {parts[0]: expit(at) if parts[0] == "zi" else np.exp(at)}
            total = total + wi * vi * expected(view, outcome, eta + xi * sd, zero, own)
    return total


def draw_outcome(
    view: View, outcome: str, eta: np.ndarray, z: np.ndarray, effects: Effects | None = None
) -> np.ndarray:
    """Return outcomes drawn at linear predictors from standard normals, the same of which give the same residuals."""
    equation = view.world.study.equation(outcome)
    match equation.family:
        case "gaussian":
            return eta + offset_of(view, equation) + residual_sd(view, outcome, effects) * z
        case "bernoulli":
            return (ndtr(z) < share(equation, eta)).astype(float)
        case "hazard":
            return (ndtr(z) < 1 - np.exp(-np.exp(eta))).astype(float)
        case "censored":
            return np.clip(eta + residual_sd(view, outcome, effects) * z, *bounds_of(view, equation))
        case "student_t":
            from scipy.stats import t

            nu = view.world.truth.one("nu", nu_coef=outcome)
            return eta + residual_sd(view, outcome, effects) * t.ppf(ndtr(z), nu)
        case "binomial":
            from scipy.stats import binom

            trials = equation.trials
            n = trials if isinstance(trials, int) else view.column(view.world.study.label(trials))
            return binom.ppf(ndtr(z), n, share(equation, eta))
        case "negative_binomial":
            from scipy.stats import nbinom

            size = parameter_of(view, "shape", outcome, effects)
            return nbinom.ppf(ndtr(z), size, size / (size + np.exp(eta)))
        case "poisson":
            from scipy.stats import poisson

            return poisson.ppf(ndtr(z), np.exp(eta))
        case "lognormal":
            return np.exp(eta + residual_sd(view, outcome, effects) * z)
        case "gamma":
            from scipy.stats import gamma

            shape = parameter_of(view, "shape", outcome, effects)
            return gamma.ppf(ndtr(z), shape, scale=np.exp(eta) / shape)
        case "cumulative":
            latent = eta + (z if equation.link == "probit" else np.log(ndtr(z) / ndtr(-z)))
            low = bounds_of(view, equation)[0]
            return low + sum((latent > c).astype(float) for c in thresholds(view.world.truth, outcome))
    raise NotImplementedError(equation.family)


def usable(view: View, outcome: str) -> np.ndarray:
    """Return the rows in which nothing that the equation reads is missing."""
    study, truth = view.world.study, view.world.truth
    equation = study.equation(outcome)
    keep = np.ones(len(view), dtype=bool)
    for part in (outcome, *(f"{name}({outcome})" for name in ("sigma", "zi", "phi", "shape", "nu"))):
        labels = truth.labels(part)
        for x in view.columns(labels, part if part == outcome else outcome):
            keep &= ~np.isnan(x[0])
        for key in factors_of(truth):
            factor = factor_name(view.world, key)
            effects = [label for _, label in truth.effects(factor, part)]
            for x in view.columns(effects, outcome):
                keep &= ~np.isnan(x[0])
    if equation.missing != "model":
        keep &= ~np.isnan(view.column(outcome)[0])
    for name in (equation.sigma_factor, equation.trials if isinstance(equation.trials, str) else None):
        if name is not None:
            values = view.column(study.label(name))[0]
            keep &= (values != "") if values.dtype == object else ~np.isnan(values)
    return keep


__all__ = ["Effects", "draw_outcome", "expected", "linear_predictor", "marginal_mean", "ndtri", "residual_sd", "usable"]
