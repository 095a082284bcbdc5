"""Shrinkage priors: the exact engine with scales sampled, against the PyMC model with all normals integrated out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.collapse.deletion import leave_units_out
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.eligibility import find_design_obstacles, find_obstacles, find_stream_obstacles
from bayes_alliance.collapse.engine import sum_design
from bayes_alliance.collapse.shrinkage import prior_covariance, slot_sds
from bayes_alliance.collapse.stack import stack_rows
from bayes_alliance.collapse.statistics import sum_rows
from bayes_alliance.collapse.tables import pack_statistics
from tests.build.test_equations import ACROSS, HEAD, JOINT, equation, holes
from tests.collapse.dense import engine_of
from tests.collapse.marginal import collapsed_at
from tests.collapse.test_density import random_point
from tests.collapse.test_loadings import check, check_reading_back, check_slope, without
from tests.conftest import ROLES, make_trial

TERMS = ["pre", "iip_pre", "week:pre", "stress"]
FIXED = " + ".join(TERMS)
MEANS = 'between(alliance, patient, means="latent")'
TWO = equation("score", f"week + {FIXED} + (1 + week | patient) + (1 | therapist)") + equation(
    "alliance", f"week + {FIXED} + (1 | patient)"
)

SHAPES = {
    "one outcome": equation("post", "pre + iip_pre + cohesion + competence + (1 | therapist)", "patient"),
    "no effects": equation("post", "pre + iip_pre + cohesion + competence", "patient"),
    "growth": equation("score", f"week + {FIXED} + (1 + week | patient) + (1 | therapist)"),
    "two outcomes": TWO + ACROSS + JOINT,
    "two outcomes contrasted": TWO + ACROSS + JOINT,
    "crossed factors": equation("score", f"week + {FIXED} + (1 + week | patient) + (1 | group) + (1 | therapist)"),
    "crossed factors contrasted": TWO.replace("(1 | patient)", "(1 | patient) + (1 | group)") + ACROSS,
    "measured means": equation("score", f"week + {MEANS} + {FIXED} + (1 | patient)"),
}
DISTS = ["horseshoe(1, 4, 2)", "r2d2(0.3, 4, 0.5)"]


def design_of(name: str, dist: str, frame: pd.DataFrame) -> ba.Design:
    """Return the design of a shape under a shrinkage prior."""
    frame = holes(frame)
    frame["room"] = "R" + ((frame["week"].astype(int) * 7 + frame["pid"].str[1:].astype(int)) % 5).astype(str)
    own = ["pre", "iip_pre", "cohesion", "competence"] if "cohesion" in SHAPES[name] else TERMS
    shrink = f'[shrink.traits]\nterms = {own}\ndist = "{dist}"\nreason = "Few matter."\n'.replace("'", '"')
    shrink += "contrast = true\n" if "contrasted" in name else ""
    roles = ROLES | ({"group": "room"} if "crossed" in name else {})
    table = ba.read_sessions(frame, roles, transfers="transferred")
    return ba.make_design(ba.parse_model(HEAD + SHAPES[name] + shrink), table)


@pytest.fixture(scope="module", params=[(name, dist) for name in SHAPES for dist in DISTS], ids="-".join)
def shape(request: pytest.FixtureRequest, trial: pd.DataFrame) -> ba.Design:
    """Return one design per shape and prior."""
    return design_of(*request.param, trial)


def test_value_and_means_are_those_of_the_pymc_model(shape: ba.Design) -> None:
    """At two points: the integral of the joint density, and means of coefficients and effects given the outcomes."""
    assert find_obstacles(shape.spec) == []
    assert find_design_obstacles(shape) == []
    engine = engine_of(shape)
    assert engine.shape.shrunk
    for seed in range(2):
        check(shape, random_point(engine.packed.size, engine.sds, np.random.default_rng(seed)))


def test_gradient_is_the_slope_of_the_value(shape: ba.Design) -> None:
    """In every parameter, scales among them."""
    check_slope(shape, as_logs=True)


def test_points_are_read_back_from_named_draws(shape: ba.Design) -> None:
    """Global and local scales, slabs and shares say what was sampled."""
    check_reading_back(shape)


def test_scales_are_those_of_the_draws(shape: ba.Design) -> None:
    """Prior SDs of standardised coefficients written out from named draws: slab and horseshoe, share and parts."""
    engine = engine_of(shape)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(8))
    named = collapsed_at(shape, x[None], chains=1).isel(chain=0, draw=0)
    sds = slot_sds(engine.shape, x[None])[0]
    for group, one in zip(shape.priors.shrunk, engine.shape.shrunk, strict=True):
        whole, local = float(named[f"global_{group.name}"]), named[f"local_{group.name}"].to_numpy()
        if group.distribution.family == "horseshoe":
            slab = float(named[f"slab_{group.name}"])
            expected = (slab**-2 + (whole * local) ** -2.0) ** -0.5
        else:
            expected = np.sqrt(whole * local)
        np.testing.assert_allclose(sds[one.slots], expected, rtol=1e-12)


def test_contrasts_make_coefficients_of_one_term_correlate(trial: pd.DataFrame) -> None:
    """The prior covariance of both outcomes' coefficients follows from means plus and minus half of differences."""
    made = design_of("two outcomes contrasted", DISTS[0], trial)
    engine = engine_of(made)
    x = random_point(engine.packed.size, engine.sds, np.random.default_rng(4))[None]
    covariance, sds = prior_covariance(engine.shape, x)[0], slot_sds(engine.shape, x)[0]
    mean, difference = engine.shape.shrunk
    for one, two in zip(mean.slots, difference.slots, strict=True):
        assert covariance[one, two] == pytest.approx(sds[one] ** 2 - sds[two] ** 2 / 4)
        assert covariance[one, one] == pytest.approx(sds[one] ** 2 + sds[two] ** 2 / 4)


