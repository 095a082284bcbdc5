"""What the checks after sampling look at."""

from __future__ import annotations

import xarray as xr

import bayes_alliance as ba
from bayes_alliance.fit.assembly import judged_constants, judged_draws
from bayes_alliance.fit.checks import diagnose_draws, flatten
from bayes_alliance.fit.result import constants_of, variables_of

FEW = ba.SamplerSettings(draws=150, tune=150, progress="off")


def test_estimands_are_judged_and_looked_at_for_their_priors() -> None:
    """Five estimands, more than there are chains: each has R-hat and ESS of its own, and a line of sensitivity.

    A dataset takes a variable that has the name of its dim for a coord; estimands then had no checks.
    """
    name = "dynamics/lagged-surface"
    fit = ba.fit_model(ba.load_model(name), ba.example_study(name), seed=1, settings=FEW)
    wanted = [f"estimand[{label}]" for label in fit.data["estimands"]["estimand"].values]
    assert len(wanted) == 5
    draws = judged_draws(fit.data, "collapsed", variables_of(fit))
    constants = judged_constants(fit.data, constants_of(fit))
    for found in diagnose_draws(draws).values():
        assert [entry for entry in flatten(found, constants) if entry.startswith("estimand")] == wanted
    assert set(wanted) <= set(ba.prior_sensitivity(fit)["quantity"])


def test_draws_without_variables_have_no_diagnostics() -> None:
    """A posterior of which nothing is judged gives empty tables."""
    assert all(not found.data_vars for found in diagnose_draws(xr.Dataset()).values())
