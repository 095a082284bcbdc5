"""Calibration of indirect effects, and what ignoring therapists does to them. All studies are SYNTHETIC.

    uv run --group test python -m benchmarks.indirect --n 500 --trials 200

First, studies of 250 patients of 30 therapists whose truths are drawn from the model's own priors: the rank of the true
sequential effect a1 d21 b2 among its draws is uniform if all is right. Then trials from two stated truths, one of them
with d21 = 0, each fitted with therapists and without them: coverage of 95 % intervals and bias, reported, not judged
(the interval of a product near 0 holds it too often).
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np

import bayes_alliance as ba
from bayes_alliance.diagnosis.uniformity import uniformity
from bayes_alliance.fit.exact import sample_exact
from bayes_alliance.simulate.studies import plan_studies

SETTINGS = ba.SamplerSettings(draws=500, chains=2, progress="off")
SPEC = ba.load_model("mediation/sequential")
WITHOUT = ba.alter_model(SPEC, drop=dict.fromkeys(SPEC.outcomes, "(1 | therapist)"))
LAYOUT = {"patients": 250, "arms": {"SP": 125, "CBASP": 125}, "therapists": {"SP": 15, "CBASP": 15}}
VARIABLES: dict[str, Any] = {"inhibition_pre": {"mean": 1.9, "sd": 0.7}, "depression_pre": {"mean": 27, "sd": 5.5}}
DRAWN = {name: name for name in ("alliance_early", "alliance_change")}
KEPT = 99
PATHS = {
    "a1": "alliance_change, condition[CBASP]",
    "d21": "inhibition_change, alliance_change",
    "b1": "depression_post, alliance_change",
    "b2": "depression_post, inhibition_change",
}
SLOPES = {
    "alliance_early": {"Intercept": 3.0, "condition[CBASP]": 0.2, "inhibition_pre": -0.2, "depression_pre": -0.01},
    "alliance_change": {
        "Intercept": 1.5,
        "condition[CBASP]": 0.4,
        "alliance_early": -0.3,
        "inhibition_pre": -0.1,
        "depression_pre": 0.0,
    },
    "inhibition_change": {
        "Intercept": 0.5,
        "condition[CBASP]": -0.1,
        "alliance_change": -0.4,
        "alliance_early": -0.1,
        "inhibition_pre": -0.3,
        "depression_pre": 0.0,
    },
    "depression_post": {
        "Intercept": 5.0,
        "condition[CBASP]": -1.0,
        "alliance_change": -1.0,
        "inhibition_change": 3.0,
        "alliance_early": -0.5,
        "inhibition_pre": 1.0,
        "depression_pre": 0.5,
    },
}
SPREADS = {
    "alliance_early": (0.25, 0.6),
    "alliance_change": (0.4, 0.6),
    "inhibition_change": (0.1, 0.5),
    "depression_post": (2.0, 5.0),
}
"""SDs of therapists and of residuals; therapists' effects on alliance change and depression correlate at -.4."""


def truth_with(d21: float) -> dict[str, float]:
    """Return a stated truth."""
    truth = {f"b[{outcome}, {term}]": value for outcome, terms in SLOPES.items() for term, value in terms.items()}
    for outcome, (therapist, residual) in SPREADS.items():
        truth |= {f"sd_therapist[{outcome}, Intercept]": therapist, f"sigma[{outcome}]": residual}
    truth["cor_therapist[alliance_change, Intercept | depression_post, Intercept]"] = -0.4
    return truth | {f"b[{PATHS['d21']}]": d21}


def products(value: Any) -> dict[str, Any]:
    """Return the effects from slopes by label."""
    return {
        "sequential": value(PATHS["a1"]) * value(PATHS["d21"]) * value(PATHS["b2"]),
        "by alliance": value(PATHS["a1"]) * value(PATHS["b1"]),
    }


def rank_one(number: int) -> int:
    """Draw a study from the priors, fit it, and return the rank of the true sequential effect among 99 draws."""
    studies = plan_studies(SPEC, LAYOUT, seed=7, variables=VARIABLES, columns=DRAWN, reference={"condition": "SP"})
    draw_seed, fit_seed = np.random.SeedSequence([7, number]).spawn(2)
    study = studies.draw(np.random.default_rng(draw_seed), None)
    posterior = sample_exact(study.design, SETTINGS, int(fit_seed.generate_state(1)[0])).posterior
    b = posterior["b"].stack(sample=("chain", "draw"))
    drawn = products(lambda label: b.sel(coef=label).values)["sequential"]
    true = products(lambda label: study.truth[f"b[{label}]"])["sequential"]
    kept = drawn[np.linspace(0, len(drawn) - 1, KEPT).astype(int)]
    return int((kept < true).sum())


def fit_one(case: tuple[int, float]) -> list[tuple[str, str, float, float, bool, float]]:
    """Simulate a trial and fit it with and without therapists; return effect, model, truth, error, inside, SD."""
    seed, d21 = case
    truth = truth_with(d21)
    table = ba.simulate_sessions(SPEC, LAYOUT, truth=truth, seed=seed, variables=VARIABLES, columns=DRAWN)
    expected = products(lambda label: truth[f"b[{label}]"])
    found = []
    for name, spec in (("with therapists", SPEC), ("without", WITHOUT)):
        fit = ba.fit_model(
            spec, ba.Study(table, columns=DRAWN, reference=table.reference), seed=seed, settings=SETTINGS
        )
        b = fit.data["posterior"]["b"].stack(sample=("chain", "draw"))
        for effect, draws in products(lambda label, b=b: b.sel(coef=label).values).items():
            low, high = np.quantile(draws, [0.025, 0.975])
            true = expected[effect]
            found.append((effect, name, true, float(draws.mean()) - true, low < true < high, float(draws.std())))
    return found


def quiet() -> None:
    """Leave out the messages of every study."""
    warnings.simplefilter("ignore")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500, help="studies from the priors")
    parser.add_argument("--trials", type=int, default=200, help="trials per stated truth")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn"), initializer=quiet) as pool:
        levels = (np.array(list(pool.map(rank_one, range(options.n), chunksize=5))) + 0.5) / (KEPT + 1)
        inside = np.mean(np.abs(levels - 0.5) <= 0.475)
        print(
            f"{options.n} studies from the priors: p of uniform ranks {uniformity(levels):.2f}, 95 % intervals "
            f"hold the sequential effect in {inside:.3f}",
            flush=True,
        )
        for d21 in (-0.4, 0.0):
            cases = [(seed, d21) for seed in range(options.trials)]
            rows = [row for part in pool.map(fit_one, cases, chunksize=5) for row in part]
            for effect in ("sequential", "by alliance"):
                for name in ("with therapists", "without"):
                    own = [row for row in rows if row[:2] == (effect, name)]
                    errors, sds = np.array([row[3] for row in own]), np.array([row[5] for row in own])
                    print(
                        f"d21 = {d21:4}  {effect:12} {name:16} truth {own[0][2]:6.3f}  bias {errors.mean():6.3f} "
                        f"(Monte Carlo {errors.std(ddof=1) / np.sqrt(len(own)):.3f})  mean SD / SD of estimates "
                        f"{sds.mean() / errors.std(ddof=1):.2f}  covered {np.mean([row[4] for row in own]):.3f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
