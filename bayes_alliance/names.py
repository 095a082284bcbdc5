"""Names that several stages must spell alike: roles, dims, posterior variables, coefficient labels."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Final, Literal

ROLES: Final = ("patient", "therapist", "group", "site", "session")
"""What a column of the table can be; all but ``session`` are identifiers and read as text."""

ID_ROLES: Final = ("patient", "therapist", "group", "site")
"""Roles that group rows."""

SESSION: Final = "session"
"""The role, and the unit, of sessions."""

SESSIONS: Final = "sessions"
"""Stands among what a study may lack for several sessions of a patient."""

TIME: Final = "time"
"""The variable of how much time has passed: a column of the study, or the session's number where it names none."""

VISIT: Final = "visit"
"""The variable that says which visit a row is, as a category: a column, or the session where no column plays it."""

VISITS: Final = "visits"
"""Stands among what a study may lack for more patients than visits."""

type Coefficient = Literal["alpha", "omega", "R_C", "R_KF"]
"""Coefficients of reliability that can be worked out from items (``table/reliability``)."""

COEFFICIENTS: Final[tuple[Coefficient, ...]] = ("alpha", "omega", "R_C", "R_KF")

INTERCEPT: Final = "Intercept"
"""Label of the intercept among coefficients and group effects."""

COEF: Final = "coef"
SIGMA_COEF: Final = "sigma_coef"
THRESHOLD_COEF: Final = "threshold_coef"

BLOCK: Final = "_block_"
"""Marks dims of parts that a factor's effects are put together from; variables over them are not stored."""

MEAN: Final = "mean"
"""What the linear predictor of an outcome's mean is of, beside those of its family's parameters."""

ERROR: Final = "error"
"""The SD of one rater's error, a parameter of outcomes that have several ratings."""

RESIDUAL: Final = "residual"
"""Stands for the residuals of a row where a factor's name could stand: ``cor residual``, ``cor_residual``."""


def clock_of(variables: Container[str]) -> str:
    """Return which variable a course runs along: time where there is one, else the session."""
    return TIME if TIME in variables else SESSION


def factor_key(factor: str) -> str:
    """Return the name of a grouping factor inside variable and dim names (``therapist:patient`` is one factor)."""
    return factor.replace(":", "_")


def join_ids(parts: Sequence[Iterable[object]], mark: str) -> list[str]:
    r"""Return ids of several columns joined row by row; a mark inside an id gets a backslash; labels stay apart.

    Examples
    --------
    >>> join_ids([["a:b", "a"], ["c", "b:c"]], ":")
    ['a\\:b:c', 'a:b\\:c']
    """

    def one(part: object) -> str:
        text = str(part)
        return text.replace("\\", "\\\\").replace(mark, f"\\{mark}") if mark in text or "\\" in text else text

    return [mark.join(map(one, row)) for row in zip(*parts, strict=True)]


def shape_dim(shape: str) -> str:
    """Return the dim of the outcomes that have a further parameter of their family."""
    return f"{shape}_coef"


def category_dim(outcome: str) -> str:
    """Return the dim of the categories of an outcome that has thresholds."""
    return f"category_{outcome}"


def share_name(outcome: str) -> str:
    """Return the posterior variable holding the shares of an outcome's categories at average predictors."""
    return f"share_{outcome}"


def coef_dim(outcome: str) -> str:
    """Return the dim of the population columns of one equation."""
    return f"coef_{outcome}"


def by_dim(factor: str) -> str:
    """Return the dim of the strata whose group effects (or residuals) have a covariance of their own."""
    return f"{factor_key(factor)}_by"


def predictor_label(parameter: str, outcome: str) -> str:
    """Return what a linear predictor is called: the outcome, or ``sigma(score)`` and the like of its parameters."""
    return outcome if parameter == MEAN else f"{parameter}({outcome})"


def obs_dim(outcome: str) -> str:
    """Return the dim of the rows that the equation of ``outcome`` uses."""
    return f"obs_{outcome}"


def effect_dim(factor: str) -> str:
    """Return the dim of the group effects of a factor."""
    return f"{factor_key(factor)}_effect"


