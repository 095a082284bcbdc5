"""What unmeasured causes of two outcomes would do to an effect: refits at stated correlations, or a prior of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayes_alliance._messages import escaped, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.errors import FitError, SpecError
from bayes_alliance.expectation.set_variables import Setting
from bayes_alliance.findings import Problem
from bayes_alliance.fit.fit import fit_model
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.names import RESIDUAL, cor_name, effect_dim, second_dim
from bayes_alliance.posterior.mediation import Mediation, mediation_effects
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.study import Study, as_study
from bayes_alliance.table.sessions import SessionTable

VALUES = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
"""Correlations that an effect is worked out under unless others are stated."""

NOT_TOLD = (
    "The data say nothing of this correlation: every value fits them alike, and which ones are plausible is a judgment."
)
HARDLY_TOLD = (
    "The data say of this correlation only what slopes within and between units of this factor, taken to be alike, "
    "tell."
)


def tipping_points(stated: pd.Series, means: pd.Series, *, null: float | None = 0.0) -> tuple[float, ...]:
    """Return the stated values, in rising order, at which a mean passes ``null`` (None: none), by interpolation."""
    if null is None:
        return ()
    x, y = stated.to_numpy(), means.to_numpy() - null
    found = []
    for i in range(len(x) - 1):
        if y[i] == 0 or y[i] * y[i + 1] < 0:
            found.append(float(x[i] - y[i] * (x[i + 1] - x[i]) / (y[i + 1] - y[i])))
    return tuple(found)


def say_failed(table: pd.DataFrame) -> str:
    """Return in a sentence how many fits of a table did not pass their checks; empty where all did."""
    failed = int((~table["passed"].astype(bool)).sum()) if "passed" in table else 0
    return f" Sampling checks FAILED in {failed} of {len(table)} fits (column passed)." if failed else ""


def unclear_points(table: pd.DataFrame, stated: str, *, null: float | None = 0.0) -> tuple[float, ...]:
    """Return the stated values nearest to 0, on either side, whose 95 % interval holds ``null`` (None: none)."""
    if null is None:
        return ()
    inside = table[(table["eti95_lb"] <= null) & (table["eti95_ub"] >= null)][stated]
    sides = (inside[inside <= 0], inside[inside >= 0])
    return tuple(dict.fromkeys(float(s.iloc[s.abs().argmin()]) for s in sides if len(s)))


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """An effect under stated correlations of two outcomes' residuals, or of their intercepts by a grouping factor.

    ``table`` has a line per correlation: ``correlation, mean, sd, eti95_lb, eti95_ub, p_positive, passed``. ``tipping``
    are the correlations at which the mean of the effect is 0, by interpolation; ``unclear`` those from which on, away
    from 0, its 95 % interval holds 0. ``factor`` says what correlates. ``under_prior`` has the effect, and the
    correlation itself, where the correlation has the prior ``prior``.
    """

    predictor: str
    outcome: str
    effect: str
    between: tuple[str, str]
    table: pd.DataFrame
    factor: str = RESIDUAL
    prior: str | None = None
    under_prior: pd.DataFrame | None = None

    @property
    def told(self) -> str:
        """Return what the data say of the correlation."""
        return NOT_TOLD if self.factor == RESIDUAL else HARDLY_TOLD

    @property
    def tipping(self) -> tuple[float, ...]:
        """Return the correlations at which the mean of the effect changes its sign."""
        return tipping_points(self.table["correlation"], self.table["mean"])

    @property
    def unclear(self) -> tuple[float, ...]:
        """Return the correlations nearest to 0, on either side, whose interval holds an effect of 0."""
        return unclear_points(self.table, "correlation")

    @escaped
    def __repr__(self) -> str:
        one, two = self.between
        tips = ", ".join(f"{value:.2f}" for value in self.tipping)
        unclear = ", ".join(f"{value:.2f}" for value in self.unclear)
        says = f"its mean is 0 at {tips}" if tips else "its mean keeps its sign throughout"
        holds = f"its 95% interval holds 0 from {unclear} on" if unclear else "its 95% interval never holds 0"
        shown = self.table.round(3).to_string(index=False)
        what = "residuals" if self.factor == RESIDUAL else f"{self.factor} effects"
        text = (
            f"Effect {self.effect!r} of {self.predictor} on {self.outcome} by the correlation of the {what} of "
            f"{one} and {two}: {says}; {holds}.{say_failed(self.table)} {self.told}\n{shown}"
        )
        if self.under_prior is None:
            return text
        shown = self.under_prior.round(3).to_string(index=False)
        return f"{text}\nUnder the prior {self.prior} of the correlation:\n{shown}"


@dataclass(frozen=True, eq=False)
class Refits:
    """How a model is fitted again and which effect is read from every fit; fields as ``confounding_sensitivity``'s."""

    study: Study[SessionTable]
    predictor: str
    outcome: str | None
    effect: str
    at: Mapping[str, Setting] | None
    level: str | None
    seed: int
    settings: SamplerSettings | None

    def follow(self, spec: ModelSpec) -> tuple[Fit, Mediation, pd.Series]:
        """Return the fit of a variant, its effects, and the one that is followed."""
        settings = self.settings or SamplerSettings(progress="off")
        fit = fit_model(spec, self.study, seed=self.seed, settings=settings)
        found = mediation_effects(fit, self.predictor, outcome=self.outcome, at=self.at, level=self.level)
        table = found.table()
        own = table[table["name"] == self.effect]
        if own.empty:
            raise FitError(unknown("effect", self.effect, table["name"]))
        return fit, found, own.iloc[0][["mean", "sd", "eti95_lb", "eti95_ub", "p_positive"]]


