"""Effects as differences of worlds: the treatment set for some of the ways it can take, mediators drawn (g-formula)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equation import EquationDesign, subset_variable
from bayes_alliance.design.terms import code_terms
from bayes_alliance.design.transforms import ROWWISE
from bayes_alliance.design.variables import Variable
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.names import COEF
from bayes_alliance.posterior.effects import with_effects
from bayes_alliance.posterior.estimands import tabulate
from bayes_alliance.posterior.families import draw, expected
from bayes_alliance.posterior.linear import drawn_rows, effect_roots, stack_draws
from bayes_alliance.posterior.moved import RowwiseEvaluator
from bayes_alliance.posterior.paths import find_paths, last_outcome
from bayes_alliance.posterior.summarize import IntervalKind
from bayes_alliance.spec.expressions import calls_in
from bayes_alliance.spec.order import sort_outcomes

type Setting = float | str

AT_ONCE = 400_000
"""Rows (draws times patients) that are worked out together."""

ASSUMPTIONS = (
    "Nothing unmeasured moves treatment and outcome, treatment and a mediator, two mediators, or a mediator and the "
    "outcome, given the predictors of each equation.",
    "No predictor of a mediator's equation, other than the mediators before it, is changed by the treatment.",
    "A patient's values do not depend on the treatment of others.",
)
"""What has to hold for the differences to be effects."""


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """Effects of a treatment, split by the first mediator that carries them; as draws, with what has to be assumed.

    ``draws`` is as of ``Mediation``; ``mediators`` are in the order of their equations.
    """

    treatment: str
    outcome: str
    values: tuple[Setting, Setting]
    mediators: tuple[str, ...]
    draws: xr.Dataset

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Return what has to hold for these differences to be effects."""
        return ASSUMPTIONS

    def table(self, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti") -> pd.DataFrame:
        """Return one line per effect, with the columns of ``summarize_estimands``."""
        return tabulate(self.draws, ci_prob=ci_prob, ci_kind=ci_kind)

    def __repr__(self) -> str:
        columns = ["name", "mean", "median", "eti95_lb", "eti95_ub", "r_hat"]
        lines = [f"- {text}" for text in self.assumptions]
        return "\n".join(
            [
                f"{self.treatment} at {self.values[1]} rather than {self.values[0]}: expected {self.outcome}.",
                self.table()[columns].round(3).to_string(index=False),
                "Effects if:",
                *lines,
            ]
        )


def counterfactual_effects(
    fit: Fit,
    treatment: str,
    *,
    outcome: str | None = None,
    values: tuple[Setting, Setting],
    draws: int = 1000,
    seed: int = 1,
) -> Counterfactual:
    """Work out natural path-specific effects by drawing mediators and averaging expected outcomes (g-formula).

    In every row mediators are drawn in their order with the treatment set, group effects of new therapists (and so on)
    among them, and the expected outcome is averaged over rows. Links may be bent and treatment and mediators multiply
    each other. The total effect is split by the mediator through which it first goes: through the first mediator
    (whatever it changes after it), through the second and not the first, and so on, and directly. This split needs no
    two worlds of one mediator at once (Avin, Shpitser and Pearl 2005; Daniel et al. 2015); a finer one is not
    identified where slopes depend on treatment or mediators.

    Parameters
    ----------
    fit : Fit
        With its design.
    treatment, outcome : str
        In the model's names; the outcome may be left out where only one predicts no other.
    values : tuple
        The two values of the treatment that are compared, the reference first: numbers or levels.
    draws : int
        Posterior draws at most.
    seed : int
        For what is drawn: the same numbers in all worlds.

    Returns
    -------
    Counterfactual
        ``through <mediator>`` per mediator, ``direct``, ``indirect`` (the former together), ``total`` and ``share
        mediated``, each per draw in units of the outcome (probabilities, for 0/1 outcomes).

    Raises
    ------
    FitError
        If there is no path, equations have rows of different units or read other rows, or values are modelled.
    """
    check_seed(seed)
    design = design_of(fit)
    outcome = last_outcome(design) if outcome is None else outcome
    paths = find_paths(design, treatment, outcome, bent=True)
    on_the_way = {edge.target for path in paths for edge in path.edges} - {outcome}
    mediators = tuple(name for name in sort_outcomes(design.spec) if name in on_the_way)
    system = _system(design, (*mediators, outcome))
    _check_values(system[-1], treatment, values)
    posterior = with_effects(fit)
    each = max(1, min(posterior.sizes["draw"], draws // posterior.sizes["chain"]))
    chosen = posterior.isel(draw=np.linspace(0, posterior.sizes["draw"] - 1, each).astype(int))
    flat = stack_draws(chosen)
    worlds = np.concatenate(_parts(design, system, treatment, values, flat, seed))
    shape = (posterior.sizes["chain"], each)
    return Counterfactual(treatment, outcome, values, mediators, _effects(worlds, mediators, shape, system[-1]))


def _system(design: Design, outcomes: Sequence[str]) -> tuple[EquationDesign, ...]:
    """Return the equations over the rows that all of them have, refusing what rows alone do not tell."""
    chosen = [design.find(name) for name in outcomes]
    units = {e.spec.unit for e in chosen}
    problems = []
    if len(units) > 1:
        problems.append(f"The equations have rows of different units: {quote(sorted(units))}.")
    modelled = [e.outcome for e in chosen if e.follows or e.modelled is not None or e.series is not None]
    if modelled:
        problems.append(f"Values of {quote(modelled)} follow what is estimated; worlds of such models are not drawn.")
    if design.residual is not None and {e.outcome for e in chosen} & set(design.residual.outcomes):
        problems.append("Residuals on the way correlate, so that mediators are not drawn one after the other.")
    for e in chosen:
        terms = e.spec.parsed.every_term
        around = {c.function for t in terms for part in t.parts for c in calls_in(part) if c.function not in ROWWISE}
        if around:
            problems.append(
                f"The equation of {e.outcome!r} reads other rows ({', '.join(sorted(around))}), which do not change "
                f"with the row's own treatment here. Follow its paths with mediation_effects."
            )
    if problems:
        raise FitError(problems)
    rows = set(chosen[0].row).intersection(*(set(e.row) for e in chosen[1:]))
    return tuple(_over(e, np.array([row in rows for row in e.row])) for e in chosen)


def _over(e: EquationDesign, keep: np.ndarray) -> EquationDesign:
    groups = tuple(
        replace(
            g,
            code=g.code[keep],
            columns=g.columns.rows(keep),
            inside=g.inside[keep],
            weight=None if g.weight is None else g.weight[keep],
        )
        for g in e.groups
    )
    return replace(
        e,
        y=e.y[keep],
        coef=e.coef.rows(keep),
        groups=groups,
        sigma_code=e.sigma_code[keep],
        row=e.row[keep],
        patient=e.patient[keep],
        session=e.session[keep],
        scale=e.scale.rows(keep),
        variables={name: subset_variable(variable, keep) for name, variable in e.variables.items()},
        spread=None if e.spread is None else _over(e.spread, keep),
    )


def _check_values(e: EquationDesign, treatment: str, values: tuple[Setting, Setting]) -> None:
    variable = e.variables.get(treatment)
    if variable is not None and variable.levels is not None:
        odd = [str(value) for value in values if value not in variable.levels]
        if odd:
            raise FitError(unknown(f"level of {variable.label!r}:", odd[0], variable.levels))
    elif any(isinstance(value, str) for value in values):
        raise FitError(f"{treatment!r} is a number; values = {values} cannot be set.")


def _parts(
    design: Design,
    system: Sequence[EquationDesign],
    treatment: str,
    values: tuple[Setting, Setting],
    flat: xr.Dataset,
    seed: int,
) -> list[np.ndarray]:
    """Return expected outcomes in every world, shape (draw, world), a part of the draws at a time."""
    size = max(1, AT_ONCE // len(system[-1].y))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    return [
        _worlds(design, system, treatment, values, flat.isel(sample=slice(start, start + size)), rng)
        for start in range(0, flat.sizes["sample"], size)
    ]


def _worlds(
    design: Design,
    system: Sequence[EquationDesign],
    treatment: str,
    values: tuple[Setting, Setting],
    flat: xr.Dataset,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return expected outcomes per draw in worlds 0 to mediators + 1, shape (draw, world).

    In world k the outcome's own equation has the treatment from world 1 on, and so have the last k - 1 mediators; all
    worlds share their random numbers.
    """
    seeds = rng.integers(0, 2**32, size=len(system))
    effects = _new_effects(design, flat, rng)
    count = len(system)
    found = []
    for world in range(count + 1):
        drawn: dict[str, np.ndarray] = {}
        for place, e in enumerate(system):
            treated = count - place <= world
            setting = values[1] if treated else values[0]
            linear = _linear(design, e, treatment, setting, drawn, flat, effects)
            rows = drawn_rows(design, e, flat)
            if place == count - 1:
                found.append(expected(rows, linear).mean(axis=1) + e.offset)
            else:
                drawn[e.spec.outcome] = draw(rows, linear, np.random.default_rng(seeds[place])) + e.offset
    return np.column_stack(found)


def _new_effects(design: Design, flat: xr.Dataset, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return effects of new levels in the places of those there are, shape (draw, level, effect)."""
    found = {}
    for factor in design.factors:
        roots = effect_roots(design, factor.factor, flat)
        z = rng.normal(size=roots.shape[:-1])
        found[factor.factor] = np.einsum("slij,slj->sli", roots, z)
    return found


def _linear(
    design: Design,
    e: EquationDesign,
    treatment: str,
    setting: Setting,
    drawn: Mapping[str, np.ndarray],
    flat: xr.Dataset,
    effects: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Return linear predictors with the treatment set and mediators as drawn, shape (draw, obs)."""
    size, rows = flat.sizes["sample"], len(e.y)
    tiled = _tiled(e, size)
    variables = dict(tiled.variables)
    for name, values in drawn.items():
        if name in variables:
            variables[name] = Variable(name, variables[name].label, values.ravel())
    if treatment in variables:
        own = variables[treatment]
        number = float(own.levels.index(str(setting))) if own.levels is not None else float(setting)
        variables[treatment] = replace(own, values=np.full(size * rows, number))
    formula = e.spec.parsed
    evaluator = RowwiseEvaluator(tiled, variables)
    x = code_terms(formula.intercept, formula.terms, evaluator, column=e.kind.intercept).values
    b = flat["b"].sel({COEF: list(e.coef_labels)}).transpose("sample", COEF).values
    linear = np.einsum("snk,sk->sn", x.reshape(size, rows, -1), b)
    factors = {f.factor: f for f in design.factors}
    for group in e.groups:
        terms = [term for term in formula.groups if term.factor == group.factor]
        z = np.column_stack([code_terms(t.intercept, t.terms, evaluator).values for t in terms])
        share = group.inside.astype(float) if group.weight is None else group.weight
        own_effects = effects[group.factor][:, :, list(factors[group.factor].places[e.outcome])][:, group.code]
        linear += share * (z.reshape(size, rows, -1) * own_effects).sum(axis=2)
    return np.asarray(linear)


def _tiled(e: EquationDesign, size: int) -> EquationDesign:
    """Return an equation whose rows stand once per draw."""
    return replace(
        e,
        y=np.tile(e.y, size),
        patient=np.tile(e.patient, size),
        session=np.tile(e.session, size),
        row=np.tile(e.row, size),
        variables={name: replace(v, values=np.tile(v.values, size)) for name, v in e.variables.items()},
    )


def _effects(worlds: np.ndarray, mediators: Sequence[str], shape: tuple[int, int], e: EquationDesign) -> xr.Dataset:
    """Return effects as differences of neighbouring worlds, which add up to the total."""
    steps = np.diff(worlds, axis=1)
    direct, through = steps[:, 0], steps[:, :0:-1]
    total, indirect = worlds[:, -1] - worlds[:, 0], through.sum(axis=1)
    names = [*(f"through {name}" for name in mediators), "direct", "indirect", "total", "share mediated"]
    with np.errstate(divide="ignore", invalid="ignore"):
        columns = [*through.T, direct, indirect, total, indirect / total]
    unit = f"points of {e.outcome}" if e.kind.link == "identity" else f"expected {e.outcome}"
    units = [unit] * (len(names) - 1) + ["share of the total effect"]
    values = np.stack([column.reshape(shape) for column in columns], axis=-1)
    nan = np.full(len(names), np.nan)
    return xr.Dataset(
        {"value": (("chain", "draw", "estimand"), values)},
        coords={
            "chain": np.arange(shape[0]),
            "draw": np.arange(shape[1]),
            "estimand": names,
            "unit": ("estimand", units),
            "level": ("estimand", ["population"] * len(names)),
            "rope_lb": ("estimand", nan),
            "rope_ub": ("estimand", nan),
            "ratio": ("estimand", [int(name == "share mediated") for name in names]),
        },
    )
