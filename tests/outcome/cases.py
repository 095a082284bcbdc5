"""Families of outcomes by their definitions, in arithmetic of 60 digits; written apart from the code they are held to.

``CASES`` has rows of every family and link, with parameters and the probabilities or densities of single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from mpmath import mp, mpf

from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.families import FAMILY, PROBIT
from bayes_alliance.outcome.scale import BETWEEN, CEILING, FLOOR, OutcomeScale

mp.dps = 60

type Numbers = Mapping[str, mpf]
type Density = Callable[[mpf, mpf, Numbers], mpf]
type Curve = Callable[[mpf], mpf]

KINDS: dict[str, Outcome] = {**FAMILY, **{f"{name} probit": kind for name, kind in PROBIT.items()}}
"""Families by name, and those with a probit link."""


def expit(x: mpf) -> mpf:
    """Return the logistic function."""
    return 1 / (1 + mp.exp(-x))


def normal_pdf(x: mpf) -> mpf:
    """Return the standard normal density."""
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def normal_cdf(x: mpf) -> mpf:
    """Return the standard normal distribution function, exact in both tails."""
    return mp.erfc(-x / mp.sqrt(2)) / 2


@dataclass(frozen=True)
class Case:
    """Rows of one family: ``y`` outcomes, ``given`` parameters of rows or draws, what a definition needs beside.

    ``density`` and ``cdf`` take an outcome, a linear predictor and the numbers of its row. ``extra`` is what an
    equation states, ``outcomes`` are values of a small study. ``far`` is the linear predictor up to which tails are
    compared.
    """

    y: tuple[float, ...]
    density: Density
    cdf: Density
    given: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    thresholds: tuple[float, ...] = ()
    scale: OutcomeScale = field(default_factory=OutcomeScale)
    extra: str = ""
    outcomes: tuple[float, ...] = ()
    far: float = 40.0


def _normal(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return normal_pdf((y - eta) / n["sigma"]) / n["sigma"]


def _normal_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return normal_cdf((y - eta) / n["sigma"])


def _t(y: mpf, eta: mpf, n: Numbers) -> mpf:
    nu, z = n["nu"], (y - eta) / n["sigma"]
    constant = mp.gamma((nu + 1) / 2) / mp.gamma(nu / 2) / mp.sqrt(nu * mp.pi)
    return constant * (1 + z * z / nu) ** (-(nu + 1) / 2) / n["sigma"]


def _t_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    nu, z = n["nu"], (y - eta) / n["sigma"]
    tail = mp.betainc(nu / 2, mpf(1) / 2, 0, nu / (nu + z * z), regularized=True) / 2
    return tail if z < 0 else 1 - tail


def _censored(y: mpf, eta: mpf, n: Numbers) -> mpf:
    if y <= n["low"]:
        return normal_cdf((n["low"] - eta) / n["sigma"])
    return normal_cdf((eta - n["high"]) / n["sigma"]) if y >= n["high"] else _normal(y, eta, n)


def _censored_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return mpf(1) if y >= n["high"] else _normal_up_to(y, eta, n)


def _bernoulli(curve: Curve) -> Density:
    def chance(y: mpf, eta: mpf, n: Numbers) -> mpf:
        return curve(eta) if y == 1 else curve(-eta)

    return chance


def _bernoulli_up_to(curve: Curve) -> Density:
    def cdf(y: mpf, eta: mpf, n: Numbers) -> mpf:
        return mpf(1) if y == 1 else curve(-eta)

    return cdf


def _hazard(y: mpf, eta: mpf, n: Numbers) -> mpf:
    stays = mp.exp(-mp.exp(eta))
    return -mp.expm1(-mp.exp(eta)) if y == 1 else stays


def _hazard_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return mpf(1) if y == 1 else mp.exp(-mp.exp(eta))


def _binomial(curve: Curve) -> Density:
    def chance(y: mpf, eta: mpf, n: Numbers) -> mpf:
        return mp.binomial(n["trials"], y) * curve(eta) ** y * curve(-eta) ** (n["trials"] - y)

    return chance


def _up_to(density: Density) -> Density:
    def cdf(y: mpf, eta: mpf, n: Numbers) -> mpf:
        return mp.fsum(density(mpf(k), eta, n) for k in range(int(y) + 1))

    return cdf


def _negative_binomial(y: mpf, eta: mpf, n: Numbers) -> mpf:
    size, mean = n["shape"], mp.exp(eta)
    counted = mp.gamma(y + size) / mp.gamma(size) / mp.factorial(y)
    return counted * (size / (size + mean)) ** size * (mean / (size + mean)) ** y


def _poisson(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return mp.exp(-mp.exp(eta)) * mp.exp(eta) ** y / mp.factorial(y)


def _inflated(density: Density) -> Density:
    def mixed(y: mpf, eta: mpf, n: Numbers) -> mpf:
        return (n["zi"] if y == 0 else 0) + (1 - n["zi"]) * density(y, eta, n)

    return mixed


def _beta_binomial(y: mpf, eta: mpf, n: Numbers) -> mpf:
    a, b, m = expit(eta) * n["phi"], expit(-eta) * n["phi"], n["trials"]
    return mp.binomial(m, y) * mp.beta(y + a, m - y + b) / mp.beta(a, b)


def _lognormal(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return normal_pdf((mp.log(y) - eta) / n["sigma"]) / n["sigma"] / y


def _lognormal_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return normal_cdf((mp.log(y) - eta) / n["sigma"])


def _gamma(y: mpf, eta: mpf, n: Numbers) -> mpf:
    shape, rate = n["shape"], n["shape"] / mp.exp(eta)
    return rate**shape * y ** (shape - 1) * mp.exp(-rate * y) / mp.gamma(shape)


def _gamma_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    return mp.gammainc(n["shape"], 0, n["shape"] / mp.exp(eta) * y, regularized=True)


def _cut(n: Numbers) -> list[mpf]:
    return [-mp.inf, *(n[f"threshold {k}"] for k in range(int(n["cuts"]))), mp.inf]


def _between(low: mpf, high: mpf, curve: Curve = expit) -> mpf:
    """Return the probability between two numbers, from the tail that is nearer."""
    return curve(-low) - curve(-high) if low > 0 else curve(high) - curve(low)


def _cumulative(curve: Curve) -> Density:
    def chance(y: mpf, eta: mpf, n: Numbers) -> mpf:
        cuts, code = _cut(n), int(y - n["low"])
        return _between(cuts[code] - eta, cuts[code + 1] - eta, curve)

    return chance


def _cumulative_up_to(curve: Curve) -> Density:
    def cdf(y: mpf, eta: mpf, n: Numbers) -> mpf:
        return curve(_cut(n)[int(y - n["low"]) + 1] - eta)

    return cdf


def _ordered_beta(y: mpf, eta: mpf, n: Numbers) -> mpf:
    cuts, width = _cut(n), n["high"] - n["low"]
    code = 0 if y <= n["low"] else 2 if y >= n["high"] else 1
    chance = _between(cuts[code] - eta, cuts[code + 1] - eta)
    if code != 1:
        return chance
    a, b, x = expit(eta) * n["phi"], expit(-eta) * n["phi"], (y - n["low"]) / width
    return chance * x ** (a - 1) * (1 - x) ** (b - 1) / mp.beta(a, b) / width


def _ordered_beta_up_to(y: mpf, eta: mpf, n: Numbers) -> mpf:
    cuts = _cut(n)
    if y <= n["low"]:
        return expit(cuts[1] - eta)
    if y >= n["high"]:
        return mpf(1)
    a, b = expit(eta) * n["phi"], expit(-eta) * n["phi"]
    inside = mp.betainc(a, b, 0, (y - n["low"]) / (n["high"] - n["low"]), regularized=True)
    return expit(cuts[1] - eta) + _between(cuts[1] - eta, cuts[2] - eta) * inside


SIGMA, NU = (0.5, 1.0, 2.0, 1.0, 0.7), (3.0, 8.0, 40.0, 2.5, 100.0)
COUNTS = (0.0, 1.0, 2.0, 5.0, 30.0)

CASES: dict[str, Case] = {
    "gaussian": Case(
        (-1.0, 0.0, 0.4, 2.0, 5.0), _normal, _normal_up_to, {"sigma": SIGMA}, outcomes=(1.0, 2.5, 3.0, 2.0, 5.0, 1.5)
    ),
    "student_t": Case(
        (-1.0, 0.0, 0.4, 2.0, 5.0),
        _t,
        _t_up_to,
        {"sigma": SIGMA, "nu": NU},
        outcomes=(1.0, 2.5, 3.0, 2.0, 5.0, 1.5),
    ),
    "censored": Case(
        (-2.0, -1.0, 0.9, 3.0, 3.0),
        _censored,
        _censored_up_to,
        {"sigma": SIGMA},
        scale=OutcomeScale((-2.0, 3.0)),
        extra="bounds = [-2, 3]",
        outcomes=(-2.0, 0.5, 3.0, 2.0, 3.0, -1.0),
    ),
    "ordered_beta": Case(
        (0.0, 3.0, 11.5, 20.0, 20.0),
        _ordered_beta,
        _ordered_beta_up_to,
        {"phi": (2.0, 8.0, 30.0, 4.0, 8.0)},
        (-1.0, 2.0),
        OutcomeScale((0.0, 20.0), None, (FLOOR, BETWEEN, CEILING), (FLOOR, CEILING)),
        "bounds = [0, 20]",
        (0.0, 3.0, 12.0, 20.0, 15.0, 7.0),
        # shares behind larger predictors are cut off at a logit of 30
        far=20.0,
    ),
    "cumulative": Case(
        (1.0, 2.0, 2.0, 3.0, 1.0),
        _cumulative(expit),
        _cumulative_up_to(expit),
        {},
        (-0.5, 1.5),
        OutcomeScale((1.0, 3.0), None, ("1", "2", "3"), ("1|2", "2|3")),
        "bounds = [1, 3]",
        (1.0, 2.0, 3.0, 2.0, 1.0, 3.0),
    ),
    "bernoulli": Case(
        (0.0, 1.0, 1.0, 0.0, 1.0),
        _bernoulli(expit),
        _bernoulli_up_to(expit),
        outcomes=(0.0, 1.0, 1.0, 0.0, 1.0, 0.0),
    ),
    "hazard": Case((0.0, 1.0, 1.0, 0.0, 1.0), _hazard, _hazard_up_to, outcomes=(0.0, 1.0, 1.0, 0.0, 1.0, 0.0)),
    "binomial": Case(
        (0.0, 4.0, 3.0, 1.0, 5.0),
        _binomial(expit),
        _up_to(_binomial(expit)),
        scale=OutcomeScale(trials=np.array([4.0, 4.0, 10.0, 1.0, 7.0])),
        extra="trials = 8",
        outcomes=(0.0, 8.0, 3.0, 1.0, 5.0, 2.0),
    ),
    "negative_binomial": Case(
        COUNTS,
        _negative_binomial,
        _up_to(_negative_binomial),
        {"shape": (1.5, 0.3, 40.0, 2.0, 5.0)},
        outcomes=(0.0, 1.0, 7.0, 2.0, 0.0, 3.0),
    ),
    "poisson": Case(COUNTS, _poisson, _up_to(_poisson), outcomes=(0.0, 1.0, 7.0, 2.0, 0.0, 3.0), far=6.0),
    "zero_inflated_poisson": Case(
        COUNTS,
        _inflated(_poisson),
        _up_to(_inflated(_poisson)),
        {"zi": (0.2, 0.05, 0.6, 0.3, 0.1)},
        outcomes=(0.0, 1.0, 7.0, 2.0, 0.0, 3.0),
        far=6.0,
    ),
    "zero_inflated_negative_binomial": Case(
        COUNTS,
        _inflated(_negative_binomial),
        _up_to(_inflated(_negative_binomial)),
        {"shape": (1.5, 0.3, 40.0, 2.0, 5.0), "zi": (0.2, 0.05, 0.6, 0.3, 0.1)},
        outcomes=(0.0, 1.0, 7.0, 2.0, 0.0, 3.0),
    ),
    "beta_binomial": Case(
        (0.0, 4.0, 3.0, 1.0, 5.0),
        _beta_binomial,
        _up_to(_beta_binomial),
        {"phi": (2.0, 8.0, 30.0, 4.0, 8.0)},
        scale=OutcomeScale(trials=np.array([4.0, 4.0, 10.0, 1.0, 7.0])),
        extra="trials = 8",
        outcomes=(0.0, 8.0, 3.0, 1.0, 5.0, 2.0),
        # chances behind larger predictors are cut off at a logit of 30
        far=20.0,
    ),
    "lognormal": Case(
        (0.2, 1.0, 1.4, 2.0, 15.0),
        _lognormal,
        _lognormal_up_to,
        {"sigma": SIGMA},
        outcomes=(1.0, 2.5, 3.0, 2.0, 5.0, 0.5),
    ),
    "gamma": Case(
        (0.2, 1.0, 1.4, 2.0, 15.0),
        _gamma,
        _gamma_up_to,
        {"shape": (1.5, 0.3, 40.0, 2.0, 5.0)},
        outcomes=(1.0, 2.5, 3.0, 2.0, 5.0, 0.5),
        # a density of exp(-exp(40)) is one that no number holds; the lower tail is compared at 7
        far=7.0,
    ),
}
"""Rows of every family."""

PROBIT_LINK = 'link = "probit"\n'
"""What an equation states."""

CASES |= {
    "bernoulli probit": replace(
        CASES["bernoulli"],
        density=_bernoulli(normal_cdf),
        cdf=_bernoulli_up_to(normal_cdf),
        extra=PROBIT_LINK,
    ),
    "binomial probit": replace(
        CASES["binomial"],
        density=_binomial(normal_cdf),
        cdf=_up_to(_binomial(normal_cdf)),
        extra=PROBIT_LINK + CASES["binomial"].extra,
        # seven successes of chance 1e-350 each are lost in any number
        far=20.0,
    ),
    "cumulative probit": replace(
        CASES["cumulative"],
        density=_cumulative(normal_cdf),
        cdf=_cumulative_up_to(normal_cdf),
        extra=PROBIT_LINK + CASES["cumulative"].extra,
    ),
}

assert set(CASES) == set(KINDS), "a family has no oracle"
