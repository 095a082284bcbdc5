"""The form of a course: how ``time`` stands in the formulas of a model, chosen when the model is loaded."""

from __future__ import annotations

from typing import Final

from bayes_alliance._messages import quote
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.names import TIME
from bayes_alliance.spec.estimand_validation import answerable
from bayes_alliance.spec.exchanges import Swap, exchange_everywhere
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, Text, names_in, render
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.parts import CourseSpec

COURSES: Final = ("linear", "log", "sqrt", "spline", "piecewise")
"""Forms by name; the last two also with numbers: ``spline(4)``, ``piecewise(5, 9)``."""

WHOLE: Final = ("spline", "piecewise")
"""Forms of several columns: the population has them, and patients differ from it by a line."""

UNIT_OF_TIME: Final = "{time}"
"""Stands for one step along a course: ``session``, ``unit of months``, ``unit of log(session + 1)``."""

STEP_OF_CLOCK: Final = "{step}"
"""Stands for one step in time whatever the course: ``session``, ``unit of months``."""

CLOCK: Final = "{clock}"
"""Stands for what plays time: ``session``, or a column of the study."""

TEXTS: Final = ("unit", "meaning", "reason")
"""Texts of an estimand in which the three above stand."""

_TIME: Final = Name(TIME)


def with_course(spec: ModelSpec, course: str) -> ModelSpec:
    """Return a model in which time has another form.

    ``log`` is ``log(time + 1)`` and ``sqrt`` is ``sqrt(time)``, for the population and for patients alike. A ``spline``
    (of 3 degrees of freedom unless stated) and a ``piecewise`` line (bent once, in the middle of the times, unless
    stated) are those of the population, from which patients differ by a line in time.

    Parameters
    ----------
    spec : ModelSpec
        Whose formulas read ``time``; not changed.
    course : str
        One of ``COURSES``, the last two also with numbers, as in ``"spline(4)"``.

    Returns
    -------
    ModelSpec
        Its ``course`` says which form, and which estimands are not asked: those of the one slope that a curve has not.

    Raises
    ------
    SpecError
        If there is no such form, the model reads no ``time``, or has a course already.

    Examples
    --------
    >>> with_course(load_model("growth/treatment"), "log").equation[0].formula
    '1 + log(time + 1) + condition + log(time + 1):condition + (1 + log(time + 1) | patient) + (1 | therapist)'
    """
    form = _form(course)
    problem = _unfit(spec, course)
    if problem is not None:
        raise SpecError(problem, f"course = {course!r}")
    if form is None:
        return spec
    swaps = [Swap(_TIME, form)]
    if form.function not in WHOLE:
        return _checked(exchange_everywhere(spec, swaps), form, ())
    moved = exchange_everywhere(spec, swaps, slopes=[])
    curved = {name for name, target in spec.label_targets.items() if TIME in target.term}
    asked = answerable(spec.estimands, curved)  # of what is exchanged, the others are no arithmetic any more
    kept = moved.model_copy(
        update={
            "labels": {name: text for name, text in moved.labels.items() if name not in curved},
            "estimands": {name: moved.estimands[name] for name in asked},
        }
    )
    return _checked(kept, form, tuple(name for name in spec.estimands if name not in asked))


def name_time(spec: ModelSpec, unit: str, clock: str) -> ModelSpec:
    """Return a model whose estimands say what plays time.

    Parameters
    ----------
    spec : ModelSpec
        Not changed.
    unit : str
        One step in time, such as ``"session"``.
    clock : str
        What plays time, such as ``"session"`` or a column of a study.

    Returns
    -------
    ModelSpec
        No text of its estimands holds a placeholder any more.
    """

    def said(text: str) -> str:
        return text.replace(UNIT_OF_TIME, unit).replace(STEP_OF_CLOCK, unit).replace(CLOCK, clock)

    estimands = {
        name: own.model_copy(update={key: said(getattr(own, key)) for key in TEXTS})
        for name, own in spec.estimands.items()
    }
    return spec.model_copy(update={"estimands": estimands})


def _form(course: str) -> Call | None:
    """Return how time stands in formulas, None where as it is."""
    name, bracket, numbers = course.partition("(")
    match name.strip(), bool(bracket):
        case "linear", False:
            return None
        case "log", False:
            return Call("log", (Operation("+", _TIME, Number(1.0)),))
        case "sqrt", False:
            return Call("sqrt", (_TIME,))
        case "spline", False:
            return Call("spline", (_TIME, Number(3.0)))
        case "piecewise", False:
            return Call("piecewise", (_TIME,))
        case ("spline" | "piecewise") as function, True:
            (term,) = parse_formula(f"{function}({TIME}, {numbers}").terms
            (part,) = term.parts
            assert isinstance(part, Call)
            return part
    raise SpecError(
        Problem(
            f"{course!r} is no course.",
            where="course",
            allowed=f"A course is {quote(COURSES)}, the last two also with numbers: 'spline(4)', 'piecewise(5, 9)'.",
        )
    )


def _unfit(spec: ModelSpec, course: str) -> Problem | None:
    """Return why time cannot have another form in a model, None where it can."""
    parts = [part for own in spec.linear_predictors for term in own.parsed.every_term for part in term.parts]
    reading = [part for part in parts if TIME in names_in(part)]
    if spec.course is not None:
        return Problem(f"the model has the course {spec.course.form} already.", fix="Load it anew.")
    if not reading:
        return Problem("the model reads no 'time'.", fix="Exchange a term with alter_model.")
    bound = [render(part) for part in reading if part != _TIME]
    if bound:
        return Problem(f"the model states its course itself, {quote(dict.fromkeys(bound))}.")
    effects = [render(part) for part in parts if _names_effect(part)]
    if effects and course.partition("(")[0] in WHOLE:
        return Problem(f"{quote(effects)} reads one slope in time, and a curve has none.")
    return None


def _names_effect(part: Expression) -> bool:
    return isinstance(part, Call) and part.function == "effect" and Text(TIME) in part.arguments


def _checked(spec: ModelSpec, form: Call, unasked: tuple[str, ...]) -> ModelSpec:
    content = spec.model_dump(mode="json", exclude_defaults=True)
    content["title"] = f"{spec.title}, along {render(form)}"
    unit = f"unit of {render(form, lambda _: CLOCK)}"
    for estimand in content.get("estimands", {}).values():
        estimand |= {key: estimand[key].replace(UNIT_OF_TIME, unit) for key in TEXTS if key in estimand}
    content["course"] = CourseSpec(form=render(form), unasked=unasked).model_dump(mode="json", exclude_defaults=True)
    return make_model(content, f"{spec.title!r} with a course")
