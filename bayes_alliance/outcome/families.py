"""The families of outcomes: the one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, assert_never, get_args

from bayes_alliance.outcome.bernoulli import Bernoulli, ProbitBernoulli
from bayes_alliance.outcome.beta_binomial import BetaBinomial
from bayes_alliance.outcome.binomial import Binomial, ProbitBinomial
from bayes_alliance.outcome.censored import Censored
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.outcome.cumulative import Cumulative, ProbitCumulative
from bayes_alliance.outcome.gamma import Gamma
from bayes_alliance.outcome.gaussian import Gaussian
from bayes_alliance.outcome.hazard import Hazard
from bayes_alliance.outcome.lognormal import Lognormal
from bayes_alliance.outcome.negative_binomial import NegativeBinomial
from bayes_alliance.outcome.ordered_beta import OrderedBeta
from bayes_alliance.outcome.poisson import Poisson
from bayes_alliance.outcome.student_t import StudentT
from bayes_alliance.outcome.zero_inflated_negative_binomial import ZeroInflatedNegativeBinomial
from bayes_alliance.outcome.zero_inflated_poisson import ZeroInflatedPoisson

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
    "poisson",
    "zero_inflated_poisson",
    "zero_inflated_negative_binomial",
    "beta_binomial",
    "lognormal",
    "gamma",
]


type LinkName = Literal["logit", "probit"]
"""Links that an equation may state."""


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
        case "poisson":
            return Poisson()
        case "zero_inflated_poisson":
            return ZeroInflatedPoisson()
        case "zero_inflated_negative_binomial":
            return ZeroInflatedNegativeBinomial()
        case "beta_binomial":
            return BetaBinomial()
        case "lognormal":
            return Lognormal()
        case "gamma":
            return Gamma()
        case _:
            assert_never(name)


FAMILY: Final[Mapping[FamilyName, Outcome]] = {name: _family(name) for name in get_args(FamilyName.__value__)}
"""Families by name."""

PROBIT: Final[Mapping[FamilyName, Outcome]] = {
    "bernoulli": ProbitBernoulli(),
    "binomial": ProbitBinomial(),
    "cumulative": ProbitCumulative(),
}
"""Families with a probit link, by the name of that with a logit link."""


def find_family(name: FamilyName, link: LinkName | None) -> Outcome:
    """Return a family with the link that an equation states; with its own where none, or one it does not take."""
    match link:
        case "probit":
            return PROBIT.get(name, FAMILY[name])
        case "logit" | None:
            return FAMILY[name]
        case _:
            assert_never(link)
