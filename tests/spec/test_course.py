"""The form of time: how it stands in formulas, what becomes of labels, estimands and priors, and what is refused."""

from __future__ import annotations

import pytest

import bayes_alliance as ba
from bayes_alliance.spec.course import COURSES, with_course
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.spec.registry import model_names

STATED = {"growth/dual-perspective-shrunk"}
"""Models that state their course themselves."""


@pytest.mark.parametrize(
    ("course", "formula"),
    [
        ("log", "log(time + 1) * condition + (1 + log(time + 1) | patient) + (1 | therapist)"),
        ("sqrt", "sqrt(time) * condition + (1 + sqrt(time) | patient) + (1 | therapist)"),
        ("spline", "spline(time, 3) * condition + (1 + time | patient) + (1 | therapist)"),
        ("spline(4)", "spline(time, 4) * condition + (1 + time | patient) + (1 | therapist)"),
        ("piecewise", "piecewise(time) * condition + (1 + time | patient) + (1 | therapist)"),
        ("piecewise(5, 9)", "piecewise(time, 5, 9) * condition + (1 + time | patient) + (1 | therapist)"),
    ],
)
def test_time_stands_in_another_form(course: str, formula: str) -> None:
    """Whole curves are the population's, from which patients differ by a line; the title names the form."""
    spec = ba.load_model("growth/treatment", course=course)
    assert spec.equation[0].parsed == parse_formula(formula)
    assert spec.course is not None
    assert spec.title == f"Growth by condition, along {spec.course.form}"
    assert ba.parse_model(ba.write_model(spec)) == spec
    assert ba.load_model("growth/treatment", course="linear") == ba.load_model("growth/treatment")


@pytest.mark.parametrize("name", [name for name in model_names() if "time" in needed_variables(ba.load_model(name))])
def test_every_model_along_time_has_every_course(name: str) -> None:
    """But those that state theirs, and curves where one slope is read."""
    for course in COURSES[1:]:
        if name in STATED:
            with pytest.raises(ba.SpecError, match="states its course itself"):
                ba.load_model(name, course=course)
        elif name == "outcome/growth-predicts" and course in ("spline", "piecewise"):
            with pytest.raises(ba.SpecError, match=r"effect\(alliance, patient, \"time\"\)' reads one slope in time"):
                ba.load_model(name, course=course)
        else:
            assert ba.load_model(name, course=course).course is not None


def test_labels_priors_and_estimands_follow() -> None:
    """Labels, priors on SDs and coefficients, effects of other equations, moderators and units."""
    spec = ba.load_model("dropout/joint-value", course="log")
    assert spec.labels["faster"] == "alliance ~ log(time + 1):condition"
    assert "alliance: sd patient log(time + 1)" in [prior.on for prior in spec.prior]
    assert spec.estimands["difference_in_growth"].unit == "points of alliance per unit of log({clock} + 1)"
    read = ba.load_model("outcome/growth-predicts", course="sqrt")
    assert 'effect(alliance, patient, "sqrt(time)")' in read.equation[1].formula
    assert read.labels["of_growth"] == 'outcome_post ~ effect(alliance, patient, "sqrt(time)")'
    both = ba.load_model("growth/dual-perspective", course="log").estimands["rater_difference"]
    assert both.value == "level_patient - level_therapist + log(time + 1) * slope_difference"
    assert both.at == {"time": (1, 10)}
    slope = ba.load_model("dropout/joint-slope", course="log").estimands["hazard_ratio_of_slope_of_alliance"]
    assert "per {step} by which" in slope.unit  # the slope in time itself, whatever the course


def test_a_curve_has_no_single_slope() -> None:
    """Estimands that read one are not asked, and the model says which."""
    spec = ba.load_model("growth/dual-perspective", course="spline")
    assert spec.course is not None
    assert spec.course.unasked == ("slope_difference", "rater_difference", "agreement_of_slopes")
    assert list(spec.estimands) == ["agreement_of_levels"]
    assert list(spec.labels) == ["level_patient", "level_therapist"]


@pytest.mark.parametrize(
    ("name", "course", "message"),
    [
        ("growth/treatment", "cubic", r"'cubic' is no course\. A course is 'linear', 'log', 'sqrt', 'spline', 'piec"),
        ("growth/treatment", "log(2)", r"'log\(2\)' is no course"),
        ("growth/treatment", "spline(4", r"expected ,"),
        ("outcome/change", "log", r"the model reads no 'time'\. Exchange a term with alter_model"),
        ("growth/dual-perspective-shrunk", "log", r"states its course itself, 'centred\(sqrt\(time\)\)'"),
    ],
)
def test_what_is_no_course(name: str, course: str, message: str) -> None:
    """Told with what there is."""
    with pytest.raises(ba.SpecError, match=message):
        ba.load_model(name, course=course)


def test_a_course_is_chosen_once() -> None:
    """A second one would stand inside the first."""
    chosen = ba.load_model("growth/treatment", course="log")
    with pytest.raises(ba.SpecError, match=r"has the course log\(time \+ 1\) already"):
        with_course(chosen, "sqrt")
