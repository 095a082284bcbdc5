"""Who is seen by whom, when, in which arm: the layout of a study as a record, and what makes one impossible."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from bayes_alliance._messages import count_of, shorten, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.parts import Bound, Record

type Allocation = Literal["patient", "therapist"]
type Caseload = Literal["equal", "unequal"]
type VariableUnit = Literal["session", "patient", "therapist", "group"]

Whole = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Numbers = Annotated[tuple[int, ...], Field(strict=False)]


class Groups(Record):
    """Therapy groups: in which arms (all where none is named) and how many patients each has, least and most."""

    size: Annotated[tuple[Whole, Whole], Field(strict=False)]
    arms: Annotated[tuple[str, ...], Field(strict=False)] = ()


class VariableSpec(Record):
    """A covariate that is drawn before any outcome.

    Values are normal with ``mean`` and ``sd`` at their unit, plus a normal deviation per level of the wider units in
    ``between`` (SDs) and ``slopes`` times the values of earlier variables; or, with ``probability``, 0 or 1. ``low``
    and ``high`` bound them and ``digits`` rounds them.
    """

    unit: VariableUnit = "patient"
    mean: float = 0.0
    sd: Annotated[float, Field(ge=0)] = 1.0
    between: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    slopes: dict[str, float] = Field(default_factory=dict)
    probability: Annotated[float, Field(gt=0, lt=1)] | None = None
    low: float | None = None
    high: float | None = None
    digits: Annotated[int, Field(ge=0)] | None = None


class Layout(Record):
    """The layout of a study.

    Parameters
    ----------
    patients : int
        Patients in all.
    sessions : tuple of int
        Session numbers planned for every patient, rising; none for a study with one row per patient.
    arms : dict of str to int
        Patients per arm, or therapists per arm where these are randomised; the first arm is the reference. Empty
        for a study without a condition.
    allocation : {"patient", "therapist"}
        What is randomised.
    therapists : int or dict of str to int
        Therapists in all, each treating in any arm; or per arm, where an arm that is not named has none.
    caseload : {"equal", "unequal"}
        Patients per therapist alike up to one, or as unequal as practices are.
    groups : Groups, optional
        Therapy groups, each led by one therapist where there are any.
    sites : int
        Sites; therapists (patients where there are none) belong to one.
    missed : float
        Share of sessions after the first that is missed by chance.
    dropout : float or dict of str to float
        Chance to leave before each session after the first, in all or by arm; what is left out this way is as good
        as random.
    names : dict of str to str
        What the study calls patient, therapist, group, site, session and condition.
    bounds : dict of str to (float, float)
        Lowest and highest value of outcomes whose scale has ends, by column.
    missing : dict of str to float
        Share of values that are missing by chance, by column, of outcomes whose missing values are modelled.
    shared : float
        Share of patients with a second therapist: columns ``second_therapist``, and ``share_first`` and
        ``share_second`` of the treatment.
    """

    patients: Whole
    sessions: Numbers = ()
    arms: dict[str, Whole] = Field(default_factory=dict)
    allocation: Allocation = "patient"
    therapists: Annotated[int, Field(ge=0)] | dict[str, Whole] = 0
    caseload: Caseload = "unequal"
    groups: Groups | None = None
    sites: Annotated[int, Field(ge=0)] = 0
    missed: Share = 0.0
    dropout: Share | dict[str, Share] = 0.0
    names: dict[str, str] = Field(default_factory=dict)
    bounds: dict[str, Annotated[tuple[Bound, Bound], Field(strict=False)]] = Field(default_factory=dict)
    missing: dict[str, Share] = Field(default_factory=dict)
    shared: Share = 0.0

    def name(self, what: str) -> str:
        """Return what the study calls a role or the condition."""
        return self.names.get(what, what)

    @property
    def roles(self) -> dict[str, str]:
        """Return which column plays which role in tables of this layout."""
        present = {
            "patient": True,
            "therapist": bool(self.therapists),
            "group": self.groups is not None,
            "site": self.sites > 0,
            "session": bool(self.sessions),
        }
        return {role: self.name(role) for role, there in present.items() if there}


MOST_ROWS = 10_000_000
"""Rows of a simulated table: patients by sessions."""

NAMED = ("patient", "therapist", "group", "site", "session", "condition")


def make_layout(content: Mapping[str, object], where: str = "") -> Layout:
    """Make a layout from plain data, reporting every problem at once.

    Parameters
    ----------
    content : mapping
        The fields of ``Layout``, as a TOML table holds them.
    where : str
        Name of the file, for the message.

    Raises
    ------
    SpecError
        For unknown keys and wrong types, and for layouts no study can have.
    """
    try:
        layout = Layout.model_validate(dict(content))
    except ValidationError as error:
        raise SpecError(
            [as_problem("layout", detail, tuple(Layout.model_fields)) for detail in error.errors()], where
        ) from None
    problems = impossible(layout)
    if problems:
        raise SpecError(problems, where)
    return layout


def as_problem(what: str, detail: Mapping[str, object], valid: tuple[str, ...]) -> Problem:
    """Turn one pydantic finding about a layout, a variable or a twin into a problem."""
    location = detail["loc"]
    parts = [str(part) for part in location] if isinstance(location, tuple) else []
    path = ".".join(parts)
    if detail["type"] == "extra_forbidden":
        return unknown("key", path, valid, what)
    if detail["type"] == "missing":
        return Problem(f"required key {path!r} is missing.", where=what)
    return Problem(f"{detail['msg']} (found {shorten(detail['input'])}).", where=f"{what}: {path}")


def impossible(layout: Layout) -> list[Problem]:
    """Return why no study can be laid out like this; empty if one can."""
    rows = layout.patients * max(len(layout.sessions), 1)
    if rows > MOST_ROWS or layout.sites > MOST_ROWS:
        return [
            Problem(
                f"a simulated table may have {MOST_ROWS:,} rows, patients by sessions; this one has more.",
                where="layout",
            )
        ]
    return [*_names(layout), *_sessions(layout), *_arms(layout), *_therapists(layout), *_groups(layout)]


def _names(layout: Layout) -> list[Problem]:
    problems = [unknown("name", name, NAMED, "layout.names") for name in layout.names if name not in NAMED]
    called = [layout.name(name) for name in NAMED]
    twice = sorted({name for name in called if called.count(name) > 1})
    return problems + [Problem(f"layout.names: two columns are called {name!r}.") for name in twice]


def _sessions(layout: Layout) -> list[Problem]:
    problems = []
    numbers = layout.sessions
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)) or any(n < 0 for n in numbers):
        problems.append(Problem(f"layout.sessions must be whole numbers from 0 that rise; they are {list(numbers)}."))
    if len(numbers) < 2 and (layout.missed or layout.dropout):
        problems.append(
            Problem(
                f"missed and dropout need two sessions or more; sessions are {list(numbers)}.",
                where="layout",
                fix="State sessions.",
            )
        )
    if isinstance(layout.dropout, dict):
        problems += [
            unknown("arm", arm, layout.arms, "layout.dropout") for arm in layout.dropout if arm not in layout.arms
        ]
    return problems


def _arms(layout: Layout) -> list[Problem]:
    if len(layout.arms) == 1:
        return [Problem(f"layout.arms has one arm, {next(iter(layout.arms))!r}.", fix="State two or more, or none.")]
    if not layout.arms:
        return [Problem("layout.allocation = 'therapist' needs arms.")] if layout.allocation == "therapist" else []
    total, shown = sum(layout.arms.values()), ", ".join(f"{arm} {n}" for arm, n in layout.arms.items())
    if layout.allocation == "patient" and total != layout.patients:
        return [
            Problem(f"layout.arms add up to {count_of(total, 'patient')} ({shown}), and patients = {layout.patients}.")
        ]
    if layout.allocation == "therapist" and total != layout.therapists:
        return [
            Problem(
                f"layout.arms add up to {count_of(total, 'therapist')} ({shown}), and therapists = "
                f"{layout.therapists}.",
                allowed="Where therapists are randomised, arms count therapists.",
            )
        ]
    return []


def _therapists(layout: Layout) -> list[Problem]:
    if layout.shared and (not isinstance(layout.therapists, int) or layout.therapists < 2):
        return [
            Problem("layout.shared: patients with a second therapist need two therapists or more who treat in any arm.")
        ]
    if isinstance(layout.therapists, int):
        if layout.therapists > layout.patients:
            return [
                Problem(
                    f"{count_of(layout.therapists, 'therapist')} for {count_of(layout.patients, 'patient')}; "
                    "every therapist needs one.",
                    where="layout",
                )
            ]
        return []
    problems = []
    for arm, count in layout.therapists.items():
        if arm not in layout.arms:
            problems.append(unknown("arm", arm, layout.arms, "layout.therapists"))
        elif layout.allocation == "patient" and count > layout.arms[arm]:
            problems.append(
                Problem(
                    f"layout.therapists: {count_of(count, 'therapist')} in {arm!r} for "
                    f"{count_of(layout.arms[arm], 'patient')}; every therapist needs one."
                )
            )
    return problems


def _groups(layout: Layout) -> list[Problem]:
    if layout.groups is None:
        return []
    least, most = layout.groups.size
    problems = [
        unknown("arm", arm, layout.arms, "layout.groups") for arm in layout.groups.arms if arm not in layout.arms
    ]
    if least > most:
        problems.append(Problem(f"layout.groups.size = [{least}, {most}]: the least size comes first."))
    if layout.allocation == "therapist":
        problems.append(
            Problem(
                "layout.groups: groups where therapists are randomised are not known.", fix="Leave one of them out."
            )
        )
    if problems:
        return problems
    for arm, patients in group_arms(layout).items():
        if not splits(patients, least, most):
            problems.append(
                Problem(
                    f"{count_of(patients, 'patient')} of {arm} cannot be split into groups of {least} to {most}.",
                    where="layout.groups",
                )
            )
    return problems


def group_arms(layout: Layout) -> dict[str, int]:
    """Return the arms that have groups and their patients; a study without arms is one arm called ``all``."""
    if layout.groups is None:
        return {}
    arms = layout.arms or {"all": layout.patients}
    return {arm: n for arm, n in arms.items() if not layout.groups.arms or arm in layout.groups.arms}


def splits(patients: int, least: int, most: int) -> bool:
    """Return whether some number of groups of allowed sizes holds exactly these patients."""
    return any(count * least <= patients <= count * most for count in range(1, patients + 1))
