"""Which engine fits a model: the collapsed one where it is exact, else quadrature, else NUTS; and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bayes_alliance.collapse.eligibility import find_design_obstacles, find_obstacles, say_exact, say_obstacles
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.quadrature.eligibility import (
    find_quadrature_design_obstacles,
    find_quadrature_obstacles,
    say_quadrature,
    say_quadrature_obstacles,
)
from bayes_alliance.spec.model import EquationSpec, ModelSpec

type EngineName = Literal["collapsed", "quadrature", "nuts"]


def choose_engine(design: Design) -> tuple[EngineName, str]:
    """Return the engine that fits a design, and for NUTS a sentence on why it is neither of the others."""
    obstacles = find_design_obstacles(design)
    if not obstacles:
        return "collapsed", ""
    if _all_normal(design.equations):
        return "nuts", say_obstacles(obstacles)
    others = find_quadrature_design_obstacles(design)
    return ("nuts", say_quadrature_obstacles(others)) if others else ("quadrature", "")


def say_engine(spec: ModelSpec) -> str:
    """Return which engine fits a model, as far as the model says, and what it samples or what stands in the way."""
    obstacles = find_obstacles(spec)
    if not obstacles:
        return f"collapsed. {say_exact(spec)}"
    if _all_normal(spec.equation):
        return f"nuts. {say_obstacles(obstacles)}"
    others = find_quadrature_obstacles(spec)
    return f"nuts. {say_quadrature_obstacles(others)}" if others else f"quadrature. {say_quadrature(spec)}"


def _all_normal(equations: Sequence[EquationDesign] | Sequence[EquationSpec]) -> bool:
    return all(equation.kind.normal for equation in equations)
