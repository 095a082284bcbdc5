"""Leaving patients out without fitting again: how long for how many, and against fitting again.

Run as ``python -m benchmarks.left_out``. Tables are SYNTHETIC.
"""

from __future__ import annotations

import time
import warnings

import numpy as np

import bayes_alliance as ba
from bayes_alliance.comparison.refits import leave_out, refit_without, score_unseen
from bayes_alliance.comparison.units import find_units
from benchmarks.collapsed import fit_ours, make_study, read_study

REFITS = 8


def against_refits() -> None:
    """Time 500 patients of 100 therapists, and some of them by fitting anew; print the ratio per patient."""
    _, _, fit = fit_ours(read_study(make_study(500, 100, seed=2)))
    ba.loo(fit, draws=100)  # compiled, or read from disk
    start = time.perf_counter()
    scores = ba.loo(fit)
    whole = time.perf_counter() - start
    assert fit.design is not None
    units = find_units(fit.design, "patient")
    each, apart = [], []
    for one in range(REFITS):
        start = time.perf_counter()
        own = refit_without(fit, leave_out(fit.design, units, [one]), one)
        density = score_unseen(own, fit.design, units, [one], scores.outcomes)[:, 0]
        each.append(time.perf_counter() - start)
        apart.append(scores.elpd_i[one] - (np.logaddexp.reduce(density) - np.log(len(density))))
    print(
        f"500 patients: {whole:.1f} s without fitting again ({scores.draws:,} draws); fitting again takes "
        f"{np.median(each):.1f} s a patient, {np.median(each) * 500 / whole:.0f} times as long in all. Largest "
        f"difference of {REFITS} patients: {np.abs(apart).max():.3f}; largest Pareto k {scores.pareto_k.max():.2f}.",
        flush=True,
    )


def large() -> None:
    """Time 40,000 patients of 2,000 therapists."""
    _, _, fit = fit_ours(read_study(make_study(40_000, 2_000)), draws=500)
    ba.loo(fit, draws=100, refit=False)  # compiled, or read from disk
    start = time.perf_counter()
    scores = ba.loo(fit)
    print(f"40,000 patients: {time.perf_counter() - start:.1f} s, {scores.draws} draws. {scores!r}", flush=True)


def main() -> None:
    """Run both."""
    warnings.simplefilter("ignore")
    against_refits()
    large()


if __name__ == "__main__":
    main()
