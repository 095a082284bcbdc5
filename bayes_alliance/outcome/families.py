"""The families of outcomes: the one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, assert_never, get_args

from bayes_alliance.outcome.bernoulli import Bernoulli
from bayes_alliance.outcome.binomial import Binomial
from bayes_alliance.outcome.censored import Censored
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.cumulative import Cumulative
from bayes_alliance.outcome.gaussian import Gaussian
from bayes_alliance.outcome.hazard import Hazard
from bayes_alliance.outcome.negative_binomial import NegativeBinomial
from bayes_alliance.outcome.ordered_beta import OrderedBeta
from bayes_alliance.outcome.student_t import StudentT

type FamilyName = Literal[
    "gaussian",
    "student_t",
    "censored",
    "ordered_beta",
    "cumulative",
    "bernoulli",
    "hazard",
    "binomial",
    "negative_binomial",
]


def _family(name: FamilyName) -> Outcome:
    match name:
        case "gaussian":
            return Gaussian()
        case "student_t":
            return StudentT()
        case "censored":
            return Censored()
        case "ordered_beta":
            return OrderedBeta()
        case "cumulative":
            return Cumulative()
        case "bernoulli":
            return Bernoulli()
        case "hazard":
            return Hazard()
        case "binomial":
            return Binomial()
        case "negative_binomial":
            return NegativeBinomial()
        case _:
            assert_never(name)


FAMILY: Final[Mapping[FamilyName, Outcome]] = {name: _family(name) for name in get_args(FamilyName.__value__)}
"""Families by name."""