def block_dim(factor: str, number: int) -> str:
    """Return the dim of one of several correlation blocks of a factor, counted from 0."""
    return f"{effect_dim(factor)}{BLOCK}{number + 1}"


def steps_name(outcome: str, variable: str) -> str:
    """Return the posterior variable holding the steps between the categories of an ordered predictor, as shares."""
    return f"step_{outcome}_{variable}"


def global_name(shrink: str) -> str:
    """Return the posterior variable of what a shrinkage prior has for all: the global scale, or the share explained."""
    return f"global_{shrink}"


def local_name(shrink: str) -> str:
    """Return the variable of what a shrinkage prior has per coefficient."""
    return f"local_{shrink}"


def slab_name(shrink: str) -> str:
    """Return the posterior variable of the scale of coefficients that a horseshoe does not shrink."""
    return f"slab_{shrink}"


def shrunk_dim(shrink: str) -> str:
    """Return the dim of the standardised coefficients under a shrinkage prior."""
    return f"shrunk_{shrink}"


def value_name(outcome: str) -> str:
    """Return the posterior variable holding the modelled values of an outcome: missing ones, or true scores."""
    return f"value_{outcome}"


def modelled_dim(outcome: str) -> str:
    """Return the dim of the rows whose outcome is modelled."""
    return f"modelled_{outcome}"


def seen_dim(outcome: str) -> str:
    """Return the dim of the rows that have an observed outcome, where some have none."""
    return f"seen_{outcome}"


type MixedPart = Literal["centred", "scaled"]


def mixed_dim(factor: str, number: int, part: MixedPart) -> str:
    """Return the dim of the centred or of the scaled effects of a block that has both."""
    return f"{block_dim(factor, number)}_{part}"


def second_dim(dim: str) -> str:
    """Return the name of the column dim of a square matrix over ``dim``."""
    return f"{dim}_2"


def sd_name(factor: str) -> str:
    """Return the posterior variable holding the SDs of a factor's group effects."""
    return f"sd_{factor_key(factor)}"


def cor_name(factor: str) -> str:
    """Return the posterior variable holding the correlation matrix of a factor's group effects."""
    return f"cor_{factor_key(factor)}"


def partial_name(factor: str, block: int | None = None, stratum: int | None = None) -> str:
    """Return the posterior variable of partial correlations, from 0 to 1, that a correlation matrix is made from.

    Correlated blocks of effects are counted from 0 where there are several, and so are strata.
    """
    return f"{cor_name(factor)}{''.join(f'_{place + 1}' for place in (block, stratum) if place is not None)}_unit"


def effects_name(factor: str) -> str:
    """Return the posterior variable holding a factor's group effects."""
    return f"u_{factor_key(factor)}"


def total_name(factor: str) -> str:
    """Return the helper variable of effects that are centred on those of outer factors; not stored."""
    return f"total_{factor_key(factor)}"


def standard_name(factor: str) -> str:
    """Return the helper variable of non-centred effects, standard normal; not stored."""
    return f"z_{factor_key(factor)}"


def mean_name(variable: str) -> str:
    """Return the posterior variable holding the overall mean of a variable whose means of units are latent."""
    return f"mean_{variable}"


def spread_name(variable: str) -> str:
    """Return the posterior variable holding the SDs of such a variable: between its units, and within them."""
    return f"spread_{variable}"


def unit_means_name(variable: str, factor: str) -> str:
    """Return the posterior variable holding the latent means of a variable over a factor's levels."""
    return f"mean_{variable}_{factor_key(factor)}"


def coef_label(outcome: str, effect: str) -> str:
    """Return the label of a coefficient: the outcome's column, then the term in the study's column names."""
    return f"{outcome}, {effect}"


def level_label(variable: str, level: str) -> str:
    """Return the label of one level of a factor, such as ``grp[TAU]``."""
    return f"{variable}[{level}]"


def entry_label(name: str, inside: str) -> str:
    """Return the name of an estimand in one stratum, ``ab[arm = TAU]``; beside values it is worked out at, if any."""
    return f"{name.removesuffix(']')}, {inside}]" if name.endswith("]") else f"{name}[{inside}]"
