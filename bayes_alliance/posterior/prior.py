"""What the priors of a design claim, on scales people know: shares of variance, standardised effects, estimands."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_alliance.design.design import Design
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.fit.estimands import work_out
from bayes_alliance.names import COEF, INTERCEPT
from bayes_alliance.posterior.variance import join_shares, shares_of
from bayes_alliance.simulate.prior import draw_parameters


def describe_prior(design: Design, *, draws: int = 1000, seed: int) -> pd.DataFrame:
    """Describe the priors before any outcome is seen.

    Parameters
    ----------
    design : Design
        With its priors as numbers.
    draws : int
        Parameter sets drawn from the priors.
    seed : int
        The same seed gives the same table.

    Returns
    -------
    DataFrame
        Columns ``name, scale, median, q5, q95``: standardised coefficients (outcome SDs, log-odds or probits per SD of
        the predictor; per step for 0/1 predictors), shares of variance and ICCs per factor (0 to 1), estimands in
        their units.

    Raises
    ------
    DesignError
        If a prior is improper, so that nothing can be drawn from it.
    """
    drawn = draw_parameters(design, draws=draws, seed=seed)
    rows: list[tuple[str, str, np.ndarray]] = []
    for equation, own in ((e, own) for e in design.equations for own in e.linear_predictors):
        in_sds = equation.kind.link == "identity"
        spread = design.priors.scales[own.name].outcome_sd if in_sds else 1.0
        for i, label in enumerate(own.coef_labels):
            column = own.coef.values[:, i]
            if own.coef.labels[i] == INTERCEPT:
                continue
            step = bool(np.isin(column, (0.0, 1.0)).all())
            unit = "outcome SDs" if in_sds else equation.kind.unit
            for parameter in equation.kind.parameters:
                unit = parameter.unit if own.spec.parameter == parameter.name else unit
            scale = f"{unit} per {'step' if step else 'predictor SD'}"
            size = 1.0 if step else float(column.std(ddof=1))
            rows.append((f"b[{label}]", scale, drawn["b"].sel({COEF: label}).values * size / spread))
    moments = {e.outcome: variance_moments(design, e) for e in design.equations if e.groups}
    if moments:
        shares = join_shares({outcome: shares_of(drawn, own) for outcome, own in moments.items()})
        for name, values in shares.data_vars.items():
            for stratum in values["stratum"].values:
                found = values.sel(stratum=stratum).values
                if np.ptp(found) > 0:
                    rows.append((f"{name}[{stratum}]", "share of variance", found))
    estimands = work_out(design.estimands, drawn)
    if estimands is not None:
        for i, name in enumerate(estimands["estimand"].values):
            rows.append((str(name), str(estimands["unit"].values[i]), estimands["value"].isel(estimand=i).values))
    table = [(name, scale, *np.quantile(values, [0.5, 0.05, 0.95])) for name, scale, values in rows]
    return pd.DataFrame(table, columns=["name", "scale", "median", "q5", "q95"])
