"""How densities depend on their linear predictors, as the quadrature engine works them out."""

from __future__ import annotations

from typing import Literal

type Integrand = Literal[
    "log-odds",
    "log-odds of categories",
    "log-odds of counts",
    "rate",
    "hazard",
    "probit",
    "probit of categories",
    "beta-binomial",
    "ordered beta",
    "censored normal",
]
