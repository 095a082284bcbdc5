"""Claims of several estimands at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from tests.conftest import ROLES


@pytest.fixture(scope="module")
def fit(trial: pd.DataFrame) -> ba.Fit:
    """Return a fit of alliance and outcome within and between therapists."""
    frame = trial.assign(alliance=trial.groupby("pid")["alliance"].transform("mean"))
    return ba.fit_model(
        ba.load_model("outcome/within-between"),
        ba.Study(ba.read_sessions(frame, ROLES), columns={"outcome_pre": "pre", "outcome_post": "post"}),
        seed=1,
        settings=ba.SamplerSettings(draws=500, progress="off"),
    )


def test_a_claim_is_counted_in_the_same_draws(fit: ba.Fit) -> None:
    """All at once is the share of draws in which every condition holds; the prior stands beside."""
    table = ba.claim_probability(fit, {"within_therapists": (-0.5, 0.5), "between_therapists": (None, 0.0)})
    values = fit.data["estimands"]["value"]
    within, between = (values.sel(estimand=name).values for name in ("within_therapists", "between_therapists"))
    both = ((within > -0.5) & (within < 0.5), between < 0)
    np.testing.assert_allclose(table["posterior"], [both[0].mean(), both[1].mean(), (both[0] & both[1]).mean()])
    assert list(table["condition"]) == ["-0.5 < within_therapists < 0.5", "between_therapists < 0", "all at once"]
    assert (table["prior"] > 0).all()
    assert table["prior"].iloc[2] <= table["prior"].iloc[:2].min()
    assert abs(table["prior"].iloc[1] - 0.5) < 0.05
    assert (table["mcse"] > 0).all()


def test_the_contextual_effect_is_what_lies_between_the_two(fit: ba.Fit) -> None:
    """Between is within plus the regression of therapists' effects on one another."""
    values = fit.data["estimands"]["value"]
    posterior = fit.data["posterior"].to_dataset()
    sd, cor = posterior["sd_therapist"].values, posterior["cor_therapist"].values
    slope = cor[..., 0, 1] * sd[..., 1] / sd[..., 0]
    np.testing.assert_allclose(values.sel(estimand="contextual"), slope, rtol=1e-8)
    between = values.sel(estimand="within_therapists").values + slope
    np.testing.assert_allclose(values.sel(estimand="between_therapists"), between, rtol=1e-8)


def test_without_rows_there_is_no_prior(fit: ba.Fit, tmp_path: object) -> None:
    """A fit from disk still says how probable a claim is."""
    table = ba.claim_probability(ba.load_fit(fit.save(f"{tmp_path}/f")), {"contextual": (0.0, None)})
    assert table["prior"].isna().all()
    assert table["posterior"].between(0, 1).all()


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"betwen_therapists": (0.0, None)}, "Did you mean 'between_therapists'"),
        ({"contextual": (None, None)}, "State a lower bound"),
        ({"contextual": (1.0, 0.0)}, "the lower bound comes first"),
        ({}, "The claim is empty"),
    ],
)
def test_claims_that_say_nothing(fit: ba.Fit, claim: dict, message: str) -> None:
    """Unknown names and bounds that bound nothing."""
    with pytest.raises(ba.FitError, match=message):
        ba.claim_probability(fit, claim)


def test_a_model_without_estimands(small_fit: ba.Fit) -> None:
    """It is said how to state one."""
    with pytest.raises(ba.FitError, match="states no estimand"):
        ba.claim_probability(small_fit, {"x": (0.0, None)})
