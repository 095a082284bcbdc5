"""What unmeasured causes of two outcomes would do to an effect: refits at stated correlations of their residuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import PriorStatements
from bayes_alliance.errors import FitError
from bayes_alliance.fit.fit import fit_model
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.posterior.mediation import Setting, mediation_effects
from bayes_alliance.spec.make import make_model
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.table.sessions import SessionTable

VALUES = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6)
"""Correlations that an effect is worked out under unless others are stated."""

NOT_TOLD = (
    "The data say nothing of this correlation: every value fits them alike, and which ones are plausible is a judgment."
)


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """An effect under stated correlations of two outcomes' residuals.

    ``table`` has a line per correlation: ``correlation, mean, sd, eti95_lb, eti95_ub, p_positive, passed``. ``tipping``
    are the correlations at which the mean of the effect is 0, by interpolation; ``unclear`` those from which on, away
    from 0, its 95 % interval holds 0.
    """

    predictor: str
    outcome: str
    effect: str
    between: tuple[str, str]
    table: pd.DataFrame

    @property
    def tipping(self) -> tuple[float, ...]:
        """Return the correlations at which the mean of the effect changes its sign."""
        x, y = self.table["correlation"].to_numpy(), self.table["mean"].to_numpy()
        found = []
        for i in range(len(x) - 1):
            if y[i] == 0 or y[i] * y[i + 1] < 0:
                found.append(float(x[i] - y[i] * (x[i + 1] - x[i]) / (y[i + 1] - y[i])))
        return tuple(found)

    @property
    def unclear(self) -> tuple[float, ...]:
        """Return the correlations nearest to 0, on either side, whose interval holds an effect of 0."""
        inside = self.table[(self.table["eti95_lb"] <= 0) & (self.table["eti95_ub"] >= 0)]["correlation"]
        sides = (inside[inside <= 0], inside[inside >= 0])
        return tuple(dict.fromkeys(float(s.iloc[s.abs().argmin()]) for s in sides if len(s)))

    def __repr__(self) -> str:
        one, two = self.between
        tips = ", ".join(f"{value:.2f}" for value in self.tipping)
        unclear = ", ".join(f"{value:.2f}" for value in self.unclear)
        says = f"its mean is 0 at {tips}" if tips else "its mean keeps its sign throughout"
        holds = f"its 95% interval holds 0 from {unclear} on" if unclear else "its 95% interval never holds 0"
        shown = self.table.round(3).to_string(index=False)
        return (
            f"Effect {self.effect!r} of {self.predictor} on {self.outcome} by the correlation of the residuals of "
            f"{one} and {two}: {says}; {holds}. {NOT_TOLD}\n{shown}"
        )


def confounding_sensitivity(
    spec: ModelSpec,
    sessions: SessionTable,
    *,
    predictor: str,
    outcome: str | None = None,
    between: tuple[str, str],
    values: Sequence[float] = VALUES,
    effect: str = "indirect",
    at: Mapping[str, Setting] | None = None,
    columns: Mapping[str, str] | None = None,
    reference: Mapping[str, str] | None = None,
    priors: PriorStatements = (),
    seed: int,
    settings: SamplerSettings | None = None,
    progress: Progress = "auto",
) -> Sensitivity:
    """Refit a model at stated correlations of two outcomes' residuals and follow an effect through them.

    An unmeasured cause of mediator and outcome (or of two mediators) leaves their residuals correlated, and the slope
    of one on the other biased; at the true correlation it is not (Imai, Keele and Yamamoto 2010).

    Parameters
    ----------
    spec, sessions, columns, reference, priors, settings
        As in ``fit_model``; the model states no residual correlations itself.
    predictor, outcome, at
        As in ``mediation_effects``.
    between : tuple of str
        Two Gaussian outcomes with rows of one unit, one of which predicts the other.
    values : sequence of float
        Correlations, between -1 and 1; 0 is the model as it stands.
    effect : str
        A name that ``mediation_effects`` gives: ``indirect``, ``direct``, ``total``, or a path.
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
        If the two outcomes' residuals cannot correlate.
    FitError
        If values are none, the model has residual correlations, or there is no such effect.
    """
    check_seed(seed)
    chosen = sorted({float(value) for value in values})
    problems = []
    if len(chosen) < 2 or not all(-1 < value < 1 for value in chosen):
        problems.append(f"values = {list(values)}: two correlations or more, between -1 and 1.")
    if spec.residual is not None:
        problems.append("The model has [residual] correlations of its own; leave them out here.")
    if problems:
        raise FitError(problems)
    quiet = settings or SamplerSettings(progress="off")
    lines = []
    with counter("Correlations", len(chosen), progress) as advance:
        for number, value in enumerate(chosen, start=1):
            made = _with_correlation(spec, between, value)
            fit = fit_model(
                made, sessions, columns=columns, reference=reference, priors=priors, seed=seed, settings=quiet
            )
            found = mediation_effects(fit, predictor, outcome=outcome, at=at)
            table = found.table()
            own = table[table["name"] == effect]
            if own.empty:
                raise FitError(f"{unknown('effect', effect, table['name'])} Effects: {quote(table['name'])}.")
            line = own.iloc[0][["mean", "sd", "eti95_lb", "eti95_ub", "p_positive"]].to_dict()
            lines.append({"correlation": value, **line, "passed": fit.passed})
            outcome = found.outcome
            advance(number)
    return Sensitivity(predictor, str(outcome), effect, between, pd.DataFrame(lines))


def _with_correlation(spec: ModelSpec, between: tuple[str, str], value: float) -> ModelSpec:
    """Return the model with a stated correlation of two outcomes' residuals; at 0 it is the model itself."""
    content = spec.model_dump(mode="json", exclude_defaults=True)
    content["residual"] = {"correlate": list(between), "fixed": value}
    made = make_model(content)
    return spec if np.isclose(value, 0.0) else made
