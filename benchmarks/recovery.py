"""Do models find the truths that synthetic twins of three studies were drawn from? All studies are SYNTHETIC.

    uv run --group test python -m benchmarks.recovery --n 100 --keep studies.jsonl

With `--keep` every study is one line of that file the moment it is fitted, and a run that was stopped goes on.
Every study is drawn anew from its twin's stated truth, with the twin's gaps and leaving, and fitted; 95 % intervals of
population coefficients should hold their truths in 95 % of studies. Each coefficient's count is tested against the
binomial, and p-values are adjusted for their number (Holm). Group SDs are not judged at one truth: their priors pull,
and calibration judges them. Ten experiences are fitted without the prior that shrinks them: it pulls coefficients away
from any one truth by intent, and calibration judges it.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import batched
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import bayes_alliance as ba

CASES = {
    "growth by arm": ("embct-mbct", 0, ba.SamplerSettings(draws=500, chains=2, progress="off")),
    "two outcomes": ("embct-mbct", 2, ba.SamplerSettings(draws=500, chains=2, progress="off")),
    "two raters, ten experiences": (
        "norwegian-multisite",
        0,
        # coefficients are drawn independently given the SDs, so that few draws of these serve
        ba.SamplerSettings(draws=300, tune=150, chains=1, progress="off"),
    ),
    "group process, latent": (
        "mbct-groups",
        0,
        ba.SamplerSettings(draws=800, tune=700, chains=1, target_accept=0.95, progress="off"),
    ),
}


FRESH = 5
"""Studies that a process fits: LLVM keeps and searches all models compiled before, so that each takes longer."""


def fit_one(case: tuple[str, int]) -> list[tuple[str, float, float, bool]]:
    """Simulate a twin and fit one of its models; return name, error in posterior SDs, truth, inside."""
    warnings.simplefilter("ignore")
    name, seed = case
    twin, place, settings = CASES[name]
    table, record = ba.simulate_twin(twin, seed=seed), ba.load_twin(twin)
    generated = record.generate[place]
    arms = {"condition": table.reference["condition"]} if table.reference else {}
    spec = record.spec(generated).model_copy(update={"shrink": {}})
    read = {variable for equation in spec.equation for variable in spec.variables_of(equation)}
    reference = {k: v for k, v in {**arms, **generated.reference}.items() if k in read}
    fit = ba.fit_model(
        spec, table, columns=generated.columns, reference=reference, seed=seed, settings=settings.for_worker()
    )
    rows = ba.summarize(fit).set_index("name")
    found = []
    for parameter, truth in generated.truth.items():
        if parameter.startswith("b["):
            row = rows.loc[parameter]
            inside = bool(row["eti95_lb"] < truth < row["eti95_ub"])
            found.append((parameter, float((row["mean"] - truth) / row["sd"]), truth, inside))
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
