"""Every family over 3,000 rows by bayes_alliance and, where Bambi has it, by Bambi with nutpie: seconds and agreement.

    uv run --group bench python -m benchmarks.families

Each tool runs in two fresh processes of its own; the second, with compiled code on disk, counts. Coefficients and the
SD of patients have the same priors in both. Agreement is the difference of posterior means in posterior SDs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd

import bayes_alliance as ba

FORMULA = "session + (1 | patient)"
TRUTH = {"b[y, Intercept]": 0.5, "b[y, session]": -0.15, "sd_patient[y, Intercept]": 0.7}
FAMILIES: dict[str, tuple[dict[str, float], tuple[float, float] | None, str | None]] = {
    "student_t": ({"sigma[y]": 0.8, "nu[y]": 4.0}, None, "t"),
    "censored": ({"sigma[y]": 0.8}, (-1.0, 1.5), None),
    "ordered_beta": (
        {"phi[y]": 8.0, "threshold[y, floor]": -2.0, "threshold[y, ceiling]": 2.5},
        (0.0, 50.0),
        None,
    ),
    "cumulative": (
        {"threshold[y, 1|2]": -1.5, "threshold[y, 2|3]": 0.2, "threshold[y, 3|4]": 1.4},
        (1.0, 4.0),
        "cumulative",
    ),
    "hazard": ({}, None, "bernoulli"),
    "bernoulli": ({}, None, "bernoulli"),
    "binomial": ({}, None, "binomial"),
    "negative_binomial": ({"shape[y]": 1.5}, None, "negativebinomial"),
}
"""Per family what a stated truth has beside coefficients and the SD of patients, its bounds, and Bambi's name of it."""
SETTINGS = {"draws": 1000, "tune": 1000, "chains": 4, "cores": 2}
PRIORS = {"intercept": "normal(0, 2)", "b session": "normal(0, 1)", "sd patient": "half_normal(1)"}
ITEMS = "items"


def simulate(family: str) -> tuple[ba.SimulatedTable, str]:
    """Return SYNTHETIC sessions, 500 patients by six, and the text of their model."""
    further, bounds, _ = FAMILIES[family]
    extra = "trials = 8\n" if family == "binomial" else ""
    text = (
        f'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "y"\nunit = "session"\nfamily = "{family}"\n'
        f'formula = "{FORMULA}"\n{extra}'
    )
    layout = ba.Layout(patients=500, sessions=(0, 1, 2, 3, 4, 5), bounds={"y": bounds} if bounds else {})
    truth = TRUTH | further
    if family == "cumulative":
        del truth["b[y, Intercept]"]
    return ba.simulate_sessions(ba.parse_model(text), layout, truth=truth, seed=1), text


def simulate_items() -> tuple[ba.SessionTable, str]:
    """Return SYNTHETIC ratings of 12 items by 250 patients, one row per patient and item, and a graded response model.

    Truth: patients differ by an SD of 1.2, items by 0.6, thresholds at -2, -0.5, 0.8 and 2.
    """
    rng = np.random.default_rng(1)
    patient, item = np.repeat(np.arange(250), 12), np.tile(np.arange(12), 250)
    eta = rng.normal(0, 1.2, 250)[patient] + rng.normal(0, 0.6, 12)[item]
    latent = eta + rng.logistic(size=len(eta))
    y = 1.0 + (latent[:, None] > np.array([-2, -0.5, 0.8, 2])).sum(axis=1)
    frame = pd.DataFrame({"patient": [f"p{i}" for i in patient], "item": item + 1.0, "y": y})
    frame["question"] = [f"i{i}" for i in item]
    text = (
        'title = "x"\nquestion = "x?"\n[[equation]]\noutcome = "y"\nunit = "session"\nfamily = "cumulative"\n'
        'formula = "1 + (1 | patient) + (1 | question)"\n'
    )
    return ba.read_sessions(frame, {"patient": "patient", "session": "item"}, bounds={"y": (1, 5)}), text


