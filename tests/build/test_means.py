"""Latent means: joint log-densities against row-by-row NumPy that knows nothing of sufficient statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.build.model import CHECKED, check_log_density
from bayes_alliance.build.parametrization import parametrize
from tests.build.oracle import density, evaluate, evaluate_terms
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES, make_trial

LATENT = 'means="latent"'


def made_from(text: str, frame: pd.DataFrame) -> ba.Design:
    """Return the design of a model text."""
    return ba.make_design(ba.parse_model(HEAD + text), ba.read_sessions(frame, ROLES))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Return the small trial with alliance levels that differ between patients and therapists, and holes."""
    trial = make_trial()
    rng = np.random.default_rng(3)
    patient = dict(zip(sorted(set(trial["pid"])), rng.normal(0, 0.8, 24), strict=True))
    trial["alliance"] += trial["pid"].map(patient) + 0.2 * trial["tid"].str[1:].astype(float)
    trial.loc[rng.random(len(trial)) < 0.1, "alliance"] = np.nan
    trial.loc[rng.random(len(trial)) < 0.1, "score"] = np.nan
    return trial


def start(model: pm.Model, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return random values of all free variables on natural scales."""
    values = {}
    for variable in model.free_RVs:
        shape = tuple(variable.shape.eval(mode=CHECKED))
        positive = variable.name.startswith(("sd_", "sigma", "spread_"))
        values[variable.name] = rng.uniform(0.4, 1.6, shape) if positive else rng.normal(0, 1, shape)
        if variable.name.endswith("_unit"):
            values[variable.name] = rng.uniform(0.3, 0.7, shape)
    return values


def variables(model: pm.Model, values: dict[str, np.ndarray], *names: str) -> list[np.ndarray]:
    """Return deterministic variables of a model at a point."""
    given = {model[name]: value for name, value in values.items()}
    return [np.asarray(model[name].eval(given, mode=CHECKED, on_unused_input="ignore")) for name in names]


def prior_density(made: ba.Design, values: dict[str, np.ndarray]) -> float:
    """Return the priors of coefficients, SDs, residual SDs and latent means' parameters."""
    priors = made.priors
    total = sum(density(p.distribution, v) for p, v in zip(priors.coef, values["b_centred"], strict=True))
    for factor, group in priors.sd.items():
        total += sum(density(p.distribution, v) for p, v in zip(group, values[f"sd_{factor}"], strict=True))
    total += sum(density(p.distribution, v) for p, v in zip(priors.sigma, values["sigma"], strict=True))
    for measured in made.measured:
        mean, *spreads = priors.measured[measured.name]
        total += density(mean.distribution, values[f"mean_{measured.label}"][0])
        spread = values[f"spread_{measured.label}"]
        total += sum(density(p.distribution, v) for p, v in zip(spreads, spread, strict=True))
    return float(total)


def differences(made: ba.Design, log_density) -> tuple[list[float], list[float]]:  # type: ignore[no-untyped-def]
    """Return differences of the model's and the oracle's log-densities between random points."""
    model = ba.build_model(made.spec, made, parametrization="centred")
    rng = np.random.default_rng(6)
    points = [start(model, rng) for _ in range(3)]
    got = [evaluate(model, point) for point in points]
    # residual SDs with priors of two families are put together from two vectors
    whole = [point | {"sigma": variables(model, point, "sigma")[0]} for point in points]
    expected = [prior_density(made, point) + log_density(model, point) for point in whole]
    return [g - got[0] for g in got[1:]], [e - expected[0] for e in expected[1:]]


def test_within_and_between_of_latent_patient_means(frame: pd.DataFrame) -> None:
    """Rows of the predictor are normal around the patient's mean, which is what within and between are about."""
    within, between = f"within(alliance, patient, {LATENT})", f"between(alliance, patient, {LATENT})"
    made = made_from(equation("score", f"{within} + {between} + week + (1 + {within} || patient)"), frame)
    used = frame.dropna(subset=["score", "alliance"])

    def log_density(model: pm.Model, at: dict[str, np.ndarray]) -> float:
        b, means, u = variables(model, at, "b", "mean_alliance_patient", "u_patient")
        mu, (tau, s) = at["mean_alliance"][0], at["spread_alliance"]
        mean = dict(zip(model.coords["alliance_patient"], means, strict=True))
        effect = dict(zip(model.coords["patient"], u, strict=True))
        total = stats.norm.logpdf(means, mu, tau).sum()
        for patient, rows in frame.dropna(subset=["alliance"]).groupby("pid"):
            total += stats.norm.logpdf(rows["alliance"], mean[patient], s).sum()
            total += np.log(np.sqrt(1 / (1 / tau**2 + len(rows) / s**2)))  # d mean / d z
        total += stats.norm.logpdf(u, 0, at["sd_patient"]).sum()
        for row in used.itertuples():
            deviation = row.alliance - mean[row.pid]
            expected = b[0] + b[1] * deviation + b[2] * mean[row.pid] + b[3] * row.week
            expected += effect[row.pid] @ [1, deviation]
            total += stats.norm.logpdf(row.score, expected, at["sigma"][0])
        return float(total)

    got, expected = differences(made, log_density)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-6)