def confounding_sensitivity(
    spec: ModelSpec,
    study: Study[SessionTable] | SessionTable,
    *,
    predictor: str,
    outcome: str | None = None,
    between: tuple[str, str],
    values: Sequence[float] = VALUES,
    effect: str = "indirect",
    factor: str = RESIDUAL,
    prior: str | None = None,
    at: Mapping[str, Setting] | None = None,
    level: str | None = None,
    seed: int,
    settings: SamplerSettings | None = None,
    progress: Progress = "auto",
) -> Sensitivity:
    """Refit a model at stated correlations of two outcomes' residuals and follow an effect through them.

    An unmeasured cause of mediator and outcome (or of two mediators) leaves their residuals correlated, and the slope
    of one on the other biased; at the true correlation it is not (Imai, Keele and Yamamoto 2010). A cause that
    therapists differ in leaves their effects on the two correlated: ``factor="therapist"``.

    Parameters
    ----------
    spec, study, settings
        As in ``fit_model``; the model states no residual correlations itself.
    predictor, outcome, at, level
        As in ``mediation_effects``: ``level`` is the one of the predictor's that is compared with its reference, where
        it has three or more.
    between : tuple of str
        Two outcomes, one of which predicts the other; for correlated residuals Gaussian, with rows of one unit.
    values : sequence of float
        Correlations, between -1 and 1; 0 is the model as it stands.
    effect : str
        A name that ``mediation_effects`` gives: ``indirect``, ``direct``, ``total``, or a path.
    factor : str
        ``residual``, or a grouping factor by which both outcomes' intercepts vary, and nothing else of theirs.
    prior : str, optional
        Of the correlation, such as ``lkj(4)``: a further fit in which it is unknown. For residuals the posterior of
        the correlation is this prior, and the effect's interval is wider by what is not known of it.
    seed : int
        For every fit.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    Sensitivity
        The effect per correlation, where it vanishes, and what the data cannot say.

    Raises
    ------
    SpecError
        If the two outcomes' residuals (or effects) cannot correlate.
    FitError
        If values are none, the model has residual correlations, or there is no such effect.
    """
    check_seed(seed)
    chosen = sorted({float(value) for value in values})
    problems = []
    if len(chosen) < 2 or not all(-1 < value < 1 for value in chosen):
        problems.append(
            Problem("it takes two correlations or more.", f"values = {list(values)}", "Each lies between -1 and 1.")
        )
    if spec.residual is not None:
        problems.append(Problem("The model has [residual] correlations of its own.", fix="Leave them out here."))
    if problems:
        raise FitError(problems)
    if factor != RESIDUAL:
        _check_factor(spec, between, factor)
    refits = Refits(as_study(study), predictor, outcome, effect, at, level, seed, settings)
    lines, outside = [], None
    with counter("Correlations", len(chosen) + (prior is not None), progress) as advance:
        for number, value in enumerate(chosen, start=1):
            fit, found, line = refits.follow(_with_correlation(spec, between, factor, value))
            lines.append({"correlation": value, **line.to_dict(), "passed": fit.passed})
            advance(number)
        if prior is not None:
            fit, _, line = refits.follow(with_prior(spec, between, factor, prior))
            of_it = correlation_of(fit, between, factor)
            outside = pd.DataFrame(
                [{"name": effect, **line.to_dict()}, {"name": f"correlation of {factor}s", **of_it}]
            ).assign(passed=fit.passed)
            advance(len(chosen) + 1)
    return Sensitivity(
        predictor, found.outcome, effect, between, pd.DataFrame(lines), factor=factor, prior=prior, under_prior=outside
    )


