"""The functions a formula or a declared variable may call: these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Function:
    """What a callable of the model language takes.

    ``positional`` counts the arguments without a name (least, most); ``keywords`` lists those with one; ``factors``
    says which of them (by place or by name) name a grouping factor or an outcome and stand for no value.
    """

    name: str
    positional: tuple[int, int]
    keywords: tuple[str, ...]
    usage: str
    meaning: str
    factors: tuple[int | str, ...] = ()


def _table(*functions: Function) -> dict[str, Function]:
    return {function.name: function for function in functions}


FORMULA_FUNCTIONS: Final = _table(
    Function("log", (1, 1), (), "log(session + 1)", "natural logarithm; values must be positive"),
    Function("sqrt", (1, 1), (), "sqrt(session)", "square root; values must not be negative"),
    Function(
        "quadratic",
        (1, 1),
        (),
        "quadratic(session - 4)",
        "two columns: the value and its square; subtract a middle value to make the two nearly uncorrelated",
    ),
    Function(
        "piecewise",
        (1, 41),
        ("form",),
        "piecewise(session, 5, 9)",
        "one column per stretch between the knots; each coefficient is the slope of its stretch, or with "
        'form="constant" the step from the first stretch to its own; one knot in the middle where none is stated',
    ),
    Function(
        "spline",
        (2, 2),
        (),
        "spline(session, 3)",
        "a smooth course: a natural cubic spline with so many degrees of freedom, a straight line beyond its ends",
    ),
    Function(
        "centred",
        (1, 1),
        ("on",),
        "centred(rating, on=truth)",
        "value minus the mean of all observed rows, of itself or of the variable named",
    ),
    Function(
        "within",
        (2, 2),
        ("means", "size", "detrend"),
        "within(alliance, patient)",
        "deviation from the mean of the patient (therapist, group), observed, latent or corrected for finite units",
        (1,),
    ),
    Function(
        "between",
        (2, 2),
        ("means", "size", "within"),
        "between(alliance, patient, within=therapist)",
        "mean of the patient (therapist, group); with within= its deviation from the mean of the wider unit",
        (1, "within"),
    ),
    Function(
        "others",
        (2, 2),
        (),
        "others(rating, group)",
        "mean of the other patients of the group (therapist), in equations of sessions in the same session",
        (1,),
    ),
    Function(
        "lag",
        (1, 2),
        ("max_gap",),
        "lag(alliance)",
        "value of the same patient at the previous session number; a gap is missing, never the neighbouring row",
    ),
    Function(
        "surface",
        (2, 2),
        ("centre", "form", "metric"),
        "surface(patient_rating, therapist_rating)",
        "five columns x, y, x^2, x*y, y^2 of two ratings on one scale, both less one common constant; fewer with form=",
        ("centre",),
    ),
    Function(
        "value",
        (1, 1),
        ("session",),
        "value(alliance)",
        "what the outcome's own equation says of the row's session (or a stated one), patient and therapist",
    ),
    Function(
        "slope",
        (1, 1),
        ("session",),
        "slope(alliance)",
        "how fast that changes per session, at the row's session or at a stated one",
    ),
    Function(
        "effect",
        (3, 3),
        (),
        'effect(alliance, patient, "session")',
        "a group effect of the outcome's own equation: the patient's deviation from the population alone",
        (1,),
    ),
    Function(
        "mi",
        (1, 1),
        (),
        "mi(alliance)",
        "value of an outcome of the model as it is modelled, where it is missing or measured with error",
    ),
    Function(
        "me",
        (1, 12),
        ("reliability", "sd", "unit"),
        "me(competence, reliability=0.6, unit=therapist)",
        "true score of a variable measured with error of known size, or by several raters, me(rater_1, rater_2)",
        ("unit", "reliability"),
    ),
    Function(
        "mo",
        (1, 1),
        (),
        "mo(education)",
        "ordered categories as steps of any size in one direction; the coefficient is the way from lowest to highest",
    ),
)
"""Callable inside the formula of an equation."""

VARIABLE_FUNCTIONS: Final = _table(
    Function("first", (1, 1), (), "first(alliance)", "the patient's first observed value"),
    Function("last", (1, 1), (), "last(alliance)", "the patient's last observed value"),
    Function("at", (1, 1), ("session",), "at(alliance, session=3)", "the patient's value at that session number"),
    Function("window", (3, 3), (), "window(alliance, 1, 5)", "the patient's mean over sessions 1 to 5"),
    Function(
        "change",
        (3, 3),
        (),
        "change(alliance, first, last)",
        "later minus earlier; each end is first, last or a session number",
    ),
    Function(
        "survive",
        (2, 2),
        ("start", "entry"),
        "survive(last_session, dropout)",
        "per session at risk, from start=1 (or each patient's entry=) to the last: 1 if the patient left then, else 0; "
        "rows are added for sessions without one",
    ),
)
"""Callable in ``[variables]``: one value per patient (of survive one per session), made from that patient's rows."""

ESTIMAND_FUNCTIONS: Final = _table(
    Function("sd", (2, 2), (), "sd(patient, a)", "SD over patients of the slope a varies by", (0,)),
    Function("cov", (3, 3), (), "cov(patient, a, b)", "covariance over patients of the slopes of a and b", (0,)),
    Function("cor", (3, 3), (), "cor(patient, a, b)", "correlation over patients of the slopes of a and b", (0,)),
    Function("indirect", (2, 4), (), "indirect(a, b)", "mean of the product of paths, covariances of slopes included"),
    Function("sigma", (1, 1), (), "sigma(outcome)", "residual SD of an outcome that has one", (0,)),
    Function("sqrt", (1, 1), (), "sqrt(a)", "square root"),
    Function("exp", (1, 1), (), "exp(a)", "exponential, such as an odds ratio from log-odds"),
    Function("log", (1, 1), (), "log(a)", "natural logarithm"),
)
"""Callable in ``[estimands]``."""

CURRENT: Final = ("value", "slope", "effect")
"""What one equation may read of another one's linear predictor."""
