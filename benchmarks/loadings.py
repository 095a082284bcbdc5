"""Models in which something estimated is multiplied, or coefficients are shrunk: the exact engine against NUTS.

    uv run --group test python -m benchmarks.loadings --seeds 5

Warm: both engines on the same rows in one process, after a first fit of each, in turns. Ratios are of least bulk ESS
per second of the whole ``fit_model`` call, over coefficients, SDs, residual correlations and scales that shrink
coefficients. Studies are SYNTHETIC: the examples of the models, and 200 patients of 25 therapists with 10 sessions each
for the cross-lagged model.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import arviz_stats as azs
import numpy as np
import pandas as pd

import bayes_alliance as ba
from bayes_alliance.fit.settings import Engine

MODELS = (
    "outcome/rated-competence",
    "outcome/measured-alliance",
    "outcome/growth-predicts",
    "mediation/latent-growth",
    "dynamics/cross-lagged",
    "outcome/many-predictors",
    "growth/dual-perspective-shrunk",
)
LARGE = "dynamics/cross-lagged"
ENGINES: tuple[Engine, Engine] = ("collapsed", "nuts")


def make_large(seed: int = 1, patients: int = 200, sessions: int = 10) -> ba.SessionTable:
    """Make SYNTHETIC sessions whose deviations carry over.

    Truth: outcome on itself .3, on the alliance -.2; alliance on itself .4, on the outcome -.05; SDs of patients 3, .6
    (correlation -.4), residual SDs 2 and .5 (correlation -.3), no trend.
    """
    rng = np.random.default_rng(seed)
    level = rng.multivariate_normal([0, 0], [[9, -0.72], [-0.72, 0.36]], patients)
    carry = np.array([[0.3, -0.2], [-0.05, 0.4]])
    rows, apart = [], np.zeros((patients, 2))
    for session in range(1, sessions + 1):
        apart = apart @ carry.T + rng.multivariate_normal([0, 0], [[4, -0.3], [-0.3, 0.25]], patients)
        y = np.array([15, 5]) + level + apart
        rows += [(f"P{i}", f"T{i % 25}", session, y[i, 0], y[i, 1]) for i in range(patients)]
    frame = pd.DataFrame(rows, columns=["patient", "therapist", "session", "outcome", "alliance"])
    return ba.read_sessions(frame, {name: name for name in ("patient", "therapist", "session")})


type Table = ba.Study[ba.SessionTable] | ba.SessionTable


def measure(name: str, study: Table, engine: Engine, seed: int) -> tuple[float, float, str]:
    """Return seconds of the whole call, the least bulk ESS, and which sampler ran."""
    spec, settings = ba.load_model(name), ba.SamplerSettings(progress="off")
    start = time.perf_counter()
    fit = ba.fit_model(spec, study, seed=seed, engine=engine, settings=settings)
    seconds = time.perf_counter() - start
    posterior = fit.data["posterior"].to_dataset()
    kept, starts = ("b", "sigma", "error", "cor_residual"), ("sd_", "spread_", "global_", "slab_")
    names = [n for n in posterior if n in kept or str(n).startswith(starts)]
    ess = azs.ess(posterior[names], method="bulk")
    least = min(float(ess[n].where(posterior[n].std(("chain", "draw")) > 0).min()) for n in names)
    return seconds, least, str(posterior.attrs.get("sampler", "nuts"))


def main() -> None:
    """Fit every study in turns and print a row per study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", help="a part of a study's name")
    asked = parser.parse_args()
    studies = [(name, name, ba.example_study(name)) for name in MODELS] + [
        (f"{LARGE}, 2,000 rows", LARGE, make_large())
    ]
    print("| study | exact: seconds, least ESS | NUTS: seconds, least ESS | ESS per second, exact over NUTS |")
    print("|---|---|---|---|")
    for title, name, study in studies:
        if asked.only and asked.only not in title:
            continue
        for engine in ENGINES:
            measure(name, study, engine, 0)
        found: dict[str, list[tuple[float, float, str]]] = {"collapsed": [], "nuts": []}
        for seed in range(1, asked.seeds + 1):
            for engine in ENGINES if seed % 2 else ENGINES[::-1]:
                found[engine].append(measure(name, study, engine, seed))
        each = [
            (e1 / s1) / (e2 / s2) for (s1, e1, _), (s2, e2, _) in zip(found["collapsed"], found["nuts"], strict=True)
        ]
        texts = [
            f"{span([s for s, _, _ in runs], '.1f')} s, {span([e for _, e, _ in runs], ',.0f')}"
            for runs in found.values()
        ]
        sampler = ", ".join(dict.fromkeys(sampler for _, _, sampler in found["collapsed"]))
        print(f"| {title} | {texts[0]} ({sampler}) | {texts[1]} | {span(each, '.1f')} |", flush=True)


def span(values: list[float], form: str) -> str:
    """Return the median and the range."""
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
