"""Several equations: joint log-densities against plain NumPy and SciPy, row by row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import special, stats

import bayes_alliance as ba
from bayes_alliance.build import parametrization
from bayes_alliance.build.model import CHECKED, check_log_density
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.groups.groups import GroupDesign
from tests.build.oracle import density, evaluate, lkj, log_jacobian, to_unit
from tests.conftest import ROLES, make_trial

HEAD = 'title = "t"\nquestion = "q?"\n'


def equation(outcome: str, formula: str, unit: str = "session", extra: str = "") -> str:
    """Return one equation as TOML."""
    return f"[[equation]]\noutcome = '{outcome}'\nunit = '{unit}'\nformula = '{formula}'\n{extra}\n"


TWO = equation("score", "week + (1 + week | patient)") + equation("alliance", "week + (1 | patient)")
ACROSS = '[groups.patient]\ncorrelate = ["score", "alliance"]\n'
JOINT = '[residual]\ncorrelate = ["score", "alliance"]\n'
BY_ARM = '[groups.patient]\nby = "condition"\n'

MODELS = {
    "apart": TWO,
    "effects across equations": TWO + ACROSS,
    "residuals of a row": TWO + JOINT,
    "effects and residuals": TWO + ACROSS + JOINT,
    "residuals by arm": TWO + JOINT + 'by = "condition"\n',
    "a stated residual correlation": TWO + JOINT + "fixed = 0.3\n",
    "three residuals": TWO
    + equation("stress", "1 + (1 | therapist)")
    + '[residual]\ncorrelate = ["score", "alliance", "stress"]\n',
    "three residuals with stated correlations": TWO
    + equation("stress", "1 + (1 | therapist)")
    + '[residual]\ncorrelate = ["score", "alliance", "stress"]\n'
    + 'fixed = {"stress | score" = -0.3, "alliance | score" = 0.5}\n',
    "covariances by arm": equation("score", "week + (1 + week | patient) + (1 | therapist)") + BY_ARM,
    "across equations by arm": TWO + ACROSS + 'by = "condition"\n',
    "an outcome predicts another": equation("alliance", "week + (1 | patient)")
    + equation("score", "alliance + week + (1 + alliance | patient)"),
    "sessions and patients": equation("score", "week + (1 | patient) + (1 | therapist)")
    + equation("post", "pre + (1 | therapist)", "patient")
    + equation("dropout", "pre + (1 | therapist)", "patient", 'family = "bernoulli"')
    + '[groups.therapist]\ncorrelate = ["score", "post"]\n',
    "tails, counts and 0/1": equation("score", "week + (1 + week | patient)", extra='family = "student_t"')
    + equation("visits", "week + (1 | patient)", extra='family = "negative_binomial"')
    + equation("alliance", "week + (1 | patient)", extra='family = "student_t"\nsigma = "condition"')
    + equation("dropout", "pre", "patient", 'family = "bernoulli"')
    + '[groups.patient]\ncorrelate = ["score", "visits"]\n',
    "edges, categories, hazards, successes": equation(
        "percent", "week + (1 | patient)", extra='family = "ordered_beta"\nbounds = [0, 100]'
    )
    + equation("rating", "week + stress + (1 + week | patient)", extra='family = "cumulative"\nbounds = [1, 6]')
    + equation("half", "week + (1 | patient)", extra='family = "censored"\nbounds = [0, inf]\nsigma = "condition"')
    + equation("left", "week + (1 | therapist)", extra='family = "hazard"')
    + equation("kept", "week + (1 | patient)", extra='family = "binomial"\ntrials = "tasks"')
    + '[groups.patient]\ncorrelate = ["percent", "kept"]\n',
    "residual SDs that follow": equation(
        "score", "week + (1 | patient)", extra='sigma = "1 + week + condition + (1 + week | patient) + (1 | therapist)"'
    )
    + equation("alliance", "week + (1 | patient)", extra='family = "student_t"\nsigma = "1 + pre"')
    + equation("stress", "week + (1 | therapist)")
    + '[groups.patient]\ncorrelate = ["score", "alliance"]\n',
    "residual SDs that follow, joint": equation("score", "week", extra='sigma = "1 + week + (1 | patient)"')
    + equation("alliance", "week + (1 | patient)")
    + JOINT,
    "rows of two therapists": equation("score", "week + (1 + week | therapist) + (1 | patient)")
    + equation("alliance", "week + (1 | therapist)")
    + '[groups.therapist]\nmembers = ["therapist", "tid_2"]\nweights = ["share_1", "share_2"]\n'
    + 'correlate = ["score", "alliance"]\n',
    "one patient-level outcome on another": equation("iip_change", "pre + (1 | therapist)", "patient")
    + equation("post", "iip_change + pre + (1 | therapist)", "patient", 'sigma = "condition"'),
}


def holes(trial: pd.DataFrame) -> pd.DataFrame:
    """Return the trial with outcomes missing here and there, so that rows differ between equations."""
    rng = np.random.default_rng(8)
    frame = trial.copy()
    frame["visits"] = np.floor(frame["stress"].abs() + frame["week"] / 2)
    z = (frame["score"] - frame["score"].mean()) / frame["score"].std() + 0.3 * frame["stress"]
    frame["percent"] = np.clip(50 + 40 * z, 0, 100)
    frame["rating"] = np.clip(np.rint(3 + z), 1, 5)
    frame["half"] = np.maximum(z, 0)
    frame["left"] = (z > 1.2).astype(float)
    frame["tasks"] = 3 + frame["week"] % 3
    frame["kept"] = np.clip(np.rint(frame["tasks"] / 2 + z), 0, frame["tasks"])
    people = pd.factorize(frame["pid"], sort=True)[0]
    frame["tid_2"] = np.where(people % 3 == 0, [f"T{i % 7}" for i in people], "")
    frame["share_2"] = np.where(frame["tid_2"] != "", 0.25, 0.0)
    frame["share_1"] = 1 - frame["share_2"]
    for name in ("score", "alliance", "stress", "visits"):
        frame.loc[rng.random(len(frame)) < 0.15, name] = np.nan
    return frame


def make(name: str, trial: pd.DataFrame) -> ba.Design:
    """Return the design of one of the models above."""
    spec = ba.parse_model(HEAD + MODELS[name])
    return ba.make_design(
        spec,
        ba.Study(
            ba.read_sessions(holes(trial), ROLES),
            columns={"condition": "arm"} if "condition" in MODELS[name] else {},
            reference={"condition": "TAU"} if "condition" in MODELS[name] else {},
        ),
    )


def random_correlation(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a correlation matrix away from its borders."""
    a = rng.normal(size=(size, size + 4))
    s = a @ a.T
    return np.asarray(s / np.sqrt(np.outer(np.diag(s), np.diag(s))))


