"""Shrinkage priors: log-densities by SciPy on natural scales, and coefficients drawn in NumPy beside PyMC's."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import bayes_alliance as ba
from bayes_alliance.simulate.prior import draw_truth
from tests.build.oracle import density, evaluate
from tests.conftest import ROLES

HEAD = 'title = "t"\nquestion = "q?"\n'
TERMS = '["pre", "iip_pre", "cohesion", "competence"]'
EQUATIONS = """
[[equation]]
outcome = "post"
unit = "patient"
formula = "pre + iip_pre + cohesion + competence"

[[equation]]
outcome = "iip_change"
unit = "patient"
formula = "pre + iip_pre + cohesion + competence"
"""


def design(trial: pd.DataFrame, dist: str, contrast: str) -> ba.Design:
    """Return a design of two outcomes whose coefficients share a prior."""
    shrink = f'[shrink.traits]\nterms = {TERMS}\ndist = "{dist}"\ncontrast = {contrast}\nreason = "Few matter."\n'
    return ba.make_design(ba.parse_model(HEAD + EQUATIONS + shrink), ba.read_sessions(trial, ROLES))


def standardised(trial: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predictors, outcomes and the SDs of both, one row per patient."""
    people = trial.groupby("pid").first()
    x = people[["pre", "iip_pre", "cohesion", "competence"]].to_numpy()
    y = people[["post", "iip_change"]].to_numpy()
    return x, y, np.array([*x.std(axis=0, ddof=1), *y.std(axis=0, ddof=1)])


@pytest.mark.parametrize("contrast", ["true", "false"])
@pytest.mark.parametrize("dist", ["horseshoe(1, 4, 2)", "r2d2(0.3, 4, 0.5)"])
def test_log_density(trial: pd.DataFrame, dist: str, contrast: str) -> None:
    """Hyperparameters have their densities, and rows that of the coefficients these make, written out by hand."""
    made = design(trial, dist, contrast)
    model = ba.build_model(made.spec, made)
    rng = np.random.default_rng(2)
    x, y, sds = standardised(trial)
    names = ["traits_mean", "traits_difference"] if contrast == "true" else ["traits_post", "traits_iip_change"]
    values: dict[str, np.ndarray] = {}
    total, parts = 0.0, []
    tau0 = 1 / (3 * np.sqrt(len(x)))
    for name in names:
        z = rng.normal(size=4)
        total += stats.norm.logpdf(z).sum()
        values[f"z_shrunk_{name}"] = z
        if dist.startswith("horseshoe"):
            local, rate = np.abs(rng.normal(size=4)), rng.gamma(2, 1, 4)
            size, rate_0, slab = abs(rng.normal()), rng.gamma(2, 1), rng.uniform(1, 6)
            values |= {f"z_local_{name}_size": local, f"z_local_{name}_rate": rate}
            values |= {f"z_global_{name}_size": np.array(size), f"z_global_{name}_rate": np.array(rate_0)}
            values |= {f"z_slab_{name}_squared": np.array(slab)}
            total += stats.halfnorm.logpdf([*local, size]).sum()
            total += stats.gamma.logpdf([*rate, rate_0], 0.5, scale=2).sum()
            total += stats.invgamma.logpdf(slab, 2, scale=2 * 4)
            whole, own = tau0 * size / np.sqrt(rate_0), local / np.sqrt(rate)
            # a normal of the horseshoe's variance times one of the slab's, as the paper derives it
            parts.append(z * np.sqrt(1 / (1 / slab + 1 / (whole * own) ** 2)))
        else:
            share, split = rng.beta(2, 2), rng.dirichlet(np.full(4, 2.0))
            values |= {f"global_{name}": np.array(share), f"local_{name}": split}
            total += stats.beta.logpdf(share, 1.2, 2.8) + stats.dirichlet.logpdf(split, np.full(4, 0.5))
            parts.append(z * np.sqrt(share * split))
    if contrast == "true":
        common = np.sqrt((sds[4] ** 2 + sds[5] ** 2) / 2)
        b = [(parts[0] + sign * parts[1] / 2) * common / sds[:4] for sign in (1, -1)]
    else:
        b = [parts[k] * sds[4 + k] / sds[:4] for k in range(2)]
    intercepts, sigma = rng.normal(size=2), rng.uniform(1, 3, 2)
    for k in range(2):
        mean = intercepts[k] + (x - x.mean(axis=0)) @ b[k]
        total += stats.norm.logpdf(y[:, k], mean, sigma[k]).sum()
    coef = [p for p in made.priors.coef if p.distribution.support == "real"]
    total += sum(density(p.distribution, v) for p, v in zip(coef, intercepts, strict=True))
    total += sum(density(p.distribution, v) for p, v in zip(made.priors.sigma, sigma, strict=True))
    values |= {"b_centred_normal": intercepts, "sigma": sigma}
    assert evaluate(model, values) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("dist", ["horseshoe(1, 4, 2)", "r2d2(0.3, 4, 0.5)"])