def test_three_part_decomposition_with_latent_means(frame: pd.DataFrame) -> None:
    """Sessions in patients in therapists: each part is taken from the next wider latent mean."""
    parts = (
        f"within(alliance, patient, {LATENT}) + between(alliance, patient, within=therapist, {LATENT})"
        f" + between(alliance, therapist, {LATENT})"
    )
    made = made_from(equation("score", f"{parts} + (1 | therapist)"), frame)
    therapist = frame.groupby("pid")["tid"].first()
    used = frame.dropna(subset=["score", "alliance"])

    def log_density(model: pm.Model, at: dict[str, np.ndarray]) -> float:
        b, wide, narrow, u = variables(
            model, at, "b", "mean_alliance_therapist", "mean_alliance_patient", "u_therapist"
        )
        mu, (tau_wide, tau, s) = at["mean_alliance"][0], at["spread_alliance"]
        of_therapist = dict(zip(model.coords["alliance_therapist"], wide, strict=True))
        of_patient = dict(zip(model.coords["alliance_patient"], narrow, strict=True))
        effect = dict(zip(model.coords["therapist"], u[:, 0], strict=True))
        total = stats.norm.logpdf(wide, mu, tau_wide).sum() + len(wide) * np.log(tau_wide)
        for patient, rows in frame.dropna(subset=["alliance"]).groupby("pid"):
            total += stats.norm.logpdf(of_patient[patient], of_therapist[therapist[patient]], tau)
            total += stats.norm.logpdf(rows["alliance"], of_patient[patient], s).sum()
            total += np.log(np.sqrt(1 / (1 / tau**2 + len(rows) / s**2)))
        total += stats.norm.logpdf(u, 0, at["sd_therapist"]).sum()
        for row in used.itertuples():
            patient, group = of_patient[row.pid], of_therapist[row.tid]
            expected = b[0] + b[1] * (row.alliance - patient) + b[2] * (patient - group) + b[3] * group
            total += stats.norm.logpdf(row.score, expected + effect[row.tid], at["sigma"][0])
        return float(total)

    got, expected = differences(made, log_density)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-6)


def test_finite_units_shrink_by_the_share_that_was_not_measured(frame: pd.DataFrame) -> None:
    """With all members measured the mean is the observed one; with few of many it is nearly the latent one.

    The oracle is the joint normal of the observed and the whole group's mean of members drawn from one population.
    """
    people = frame.groupby("pid").first().reset_index()
    people = people[people["gid"] != ""].assign(week=1.0)
    measured = people.groupby("gid")["pid"].transform("size")
    people["size"] = measured + people["gid"].map({"G0": 0, "G1": 2, "G2": 5, "G3": 40})
    call = 'alliance, group, means="finite", size=size'
    made = made_from(equation("post", f"within({call}) + between({call}) + (1 | group)", "patient"), people)
    used = people.dropna(subset=["alliance"])

    def log_density(model: pm.Model, at: dict[str, np.ndarray]) -> float:
        b, means, u = variables(model, at, "b", "mean_alliance_group", "u_group")
        mu, (tau, s) = at["mean_alliance"][0], at["spread_alliance"]
        mean = dict(zip(model.coords["alliance_group"], means, strict=True))
        effect = dict(zip(model.coords["group"], u[:, 0], strict=True))
        total = 0.0
        for group, rows in used.groupby("gid"):
            n, size = len(rows), rows["size"].iloc[0]
            deviations = rows["alliance"] - rows["alliance"].mean()
            total += -(n - 1) * np.log(s) - (deviations**2).sum() / (2 * s**2)
            covariance = np.array([[tau**2 + s**2 / n, tau**2 + s**2 / size], [tau**2 + s**2 / size] * 2])
            if n == size:
                total += stats.norm.logpdf(rows["alliance"].mean(), mu, np.sqrt(covariance[0, 0]))
                assert mean[group] == pytest.approx(rows["alliance"].mean(), abs=1e-12)
                total += stats.norm.logpdf(at["z_mean_alliance_group"][list(mean).index(group)])
            else:
                pair = [rows["alliance"].mean(), mean[group]]
                total += stats.multivariate_normal([mu, mu], covariance).logpdf(pair)
                total += np.log(np.sqrt(covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0]))
        total += stats.norm.logpdf(u, 0, at["sd_group"]).sum()
        for row in used.itertuples():
            expected = b[0] + b[1] * (row.alliance - mean[row.gid]) + b[2] * mean[row.gid] + effect[row.gid]
            total += stats.norm.logpdf(row.post, expected, at["sigma"][0])
        return float(total)

    got, expected = differences(made, log_density)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-6)


