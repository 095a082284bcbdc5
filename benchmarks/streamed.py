"""Ten million sessions from parquet, in a process of its own: time by part, and the most memory it took.

    uv run --group bench python -m benchmarks.streamed
    uv run --group bench python -m benchmarks.streamed --sessions 1000000

The sessions are SYNTHETIC, as of ``benchmarks.collapsed``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.collapsed import make_study

MEAN = 6.94
"""Sessions per patient."""

PART = 50_000
"""Patients written at a time."""

CHILD = """
import json, resource, time
import bayes_alliance as ba
from benchmarks.collapsed import model
start = time.perf_counter()
stream = ba.stream_sessions({path!r}, {{"patient": "patient", "therapist": "therapist", "session": "session"}})
fit = ba.fit_stream(model(), stream, seed=1, settings=ba.SamplerSettings(draws=500, progress="off"))
seconds = time.perf_counter() - start
worst = ba.summarize(fit)["ess_bulk"].min()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([seconds, fit.provenance["seconds"], fit.provenance["rows_used"], peak, worst, fit.verdict]))
"""


def write_study(path: Path, sessions: int, therapists: int) -> int:
    """Write a study of about so many sessions, a part of the patients at a time; return the rows."""
    patients, rows, writer = round(sessions / MEAN), 0, None
    for number, first in enumerate(range(0, patients, PART)):
        frame = make_study(min(PART, patients - first), therapists, seed=number)
        frame["patient"] = f"{number}-" + frame["patient"]
        table = pa.Table.from_pandas(frame.drop(columns="stress"), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        rows += len(frame)
    if writer is not None:
        writer.close()
    return rows


def main() -> None:
    """Write, fit, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000_000)
    parser.add_argument("--therapists", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.parquet"
        rows = write_study(path, options.sessions, options.therapists)
        start = time.perf_counter()
        columns = ["patient", "therapist", "session", "trained", "alliance"]
        sums = sum(np.sum(batch.num_rows) for batch in pq.ParquetFile(path).iter_batches(columns=columns))
        plain = time.perf_counter() - start
        size = path.stat().st_size / 2**20
        command = [sys.executable, "-W", "ignore", "-c", CHILD.format(path=str(path))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, parts, used, peak, worst, verdict = json.loads(done.stdout.splitlines()[-1])
    split = ", ".join(f"{name} {value:.1f} s" for name, value in parts.items())
    print(f"{rows:,} rows ({sums:,} read back), {size:.0f} MiB of parquet; pyarrow alone reads it in {plain:.1f} s")
    print(f"whole call {seconds:.1f} s ({split}), rows used {used}, most memory {peak:.2f} GiB, least ESS {worst:.0f}")
    print(verdict)


if __name__ == "__main__":
    main()
