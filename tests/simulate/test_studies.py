"""Studies drawn one after the other: what they have in common, whatever priors are stated."""

from __future__ import annotations

import bayes_alliance as ba
from bayes_alliance.diagnosis.cards import default_study
from bayes_alliance.simulate.studies import plan_studies


def test_errors_are_fixed_under_stated_priors_too() -> None:
    """A reliability is the error it means for all studies; stating a prior changes that prior alone."""
    name = "outcome/measured-alliance"
    study = default_study(name)
    given = {"variables": study.variables, "columns": study.columns, "reference": study.reference}
    plain = plan_studies(ba.load_model(name), study.layout, seed=1, **given).design
    stated = plan_studies(
        ba.load_model(name), study.layout, seed=1, priors={"sd therapist": "half_normal(0.7)"}, **given
    ).design
    early = [design.spec.equation[0] for design in (plain, stated)]
    assert early[0].reliability is None
    assert early[0].error is not None
    assert early[0].error == early[1].error
    before, after = (
        {prior.parameter: str(prior.distribution) for prior in design.priors.table()} for design in (plain, stated)
    )
    changed = {parameter for parameter in before if before[parameter] != after[parameter]}
    assert changed
    assert all("therapist" in parameter for parameter in changed)
