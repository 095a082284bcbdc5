"""Names that several stages must spell alike: roles, dims, posterior variables, coefficient labels."""

from __future__ import annotations

from typing import Final

ROLES: Final = ("patient", "therapist", "group", "site", "session")
"""What a column of the table can be; all but ``session`` are identifiers and read as text."""

ID_ROLES: Final = ("patient", "therapist", "group", "site")
"""Roles that group rows."""

INTERCEPT: Final = "Intercept"
"""Label of the intercept among coefficients and group effects."""

COEF: Final = "coef"
SIGMA_COEF: Final = "sigma_coef"


def factor_key(factor: str) -> str:
    """Return the name of a grouping factor inside variable and dim names (``therapist:patient`` is one factor)."""
    return factor.replace(":", "_")


def obs_dim(outcome: str) -> str:
    """Return the dim of the rows that the equation of ``outcome`` uses."""
    return f"obs_{outcome}"


def effect_dim(factor: str) -> str:
    """Return the dim of the group effects of a factor."""
    return f"{factor_key(factor)}_effect"


def second_dim(dim: str) -> str:
    """Return the name of the column dim of a square matrix over ``dim``."""
    return f"{dim}_2"


def sd_name(factor: str) -> str:
    """Return the posterior variable holding the SDs of a factor's group effects."""
    return f"sd_{factor_key(factor)}"


def cor_name(factor: str) -> str:
    """Return the posterior variable holding the correlation matrix of a factor's group effects."""
    return f"cor_{factor_key(factor)}"


def effects_name(factor: str) -> str:
    """Return the posterior variable holding a factor's group effects."""
    return f"u_{factor_key(factor)}"


def total_name(factor: str) -> str:
    """Return the helper variable of effects that are centred on those of outer factors; not stored."""
    return f"total_{factor_key(factor)}"


def standard_name(factor: str) -> str:
    """Return the helper variable of non-centred effects, standard normal; not stored."""
    return f"z_{factor_key(factor)}"


def coef_label(outcome: str, effect: str) -> str:
    """Return the label of a coefficient: the outcome's column, then the term in the study's column names."""
    return f"{outcome}, {effect}"


def level_label(variable: str, level: str) -> str:
    """Return the label of one level of a factor, such as ``grp[TAU]``."""
    return f"{variable}[{level}]"
