"""What is checked after every fit, each with a sentence and a remedy. Nothing here raises for a bad fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import arviz_stats as azs
import numpy as np
import xarray as xr

from bayes_alliance._messages import first_few

RHAT_MAX: Final = 1.01
ESS_PER_CHAIN: Final = 100
BFMI_MIN: Final = 0.3
PARETO_MAX: Final = 0.7


@dataclass(frozen=True)
class CheckResult:
    """One check: what was looked at, how it came out, and what to do if it failed."""

    name: str
    passed: bool
    sentence: str
    remedy: str = ""


def check_sampling(posterior: xr.Dataset, sample_stats: xr.Dataset) -> tuple[CheckResult, ...]:
    """Check R-hat, bulk and tail ESS, then divergences, tree depth and E-BFMI of NUTS or weights of proposals.

    Parameters
    ----------
    posterior, sample_stats : Dataset over (chain, draw, …)
        Entries that never vary, such as the diagonal of a correlation matrix, are left out.

    Returns
    -------
    tuple of CheckResult
        In the order in which a reader should look at them.
    """
    chains = posterior.sizes["chain"]
    rhat, bulk, tail = (flatten(values) for values in diagnose_draws(posterior).values())
    mixing = (_rhat(rhat, chains), _ess("bulk", bulk, chains), _ess("tail", tail, chains))
    if "pareto_k" in sample_stats.attrs:
        return (*mixing, _pareto(float(sample_stats.attrs["pareto_k"])))
    return (*mixing, _divergences(sample_stats), _tree_depth(sample_stats), _bfmi(sample_stats))


def diagnose_draws(draws: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return rank-normalised R-hat, bulk ESS and tail ESS (of the 5 % and 95 % quantiles) of every entry.

    Entries that never vary have none (NaN).

    References
    ----------
    vehtari2021
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "r_hat": azs.rhat(draws, method="rank"),
            "ess_bulk": azs.ess(draws, method="bulk"),
            "ess_tail": azs.ess(draws, method="tail", prob=(0.05, 0.95)),
        }


def verdict(checks: tuple[CheckResult, ...]) -> str:
    """Return one line that says whether the chains can be trusted."""
    failed = [check for check in checks if not check.passed]
    if not failed:
        return f"Sampling passed all {len(checks)} checks."
    return f"Sampling FAILED {len(failed)} of {len(checks)} checks: " + " ".join(
        f"{check.sentence} {check.remedy}" for check in failed
    )


def chains_mixed(row: Mapping[str, float], chains: int) -> bool:
    """Return whether chains agree on a quantity and tell enough of it, from its ``r_hat``, ``ess_bulk``, ``ess_tail``.

    A quantity that never varies has none of these, and is as sure as can be.
    """
    enough = all(not row[name] < ESS_PER_CHAIN * chains for name in ("ess_bulk", "ess_tail"))
    return enough and not row["r_hat"] > RHAT_MAX


def flatten(values: xr.Dataset) -> dict[str, float]:
    """Return every finite entry under its name, such as ``b[phq9, month]``."""
    flat = {}
    for name, array in values.data_vars.items():
        for index in np.ndindex(array.shape):
            value = float(array.values[index])
            if np.isfinite(value):
                flat[entry_name(str(name), array, index)] = value
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
    bad = {name: value for name, value in rhat.items() if value > RHAT_MAX}
    worst = max(rhat.values(), default=np.nan)
    if not bad:
        return CheckResult("r_hat", True, f"R-hat is at most {worst:.3f} (allowed {RHAT_MAX}).")
    shown = first_few([f"{n} ({v:.3f})" for n, v in sorted(bad.items(), key=lambda item: -item[1])])
    return CheckResult(
        "r_hat",
        False,
        f"R-hat is above {RHAT_MAX} for {shown}.",
        "Sample longer (tune and draws), or simplify the model.",
    )


def _ess(kind: str, ess: dict[str, float], chains: int) -> CheckResult:
    need = ESS_PER_CHAIN * chains
    bad = {name: value for name, value in ess.items() if value < need}
    least = min(ess.values(), default=np.nan)
    if not bad:
        return CheckResult(f"ess_{kind}", True, f"{kind.capitalize()} ESS is at least {least:.0f} (needed {need}).")
    shown = first_few([f"{n} ({v:.0f})" for n, v in sorted(bad.items(), key=lambda item: item[1])])
    return CheckResult(f"ess_{kind}", False, f"{kind.capitalize()} ESS is below {need} for {shown}.", "Draw more.")


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


def _divergences(stats: xr.Dataset) -> CheckResult:
    count, total = int(stats["diverging"].sum()), stats["diverging"].size
    if count == 0:
        return CheckResult("divergences", True, "No divergences.")
    return CheckResult(
        "divergences",
        False,
        f"{count} of {total} draws diverged.",
        "Raise target_accept to 0.95, 0.99 or 0.999, or put a tighter prior on SDs near zero.",
    )


def _tree_depth(stats: xr.Dataset) -> CheckResult:
    share = float(stats["reached_max_treedepth"].mean())
    if share < 0.01:
        return CheckResult("tree_depth", True, f"{share:.1%} of draws reached the largest tree.")
    return CheckResult(
        "tree_depth",
        False,
        f"{share:.1%} of draws reached the largest tree.",
        "Raise max_treedepth, or rescale predictors.",
    )


def _bfmi(stats: xr.Dataset) -> CheckResult:
    least = float(azs.bfmi(stats[["energy"]])["energy"].min())
    if least >= BFMI_MIN:
        return CheckResult("e_bfmi", True, f"E-BFMI is at least {least:.2f} (needed {BFMI_MIN}).")
    return CheckResult(
        "e_bfmi",
        False,
        f"E-BFMI is {least:.2f} in the worst chain (needed {BFMI_MIN}).",
        "Tune longer; look at the SDs near zero.",
    )
