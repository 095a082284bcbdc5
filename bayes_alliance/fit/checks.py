"""What is checked after every fit, each with a sentence and a remedy. Nothing here raises for a bad fit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

import arviz_stats as azs
import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayes_alliance._messages import first_few
from bayes_alliance.fit.constants import Constants

RHAT_MAX: Final = 1.01
ESS_PER_CHAIN: Final = 100
BFMI_MIN: Final = 0.3
PARETO_MAX: Final = 0.7

STEP: Final = 500
SPARE: Final = 1.2
"""Draws that are advised: so many times as effective draws grow in proportion, in steps."""


@dataclass(frozen=True)
class CheckResult:
    """One check: what was looked at, how it came out, and what to do if it failed."""

    name: str
    passed: bool
    sentence: str
    remedy: str = ""


NOT_KNOWN: Final = "Its draws do not vary, or some are NaN or infinite."


def check_sampling(
    posterior: xr.Dataset, sample_stats: xr.Dataset, *, constants: Constants | None = None
) -> tuple[CheckResult, ...]:
    """Check R-hat, bulk and tail ESS, then divergences, tree depth and E-BFMI of NUTS or weights of proposals.

    A diagnostic that is missing or not a number fails its check.

    Parameters
    ----------
    posterior, sample_stats : Dataset over (chain, draw, …)
        Draws and what the sampler says of them.
    constants : mapping of str to ndarray of bool, optional
        Entries that the model fixes, from ``find_constants``: they have no diagnostics and need none. Any other entry
        that never varies fails.

    Returns
    -------
    tuple of CheckResult
        In the order in which a reader should look at them.
    """
    chains = posterior.sizes["chain"]
    rhat, bulk, tail = (flatten(values, constants) for values in diagnose_draws(posterior).values())
    draws = posterior.sizes["draw"]
    mixing = (_rhat(rhat, chains), _ess("bulk", bulk, chains, draws), _ess("tail", tail, chains, draws))
    if "pareto_k" in sample_stats.attrs:
        return (*mixing, _pareto(float(sample_stats.attrs["pareto_k"])))
    return (*mixing, _divergences(sample_stats), _tree_depth(sample_stats), _bfmi(sample_stats))


def diagnose_draws(draws: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return rank-normalised R-hat, bulk ESS and tail ESS (of the 5 % and 95 % quantiles) of every entry.

    Entries that never vary, or with a draw that is NaN or infinite, have none (NaN).

    References
    ----------
    vehtari2021
    """
    arrays = {name: draws[name].transpose("chain", "draw", ...) for name in draws.data_vars}
    flat = [array.to_numpy().reshape(*array.shape[:2], -1) for array in arrays.values()]
    if not flat:
        return {name: xr.Dataset() for name in ("r_hat", "ess_bulk", "ess_tail")}
    stacked = np.concatenate(flat, axis=2)
    known = np.isfinite(stacked).all(axis=(0, 1)) & (stacked.max(axis=(0, 1)) > stacked.min(axis=(0, 1)))
    # ranks of infinite draws are numbers like any, and draws that never vary count as independent ones: left out here
    different, place = _distinct(stacked, np.flatnonzero(known))
    axes = {"chain_axis": 0, "draw_axis": 1}
    found = {name: np.full(len(known), np.nan) for name in ("r_hat", "ess_bulk", "ess_tail")}
    if different.shape[2]:
        with np.errstate(invalid="ignore", divide="ignore"):
            found["r_hat"][known] = array_stats.rhat(different, method="rank", **axes)[place]
            found["ess_bulk"][known] = array_stats.ess(different, method="bulk", **axes)[place]
            found["ess_tail"][known] = array_stats.ess(different, method="tail", prob=(0.05, 0.95), **axes)[place]
    frame = draws.isel(chain=0, draw=0, drop=True)
    return {name: _unstack(values, arrays, frame) for name, values in found.items()}


