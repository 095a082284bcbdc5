"""Do models find the truths that synthetic studies were drawn from? All studies are SYNTHETIC.

    uv run --group test python -m benchmarks.recovery --n 100 --keep studies.jsonl

With `--keep` every study is one line of that file the moment it is fitted, and a run that was stopped goes on.
Every study is drawn anew from a stated truth, a twin's with its gaps and leaving or a registered model's, and fitted.
95 % intervals of population coefficients and of estimands should hold their truths in 95 % of studies. Each count is
tested against the binomial, and p-values are adjusted for their number (Holm). Group SDs are not judged at one truth:
their priors pull, and calibration judges them. Ten experiences are fitted without the prior that shrinks them: it pulls
coefficients away from any one truth by intent, and calibration judges it. Errors of ratios, which may have no mean, are
those of medians, in quarters of their intervals' widths.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import batched
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import bayes_alliance as ba


@dataclass(frozen=True)
class Case:
    """Studies of one kind: a twin and the place of the outcome in it, or a registered model with layout and truth."""

    settings: ba.SamplerSettings
    twin: str = ""
    place: int = 0
    model: str = ""
    layout: Mapping[str, object] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    truth: Mapping[str, float] = field(default_factory=dict)
    estimands: Mapping[str, float] = field(default_factory=dict)


SHORT = ba.SamplerSettings(draws=500, chains=2, progress="off")

CASES = {
    "growth by arm": Case(SHORT, "embct-mbct", 0),
    "two outcomes": Case(SHORT, "embct-mbct", 2),
    "leaving": Case(SHORT, "embct-mbct", 1),
    # coefficients are drawn independently given the SDs, so that few draws of these serve
    "two raters, ten experiences": Case(
        ba.SamplerSettings(draws=300, tune=150, chains=1, progress="off"), "norwegian-multisite"
    ),
    "group process, latent": Case(
        ba.SamplerSettings(draws=800, tune=700, chains=1, target_accept=0.95, progress="off"), "mbct-groups"
    ),
    "within and between therapists": Case(
        SHORT,
        model="outcome/within-between",
        layout={"patients": 331, "therapists": 80},
        variables={"outcome_pre": {"mean": 70.0, "sd": 18.0}},
        truth={
            "b[alliance, Intercept]": 5.3,
            "b[alliance, outcome_pre]": 0.0,
            "b[outcome_post, Intercept]": 26.0,
            "b[outcome_post, outcome_pre]": 0.6,
            "b[outcome_post, alliance]": 0.0,
            "sd_therapist[alliance, Intercept]": 0.4,
            "sd_therapist[outcome_post, Intercept]": 4.0,
            "cor_therapist[alliance, Intercept | outcome_post, Intercept]": -0.6,
            "sigma[alliance]": 0.9,
            "sigma[outcome_post]": 13.0,
        },
        estimands={"within_therapists": 0.0, "contextual": -6.0, "between_therapists": -6.0},
    ),
    "sessions, patients, therapists": Case(
        SHORT,
        model="outcome/three-parts",
        layout={"patients": 200, "therapists": 40, "sessions": [1, 2, 3, 4, 5, 6]},
        truth={
            "b[alliance, Intercept]": 5.0,
            "b[alliance, session]": 0.05,
            "b[outcome, Intercept]": 25.0,
            "b[outcome, session]": -0.8,
            "b[outcome, alliance]": -0.5,
            "sd_patient[alliance, Intercept]": 0.6,
            "sd_patient[outcome, Intercept]": 4.0,
            "cor_patient[alliance, Intercept | outcome, Intercept]": -0.3,
            "sd_therapist[alliance, Intercept]": 0.4,
            "sd_therapist[outcome, Intercept]": 2.0,
            "cor_therapist[alliance, Intercept | outcome, Intercept]": -0.5,
            "sigma[alliance]": 0.5,
            "sigma[outcome]": 3.0,
        },
        estimands={
            "session_part": -0.5,
            "patient_part": -0.5 - 0.3 * 4.0 / 0.6,
            "therapist_part": -0.5 - 0.5 * 2.0 / 0.4,
        },
    ),
}


FRESH = 5
"""Studies that a process fits: LLVM keeps and searches all models compiled before, so that each takes longer."""


def fit_one(case: tuple[str, int]) -> list[tuple[str, float, float, bool]]:
    """Simulate and fit one study; return name, error in posterior SDs, truth, inside, of coefficients and estimands."""
    warnings.simplefilter("ignore")
    name, seed = case
    asked = CASES[name]
    columns: Mapping[str, str] = {}
    reference: Mapping[str, str] = {}
    if asked.model:
        spec, truth = ba.load_model(asked.model), asked.truth
        table = ba.simulate_sessions(spec, asked.layout, truth=truth, seed=seed, variables=asked.variables)
    else:
        table, record = ba.simulate_twin(asked.twin, seed=seed), ba.load_twin(asked.twin)
        generated = record.generate[asked.place]
        arms = {"condition": table.reference["condition"]} if table.reference else {}
        spec = record.spec(generated).model_copy(update={"shrink": {}})
        read = {variable for equation in spec.equation for variable in spec.variables_of(equation)}
        reference = {k: v for k, v in {**arms, **generated.reference}.items() if k in read}
        columns, truth = generated.columns, generated.truth
    settings = asked.settings.for_worker()
    fit = ba.fit_model(spec, ba.Study(table, columns=columns, reference=reference), seed=seed, settings=settings)
    rows = ba.summarize(fit).set_index("name")
    known = {parameter: value for parameter, value in truth.items() if parameter.startswith("b[")}
    if asked.estimands:
        rows = pd.concat([rows, ba.summarize_estimands(fit).set_index("name")])
        known |= asked.estimands
    found = []
    for parameter, value in known.items():
        row = rows.loc[parameter]
        inside = bool(row["eti95_lb"] < value < row["eti95_ub"])
        middle, unit = row["mean"], row["sd"]
        if not np.isfinite(unit):
            middle, unit = row["median"], (row["eti95_ub"] - row["eti95_lb"]) / 4
        found.append((parameter, float((middle - value) / unit), value, inside))
    return found


def read_kept(path: Path | None) -> dict[tuple[str, int], list]:
    """Return rows of the studies a file holds, by case and seed; blank lines and one cut off by a stop are none."""
    kept = {}
    for line in path.read_text().splitlines() if path is not None and path.exists() else []:
        try:
            study = json.loads(line)
        except json.JSONDecodeError:
            continue
        kept[study["case"], study["seed"]] = study["rows"]
    return kept


def fit_cases(workers: int, cases: Sequence[tuple[str, int]], keep: Path | None) -> list[list]:
    """Return rows of every case, those the file does not hold fitted now and written to it as they end."""
    kept = read_kept(keep)
    missing = [case for case in cases if case not in kept]
    for batch in batched(missing, workers * FRESH):
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            awaited = {pool.submit(fit_one, case): case for case in batch}
            for future in as_completed(awaited):
                case = awaited[future]
                kept[case] = future.result()
                if keep is not None:
                    # the break stands first, so that a line cut off by a stop takes no other with it
                    with keep.open("a") as file:
                        file.write("\n" + json.dumps({"case": case[0], "seed": case[1], "rows": kept[case]}))
                done = sum(case in kept for case in cases)
                print(f"\r{case[0]}: {done} of {len(cases)} studies", end="", file=sys.stderr, flush=True)
    return [kept[case] for case in cases]


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for their number (Holm 1979)."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(adjusted, 1.0)
    return found


def main() -> None:
    """Run the studies and print coverage by coefficient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="studies of each case")
    parser.add_argument("--only", choices=list(CASES), help="one case alone")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="file of fitted studies, one a line: those it holds stay")
    asked = parser.parse_args()
    for name in [asked.only] if asked.only else CASES:
        found = fit_cases(asked.workers, [(name, 1000 + i) for i in range(asked.n)], asked.keep)
        frame = pd.DataFrame([row for rows in found for row in rows], columns=["name", "error", "truth", "inside"])
        table = frame.groupby("name", sort=False).agg(
            truth=("truth", "first"), error=("error", "mean"), covered=("inside", "mean"), n=("inside", "size")
        )
        counts = (table["covered"] * table["n"]).round().astype(int)
        p = [stats.binomtest(int(k), int(n), 0.95).pvalue for k, n in zip(counts, table["n"], strict=True)]
        table["holm_p"] = holm(p)
        print(f"\n{name}: {asked.n} SYNTHETIC studies; error in posterior SDs (MC {1 / np.sqrt(asked.n):.2f})")
        print(table.round(3).to_string())
        print(f"covered {table['covered'].mean():.3f}, smallest Holm-adjusted p {table['holm_p'].min():.2f}")


if __name__ == "__main__":
    main()
