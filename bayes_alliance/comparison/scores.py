"""How well units are predicted that a fit has not seen: one number each, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import arviz_stats.utils as azu
import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import count_of, escaped
from bayes_alliance.comparison.pareto import smooth_weights
from bayes_alliance.comparison.units import UnitName

ALIKE = 1e-12
"""Spread of log-densities over draws, relative to their size, up to which they are constant."""

type Method = Literal["psis", "kfold", "lfo"]


@dataclass(frozen=True, eq=False)
class Scores:
    """Expected log predictive densities of units left out, in nats.

    ``elpd_i``, ``fitted_i`` (the same density given all rows), ``pareto_k`` (NaN where no weights were needed),
    ``mcse_i`` and ``rows`` have shape (unit,); ``refitted`` marks units that were left out by fitting anew. ``target``
    says what a score is the density of, ``fingerprint`` which outcomes of which units with which values: scores compare
    if it is the same.
    """

    title: str
    unit: UnitName
    labels: tuple[str, ...]
    outcomes: tuple[str, ...]
    target: str
    method: Method
    elpd_i: np.ndarray
    fitted_i: np.ndarray
    pareto_k: np.ndarray
    mcse_i: np.ndarray
    rows: np.ndarray
    refitted: np.ndarray
    draws: int
    fingerprint: str
    messages: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def elpd(self) -> float:
        """Return the sum over units; higher is better."""
        return float(self.elpd_i.sum())

    @property
    def se(self) -> float:
        """Return the standard error of the sum, units being a sample."""
        return float(np.sqrt(len(self)) * self.elpd_i.std(ddof=1)) if len(self) > 1 else float("nan")

    @property
    def mcse(self) -> float:
        """Return the Monte Carlo error of the sum, for these units."""
        return float(np.sqrt((self.mcse_i**2).sum()))

    @property
    def p_loo(self) -> float:
        """Return the effective number of parameters: how much better units are fitted than predicted."""
        return float((self.fitted_i - self.elpd_i).sum())

    @property
    def good_k(self) -> float:
        """Return the Pareto k up to which weights of so many draws are dependable (Vehtari et al. 2024)."""
        return float(min(1 - 1 / np.log10(max(self.draws, 11)), 0.7))

    @property
    def bad(self) -> np.ndarray:
        """Return which units' weights are not dependable, refitted ones left out, shape (unit,)."""
        return np.asarray(((self.pareto_k > self.good_k) | ~np.isfinite(self.elpd_i)) & ~self.refitted)

    def table(self) -> pd.DataFrame:
        """Return one line per unit: its label, rows, elpd, Monte Carlo error, Pareto k, whether it was refitted."""
        return pd.DataFrame(
            {
                self.unit: self.labels,
                "rows": self.rows,
                "elpd": self.elpd_i,
                "mcse": self.mcse_i,
                "pareto_k": self.pareto_k,
                "refitted": self.refitted,
            }
        )

    def to_arviz(self, shift: np.ndarray | None = None) -> azu.ELPDData:
        """Return the scores as ArviZ has them, ``elpd_i`` less a number per unit where one is given."""
        labels = {self.unit: list(self.labels)}

        def values(array: np.ndarray) -> xr.DataArray:
            return xr.DataArray(array, dims=(self.unit,), coords=labels)

        return azu.ELPDDataLOO(
            elpd=self.elpd,
            se=self.se,
            p=self.p_loo,
            n_samples=self.draws,
            n_data_points=len(self),
            scale="log",
            warning=bool(self.bad.any()),
            good_k=self.good_k,
            elpd_i=values(self.elpd_i if shift is None else self.elpd_i - shift),
            pareto_k=values(self.pareto_k),
        )

    @escaped
    def __repr__(self) -> str:
        lines = [
            f"elpd {self.elpd:.1f} (SE {self.se:.1f}, Monte Carlo {self.mcse:.2f}), p_loo {self.p_loo:.1f}: "
            f"{count_of(len(self), self.unit)} predicted from the others.",
            f"{self.title}; density of {self.target}.",
        ]
        bad = int(self.bad.sum())
        if self.method == "psis":
            lines.append(
                f"Pareto k above {self.good_k:.2f} in {bad} of {len(self)}"
                + (f", {int(self.refitted.sum())} refitted." if self.refitted.any() else ".")
            )
        return "\n".join([*lines, *self.messages])


def smooth(log_density: np.ndarray, scored: np.ndarray, efficiency: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return leave-one-out log-densities, their Monte Carlo errors and Pareto k, each of shape (unit,).

    Pareto k is NaN of units that no draw says anything of, which need no weights, and infinite where weights have no
    tail that it could be worked out from.

    Parameters
    ----------
    log_density : ndarray, shape (draw, unit)
        Of all that is left out: draws are weighted by the inverse (Vehtari, Gelman and Gabry 2017).
    scored : ndarray, shape (draw, unit)
        Of what is predicted; the same where that is all that is left out.
    efficiency : float
        Effective draws per draw.
    """
    draws, units = log_density.shape
    weights, k = np.full((units, draws), -np.log(draws)), np.full(units, np.nan)
    # what no draw says anything of needs no weights, and has no tail to be smoothed
    varied = np.ptp(log_density, axis=0) > ALIKE * (1 + np.abs(log_density).max(axis=0))
    if varied.any():
        weights[varied], own = smooth_weights(-log_density.T[varied], efficiency)
        k[varied] = np.where(np.isnan(own), np.inf, own)
    elpd = np.logaddexp.reduce(weights + scored.T, axis=1)
    apart = np.exp(scored.T - elpd[:, None]) - 1
    error = np.sqrt((np.exp(2 * weights) * apart**2).sum(axis=1) / efficiency)
    return elpd, error, k


def average_density(log_density: np.ndarray) -> np.ndarray:
    """Return logs of mean densities over draws, and the Monte Carlo errors of these logs, shape (2, unit).

    Parameters
    ----------
    log_density : ndarray, shape (draw, unit)
        From draws that know nothing of the units.
    """
    elpd = np.logaddexp.reduce(log_density, axis=0) - np.log(len(log_density))
    return np.array([elpd, np.std(np.exp(log_density - elpd), axis=0) / np.sqrt(len(log_density))])
