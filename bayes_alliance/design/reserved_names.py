"""Names a study's columns may not have where they become names inside a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bayes_alliance.findings import Problem
from bayes_alliance.names import (
    COEF,
    RESIDUAL,
    SIGMA_COEF,
    THRESHOLD_COEF,
    by_dim,
    cor_name,
    effect_dim,
    effects_name,
    factor_key,
    sd_name,
    standard_name,
    total_name,
)
from bayes_alliance.spec.parameters import SHAPES

DIMS: Final = {COEF, SIGMA_COEF, THRESHOLD_COEF, RESIDUAL} | {
    "chain",
    "draw",
    "equation",
    "effect",
    "stratum",
    "factor",
    "estimand",
}
VARIABLES: Final = {
    "b",
    "b_centred",
    "sigma",
    "sigma_share",
    "threshold",
    "centre",
    "value",
    cor_name(RESIDUAL),
    *SHAPES,
}


def check_reserved(outcomes: Sequence[str], factors: Sequence[str], shrink: Sequence[str] = ()) -> list[Problem]:
    """Report outcome columns and grouping factors whose names the model needs for itself, or that hold a slash."""
    taken = DIMS | VARIABLES
    taken |= {f"{start}{outcome}" for outcome in outcomes for start in OF_OUTCOMES}
    starts = tuple(f"step_{outcome}_" for outcome in outcomes)
    starts += tuple(f"{start}{name}" for name in shrink for start in OF_SHRINKAGE)
    for factor in factors:
        key = factor_key(factor)
        taken |= {key, effect_dim(factor), by_dim(factor)}
        taken |= {name(factor) for name in (sd_name, cor_name, effects_name, total_name, standard_name)}
    problems = []
    for outcome in outcomes:
        if outcome in taken or "/" in outcome or outcome.startswith(starts):
            problems.append(_sentence("outcome column", outcome))
    for factor in factors:
        if factor_key(factor) in DIMS | VARIABLES or "/" in factor:
            problems.append(_sentence("grouping factor", factor))
    return problems


OF_OUTCOMES: Final = ("value_", "seen_", "modelled_", "observed_", "predictors_", "centre_", "z_value_", "share_")
OF_SHRINKAGE: Final = ("global_", "local_", "slab_", "shrunk_")
"""What variables that belong to an outcome, or to a shrinkage prior, begin with."""


def _sentence(what: str, name: str) -> Problem:
    why = "holds a '/'" if "/" in name else "is a name the model uses itself"
    return Problem(f"The {what} {name!r} {why}.", fix="Rename the column in the table.")