class Point:
    """A point on natural scales, the free values it means, and its log-density by SciPy."""

    def __init__(self, made: ba.Design, rng: np.random.Generator) -> None:
        self.made = made
        self.values: dict[str, np.ndarray] = {}
        self.covariances: list[np.ndarray] = []
        self.total = 0.0
        self._coefficients(rng)
        self._effects(rng)
        self._residuals(rng)
        self._rows()

    def _coefficients(self, rng: np.random.Generator) -> None:
        priors = self.made.priors.coef
        self.values["b_centred"] = self.b = rng.normal(0, 1, len(priors))
        self.total += sum(density(p.distribution, v) for p, v in zip(priors, self.b, strict=True))

    def _effects(self, rng: np.random.Generator) -> None:
        self.u: dict[str, np.ndarray] = {}
        for factor in self.made.factors:
            key, size = factor.factor, len(factor.effects)
            strata = 1 if factor.by is None else len(factor.by.labels)
            stratum = np.zeros(len(factor.levels), dtype=int) if factor.by is None else factor.by.code
            sds = rng.uniform(0.3, 2, (strata, size))
            priors = self.made.priors.sd[key]
            families = [p.distribution.family for p in priors]
            for family in dict.fromkeys(families):
                # one free variable per family of priors, where there are several
                own = [i for i, name in enumerate(families) if name == family]
                name = f"sd_{key}" if len(set(families)) == 1 else f"sd_{key}_{family}"
                self.values[name] = sds[:, own] if factor.by else sds[0, own]
            self.total += sum(density(p.distribution, v) for row in sds for p, v in zip(priors, row, strict=True))
            u = rng.normal(0, 1, (len(factor.levels), size))
            self.u[key] = u
            for number, block in enumerate(factor.blocks):
                members = list(block.members)
                whole = len(factor.blocks) == 1
                self.values[f"u_{key}" if whole else f"u_{key}_{number + 1}"] = u[:, members]
                for s in range(strata):
                    cor = random_correlation(rng, len(members))
                    if len(members) > 1:
                        correlated = [b for b in factor.blocks if len(b.members) > 1]
                        prior = self.made.priors.cor[key][correlated.index(block)]
                        self.total += lkj(cor, prior.distribution.values[0]) + log_jacobian(cor)
                        several = "" if len(correlated) == 1 else f"_{number + 1}"
                        by = f"_{s + 1}" if factor.by else ""
                        self.values[f"cor_{key}{several}{by}_unit"] = to_unit(cor)
                    covariance = cor * np.outer(sds[s, members], sds[s, members])
                    self.covariances.append(covariance)
                    rows = u[np.ix_(stratum == s, members)]
                    self.total += stats.multivariate_normal(np.zeros(len(members)), covariance).logpdf(rows).sum()

    def _residuals(self, rng: np.random.Generator) -> None:
        residual = self.made.residual
        self.cors: list[np.ndarray] = []
        sigma = self.made.priors.sigma
        self.values["sigma"] = self.sigma = rng.uniform(0.5, 3, len(sigma))
        self.total += sum(density(p.distribution, v) for p, v in zip(sigma, self.sigma, strict=True))
        for shape, priors in self.made.priors.shapes.items():
            self.values[shape] = rng.uniform(1.5, 6, len(priors))
            self.total += sum(density(p.distribution, v) for p, v in zip(priors, self.values[shape], strict=True))
        self.thresholds: dict[str, np.ndarray] = {}
        for outcome, prior in self.made.priors.shares.items():
            categories = self.made.find(outcome).scale.categories
            self.values[f"share_{outcome}"] = shares = rng.dirichlet(np.full(len(categories), 3.0))
            alpha = np.full(len(categories), prior.distribution.values[0])
            self.total += float(stats.dirichlet.logpdf(shares, alpha))
            self.thresholds[outcome] = special.logit(np.cumsum(shares)[:-1])
        if residual is None:
            return
        for s in range(max(len(residual.by), 1)):
            if residual.fixed is not None:
                self.cors.append(residual.fixed)
                continue
            cor = random_correlation(rng, len(residual.outcomes))
            self.cors.append(cor)
            self.values[f"cor_residual{f'_{s + 1}' if residual.by else ''}_unit"] = to_unit(cor)
            self.total += lkj(cor, self.made.priors.cor["residual"][0].distribution.values[0]) + log_jacobian(cor)

    def _rows(self) -> None:
        """Add the likelihood, one table row at a time: a normal over whichever joint outcomes the row has."""
        linear: dict[str, np.ndarray] = {}
        start, sigma_start = 0, 0
        for e in self.made.linear_predictors:
            size = len(e.coef.labels)
            linear[e.name] = mu = (e.coef.values - e.centre) @ self.b[start : start + size]
            start += size
            for group in e.groups:
                factor = next(f for f in self.made.factors if f.factor == group.factor)
                u = self.u[group.factor][:, list(factor.places[e.name])]
                for row in np.flatnonzero(group.inside):
                    mu[row] += group.values[row] @ u[group.code[row]]
        joint = self.made.residual.outcomes if self.made.residual is not None else ()
        together: dict[int, list[tuple[int, float, float, int]]] = {}
        for e in self.made.equations:
            mu = linear[e.outcome]
            if e.family == "bernoulli":
                self.total += stats.bernoulli.logpmf(e.y.astype(int), 1 / (1 + np.exp(-mu))).sum()
                continue
            if e.family == "negative_binomial":
                counted = [x.outcome for x in self.made.equations if x.family == "negative_binomial"]
                phi = self.values["shape"][counted.index(e.outcome)]
                self.total += stats.nbinom.logpmf(e.y.astype(int), phi, phi / (phi + np.exp(mu))).sum()
                continue
            if e.family in ("cumulative", "ordered_beta"):
                self.total += self._ordered(e, mu)
                continue
            if e.family == "hazard":
                # an exponential time that ends within the session, or outlasts it
                each = np.where(e.y == 1, stats.expon.logcdf(np.exp(mu)), stats.expon.logsf(np.exp(mu)))
                self.total += each.sum()
                continue
            if e.family == "binomial":
                self.total += stats.binom.logpmf(e.y, e.scale.trials, special.expit(mu)).sum()
                continue
            if "sigma" in e.parameters:
                spread = np.exp(linear[e.parameters["sigma"].name])
            else:
                spread = self.sigma[sigma_start : sigma_start + len(e.sigma_coef)][e.sigma_code]
            sigma_start += len(e.sigma_coef)
            if e.family == "student_t":
                tailed = [x.outcome for x in self.made.equations if x.family == "student_t"]
                nu = self.values["nu"][tailed.index(e.outcome)]
                self.total += stats.t.logpdf(e.y, nu, mu, spread).sum()
                continue
            if e.family == "censored":
                at = e.y == 0
                self.total += stats.norm.logcdf(0, mu, spread)[at].sum()
                self.total += stats.norm.logpdf(e.y, mu, spread)[~at].sum()
                continue
            if e.outcome not in joint:
                self.total += stats.norm.logpdf(e.y, mu, spread).sum()
                continue
            stratum = self.made.residual.beside[e.outcome].stratum
            for i, row in enumerate(e.row):
                entry = (joint.index(e.outcome), e.y[i] - mu[i], spread[i], stratum[i])
                together.setdefault(int(row), []).append(entry)
        for entries in together.values():
            places = [place for place, _, _, _ in entries]
            sds = np.array([sd for _, _, sd, _ in entries])
            covariance = self.cors[entries[0][3]][np.ix_(places, places)] * np.outer(sds, sds)
            left = [residual for _, residual, _, _ in entries]
            self.total += stats.multivariate_normal(np.zeros(len(left)), covariance).logpdf(left)

    def _ordered(self, e: EquationDesign, mu: np.ndarray) -> float:
        """Return the density of categories, and of scores between bounds of 0 and 100, at centred predictors.

        ``mu`` counts the intercept as it is at the centring constants, where thresholds are logits of shares.
        """
        own = self.thresholds[e.outcome]
        if e.family == "cumulative":
            edges = np.concatenate([[-np.inf], own, [np.inf]])
            code = (e.y - 1).astype(int)
            low, high, curve = edges[code] - mu, edges[code + 1] - mu, stats.logistic
            chance = np.where(low > 0, curve.sf(low) - curve.sf(high), curve.cdf(high) - curve.cdf(low))
            return float(np.log(chance).sum())
        intercept = self.b[[label for x in self.made.equations for label in x.coef_labels].index(e.coef_labels[0])]
        floor, ceiling = stats.logistic.cdf(own + intercept - mu[:, None]).T
        phi, share = self.values["phi"][0], special.expit(mu)
        inside = stats.beta.pdf(e.y / 100, share * phi, (1 - share) * phi) / 100
        chance = np.where(e.y == 0, floor, np.where(e.y == 100, 1 - ceiling, (ceiling - floor) * inside))
        return float(np.log(chance).sum())