LEFT_OUT = ["one outcome", "two outcomes contrasted"]


@pytest.mark.parametrize("name", LEFT_OUT)
@pytest.mark.parametrize("dist", DISTS)
def test_units_left_out(name: str, dist: str, trial: pd.DataFrame) -> None:
    """A unit's density given all others is what the log-density of all rows falls by without its rows."""
    made = design_of(name, dist, trial)
    engine, stacked = engine_of(made), stack_rows(made)
    unit = "therapist" if name == "one outcome" else "patient"
    place = [factor.name for factor in stacked.shape.factors].index(unit)
    none, x = np.zeros(engine.sds, dtype=bool), random_point(engine.packed.size, engine.sds, np.random.default_rng(6))
    found = leave_units_out(stacked, place, x[None]).without[0]
    codes = [np.asarray(rows.code[place]) for rows in stacked.rows if rows.owner < len(made.equations)]
    for level in range(0, len(found), 3):
        statistics = sum_rows(without(stacked, codes, level))
        left = Density(pack_statistics(statistics), statistics.shape).value(x, none)
        assert found[level] == pytest.approx(engine.value(x, none) - left, rel=1e-7, abs=1e-7)


def test_loadings_under_the_prior_are_refused_by_name(trial: pd.DataFrame) -> None:
    """A coefficient of something estimated has a normal prior there; with another it is left to NUTS."""
    text = equation("score", f"week + {MEANS} + stress + (1 | patient)")
    shrink = f"[shrink.few]\nterms = ['{MEANS}', 'stress']\ndist = \"horseshoe(1, 4, 2)\"\nreason = \"r\"\n"
    spec = ba.parse_model(HEAD + text + shrink)
    told = "share the prior few, and multiply what is estimated"
    assert told in find_obstacles(spec)[0]
    made = ba.make_design(spec, ba.read_sessions(trial, ROLES, transfers="transferred"))
    assert find_design_obstacles(made)[0].endswith(told)


def test_streams_do_not_take_shrinkage(trial: pd.DataFrame) -> None:
    """Scales of predictors are needed before rows are summed."""
    spec = design_of("growth", DISTS[0], trial).spec
    assert find_stream_obstacles(spec) == ["coefficients share the prior traits, which takes all rows at once"]


@pytest.mark.parametrize("dist", DISTS)
def test_auto_takes_the_exact_engine(dist: str) -> None:
    """A fit has the scales that one by NUTS would have, and says which sampler ran."""
    made = design_of("one outcome", dist, make_trial())
    few = ba.SamplerSettings(draws=500, tune=500, progress="off")
    table = ba.read_sessions(holes(make_trial()), ROLES, transfers="transferred")
    fit = ba.fit_model(made.spec, table, seed=3, settings=few)
    assert fit.provenance["engine"] == "collapsed"
    posterior = fit.data["posterior"]
    assert posterior.attrs["sampler"] in ("independent", "nuts")
    names = {own["name"] for own in fit.provenance["variables"]}  # type: ignore[attr-defined]
    held = {str(name) for name in posterior.data_vars}
    assert {"global_traits", "local_traits"} <= held <= names
    assert ("slab_traits" in held) == dist.startswith("horseshoe")
    assert sum_design(made).shape.shrunk[0].name == "traits"