def _distinct(stacked: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return chosen entries of stacked ones, each set of draws once, and which of these every chosen entry is.

    Correlation matrices hold each correlation twice, and coefficients are the same with and without a centre of 0.
    """
    seen: dict[bytes, int] = {}
    place = np.array([seen.setdefault(stacked[:, :, one].tobytes(), len(seen)) for one in chosen], dtype=np.int64)
    first = np.unique(place, return_index=True)[1]
    return stacked[:, :, chosen[first]], place


def _unstack(values: np.ndarray, arrays: Mapping[Hashable, xr.DataArray], frame: xr.Dataset) -> xr.Dataset:
    """Return numbers of all entries of all variables, one after the other, as variables without chains and draws."""
    found, start = {}, 0
    for name, array in arrays.items():
        size = int(np.prod(array.shape[2:]))
        found[name] = (array.dims[2:], values[start : start + size].reshape(array.shape[2:]))
        start += size
    return xr.Dataset(found, coords=frame.coords)


def verdict(checks: tuple[CheckResult, ...]) -> str:
    """Return one line that says whether the chains can be trusted."""
    failed = [check for check in checks if not check.passed]
    if checks and not failed:
        return f"Sampling passed all {len(checks)} checks."
    return f"Sampling FAILED {len(failed)} of {len(checks)} checks: " + " ".join(
        f"{check.sentence} {check.remedy}" for check in failed
    )


def chains_mixed(row: Mapping[str, float], chains: int, *, constant: bool = False) -> bool:
    """Return whether chains agree on a quantity and tell enough of it, from its ``r_hat``, ``ess_bulk``, ``ess_tail``.

    A quantity without one of these has not mixed, unless it is ``constant``: fixed by the model.
    """
    enough = all(row[name] >= ESS_PER_CHAIN * chains for name in ("ess_bulk", "ess_tail"))
    return constant or (enough and row["r_hat"] <= RHAT_MAX)


def flatten(values: xr.Dataset, constants: Constants | None = None) -> dict[str, float]:
    """Return every entry under its name, such as ``b[phq9, month]``, but those that the model fixes."""
    flat = {}
    for name, array in values.data_vars.items():
        fixed = (constants or {}).get(str(name))
        for index in np.ndindex(array.shape):
            if fixed is None or not fixed[index]:
                flat[entry_name(str(name), array, index)] = float(array.values[index])
    return flat


def entry_name(variable: str, array: xr.DataArray, index: tuple[int, ...]) -> str:
    """Return the name of one entry of a variable by its coord labels."""
    labels = [
        str(array[dim].values[i]) if dim in array.coords else str(i) for dim, i in zip(array.dims, index, strict=True)
    ]
    return f"{variable}[{' | '.join(labels)}]" if labels else variable


def _rhat(rhat: dict[str, float], chains: int) -> CheckResult:
    if chains < 2:
        return CheckResult("r_hat", False, "R-hat needs two chains or more.", "Sample four chains.")
    unknown = _unknown("r_hat", "R-hat", rhat)
    if unknown is not None:
        return unknown
    bad = {name: value for name, value in rhat.items() if value > RHAT_MAX}
    if not bad:
        return CheckResult("r_hat", True, f"R-hat is at most {max(rhat.values()):.3f} (allowed {RHAT_MAX}).")
    shown = first_few([f"{n} ({v:.3f})" for n, v in sorted(bad.items(), key=lambda item: -item[1])])
    return CheckResult(
        "r_hat",
        False,
        f"R-hat is above {RHAT_MAX} for {shown}.",
        "Sample longer (tune and draws), or simplify the model.",
    )


def _ess(kind: str, ess: dict[str, float], chains: int, draws: int) -> CheckResult:
    need, name = ESS_PER_CHAIN * chains, f"{kind.capitalize()} ESS"
    unknown = _unknown(f"ess_{kind}", name, ess)
    if unknown is not None:
        return unknown
    bad = {name: value for name, value in ess.items() if value < need}
    if not bad:
        return CheckResult(f"ess_{kind}", True, f"{name} is at least {min(ess.values()):.0f} (needed {need}).")
    shown = first_few([f"{n} ({v:.0f})" for n, v in sorted(bad.items(), key=lambda item: item[1])])
    wanted = STEP * int(np.ceil(SPARE * draws * need / max(min(bad.values()), 1.0) / STEP))
    remedy = f"It would take about {wanted:,} draws per chain."
    return CheckResult(f"ess_{kind}", False, f"{name} is below {need} for {shown}.", remedy)


def _unknown(check: str, name: str, values: dict[str, float]) -> CheckResult | None:
    """Return the failed check of a diagnostic that some entry lacks, None where all have it."""
    lacking = [entry for entry, value in values.items() if not np.isfinite(value)]
    if lacking:
        return CheckResult(check, False, f"{name} cannot be worked out for {first_few(lacking)}.", NOT_KNOWN)
    if not values:
        return CheckResult(check, False, f"{name} cannot be worked out: there are no draws that vary.", NOT_KNOWN)
    return None


def _pareto(shape: float) -> CheckResult:
    if shape < PARETO_MAX:
        return CheckResult(
            "pareto_k", True, f"Pareto k of the proposals' weights is {shape:.2f} (allowed {PARETO_MAX})."
        )
    return CheckResult(
        "pareto_k",
        False,
        f"Pareto k of the proposals' weights is {shape:.2f} (allowed {PARETO_MAX}).",
        'Fit with engine="nuts".',
    )


def _statistic(stats: xr.Dataset, name: str) -> np.ndarray | None:
    """Return a statistic of every draw, None where the sampler did not give it or some of it is not a number."""
    values = stats[name].values if name in stats else np.empty(0)
    return values if values.size and np.isfinite(values.astype(float)).all() else None


def _not_given(check: str, what: str) -> CheckResult:
    return CheckResult(check, False, f"{what} are not known of every draw.", "Fit again: the sampler stopped early.")


def _divergences(stats: xr.Dataset) -> CheckResult:
    diverging = _statistic(stats, "diverging")
    if diverging is None:
        return _not_given("divergences", "Divergences")
    count, total = int(diverging.sum()), diverging.size
    if count == 0:
        return CheckResult("divergences", True, "No divergences.")
    return CheckResult(
        "divergences",
        False,
        f"{count} of {total} draws diverged.",
        "Raise target_accept to 0.95, 0.99 or 0.999, or put a tighter prior on SDs near zero.",
    )


def _tree_depth(stats: xr.Dataset) -> CheckResult:
    reached = _statistic(stats, "reached_max_treedepth")
    if reached is None:
        return _not_given("tree_depth", "Tree depths")
    share = float(reached.mean())
    if share < 0.01:
        return CheckResult("tree_depth", True, f"{share:.1%} of draws reached the largest tree.")
    return CheckResult(
        "tree_depth",
        False,
        f"{share:.1%} of draws reached the largest tree.",
        "Raise max_treedepth, or rescale predictors.",
    )


def _bfmi(stats: xr.Dataset) -> CheckResult:
    if _statistic(stats, "energy") is None:
        return _not_given("e_bfmi", "Energies")
    with np.errstate(invalid="ignore", divide="ignore"):
        least = float(np.min(azs.bfmi(stats[["energy"]])["energy"].values))
    if least >= BFMI_MIN:
        return CheckResult("e_bfmi", True, f"E-BFMI is at least {least:.2f} (needed {BFMI_MIN}).")
    return CheckResult(
        "e_bfmi",
        False,
        f"E-BFMI is {least:.2f} in the worst chain (needed {BFMI_MIN}).",
        "Tune longer; look at the SDs near zero.",
    )
