"""The same formula by bayes_alliance's nuts engine and by Bambi with nutpie, as ratios.

    uv run --group bench python -m benchmarks.against_bambi --repeats 3

Warm: a fresh process with compiled code on disk fits with both tools, in an order that alternates. Cold: a process per
tool with an empty cache of its own, once. Ratios are ours over Bambi's, so above 1 is in our favour.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from statistics import median

ROWS = (
    ("ESS per second, whole call", lambda run: run["ess_min"] / run["whole"]),
    ("ESS per second, sampling", lambda run: run["ess_min"] / run["sampling"]),
    ("median ESS per second, sampling", lambda run: run["ess_median"] / run["sampling"]),
    ("seconds, whole call (Bambi's over ours)", lambda run: 1 / run["whole"]),
)


def child(case: str, tools: list[str], seed: int) -> None:
    """Measure inside this process and print the runs as JSON."""
    from benchmarks.cases import CASES
    from benchmarks.tools import measure

    made = CASES[case]()
    if made is None:
        print(json.dumps(None))
        return
    print(json.dumps({tool: asdict(measure(tool, made, seed)) for tool in tools}))


def spawn(case: str, tools: list[str], seed: int, cache: str | None = None) -> dict[str, dict[str, float]] | None:
    """Measure in a fresh process, with a compiler cache of its own where one is named."""
    environment = dict(os.environ)
    if cache is not None:
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={cache}"
        environment["NUMBA_CACHE_DIR"] = f"{cache}/numba"
    command = [
        sys.executable,
        "-m",
        "benchmarks.against_bambi",
        "--child",
        case,
        "--tools",
        *tools,
        "--seed",
        str(seed),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(case: str, kind: str, runs: list[dict[str, dict[str, float]]]) -> None:
    """Print figures of both tools and their ratio, medians over runs, the range of the ratio behind it."""
    print(f"\n{case}, {kind} ({len(runs)} {'run' if len(runs) == 1 else 'runs'})")
    print(f"{'':42}{'ours':>10}{'Bambi':>10}{'ratio':>8}")
    for label, figure in ROWS:
        ours, theirs = ([figure(run[tool]) for run in runs] for tool in ("bayes_alliance", "bambi"))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        shown = [median(ours), median(theirs)]
        if label.startswith("seconds"):
            shown = [1 / value for value in shown]
        span = f"  ({min(ratios):.2f} to {max(ratios):.2f})" if len(runs) > 1 else ""
        print(f"{label:42}{shown[0]:10.1f}{shown[1]:10.1f}{median(ratios):8.2f}{span}", flush=True)


def main() -> None:
    """Run every case, warm and cold."""
    from benchmarks.cases import CASES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="warm runs per case")
    parser.add_argument("--no-cold", action="store_true", help="leave out the cold runs")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--tools", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.tools, options.seed)
        return
    print("Least bulk ESS over coefficients, SDs of group effects and residual SD; 4 chains of 1,000 draws, 2 cores.")
    print("Bambi's group effects are uncorrelated by its design; ours have the correlation the formula states.")
    for case in options.cases:
        tools = ["bayes_alliance", "bambi"]
        if spawn(case, tools, 0) is None:
            print(f"\n{case}: data absent, left out (set BAYES_ALLIANCE_DATA).")
            continue
        warm = [spawn(case, tools if seed % 2 else tools[::-1], seed) for seed in range(1, options.repeats + 1)]
        report(case, "warm", [run for run in warm if run is not None])
        if not options.no_cold:
            cold: dict[str, dict[str, float]] = {}
            for tool in tools:
                with tempfile.TemporaryDirectory() as cache:
                    cold |= spawn(case, [tool], 1, cache) or {}
            report(case, "cold", [cold])


if __name__ == "__main__":
    main()
