"""One study after another from the priors of a model: what calibration is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayes_alliance.design.design import Design, make_design, with_outcomes
from bayes_alliance.names import INTERCEPT, factor_key
from bayes_alliance.simulate.covariates import draw_variables
from bayes_alliance.simulate.layout import Layout, make_layout
from bayes_alliance.simulate.outcome import draw_effects, draw_noise, predict, predict_steps, realise
from bayes_alliance.simulate.people import lay_out
from bayes_alliance.simulate.plan import Plan, plan_outcomes, table_of, with_chance
from bayes_alliance.simulate.prior import at_centre, check_proper, draw_truth
from bayes_alliance.simulate.realised_outcomes import realise_outcomes
from bayes_alliance.simulate.simulation import VariableSpecs, check_specs
from bayes_alliance.simulate.truth import check_truth, true_parameters
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import PriorStatements, Study


@dataclass(frozen=True, eq=False)
class SimulatedStudy:
    """A study drawn from a truth: its parameters and effects, and the design of what would have been observed."""

    truth: Mapping[str, float]
    effects: xr.Dataset
    design: Design


@dataclass(frozen=True, eq=False)
class Studies:
    """Draws studies of one layout: rows, predictors and the numbers of priors stay, truths and outcomes are new.

    ``chained`` says whether outcomes predict outcomes, so that columns change with them.
    """

    plan: Plan
    chained: bool

    @property
    def design(self) -> Design:
        """Return the design that all studies share, with stand-ins for outcomes."""
        return self.plan.design

    def draw(self, rng: np.random.Generator, truth: Mapping[str, float] | None = None) -> SimulatedStudy:
        """Draw a study from the priors, or from a stated truth.

        The intercept's prior refers to predictors at their means; where outcomes are predictors, these are the means
        of the study that is drawn.
        """
        design = self.plan.design
        drawn = dict(draw_truth(design, rng) if truth is None else truth)
        effects, noise = draw_effects(design, drawn, rng), draw_noise(design, drawn, rng)
        if not self.chained:
            own = design.equations
            linear = {e.outcome: predict(e.mean, drawn, effects) + predict_steps(e, drawn, effects) for e in own}
            outcomes = {e.outcome: realise(e, linear[e.outcome], drawn, effects, noise[e.outcome]) for e in own}
            return SimulatedStudy(drawn, effects, with_outcomes(design, outcomes))
        centred = {e.outcome: at_centre(e, drawn) for e in design.equations}
        first = dict(drawn)

        def truth_of(made: Design) -> Mapping[str, float]:
            for equation in made.equations if truth is None else ():
                moved = at_centre(equation, drawn) - centred[equation.outcome]
                if INTERCEPT in equation.coef.labels:
                    drawn[f"b[{equation.coef_labels[0]}]"] -= moved
                    continue
                for label in equation.threshold_labels:
                    drawn[f"threshold[{label}]"] = first[f"threshold[{label}]"] + moved
            return dict(drawn)

        plan = with_chance(self.plan, rng)
        _, made = realise_outcomes(plan, truth_of, effects, noise)
        left = {factor_key(factor.factor): list(factor.levels) for factor in made.factors}
        return SimulatedStudy(drawn, effects.sel(left), replace(made, priors=design.priors))


def plan_studies(
    spec: ModelSpec,
    layout: Layout | Mapping[str, object],
    *,
    seed: int | np.random.SeedSequence,
    variables: VariableSpecs | None = None,
    columns: Mapping[str, str] | None = None,
    reference: Mapping[str, str] | None = None,
    priors: PriorStatements = (),
    truth: Mapping[str, float] | None = None,
) -> Studies:
    """Lay a study out and fix the numbers of its priors, once.

    Parameters
    ----------
    spec, layout, variables, columns, reference
        As in ``simulate_sessions``.
    seed : int or SeedSequence
        For rows and predictors.
    priors : mapping or sequence of PriorSpec
        In place of the defaults, which are scaled to standard normal stand-ins of the outcomes.
    truth : mapping of str to float, optional
        Checked, where all studies are to come from it.

    Raises
    ------
    SpecError
        For impossible layouts, incomplete truths, and latent means of variables without an equation.
    DesignError
        If a prior is improper, or the layout lacks what the model reads.
    """
    made = layout if isinstance(layout, Layout) else make_layout(layout)
    drawn = check_specs(variables or {}, made)
    rng = np.random.default_rng(seed)
    rows = draw_variables(lay_out(made, rng), drawn, made, rng)
    plan = plan_outcomes(rows, spec, made, columns or {}, reference or {}, fix_errors=True)
    if priors:
        resolved = plan.design
        study = Study(table_of(plan.frame, made), resolved.columns, resolved.reference, priors)
        plan = replace(plan, design=make_design(resolved.spec, study))
    check_proper(plan.design)
    if truth is not None:
        check_truth(truth, true_parameters(plan.design))
    outcomes = set(spec.outcomes)
    plan = with_chance(plan, rng)
    chained = (
        bool(plan.leaving)
        or any(e.modelled for e in spec.equation)
        or any(outcomes & set(e.spec.predictors) for e in plan.design.equations)
    )
    return Studies(plan, chained)
