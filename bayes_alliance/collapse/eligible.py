"""Which models the exact engine can fit, and what stands in its way in the others."""

from __future__ import annotations

from bayes_alliance.design.design import Design
from bayes_alliance.names import coef_label
from bayes_alliance.spec.model import ModelSpec

MOST_CROSSED = 1500
"""Effects of crossed factors above which their dense block takes longer than sampling them."""


def find_obstacles(spec: ModelSpec) -> list[str]:
    """Return what keeps a model from the exact engine, as far as the model says: one phrase per term.

    Parameters
    ----------
    spec : ModelSpec
        What a study's data add (crossed factors, the call's priors) is for ``find_design_obstacles``.

    Returns
    -------
    list of str
        Empty where nothing does.
    """
    obstacles = []
    for equation in spec.equation:
        if equation.family != "gaussian":
            obstacles.append(f"{equation.outcome} is {equation.family}, not Gaussian")
        if 'means="latent"' in equation.formula or "means='latent'" in equation.formula:
            obstacles.append(f"the equation of {equation.outcome} has latent means, which multiply coefficients")
        if 'means="finite"' in equation.formula or "means='finite'" in equation.formula:
            obstacles.append(f"the equation of {equation.outcome} has means of finite units, which are latent")
    for prior in spec.prior:
        if prior.target.kind in ("b", "intercept") and prior.distribution.family != "normal":
            obstacles.append(f"the prior {prior.dist} on {prior.on!r} is not normal")
    return obstacles


def find_design_obstacles(design: Design) -> list[str]:
    """Return what keeps a design from the exact engine: one phrase per term; empty where nothing does."""
    obstacles = []
    for equation in design.equations:
        if equation.family != "gaussian":
            obstacles.append(f"{equation.outcome} is {equation.family}, not Gaussian")
        if equation.follows:
            terms = {
                label
                for columns in (equation.coef, *(group.columns for group in equation.groups))
                for label, latent in zip(columns.labels, columns.latent, strict=True)
                if latent
            }
            named = ", ".join(coef_label(equation.outcome, label) for label in sorted(terms))
            obstacles.append(f"{named} {'follow' if len(terms) > 1 else 'follows'} latent means")
    for prior in design.priors.coef:
        if prior.distribution.family != "normal":
            obstacles.append(f"the prior of {prior.parameter}, {prior.distribution}, is not normal")
    return obstacles


def say_obstacles(obstacles: list[str]) -> str:
    """Return one sentence on what stands in the way."""
    return f"The exact engine cannot fit this model: {'; '.join(obstacles)}."
