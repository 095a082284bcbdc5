"""Files to session tables: a million rows of CSV, and a wide SPSS file, beside pandas and pyreadstat alone.

    uv run --group test python -m benchmarks.reading --seeds 5

SYNTHETIC. What the peers do is only to read cells; ours adds types, ids, roles, units and every check of a table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyreadstat

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week", "therapist": "tid"}


def table(rows: int, columns: int, seed: int) -> pd.DataFrame:
    """Return sessions of patients in therapists, with words and numbers."""
    rng = np.random.default_rng(seed)
    patient = np.arange(rows) // 10
    frame = pd.DataFrame(
        {
            "pid": [f"p{i}" for i in patient],
            "week": np.arange(rows) % 10 + 1,
            "tid": [f"t{i // 30}" for i in patient],
            "arm": np.where(patient % 2, "TAU", "CBT"),
        }
    )
    values = {f"v{i}": rng.normal(size=rows).round(3) for i in range(columns - 4)}
    return frame.assign(**values)


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.csv"
        table(1000, 20, 0).to_csv(small, index=False)
        ba.read_sessions(small, ROLES)  # imports are not timed
        for name, rows, columns in (("csv", given.rows, 20), ("sav", given.rows // 10, 50)):
            ours, ratios = [], []
            for seed in range(given.seeds):
                path = Path(folder) / f"t.{name}"
                frame = table(rows, columns, seed)
                if name == "csv":
                    frame.to_csv(path, index=False)
                else:
                    pyreadstat.write_sav(frame, path)
                start = time.perf_counter()
                ba.read_sessions(path, ROLES)
                middle = time.perf_counter()
                if name == "csv":
                    pd.read_csv(path)
                else:
                    pyreadstat.read_sav(path)
                ours.append(middle - start)
                ratios.append(ours[-1] / (time.perf_counter() - middle))
                print(f"{name}, seed {seed}: {ours[-1]:.2f} s, {ratios[-1]:.2f} of the peer's time", flush=True)
            print(
                f"{name}, {rows:,} x {columns}: {np.median(ours):.1f} s ({min(ours):.1f} to {max(ours):.1f}); "
                f"ours over the peer {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