@pytest.mark.parametrize("name", MODELS)
def test_joint_log_density_agrees_with_scipy(name: str, trial: pd.DataFrame) -> None:
    """Log-densities at random points are SciPy's, to rounding, whatever correlates with what."""
    made = make(name, trial)
    model = ba.build_model(made.spec, made, parametrization="centred")
    rng = np.random.default_rng(4)
    points = [Point(made, rng) for _ in range(2)]
    got = [evaluate(model, point.values) for point in points]
    np.testing.assert_allclose(got, [point.total for point in points], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_shape_is_finite_as_chosen(name: str, trial: pd.DataFrame) -> None:
    """The model as it is sampled has a finite log-density in a bounds-checked mode, and dims on public variables."""
    made = make(name, trial)
    model = ba.build_model(made.spec, made)
    assert np.isfinite(check_log_density(model))
    assert tuple(model.coords["coef"]) == tuple(label for e in made.linear_predictors for label in e.coef_labels)
    for factor in made.factors:
        assert model.named_vars_to_dims[f"u_{factor.factor}"] == (factor.factor, f"{factor.factor}_effect")
        assert tuple(model.coords[f"{factor.factor}_effect"]) == factor.effects


@pytest.mark.parametrize("name", ["effects across equations", "across equations by arm"])
def test_totals_are_the_same_model_across_equations(name: str, trial: pd.DataFrame) -> None:
    """Effects centred on the population have the density of deviations at matching points."""
    frame = holes(trial)
    frame["score"] += 40 * np.sin(frame["pid"].str[1:].astype(float))
    frame["alliance"] += 9 * np.cos(frame["pid"].str[1:].astype(float))
    by = "by" in name
    made = ba.make_design(
        ba.parse_model(HEAD + MODELS[name].replace("(1 + week | patient)", "(1 | patient)")),
        ba.Study(
            ba.read_sessions(frame, ROLES),
            columns={"condition": "arm"} if by else {},
            reference={"condition": "TAU"} if by else {},
        ),
    )
    made = parametrization.parametrize(made)
    assert all(block.centred == block.members for factor in made.factors for block in factor.blocks)
    point = Point(made, np.random.default_rng(2))
    model = ba.build_model(made.spec, made)
    b = model["b"].eval({model["b_centred"]: point.b}, mode=CHECKED)
    total = point.u["patient"].copy()
    for member, label in enumerate(made.factors[0].effects):
        total[:, member] += b[[str(x) for x in model.coords["coef"]].index(label)]
    values = {n: v for n, v in point.values.items() if n != "u_patient"} | {"total_patient": total}
    assert evaluate(model, values) == pytest.approx(point.total, rel=1e-10)


@pytest.mark.parametrize("name", ["effects across equations", "across equations by arm", "correlated slopes"])
@pytest.mark.parametrize(
    ("which", "first"), [((0,), ()), ((1,), (0,)), ((2,), (0, 1)), ((0, 2), ()), ((0, 2), (1,)), ((0,), (2,))]
)
def test_centred_and_scaled_effects_of_one_block_are_one_model(
    name: str,
    which: tuple[int, ...],
    first: tuple[int, ...],
    trial: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever effects of a block are free as they are, the density is that of all free, times d effects / d normals.

    The normals are worked out here by regression of each scaled effect on those before it, not by Cholesky factors.
    """
    # the place of each equation's first effect in the joint block, over and over
    starts = itertools.cycle((0,) if name == "correlated slopes" else (0, 2))

    def some_centred(groups: Sequence[GroupDesign], *_: object) -> tuple[GroupDesign, ...]:
        start = next(starts)
        (group,) = groups
        chosen = tuple(i for i in range(len(group.effects)) if start + i in which)
        (block,) = group.blocks
        reliability = tuple(0.15 * (start + member) for member in block.members)  # the later, the more reliable
        before = tuple(i for i in range(len(group.effects)) if start + i in first)
        return (replace(group, blocks=(replace(block, centred=chosen, reliability=reliability, first=before),)),)

    slopes = equation("score", "week + (1 + week + stress | patient)")
    text = slopes if name == "correlated slopes" else MODELS[name]
    monkeypatch.setattr(parametrization, "choose_parametrization", some_centred)
    by = "condition" in text
    made = ba.make_design(
        ba.parse_model(HEAD + text),
        ba.Study(
            ba.read_sessions(holes(trial), ROLES),
            columns={"condition": "arm"} if by else {},
            reference={"condition": "TAU"} if by else {},
        ),
    )
    made = parametrization.parametrize(made)
    (factor,) = made.factors
    (block,) = factor.blocks
    assert (block.centred, block.first) == (which, first)
    point = Point(made, np.random.default_rng(9))
    model = ba.build_model(made.spec, made)
    b = model["b"].eval({model["b_centred"]: point.b}, mode=CHECKED)
    own = point.u["patient"]
    rest = (m for m in range(3) if m not in (*which, *first))
    last = sorted(rest, key=lambda m: block.reliability[m] < 0.2)
    order, scaled = [*first, *which, *last], [*first, *last]
    stratum = np.zeros(len(factor.levels), dtype=int) if factor.by is None else factor.by.code
    z, jacobian = np.empty((len(own), len(scaled))), 0.0
    values = dict(point.values)
    for s in range(len(point.covariances)):
        covariance, rows = point.covariances[s], stratum == s
        for i, member in enumerate(scaled):
            before = order[: order.index(member)]
            slope = np.linalg.solve(covariance[np.ix_(before, before)], covariance[before, member])
            left = np.sqrt(covariance[member, member] - slope @ covariance[before, member])
            z[rows, i] = (own[rows, member] - own[np.ix_(rows, before)] @ slope) / left
            jacobian += rows.sum() * np.log(left)
        sd = np.sqrt(np.diag(covariance))
        cor = (covariance / np.outer(sd, sd))[np.ix_(order, order)]
        suffix = f"_{s + 1}" if factor.by else ""
        jacobian += log_jacobian(cor) - log_jacobian(covariance / np.outer(sd, sd))
        values[f"cor_patient{suffix}_unit"] = to_unit(cor)
    shift = np.zeros_like(own)
    for e in made.equations:
        for group in e.groups:
            for carried in group.carried:
                coefficient = b[list(model.coords["coef"]).index(e.coef_labels[carried.coef])]
                shift[:, factor.places[e.outcome][carried.member]] += carried.weight * coefficient
    del values["u_patient"]
    values |= {"total_patient": (own + shift)[:, which], "z_patient": z}
    assert evaluate(model, values) == pytest.approx(point.total + jacobian, rel=1e-10)


def test_graph_does_not_grow_with_rows() -> None:
    """Two equations with everything correlated have as many graph nodes for twice the patients and rows."""
    sizes = []
    for patients in (24, 48):
        made = make("effects and residuals", make_trial(patients=patients))
        model = ba.build_model(made.spec, made, parametrization="centred")
        sizes.append(len(model.compile_logp(mode=CHECKED).f.maker.fgraph.apply_nodes))
    assert sizes[0] == sizes[1]


def test_partial_rows_count_with_what_they_have(trial: pd.DataFrame) -> None:
    """A row that lacks one of two joint outcomes is used for the other one, and counted in a message."""
    made = make("residuals of a row", trial)
    score, alliance = (set(e.row.tolist()) for e in made.equations)
    assert score - alliance
    assert alliance - score
    both, only = len(score & alliance), (len(score - alliance), len(alliance - score))
    text = f"in {both} rows with both; {only[0]} rows with score and {only[1]} rows with alliance alone"
    assert any(text in message for message in made.messages)


def test_correlated_outcomes_are_drawn_together(trial: pd.DataFrame) -> None:
    """Draws of joint outcomes have the stated correlation, not that of one with the other's observed values."""
    made = make("a stated residual correlation", trial)
    model = ba.build_model(made.spec, made, parametrization="centred")
    with model:
        pm.do(model, {})
    rows = [
        np.intersect1d(e.row, made.equations[1 - i].row, return_indices=True)[1] for i, e in enumerate(made.equations)
    ]
    given = {model["b_centred"]: np.zeros(4), model["sigma"]: np.ones(2)}
    given |= {model["u_patient_1"]: np.zeros((24, 2)), model["u_patient_2"]: np.zeros((24, 1))}
    fixed = pm.do(model, {variable.name: value for variable, value in given.items()})
    drawn = pm.draw([fixed["score"], fixed["alliance"]], draws=300, random_seed=3, mode="FAST_COMPILE")
    pairs = [values[:, chosen].ravel() for values, chosen in zip(drawn, rows, strict=True)]
    assert np.corrcoef(*pairs)[0, 1] == pytest.approx(0.3, abs=0.02)


def growing(seed: int) -> pd.DataFrame:
    """Return SYNTHETIC patients alike at session 0 (SD 0.2) whose courses part by 1 a session; residual SD 1."""
    rng = np.random.default_rng(seed)
    slope, start = rng.normal(0, 1, 40), rng.normal(0, 0.2, 40)
    rows = [
        {"pid": f"p{i}", "week": float(s), "score": 5 + start[i] + slope[i] * s + rng.normal()}
        for i in range(40)
        for s in range(5)
    ]
    return pd.DataFrame(rows)


def test_what_goes_along_with_a_centred_effect_is_written_before_it() -> None:
    """The intercept at session 0 comes before the slope; at the middle session the two are told apart."""
    table = ba.read_sessions(growing(1), {"patient": "pid", "session": "week"})
    for term, first in (("week", (0,)), ("middle", ())):
        text = equation("score", f"{term} + (1 + {term} | patient)")
        frame = table.frame.assign(middle=table.frame["week"] - 2)
        made = ba.make_design(
            ba.parse_model(HEAD + text), ba.read_sessions(frame, {"patient": "pid", "session": "week"})
        )
        (block,) = parametrization.parametrize(made).factors[0].blocks
        if term == "week":
            assert block.centred == (1,)
        assert block.first == first


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_growth_from_alike_beginnings_does_not_stand_still(seed: int) -> None:
    """Trees are of some dozen steps and chains agree, where before they were of the largest size and did not."""
    table = ba.read_sessions(growing(seed), {"patient": "pid", "session": "week"})
    spec = ba.parse_model(HEAD + equation("score", "week + (1 + week | patient)"))
    settings = ba.SamplerSettings(draws=500, tune=500, progress="off")
    fit = ba.fit_model(spec, table, seed=1, engine="nuts", settings=settings)
    assert float(fit.data["sample_stats"]["n_steps"].mean()) < 100
    rows = ba.summarize(fit)
    own = rows[rows["name"].str.startswith(("b[", "sigma", "sd_patient[score, week]"))]
    assert (own["r_hat"] < 1.03).all()