def run_ours(family: str) -> dict[str, float]:
    """Fit with bayes_alliance; return seconds, checks, and posterior means and SDs."""
    table, text = simulate_items() if family == ITEMS else simulate(family)
    priors = {} if family == ITEMS else {k: v for k, v in PRIORS.items() if family != "cumulative" or k != "intercept"}
    start = time.perf_counter()
    fit = ba.fit_model(
        ba.parse_model(text),
        ba.Study(table, priors=priors),
        seed=1,
        settings=ba.SamplerSettings(progress="off", **SETTINGS),
    )
    seconds = time.perf_counter() - start
    posterior = fit.data["posterior"].to_dataset()
    sd = posterior["sd_patient"].isel(patient_effect=0)
    found = {"seconds": seconds, "passed": float(fit.passed), "sd": float(sd.mean()), "sd_sd": float(sd.std())}
    if family != ITEMS:
        b = posterior["b"].sel(coef="y, session")
        found |= {"b": float(b.mean()), "b_sd": float(b.std())}
    rows = ba.summarize(fit)
    return found | {"ess": float(rows["ess_bulk"].min())}


def run_bambi(family: str) -> dict[str, float]:
    """Fit with Bambi and nutpie under the same priors; return seconds, and posterior means and SDs."""
    import arviz_stats as azs
    import bambi

    name = FAMILIES[family][2]
    frame = simulate(family)[0].frame
    outcome = "y"
    if family == "binomial":
        frame, outcome = frame.assign(n=8), "p(y, n)"
    if family == "cumulative":
        frame = frame.assign(y=pd.Categorical(frame["y"].astype(int), ordered=True))
    if family in ("bernoulli", "hazard", "negative_binomial", "binomial"):
        frame = frame.assign(y=frame["y"].astype(int))
    effects = bambi.Prior("Normal", mu=0, sigma=bambi.Prior("HalfNormal", sigma=1))
    priors = {"session": bambi.Prior("Normal", mu=0, sigma=1), "1|patient": effects}
    if family != "cumulative":
        priors["Intercept"] = bambi.Prior("Normal", mu=0, sigma=2)
    start = time.perf_counter()
    model = bambi.Model(
        f"{outcome} ~ {FORMULA}",
        frame,
        family=name,
        priors=priors,
        **({"link": "cloglog"} if family == "hazard" else {}),
    )
    tree = model.fit(inference_method="nutpie", random_seed=1, progressbar=False, **SETTINGS)
    seconds = time.perf_counter() - start
    posterior = tree["posterior"].to_dataset()
    own = posterior[[n for n in posterior if "|" not in str(n) or str(n).endswith("_sigma")]]
    ess = azs.ess(own, method="bulk")
    b, sd = posterior["session"], posterior["1|patient_sigma"]
    return {
        "seconds": seconds,
        "ess": min(float(ess[v].min()) for v in ess.data_vars),
        "b": float(b.mean()),
        "b_sd": float(b.std()),
        "sd": float(sd.mean()),
        "sd_sd": float(sd.std()),
    }


def spawn(tool: str, family: str) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.families", "--child", tool, family]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run every family, each tool twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", default=[*FAMILIES, ITEMS], choices=[*FAMILIES, ITEMS])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        tool, family = options.child
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            print(json.dumps((run_ours if tool == "ours" else run_bambi)(family)))
        return
    print("Seconds of the whole call, least bulk ESS; differences of slope and SD of patients in posterior SDs.")
    print(
        f"{'':18}{'seconds':>8}{'ESS':>7}{'passed':>8}   {'Bambi':>7}{'ESS':>7}{'slope':>8}{'SD':>7}{'ESS/s ratio':>13}"
    )
    for family in options.families:
        ours = [spawn("ours", family) for _ in range(2)][-1]
        line = f"{family:18}{ours['seconds']:8.1f}{ours['ess']:7.0f}{bool(ours['passed'])!s:>8}"
        if family != ITEMS and FAMILIES[family][2] is not None:
            theirs = [spawn("bambi", family) for _ in range(2)][-1]
            apart = [(ours[k] - theirs[k]) / theirs[f"{k}_sd"] for k in ("b", "sd")]
            ratio = (ours["ess"] / ours["seconds"]) / (theirs["ess"] / theirs["seconds"])
            line += f"   {theirs['seconds']:7.1f}{theirs['ess']:7.0f}{apart[0]:8.2f}{apart[1]:7.2f}{ratio:13.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
