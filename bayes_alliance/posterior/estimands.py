"""Estimands as a table, and new ones asked of a fit that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import unknown
from bayes_alliance.design.estimands import resolve_estimands
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Findings
from bayes_alliance.fit.checks import chains_mixed, diagnose_draws
from bayes_alliance.fit.estimands import work_out
from bayes_alliance.fit.result import Fit, constants_of
from bayes_alliance.names import SESSION, TIME
from bayes_alliance.posterior.summary import IntervalKind, check_interval, interval
from bayes_alliance.spec.exchanges import Swap, exchange_label
from bayes_alliance.spec.expressions import Name
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.null_values import null_value
from bayes_alliance.spec.toml import write_model


def summarize_estimands(fit: Fit, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti") -> pd.DataFrame:
    """Summarize every estimand of a fit: stated ones, contextual effects, surface parameters.

    Parameters
    ----------
    fit : Fit
        Not changed; a fit without estimands gives an empty table.
    ci_prob : float
        Probability of the interval, between 0 and 1.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval; named in the columns.

    Returns
    -------
    DataFrame
        Columns ``name, level, unit, mean, sd, median, eti95_lb, eti95_ub, p_positive, p_rope, mcse, r_hat, ess_bulk,
        ess_tail, mixed``; ``mixed`` is False where R-hat is above 1.01, an ESS below 100 per chain, or one of them
        cannot be worked out, unless the model fixes the estimand. ``p_positive``
        is the probability that the estimand lies above the value that means no difference: 0, or 1 of factors such as
        odds and hazard ratios; of SDs, which have no such value, it is missing. A ratio may have no mean: it has none
        here, and ``mcse`` is that of its median; of all others it is that of the mean. ``p_rope`` is missing where no
        region of practical equivalence was stated.

    Raises
    ------
    FitError
        If ``ci_prob`` or ``ci_kind`` is not allowed.
    """
    check_interval(ci_prob, ci_kind)
    width = f"{ci_kind}{100 * ci_prob:g}"
    columns = ["name", "level", "unit", "mean", "sd", "median", f"{width}_lb", f"{width}_ub", "p_positive", "p_rope"]
    if "estimands" not in fit.data.children:
        return pd.DataFrame(columns=[*columns, "mcse", "r_hat", "ess_bulk", "ess_tail", "mixed"])
    return tabulate(estimand_draws(fit), ci_prob=ci_prob, ci_kind=ci_kind)


def estimand_draws(fit: Fit) -> xr.Dataset:
    """Return draws of a fit's estimands with the coord ``null``, the value that means no difference; NaN of SDs."""
    draws = fit.data["estimands"].to_dataset()
    nulls = [null_value(fit.spec, str(name)) for name in draws["estimand"].values]
    return draws.assign_coords(null=("estimand", [np.nan if one is None else one for one in nulls]))