def test_lagged_outcome_with_a_mean_that_grows(frame: pd.DataFrame) -> None:
    """Y = m(t) + w, w = phi w before + e: the lag acts on deviations from the patient's own line; starts are free."""
    lagged = f"lag(within(score, patient, {LATENT}))"
    made = made_from(equation("score", f"week + {lagged} + stress + (1 + week + {lagged} || patient)"), frame)
    used = frame.dropna(subset=["score"])

    def log_density(model: pm.Model, at: dict[str, np.ndarray]) -> float:
        b, u = variables(model, at, "b", "u_patient")
        coef = dict(zip(model.coords["coef"], b, strict=True))
        effect = dict(zip(model.coords["patient"], u, strict=True))
        total = stats.norm.logpdf(u, 0, at["sd_patient"]).sum()
        phi = coef[f"score, {lagged}"]
        for patient, rows in used.groupby("pid"):
            series = {row.week: row for row in rows.itertuples()}

            def line(week: float, row: object, own: np.ndarray = effect[patient]) -> float:
                value = coef["score, Intercept"] + own[0] + (coef["score, week"] + own[1]) * week
                return float(value + coef["score, stress"] * row.stress)  # type: ignore[attr-defined]

            for week, row in series.items():
                before = series.get(week - 1)
                if before is None:
                    total += stats.norm.logpdf(row.score, line(week, row), at["sigma"][1])
                    continue
                carried = (phi + effect[patient][2]) * (before.score - line(week - 1, before))
                total += stats.norm.logpdf(row.score, line(week, row) + carried, at["sigma"][0])
        return float(total)

    got, expected = differences(made, log_density)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-6)
    assert made.equation.sigma_coef == ("score", "score, first")


def test_the_latent_mean_of_an_outcome_is_its_equations(frame: pd.DataFrame) -> None:
    """within() of another outcome is its deviation from what its own equation implies; its rows count once."""
    deviation = f"within(alliance, patient, {LATENT})"
    made = made_from(
        equation("alliance", "week + (1 | patient) + (1 | therapist)")
        + equation("score", f"{deviation} + lag({deviation}) + (1 | patient)"),
        frame,
    )
    assert not made.measured

    def log_density(model: pm.Model, at: dict[str, np.ndarray]) -> float:
        b, u, v = variables(model, at, "b", "u_patient", "u_therapist")
        effect = dict(zip(model.coords["patient"], u, strict=True))
        wide = dict(zip(model.coords["therapist"], v[:, 0], strict=True))
        total = stats.norm.logpdf(u, 0, at["sd_patient"]).sum() + stats.norm.logpdf(v, 0, at["sd_therapist"]).sum()
        series = {(row.pid, row.week): row for row in frame.itertuples()}

        def line(row: object) -> float:
            return float(b[0] + b[1] * row.week + effect[row.pid][0] + wide[row.tid])  # type: ignore[attr-defined]

        for row in frame.itertuples():
            if not np.isnan(row.alliance):
                total += stats.norm.logpdf(row.alliance, line(row), at["sigma"][0])
            before = series.get((row.pid, row.week - 1))
            if before is None or np.isnan(row.alliance) or np.isnan(before.alliance) or np.isnan(row.score):
                continue
            expected = b[2] + b[3] * (row.alliance - line(row)) + b[4] * (before.alliance - line(before))
            total += stats.norm.logpdf(row.score, expected + effect[row.pid][1], at["sigma"][1])
        return float(total)

    got, expected = differences(made, log_density)
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-6)


