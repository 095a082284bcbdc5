"""Which models the exact engine takes, and how it says what stands in the way."""

from __future__ import annotations

import pytest

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_design_obstacles, find_obstacles
from bayes_alliance.spec.registry import model_names
from tests.build.test_equations import HEAD, equation

NOT = {"dropout/early-alliance", "dynamics/cross-lagged", "congruence/truth-and-bias"}


@pytest.mark.parametrize("name", model_names())
def test_registry_models(name: str) -> None:
    """Gaussian models of plain rows qualify; every other one says which term prevents it."""
    spec = ba.load_model(name)
    gaussian = all(e.family == "gaussian" for e in spec.equation)
    read = ("latent", "finite", "value(", "slope(", "effect(")
    latent = any(word in e.formula for word in read for e in spec.equation)
    obstacles = find_obstacles(spec)
    own = any(e.modelled or e.parameters or e.residuals != "independent" or "mo(" in e.formula for e in spec.equation)
    shared = any(group.members for group in spec.groups.values())
    assert bool(obstacles) == (not gaussian or latent or own or shared or bool(spec.shrink))


def test_terms_are_named(sessions: ba.SessionTable) -> None:
    """A family, a latent mean and a prior each stand in the way by name, in the model and in the design."""
    text = (
        HEAD
        + equation("score", 'between(alliance, patient, means="latent") + week + (1 | patient)')
        + equation("dropout", "pre + (1 | therapist)", "patient", 'family = "bernoulli"')
        + '[[prior]]\non = "b week"\ndist = "student_t(3, 0, 1)"\nreason = "Tails."\n'
    )
    spec = ba.parse_model(text)
    said = "; ".join(find_obstacles(spec))
    assert 'between(alliance, patient, means="latent") of score follows what is estimated' in said
    assert "dropout is bernoulli, not Gaussian" in said
    assert "the prior student_t(3, 0, 1) on 'b week' is not normal" in said
    said = "; ".join(find_design_obstacles(ba.make_design(spec, sessions)))
    assert 'between(alliance, patient, means="latent") of score follows what is estimated' in said
    assert "dropout is bernoulli, not Gaussian" in said
    assert "the prior of b[score, week], student_t(3, 0, 1), is not normal" in said


def test_the_engine_is_refused_by_name(sessions: ba.SessionTable) -> None:
    """Asking for the collapsed engine where it cannot fit is an error that says why, before anything is compiled."""
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient)"))
    with pytest.raises(ba.FitError, match=r"cannot fit this model: the prior of b\[score, week\], student_t"):
        ba.fit_model(spec, ba.Study(sessions, priors={"b week": "student_t(3, 0, 1)"}), seed=1, engine="collapsed")
