"""What departures from missing at random would do: one model fitted again with an association held at stated values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bayes_alliance._messages import escaped, unknown
from bayes_alliance.comparison.confounding import tipping_points, unclear_points
from bayes_alliance.errors import FitError, SpecError
from bayes_alliance.fit.checks import RHAT_MAX
from bayes_alliance.fit.fit import fit_model
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.posterior.estimands import summarize_estimands
from bayes_alliance.spec.expressions import render, render_term
from bayes_alliance.spec.model import ModelSpec, PriorSpec
from bayes_alliance.spec.null_values import null_value
from bayes_alliance.study import Study, as_study, prior_records
from bayes_alliance.table.sessions import SessionTable

HELD = 1e-2
"""SD of the normal that holds a coefficient, as a share of its posterior SD where it is estimated."""

KEPT = ["mean", "sd", "eti95_lb", "eti95_ub", "p_positive", "r_hat", "ess_bulk"]


@dataclass(frozen=True, eq=False)
class Sweep:
    """An estimand by a coefficient that was held at stated values.

    ``table`` has a line per value: ``held, mean, sd, eti95_lb, eti95_ub, p_positive, r_hat, ess_bulk, passed``;
    ``estimated`` the same where the coefficient was estimated, ``held`` being its posterior mean. ``tipping`` are the
    values at which the mean of the estimand is ``null``, the value that means no difference (0, or 1 of factors such as
    hazard ratios), by interpolation; ``unclear`` those from which on, away from 0, its 95 % interval holds it. Neither
    rests on fits whose chains disagree on the estimand (R-hat above 1.01, or not known).
    """

    label: str
    coefficient: str
    estimand: str
    unit: str
    table: pd.DataFrame
    estimated: pd.DataFrame
    null: float | None = 0.0

    @property
    def agreed(self) -> pd.DataFrame:
        """Return the lines whose chains agree on the estimand; one chain alone agrees with nothing."""
        return self.table[self.table["r_hat"] <= RHAT_MAX]

    @property
    def apart(self) -> pd.DataFrame:
        """Return the lines whose chains do not."""
        return self.table.drop(self.agreed.index)

    @property
    def tipping(self) -> tuple[float, ...]:
        """Return the held values at which the mean of the estimand passes ``null``."""
        return tipping_points(self.agreed["held"], self.agreed["mean"], null=self.null)

    @property
    def unclear(self) -> tuple[float, ...]:
        """Return the held values nearest to 0, on either side, at which the interval holds ``null``."""
        return unclear_points(self.agreed, "held", null=self.null)

    @escaped
    def __repr__(self) -> str:
        tips = ", ".join(f"{value:.2f}" for value in self.tipping)
        if self.null is None:
            says = "it has no value that means no difference"
        elif self.agreed["mean"].notna().sum() < 2:
            says = "where its mean would turn is not known"
        elif tips:
            says = f"its mean is {self.null:g} at {tips}"
        else:
            says = "its mean keeps its sign throughout" if not self.null else f"its mean never passes {self.null:g}"
        left = [f"{value:g}" for value in self.apart["held"]]
        if left:
            says += f" (without {', '.join(left)}, where chains did NOT agree: more draws, or another seed)"
        return (
            f"{self.estimand} ({self.unit}) with {self.coefficient} held at stated values: {says}. What leaving hangs "
            f"on beyond what was observed is an assumption; the data tell it through the shape of the model alone.\n"
            f"{self.table.round(3).to_string(index=False)}\nEstimated:\n{self.estimated.round(3).to_string(index=False)}"
        )


def delta_sweep(
    spec: ModelSpec,
    study: Study[SessionTable] | SessionTable,
    *,
    hold: str,
    values: Sequence[float],
    estimand: str,
    seed: int,
    settings: SamplerSettings | None = None,
    progress: Progress = "auto",
) -> Sweep:
    """Fit a joint model again with an association held at stated values, and follow an estimand.

    How leaving hangs on what was not observed cannot be seen in the data; a joint model estimates it through its shape.
    Held at 0 it is missing at random; the further from 0, the stronger the departure. Every value is a fit, since
    weights of one fit's draws would rest on few of them (Daniels and Hogan 2008).

    Parameters
    ----------
    spec, study, settings
        As in ``fit_model``.
    hold : str
        A label of the model, of the coefficient that is held, such as ``current_value`` of ``dropout/joint-value``.
    values : sequence of float
        In the coefficient's unit; with 0 among them the model at missing at random is in the table.
    estimand : str
        An estimand of the model.
    seed : int
        For every fit.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    Sweep
        The estimand per value, where it passes what means no difference, and what it is where the association is
        estimated.

    Raises
    ------
    SpecError
        If there is no such label.
    FitError
        If fewer than two values are stated, or there is no such estimand.
    """
    check_seed(seed)
    given = as_study(study)
    chosen = sorted({float(value) for value in values})
    if hold not in spec.labels:
        raise SpecError(unknown("label", hold, spec.labels))
    if len(chosen) < 2:
        raise FitError(f"values = {list(values)}: two values or more.")
    target = spec.label_targets[hold]
    outcome = target.outcome
    parsed = next(equation for equation in spec.equation if equation.outcome == outcome).parsed
    names = [render_term(term) for term in parsed.terms if frozenset(map(render, term.parts)) == target.term]
    if not names:
        raise SpecError(f"{hold} is {spec.labels[hold]}; hold the coefficient of a term.")
    term = names[0]
    used = settings or SamplerSettings(progress="off")

    def follow(held: float | None, spread: float = 0.0) -> tuple[Fit, dict[str, object]]:
        stated = list(prior_records(given.priors))
        if held is not None:
            text = f"normal({held!r}, {HELD * spread!r})"
            stated.append(PriorSpec(on=f"{outcome}: b {term}", dist=text, reason="Held, in a sensitivity analysis."))
        fit = fit_model(spec, replace(given, priors=stated), seed=seed, settings=used)
        table = summarize_estimands(fit).set_index("name")
        if estimand not in table.index:
            raise FitError(unknown("estimand", estimand, table.index))
        line: dict[str, object] = {name: float(table[name].to_dict()[estimand]) for name in KEPT}
        return fit, line | {"passed": fit.passed}

    lines: list[dict[str, object]] = []
    with counter("Values", len(chosen) + 1, progress) as advance:
        free, line = follow(None)
        place = _coefficient(free, outcome, term)
        own = free.data["posterior"]["b"].sel(coef=place)
        estimated = {"held": float(own.mean()), **line}
        advance(1)
        for number, value in enumerate(chosen, start=2):
            lines.append({"held": value, **follow(value, float(own.std()))[1]})
            advance(number)
    unit = str(summarize_estimands(free).set_index("name").loc[estimand, "unit"])
    table = pd.DataFrame(lines)
    return Sweep(hold, f"b[{place}]", estimand, unit, table, pd.DataFrame([estimated]), null_value(spec, estimand))


def _coefficient(fit: Fit, outcome: str, term: str) -> str:
    """Return the study's name of a labelled coefficient."""
    assert fit.design is not None  # it was fitted just now
    equation = fit.design.find(outcome)
    places = [i for i, own in enumerate(equation.coef.terms) if own == term]
    if len(places) != 1:
        raise SpecError(f"{outcome} ~ {term} is {len(places)} coefficients; hold a single one.")
    return equation.coef_labels[places[0]]