def tabulate(draws: xr.Dataset, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti") -> pd.DataFrame:
    """Summarize draws of estimands; columns as in ``summarize_estimands``.

    Parameters
    ----------
    draws : Dataset
        ``value[chain, draw, estimand]`` with the coords that ``work_out`` gives, and ``null`` where not 0 alone means
        no difference. Where ``constant`` is not among them, an effect that is that value in every draw is one of which
        the model says that it is none.
    """
    check_interval(ci_prob, ci_kind)
    width = f"{ci_kind}{100 * ci_prob:g}"
    mixing = {name: values["value"].values for name, values in diagnose_draws(draws[["value"]]).items()}
    nulls = null_values(draws)
    rows = []
    for i, name in enumerate(draws["estimand"].values):
        values = draws["value"].isel(estimand=i).transpose("chain", "draw")
        ratio, null = bool(draws["ratio"].values[i]), float(nulls[i])
        low, high = interval(values.values, ci_prob, ci_kind)
        bounds = float(draws["rope_lb"].values[i]), float(draws["rope_ub"].values[i])
        inside = ((values > bounds[0]) & (values < bounds[1])).mean() if np.isfinite(bounds[0]) else np.nan
        row: dict[str, Any] = {
            "name": str(name),
            "level": str(draws["level"].values[i]),
            "unit": str(draws["unit"].values[i]),
            "mean": np.nan if ratio else float(values.mean()),
            "sd": np.nan if ratio else float(values.std(ddof=1)),
            "median": float(values.median()),
            f"{width}_lb": low,
            f"{width}_ub": high,
            "p_positive": float((values > null).mean()) if np.isfinite(null) else np.nan,
            "p_rope": float(inside),
            "mcse": float(azs.mcse(values, method="median" if ratio else "mean")),
        }
        row |= {column: float(values_of[i]) for column, values_of in mixing.items()}
        constant = bool(draws["constant"].values[i]) if "constant" in draws.coords else bool((values == null).all())
        rows.append(row | {"mixed": chains_mixed(row, values.sizes["chain"], constant=constant)})
    return pd.DataFrame(rows)


def null_values(draws: xr.Dataset) -> np.ndarray:
    """Return the values that mean no difference, shape (estimand,): 0 where the draws do not say, NaN of SDs."""
    return draws["null"].values if "null" in draws.coords else np.zeros(draws.sizes["estimand"])


def probability_in_rope(fit: Fit, name: str, *, rope: tuple[float, float] | None = None) -> float:
    """Return the posterior probability that an estimand lies in its region of practical equivalence.

    Parameters
    ----------
    fit : Fit
        With the estimand.
    name : str
        As ``summarize_estimands`` lists it.
    rope : tuple of float, optional
        Bounds in the estimand's unit, in place of those the model states.

    Returns
    -------
    float
        Share of the draws inside, bounds included.

    Raises
    ------
    FitError
        If there is no such estimand, or no region was stated for it: there is no default one.
    """
    draws = fit.data["estimands"].to_dataset() if "estimands" in fit.data.children else xr.Dataset()
    names = [str(known) for known in draws["estimand"].values] if "estimand" in draws.coords else []
    if name not in names:
        raise FitError(unknown("estimand", name, names))
    one = draws.sel(estimand=name)
    low, high = rope or (float(one["rope_lb"]), float(one["rope_ub"]))
    if not np.isfinite(low):
        raise FitError(
            f"Estimand {name!r} ({one['unit'].values!s}) has no region of practical equivalence. State one where "
            f"it is defined, rope = [-0.5, 0.5] say, or in the call: what is negligible is a matter of the unit."
        )
    if not low < high:
        raise FitError(f"rope = {(low, high)}: the lower bound comes first.")
    return float(((one["value"] > low) & (one["value"] < high)).mean())


def _as_resolved(labels: Mapping[str, str], spec: ModelSpec) -> dict[str, str]:
    """Return labels with the session in place of ``time``, where a model reads it in its place."""
    if any(TIME in own.predictors for own in spec.linear_predictors):
        return dict(labels)
    return {name: exchange_label(text, [Swap(Name(TIME), Name(SESSION))]) for name, text in labels.items()}


def add_estimands(
    fit: Fit, estimands: Mapping[str, Mapping[str, object]], *, labels: Mapping[str, str] | None = None
) -> Fit:
    """Ask more estimands of a fit; nothing is sampled.

    Parameters
    ----------
    fit : Fit
        With its rows. Not changed.
    estimands : mapping of str to mapping
        As in a model file, such as ``{"ab": {"value": "a * b", "unit": "points"}}``.
    labels : mapping of str to str, optional
        More labels, such as ``{"a": "alliance ~ condition"}``; ``time`` is what plays it, as in the model's own.

    Returns
    -------
    Fit
        With the new estimands beside those it had, in its spec, too.

    Raises
    ------
    FitError
        If the fit has no rows.
    SpecError
        If a label or an estimand makes no sense for the model.
    """
    if fit.design is None:
        raise FitError("New estimands need the rows; use fit.with_rows(sessions).")
    content = fit.spec.model_dump(mode="json", exclude_defaults=True)
    content["labels"] = {**content.get("labels", {}), **_as_resolved(labels or {}, fit.spec)}
    content["estimands"] = {**content.get("estimands", {}), **{name: dict(one) for name, one in estimands.items()}}
    spec = make_model(content)
    findings = Findings()
    resolved = resolve_estimands(spec, fit.design.equations, fit.design.factors, findings)
    findings.stop(FitError)
    tree = fit.data.copy()
    values = work_out(resolved, fit.data["posterior"].to_dataset(), constants_of(fit))
    if values is not None:
        tree["estimands"] = xr.DataTree(values)
    return replace(
        fit,
        spec=spec,
        data=tree,
        provenance={**fit.provenance, "spec": write_model(spec)},
        design=replace(fit.design, spec=spec, estimands=resolved),
    )
