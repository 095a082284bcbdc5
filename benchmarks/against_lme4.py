"""The exact engine's whole call against lme4's on many rows, in turns on the same SYNTHETIC studies.

    uv run --group test python -m benchmarks.against_lme4 --repeats 5

Needs Rscript and lme4 (Debian: r-cran-lme4). Ours is timed over the whole ``fit_model`` call, warm: design, sampling of
the posterior, checks; 4 chains of 500 draws. lme4's is ``lmer`` with its defaults, reading of the file left out.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.collapsed import fit_ours, make_study, read_study

SCRIPT = """
suppressPackageStartupMessages(library(lme4))
d <- read.csv(commandArgs(TRUE)[1])
took <- system.time(
  m <- suppressWarnings(lmer(alliance ~ session * trained + (1 + session | patient) + (1 + session | therapist), d))
)
cat(took[["elapsed"]], fixef(m), sep = "\\n")
"""


def run_lme4(path: Path, script: Path) -> tuple[float, list[float]]:
    """Return the seconds of ``lmer``, and its fixed effects."""
    done = subprocess.run(["Rscript", str(script), str(path)], capture_output=True, text=True, check=True)
    seconds, *fixed = (float(line) for line in done.stdout.split())
    return seconds, fixed


def main() -> None:
    """Fit a study per seed with both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    fit_ours(read_study(make_study(117, 40)))
    ratios, ours, least = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "fit.R"
        script.write_text(SCRIPT)
        for seed in range(repeats):
            frame = make_study(40_000, 2_000, seed=seed)
            path = Path(folder) / "study.csv"
            frame.to_csv(path, index=False)
            seconds, ess, fit = fit_ours(read_study(frame), draws=500, seed=seed)
            theirs, fixed = run_lme4(path, script)
            b = fit.data["posterior"]["b"]
            apart = abs(b.mean(("chain", "draw")) - fixed) / b.std(("chain", "draw"))
            ratios.append(seconds / theirs)
            ours.append(seconds)
            least.append(ess)
            print(
                f"{len(frame):,} rows: ours {seconds:.2f} s, least bulk ESS {ess:.0f}; lme4 {theirs:.1f} s; ratio "
                f"{ratios[-1]:.3f}; coefficients at most {float(apart.max()):.2f} posterior SDs apart. {fit.verdict}",
                flush=True,
            )
    print(f"seconds, ours over lme4's: {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    print(f"ours: {median(ours):.1f} s ({min(ours):.1f} to {max(ours):.1f}), least bulk ESS from {min(least):.0f}")


if __name__ == "__main__":
    main()
