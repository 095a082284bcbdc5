"""Two fits of one question: the same bits, the same within Monte Carlo error, or not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import arviz_stats as azs
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance.design.posterior_variables import PosteriorVariable
from bayes_alliance.fit.result import Fit
from bayes_alliance.posterior.entries import SAMPLE_DIMS, Entry, entries_of, public_entries
from bayes_alliance.posterior.estimands import summarize_estimands

type Agreement = Literal["bit-identical", "statistically identical", "different"]

LIMIT: Final = 4.0
"""Monte Carlo errors that two runs of one posterior may lie apart."""

TAILS: Final = (0.05, 0.95)


@dataclass(frozen=True, eq=False)
class Agreed:
    """How two fits agree.

    ``table`` has a line per quantity and figure: ``name``, ``figure`` (mean, q05, q95, or median of a ratio),
    ``before``, ``now``, ``mcse`` (of the difference) and ``z``; it is empty where the bits are the same. ``why`` names
    what makes two fits different.
    """

    level: Agreement
    table: pd.DataFrame
    why: tuple[str, ...] = ()

    @property
    def worst(self) -> float:
        """Return the largest distance in Monte Carlo errors; 0 where the bits are the same."""
        return float(self.table["z"].abs().max()) if len(self.table) else 0.0


def draws_digest(fit: Fit) -> str:
    """Return a sha256 over every draw of a fit: names, dims, labels and bits."""
    digest = hashlib.sha256()
    for group in ("posterior", "sample_stats", "estimands"):
        if group not in fit.data.children:
            continue
        data = fit.data[group].to_dataset()
        for name in sorted(map(str, data.data_vars)):
            array = data[name]
            digest.update(f"{group}/{name}{array.dims}{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array.values).tobytes())
            for dim in sorted(set(map(str, array.dims)) & set(map(str, array.coords))):
                digest.update("\x1f".join(map(str, array[dim].values)).encode())
    return digest.hexdigest()


def compare_fits(before: Fit, now: Fit) -> Agreed:
    """Tell how two fits of one question agree.

    Statistically identical are fits that both passed their checks, and of which every coefficient, SD, correlation,
    share and estimand has means and 5 % and 95 % quantiles within 4 Monte Carlo errors of the difference (medians
    instead of means for ratios, which may have none).

    Parameters
    ----------
    before, now : Fit
        With or without their rows; not changed.

    Returns
    -------
    Agreed
        ``level`` is "bit-identical", "statistically identical" or "different"; ``why`` names what makes it the last.
    """
    if draws_digest(before) == draws_digest(now):
        return Agreed("bit-identical", pd.DataFrame())
    old, new = _figures(before), _figures(now)
    why = [f"Only one of them has {name}." for name in dict.fromkeys([*old, *new]) if (name in old) != (name in new)]
    rows = []
    for place in old:
        if place not in new:
            continue
        (one, error_one), (two, error_two) = old[place], new[place]
        error = float(np.hypot(error_one, error_two))
        apart = abs(one - two)
        z = 0.0 if apart == 0 else apart / error if error > 0 else np.inf
        rows.append({"name": place[0], "figure": place[1], "before": one, "now": two, "mcse": error, "z": z})
    table = pd.DataFrame(rows, columns=["name", "figure", "before", "now", "mcse", "z"])
    far = table[~(table["z"] <= LIMIT)].sort_values("z", ascending=False)
    why += [
        f"{row.figure} of {row.name_}: {row.before:.4g} then, {row.now:.4g} now, {row.z:.1f} Monte Carlo errors apart."
        for row in far.rename(columns={"name": "name_"}).itertuples()
    ]
    for when, fit in (("The run", before), ("The rerun", now)):
        if not fit.passed:
            why.append(f"{when} did not pass its checks: {fit.verdict}")
    return Agreed("different" if why else "statistically identical", table, tuple(why))


def tell_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in sentences what differs between the records of two runs, beside their draws."""
    told = []
    for name in ("seed", "engine"):
        if before[name] != now[name]:
            told.append(f"{name}: {before[name]} then, {now[name]} now")
    settings = _settings(before), _settings(now)
    for name in sorted({*settings[0], *settings[1]}):
        one, two = (part.get(name, "not known") for part in settings)
        if one != two:
            told.append(f"{name}: {one} then, {two} now")
    old, new = before["versions"], now["versions"]
    packages = {**before.get("packages", {}), **old["packages"]}, {**now.get("packages", {}), **new["packages"]}
    for name in sorted({*packages[0], *packages[1]}):
        one, two = (part.get(name, "not installed") for part in packages)
        if one != two:
            told.append(f"{name}: {one} then, {two} now")
    for name in ("python", "platform", "blas"):
        if old[name] != new[name]:
            told.append(f"{name}: {old[name]} then, {new[name]} now")
    if old["code"] != new["code"]:
        told.append("the text of bayes-alliance itself (between releases its version does not tell)")
    if before.get("flags") != now.get("flags"):
        told.append(f"environment variables: {before.get('flags')} then, {now.get('flags')} now")
    return told


def _settings(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a run as text; what it left to its models is as their fits have it."""
    fits = [model["provenance"]["settings"] for model in record["models"].values()]
    return {
        name: str(value) if value is not None else ", ".join(sorted({str(fit[name]) for fit in fits}))
        for name, value in record["settings"].items()
    }


def _figures(fit: Fit) -> dict[tuple[str, str], tuple[float, float]]:
    """Return every figure that is compared and its Monte Carlo error, by quantity and figure."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    _add(found, fit.data["posterior"].to_dataset(), public_entries(fit), ["mean"])
    estimands = fit.data["estimands"].to_dataset() if "estimands" in fit.data.children else None
    if estimands is not None:
        means = dict(zip(*(summarize_estimands(fit)[column] for column in ("name", "mean")), strict=True))
        for name in map(str, estimands["estimand"].values):
            ratio = bool(np.isnan(means[name]))
            one = estimands[["value"]].sel(estimand=name, drop=True).rename({"value": name})
            fixed = np.asarray(bool(estimands["constant"].sel(estimand=name)))
            entries = entries_of(one, [PosteriorVariable(name, "estimand")], {name: fixed})
            _add(found, one, entries, ["median" if ratio else "mean"])
    return found


def _add(
    found: dict[tuple[str, str], tuple[float, float]], draws: xr.Dataset, entries: Sequence[Entry], middle: list[str]
) -> None:
    if not entries:  # an estimand that never varies
        return
    names = dict.fromkeys(entry.variable.name for entry in entries)
    plain = xr.Dataset({name: draws[name].transpose(*SAMPLE_DIMS, ...) for name in names})
    figures = {name: getattr(plain, name)(SAMPLE_DIMS) for name in middle}
    errors = {name: azs.mcse(plain, method=name) for name in middle}
    for prob in TAILS:
        label = f"q{100 * prob:02.0f}"
        figures[label] = plain.quantile(prob, SAMPLE_DIMS)
        errors[label] = azs.mcse(plain, method="quantile", prob=prob)
    for entry in entries:
        for figure in figures:
            value = float(figures[figure][entry.variable.name].values[entry.index])
            found[entry.name, figure] = value, float(errors[figure][entry.variable.name].values[entry.index])
