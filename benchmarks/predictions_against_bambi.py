"""The average difference between two arms among new patients: ``ba.comparisons`` beside Bambi's ``interpret``.

    uv run --group bench --group test python -m benchmarks.predictions_against_bambi --seeds 5

SYNTHETIC: a 0/1 outcome of sessions, patients and therapists. Each tool answers from a posterior of 4,000 draws under
its own names; Bambi's is sampled by nutpie once, ours are stated parameters with noise. Bambi draws the effects of a
new unit from those that were fitted, where ours are integrated out: one question, two algebras.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import bambi
import numpy as np

import bayes_alliance as ba
from benchmarks.predictions import make

FORMULA = "better ~ arm * session + x + (1 | pid) + (1 | tid)"


def main() -> None:
    """Print seconds, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=3000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    _, frame = make(given.rows, 0)
    model = bambi.Model(FORMULA, frame, family="bernoulli")
    idata = model.fit(inference_method="nutpie", draws=1000, chains=4, random_seed=1)
    ratios, ours, theirs = [], [], []
    for seed in range(given.seeds):
        fit, _ = make(given.rows, seed)
        start = time.perf_counter()
        ba.comparisons(fit, "arm")
        middle = time.perf_counter()
        bambi.interpret.comparisons(
            model, idata, contrast={"arm": ["TAU", "CBT"]}, average_by="all", sample_new_groups=True
        )
        ours.append(middle - start)
        theirs.append(time.perf_counter() - middle)
        ratios.append(theirs[-1] / ours[-1])
        print(f"seed {seed}: ours {ours[-1]:.2f} s, Bambi {theirs[-1]:.2f} s, ratio {ratios[-1]:.1f}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"Bambi over ours: {np.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}); peak {peak:.1f} GiB")


if __name__ == "__main__":
    main()