def test_priors_of_both_sides_agree(trial: pd.DataFrame, dist: str) -> None:
    """Quantiles of a coefficient and of the global scale drawn in NumPy are those of PyMC (4 Monte Carlo SDs)."""
    made = design(trial, dist, "true")
    rng = np.random.default_rng(1)
    ours = [draw_truth(made, rng) for _ in range(3000)]
    with ba.build_model(made.spec, made):
        theirs = pm.sample_prior_predictive(3000, var_names=["b", "global_traits_mean"], random_seed=1)["prior"].dataset
    for name, drawn in (
        ("b[post, pre]", theirs["b"].sel(coef="post, pre").values.ravel()),
        ("global_traits_mean", theirs["global_traits_mean"].values.ravel()),
    ):
        own = np.array([truth[name] for truth in ours])
        for q in (0.1, 0.25, 0.5, 0.75, 0.9):
            at = np.quantile(np.concatenate([own, drawn]), q)
            assert abs((own < at).mean() - (drawn < at).mean()) < 4 * np.sqrt(2 * q * (1 - q) / 3000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('terms = ["pre"]', r"two different terms or more are needed; it names 'pre'"),
        ('terms = ["pre", "ipi_pre"]', r"Unknown term 'ipi_pre'.*Did you mean 'iip_pre'"),
        ('dist = "normal(0, 1)"', r"shrinks nothing\. Write horseshoe"),
        ('dist = "horseshoe(4, 4, 2)"', r"of 4 terms fewer than that are expected to matter, not 4"),
        ('dist = "r2d2(1.5, 4, 0.5)"', r"lies between 0 and 1, not at 1.5"),
        ('outcomes = ["post"]', r"contrast = true is about two outcomes; these are 'post'"),
        ('outcomes = ["post", "alliance"]', r"Unknown outcome 'alliance'"),
        ("weight = 3", r"Unknown key 'weight'"),
    ],
)
def test_bad_input(change: str, message: str) -> None:
    """Every statement that cannot be is a SpecError with what is allowed."""
    lines = {"terms": f"terms = {TERMS}", "contrast": "contrast = true", "reason": 'reason = "r"'}
    lines[change.split(" ")[0]] = change
    with pytest.raises(ba.SpecError, match=message):
        ba.parse_model(HEAD + EQUATIONS + "[shrink.traits]\n" + "\n".join(lines.values()))


def test_a_second_prior_is_refused(trial: pd.DataFrame) -> None:
    """A coefficient that shares a prior has no other, neither in the model nor in a call."""
    text = HEAD + EQUATIONS + f'[shrink.traits]\nterms = {TERMS}\nreason = "r"\n'
    own = ba.parse_model(text + '[[prior]]\non = "b pre"\ndist = "normal(0, 1)"\nreason = "r"\n')
    for spec, priors in ((own, {}), (ba.parse_model(text), {"b pre": "normal(0, 1)"})):
        with pytest.raises(ba.DesignError, match=r"'b pre': b\[post, pre\] shares that of shrink 'traits_post'"):
            ba.make_design(spec, ba.Study(ba.read_sessions(trial, ROLES), priors=priors))


def test_terms_are_found_however_they_are_spelled(trial: pd.DataFrame) -> None:
    """Products in another order, spaces and calls name the same terms; equations without the prior have none of it."""
    text = (
        HEAD
        + '[[equation]]\noutcome = "post"\nunit = "patient"\nformula = "log(pre + 1) * iip_pre + cohesion"\n'
        + '[[equation]]\noutcome = "iip_change"\nunit = "patient"\nformula = "cohesion + iip_pre"\n'
        + '[shrink.s]\nterms = ["log(pre+1)", "iip_pre:log(pre+1)"]\nreason = "r"\n'
    )
    made = ba.make_design(ba.parse_model(text), ba.read_sessions(trial, ROLES))
    shrunk = [p.parameter for p in made.priors.coef if p.distribution.support == "shrunk"]
    assert shrunk == ["b[post, log(pre + 1)]", "b[post, log(pre + 1):iip_pre]"]
    alike = trial.assign(again=trial["cohesion"] + trial["iip_pre"])
    other = text.replace('"cohesion + iip_pre"', '"cohesion + iip_pre + again"')
    with pytest.raises(ba.DesignError, match=r"'again' is determined by 'cohesion', 'iip_pre'"):
        ba.make_design(ba.parse_model(other), ba.read_sessions(alike, ROLES))


def test_contrasts_need_one_unit(trial: pd.DataFrame) -> None:
    """Points and log-odds have no common mean; names that come out the same are refused."""
    text = EQUATIONS.replace('outcome = "iip_change"', 'outcome = "dropout"\nfamily = "bernoulli"')
    shrink = f'[shrink.s]\nterms = {TERMS}\ncontrast = true\nreason = "r"\n'
    with pytest.raises(ba.SpecError, match="needs coefficients in one unit; these are of 'post' in points"):
        ba.parse_model(HEAD + text + shrink)


@pytest.mark.parametrize(("dist", "expected"), [("horseshoe(1, 4, 2)", 0.99), ("r2d2(0.3, 4, 0.5)", 0.8)])
def test_a_horseshoe_is_sampled_with_small_steps(trial: pd.DataFrame, dist: str, expected: float) -> None:
    """Unless a share of accepted steps is stated: then that one holds."""
    made = design(trial, dist, "true")
    assert ba.SamplerSettings().for_design(made).target_accept == expected
    assert ba.SamplerSettings(target_accept=0.9).for_design(made).target_accept == 0.9


def test_a_fit_says_that_its_steps_are_small(trial: pd.DataFrame) -> None:
    """The record holds the number, and a message that it is not the usual one."""
    made = design(trial, "horseshoe(1, 4, 2)", "false")
    few = ba.SamplerSettings(draws=2, tune=10, chains=1, progress="off")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ba.fit_model(made.spec, ba.read_sessions(trial, ROLES), seed=1, settings=few)
    assert fit.provenance["settings"]["target_accept"] == 0.99
    assert "target_accept is 0.99: a horseshoe wants small steps." in fit.provenance["messages"]