def test_a_latent_mean_reads_what_its_own_equation_reads(frame: pd.DataFrame) -> None:
    """Where the mean's equation reads a modelled value or estimated steps, so does who follows the mean."""
    people = sorted(set(frame["pid"]))
    rows = frame.assign(
        pre=frame["pre"].where(~frame["pid"].isin(people[::4])),
        stage=frame["pid"].map({p: float(1 + i % 4) for i, p in enumerate(people)}),
    )
    made = made_from(
        equation("pre", "iip_pre", unit="patient", extra='missing = "model"')
        + equation("alliance", "mi(pre) + mo(stage) + (1 | patient)")
        + equation("score", f"within(alliance, patient, {LATENT}) + (1 | patient)"),
        rows,
    )
    model = ba.build_model(made.spec, made, parametrization="centred")
    rng = np.random.default_rng(6)
    term = model.logp(vars=[model["score"]], jacobian=False, sum=True)
    for _ in range(2):
        at = start(model, rng)
        steps = next(name for name in at if name.startswith("step_"))
        at[steps] = rng.dirichlet(np.ones(3))
        b, u, values = variables(model, at, "b", "u_patient", "value_pre")
        labels = [label for e in made.equations for label in e.coef_labels]
        coefficient = dict(zip(labels, b, strict=True))
        effect = dict(zip(model.coords["patient"], u, strict=True))
        true = dict(zip(made.find("pre").modelled.labels, values, strict=True))  # type: ignore[union-attr]
        way = np.concatenate([[0.0], np.cumsum(at[steps])])
        total = 0.0
        for row in rows.itertuples():
            if np.isnan(row.alliance) or np.isnan(row.score):
                continue
            pre = true[row.pid] if np.isnan(row.pre) else row.pre  # type: ignore[index]
            implied = coefficient["alliance, Intercept"] + coefficient["alliance, mi(pre)"] * pre
            implied += coefficient["alliance, mo(stage)"] * way[int(row.stage) - 1] + effect[row.pid][0]
            slope = coefficient[f"score, within(alliance, patient, {LATENT})"]
            mean = coefficient["score, Intercept"] + slope * (row.alliance - implied) + effect[row.pid][1]
            total += stats.norm.logpdf(row.score, mean, variables(model, at, "sigma")[0][2])
        assert evaluate_terms(model, term, at) == pytest.approx(total, rel=1e-9)


def test_an_implied_mean_reads_measured_latent_means(frame: pd.DataFrame) -> None:
    """Deviations from a mean that latent means of another variable predict are deviations from these as estimated."""
    made = made_from(
        equation(
            "score", f"between(alliance, patient, {LATENT}) + lag(within(score, patient, {LATENT})) + (1 | patient)"
        ),
        frame,
    )
    model = ba.build_model(made.spec, made, parametrization="centred")
    term = model.logp(vars=[model["score"]], jacobian=False, sum=True)
    at = start(model, np.random.default_rng(6))
    b, u, means, sigma = variables(model, at, "b", "u_patient", "mean_alliance_patient", "sigma")
    effect = dict(zip(model.coords["patient"], u[:, 0], strict=True))
    latent = dict(zip(made.measured[0].levels[-1], means, strict=True))
    series = {(row.pid, row.week): row for row in frame.itertuples() if not np.isnan(row.score)}
    total = 0.0
    for (person, week), row in series.items():
        if person not in latent:
            continue
        implied = b[0] + b[1] * latent[person] + effect[person]
        before = series.get((person, week - 1))
        if before is None:
            total += stats.norm.logpdf(row.score, implied, sigma[1])
        else:
            total += stats.norm.logpdf(row.score, implied + b[2] * (before.score - implied), sigma[0])
    assert evaluate_terms(model, term, at) == pytest.approx(total, rel=1e-9)


def test_graph_of_latent_means_does_not_grow_with_rows() -> None:
    """Latent means cost as many graph nodes for twice the patients."""
    sizes = []
    within, between = f"within(alliance, patient, {LATENT})", f"between(alliance, patient, {LATENT})"
    for patients in (24, 48):
        made = made_from(equation("score", f"{within} + {between} + (1 | patient)"), make_trial(patients=patients))
        model = ba.build_model(made.spec, made, parametrization="centred")
        sizes.append(len(model.compile_logp(mode=CHECKED).f.maker.fgraph.apply_nodes))
    assert sizes[0] == sizes[1]


def test_chosen_parametrization_is_finite(frame: pd.DataFrame) -> None:
    """Latent means beside effects that are centred on the population have a finite density."""
    within, between = f"within(alliance, patient, {LATENT})", f"between(alliance, patient, {LATENT})"
    moved = frame.assign(score=frame["score"] + 40 * np.sin(frame["pid"].str[1:].astype(float)))
    made = made_from(equation("score", f"{within} + {between} + (1 | patient)"), moved)
    assert parametrize(made).factors[0].blocks[0].centred
    assert np.isfinite(check_log_density(ba.build_model(made.spec, made)))
