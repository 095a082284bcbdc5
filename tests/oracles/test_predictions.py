"""Averages over the rows of real trials beside plain NumPy on the raw files: two arms, slopes, probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

import bayes_alliance as ba
from tests.posterior.test_propagation import coefs, flat
from tests.posterior.test_setting import HEAD, draws_of, equation
from tests.truth.fits import make_fit

X, W = np.polynomial.hermite_e.hermegauss(151)
W = W / W.sum()


def test_growth_in_a_real_trial(data_folder: Path) -> None:
    """RefraMED: depression over log months by arm, averaged over the rows that have a score; nothing is sampled."""
    frame = pd.read_csv(data_folder / "reframed_rct.csv")
    table = ba.read_sessions(data_folder / "reframed_rct.csv", {"patient": "patient", "session": "month"})
    text = equation("phq9", "log(month + 1) * grp + female + (1 + log(month + 1) | patient)")
    fit = make_fit(ba.make_design(ba.parse_model(HEAD + text), ba.Study(table, reference={"grp": "TAU"})))
    b, used = coefs(fit), frame.dropna(subset=["phq9", "female"])
    t = np.log(used["month"].to_numpy(float) + 1)
    both = b["phq9, log(month + 1):grp[RO-DBT]"]
    found = flat(ba.comparisons(fit, "grp"))[:, 0]
    np.testing.assert_allclose(found, b["phq9, grp[RO-DBT]"] + both * t.mean(), rtol=1e-10)
    steep = flat(ba.slopes(fit, "month", by="grp"))
    for place, arm in enumerate(["RO-DBT", "TAU"]):
        rows = used[used["grp"] == arm]
        slope = b["phq9, log(month + 1)"] + (both if arm != "TAU" else 0)
        right = slope * (1 / (rows["month"].to_numpy(float) + 1)).mean()
        np.testing.assert_allclose(steep[:, place], right, rtol=1e-5)


def test_probabilities_in_a_real_trial(data_folder: Path) -> None:
    """Toenail: a binary outcome with large differences between patients, averaged over new ones."""
    frame = pd.read_csv(data_folder / "toenail.csv", dtype={"patientID": str})
    frame["severe"] = (frame["outcome"] == "moderate or severe").astype(float)
    table = ba.read_sessions(
        frame[["patientID", "severe", "treatment", "time", "visit"]], {"patient": "patientID", "session": "visit"}
    )
    text = equation("severe", "time * treatment + (1 | patient)", extra='family = "bernoulli"')
    study = ba.Study(table, reference={"treatment": "itraconazole"})
    fit = make_fit(ba.make_design(ba.parse_model(HEAD + text), study), size=2.0)
    b, sd = coefs(fit), draws_of(fit)["sd_patient"].transpose("sample", ...).values[:, 0]
    time = frame["time"].to_numpy()

    def mean(treated: float) -> np.ndarray:
        eta = b["severe, Intercept"][:, None] + b["severe, time"][:, None] * time
        eta = eta + treated * (
            b["severe, treatment[terbinafine]"][:, None] + b["severe, time:treatment[terbinafine]"][:, None] * time
        )
        return (special.expit(eta[..., None] + sd[:, None, None] * X) @ W).mean(axis=1)

    zero, one = mean(0.0), mean(1.0)
    for scale, right in {
        "difference": one - zero,
        "ratio": one / zero,
        "odds ratio": one / (1 - one) / (zero / (1 - zero)),
    }.items():
        found = flat(ba.comparisons(fit, "treatment", scale=scale))[:, 0]  # type: ignore[arg-type]
        np.testing.assert_allclose(found, right, rtol=2e-5, atol=1e-7)


def test_what_must_not_matter_does_not(data_folder: Path) -> None:
    """Rows in another order, other ids, the other reference level: the same answers, the sign turned for the last."""
    frame = pd.read_csv(data_folder / "reframed_rct.csv")
    text = HEAD + equation("phq9", "month * grp + (1 + month | patient)")

    def fit_of(rows: pd.DataFrame, reference: str) -> ba.Fit:
        table = ba.read_sessions(rows, {"patient": "patient", "session": "month"})
        return make_fit(ba.make_design(ba.parse_model(text), ba.Study(table, reference={"grp": reference})))

    fit = fit_of(frame, "TAU")
    mixed = frame.sample(frac=1.0, random_state=1)
    renamed = frame.assign(patient="P" + frame["patient"].astype(str))
    right = flat(ba.comparisons(fit, "grp", by="session"))
    for other in (fit_of(mixed, "TAU"), fit_of(renamed, "TAU")):
        np.testing.assert_allclose(flat(ba.comparisons(other, "grp", by="session")), right, rtol=1e-10)
    turned = fit_of(frame, "RO-DBT")
    posterior = turned.data["posterior"].to_dataset()
    b = fit.data["posterior"].to_dataset()["b"]
    own = posterior["b"].copy()
    names = {"Intercept": 1.0, "month": 1.0}
    for name, sign in names.items():
        added = "grp[RO-DBT]" if name == "Intercept" else "month:grp[RO-DBT]"
        back = "grp[TAU]" if name == "Intercept" else "month:grp[TAU]"
        own.loc[{"coef": f"phq9, {name}"}] = sign * b.sel(coef=f"phq9, {name}") + b.sel(coef=f"phq9, {added}")
        own.loc[{"coef": f"phq9, {back}"}] = -b.sel(coef=f"phq9, {added}")
    tree = turned.data.copy()
    tree["posterior"] = posterior.assign(b=own)
    from dataclasses import replace

    found = flat(ba.comparisons(replace(turned, data=tree), "grp", by="session"))
    np.testing.assert_allclose(found, -right, rtol=1e-9, atol=1e-10)