def _check_factor(spec: ModelSpec, between: tuple[str, str], factor: str) -> None:
    """Refuse a factor by which the two outcomes do not vary in their intercepts alone."""
    unknown_names = [name for name in between if name not in spec.outcomes]
    if unknown_names:
        raise SpecError(unknown("outcome", unknown_names[0], spec.outcomes))
    if factor not in spec.factors:
        raise FitError(unknown("factor", factor, [RESIDUAL, *spec.factors]))
    for equation in (e for e in spec.equation if e.outcome in between):
        own = [group for group in equation.parsed.groups if group.factor == factor]
        if not own or any(group.terms for group in own) or not all(group.intercept for group in own):
            raise FitError(
                f"factor = {factor!r}: in the equation of {equation.outcome!r} intercepts, and nothing else, must vary "
                f"by {factor}: (1 | {factor})."
            )


def _with_correlation(spec: ModelSpec, between: tuple[str, str], factor: str, value: float) -> ModelSpec:
    """Return the model with a stated correlation of two outcomes; of residuals at 0 it is the model itself."""
    content = spec.model_dump(mode="json", exclude_defaults=True)
    if factor != RESIDUAL:
        return make_model(_correlated(content, between, factor, f"equal({value:g})"))
    content["residual"] = {"correlate": list(between), "fixed": value}
    made = make_model(content)
    return spec if np.isclose(value, 0.0) else made


def with_prior(spec: ModelSpec, between: Sequence[str], factor: str, prior: str) -> ModelSpec:
    """Return the model with correlations of outcomes that have a prior."""
    content = spec.model_dump(mode="json", exclude_defaults=True)
    if factor == RESIDUAL:
        content["residual"] = {"correlate": list(between)}
    return make_model(_correlated(content, between, factor, prior))


def _correlated(content: dict[str, Any], between: Sequence[str], factor: str, prior: str) -> dict[str, Any]:
    if factor != RESIDUAL:
        groups = content.setdefault("groups", {})
        groups[factor] = groups.get(factor, {}) | {"correlate": list(between)}
    kept = [p for p in content.get("prior", []) if p["on"] != f"cor {factor}"]
    content["prior"] = [*kept, {"on": f"cor {factor}", "dist": prior, "reason": "A sensitivity analysis."}]
    return content


def correlation_of(fit: Fit, between: tuple[str, str], factor: str) -> dict[str, float]:
    """Return the posterior of the correlation itself."""
    draws, dim = fit.data["posterior"].to_dataset()[cor_name(factor)], RESIDUAL
    design = design_of(fit)
    labels = [design.find(name).outcome for name in between]
    if factor != RESIDUAL:
        dim = effect_dim(factor)
        labels = [find_factor(design.factors, factor).effects[_place(design, name, factor)] for name in between]
    own = draws.sel({dim: labels[0], second_dim(dim): labels[1]}).values.ravel()
    low, high = np.quantile(own, [0.025, 0.975])
    return {
        "mean": float(own.mean()),
        "sd": float(own.std(ddof=1)),
        "eti95_lb": float(low),
        "eti95_ub": float(high),
        "p_positive": float((own > 0).mean()),
    }


def _place(design: Design, outcome: str, factor: str) -> int:
    return find_factor(design.factors, factor).places[design.find(outcome).outcome][0]
