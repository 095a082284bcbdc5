"""Decisions an analysis could have made otherwise, and every combination of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.errors import AllianceError, FitError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.variants import Terms, alter_model
from bayes_alliance.study import PriorStatements, Study, prior_records
from bayes_alliance.table.row_selection import select_rows
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class Option:
    """One way a decision can go: what it changes. ``Option()`` changes nothing.

    ``add``, ``drop``, ``swap``, ``formula``, ``variables``, ``labels`` and ``estimands`` are those of ``alter_model``;
    ``model`` replaces the whole specification before them. ``columns``, ``reference`` and ``priors`` go on top of the
    call's (``{"alliance": "wai_therapist"}`` is another rater), ``sessions`` takes another table (rows with values
    filled in, say), and ``minimum``, ``maximum`` and ``only`` are those of ``select_rows``.
    """

    add: Terms | None = None
    drop: Terms | None = None
    swap: Mapping[str, str] = field(default_factory=dict)
    formula: Terms | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    estimands: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    model: ModelSpec | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, str] = field(default_factory=dict)
    priors: PriorStatements = ()
    sessions: SessionTable | None = None
    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)


type Forks = Mapping[str, Mapping[str, Option]]
"""Decisions by name, each with its options by name; the first option is the one a reader compares the others with."""

ONE_OF = ("columns", "reference", "variables", "labels", "estimands", "minimum", "maximum", "only")
"""Entries of options that may be stated once per combination, name by name."""

MOST, LOOKED_AT = 2_000, 1_000_000
"""Combinations up to which all are fitted (more are a mistake more often than a plan), and looked at for exclusion."""

RESULTS = (
    *("median", "sd", "eti95_lb", "eti95_ub", "p_positive", "unit", "rows", "passed", "block", "elpd", "weight"),
    *("meaning", "error"),
)
"""What a table has for each combination, beside the option of each fork."""

WHOLE = ("model", "sessions", "formula")
"""Those that replace something whole."""


@dataclass(frozen=True, eq=False)
class Universe:
    """One combination of options, and the analysis it makes."""

    choices: Mapping[str, str]
    spec: ModelSpec
    study: Study[SessionTable]

    @property
    def name(self) -> str:
        """Return its options, fork by fork."""
        return name_of(self.choices)


def expand_forks(
    base: Universe, forks: Forks, exclude: Sequence[Mapping[str, str]]
) -> tuple[list[Universe], tuple[str, ...]]:
    """Return every combination that is not excluded, in the order the options are stated, and what was left out.

    Options are applied in the order of the forks, so that a later one sees the model as the earlier ones leave it.

    Raises
    ------
    FitError
        If there is no fork, a fork has fewer than two options, what is excluded is unknown, two options of one
        combination set the same thing, or an option does not suit the model; all of this is told at once.
    """
    problems = list(_check_forks(forks, exclude))
    if problems:
        raise FitError(problems)
    kept, gone = _kept(forks, exclude)
    made = []
    told: dict[Problem, list[str]] = {}
    for choices in kept:
        options = {fork: forks[fork][option] for fork, option in choices.items()}
        found = list(_clashes(options))
        try:
            universe = None if found else _apply(base, choices, options)
        except AllianceError as error:
            found += error.problems
        for problem in found:
            told.setdefault(problem, []).append(name_of(choices))
        if not found and universe is not None:
            made.append(universe)
    if told:
        raise FitError([problem.under(say_where(where)) for problem, where in told.items()])
    return made, (f"{count_of(gone, 'combination')} left out on request.",) if gone else ()


def _kept(forks: Forks, exclude: Sequence[Mapping[str, str]]) -> tuple[list[dict[str, str]], int]:
    """Return the combinations that are not excluded, and how many are."""
    count = math.prod(len(options) for options in forks.values())
    every = (dict(zip(forks, names, strict=True)) for names in product(*forks.values()))
    kept: list[dict[str, str]] = []
    if count <= LOOKED_AT:
        kept = [one for one in every if not any(one.items() >= gone.items() for gone in exclude)]
    if count > LOOKED_AT or len(kept) > MOST:
        left = f", {len(kept):,} of them not excluded" if kept else ""
        raise FitError(f"{count:,} combinations{left}; up to {MOST:,} are fitted. Leave out forks, or exclude some.")
    if not kept:
        raise FitError("Every combination is excluded.")
    return kept, count - len(kept)


def name_of(choices: Mapping[str, str]) -> str:
    """Return a combination's options, fork by fork."""
    return ", ".join(f"{fork}: {option}" for fork, option in choices.items())


def say_where(names: Sequence[str]) -> str:
    """Return the first of the combinations that have a problem, and how many others do."""
    more = f" and {count_of(len(names) - 1, 'other combination')}" if len(names) > 1 else ""
    return f"{names[0]}{more}"


def _check_forks(forks: Forks, exclude: Sequence[Mapping[str, str]]) -> Iterator[Problem]:
    if not forks:
        yield Problem(
            "forks names no decision.",
            fix='State one, such as {"rater": {"patient": Option(), "therapist": Option(...)}}.',
        )
    for fork, options in forks.items():
        if not isinstance(options, Mapping):
            yield Problem(
                f"Fork {fork!r} holds {type(options).__name__}.",
                fix="Name its options: {'adjusted': Option(...), ...}.",
            )
            continue
        if len(options) < 2:
            yield Problem(f"Fork {fork!r} has {count_of(len(options), 'option')}; a decision has two or more.")
        if fork in (*RESULTS, "combination"):
            yield Problem(f"Fork {fork!r} has the name of a column of the result.", fix="Choose another.")
        wrong = [name for name, option in options.items() if not isinstance(option, Option)]
        if wrong:
            yield Problem(f"{quote(wrong)} is no Option.", where=f"Fork {fork!r}")
    for one in exclude:
        if not one:
            yield Problem("exclude holds an empty combination, which every analysis answers to.")
        for fork, option in one.items():
            if fork not in forks:
                yield unknown("fork", fork, forks, "exclude")
            elif option not in forks[fork]:
                yield unknown(f"option of {fork!r}:", option, forks[fork], "exclude")


def _clashes(options: Mapping[str, Option]) -> Iterator[Problem]:
    """Yield what two options of a combination both set."""
    seen: dict[str, str] = {}
    for fork, option in options.items():
        keys = [key for key in WHOLE if getattr(option, key) is not None]
        keys += [f"{key}[{name!r}]" for key in ONE_OF for name in getattr(option, key)]
        keys += [f"priors[{prior.on!r}]" for prior in prior_records(option.priors)]
        for key in keys:
            if key in seen:
                yield Problem(f"Forks {seen[key]!r} and {fork!r} both set {key}.")
            seen[key] = fork


def _apply(base: Universe, choices: Mapping[str, str], options: Mapping[str, Option]) -> Universe:
    spec = next((option.model for option in options.values() if option.model is not None), base.spec)
    sessions = next(
        (option.sessions for option in options.values() if option.sessions is not None), base.study.sessions
    )
    columns, reference = dict(base.study.columns), dict(base.study.reference)
    priors = {prior.on: prior for prior in prior_records(base.study.priors)}
    for option in options.values():
        keys = ("add", "drop", "swap", "formula", "variables", "labels", "estimands")
        changes: dict[str, Any] = {key: getattr(option, key) for key in keys if getattr(option, key)}
        spec = alter_model(spec, **changes) if changes else spec
        columns |= option.columns
        reference |= option.reference
        priors |= {prior.on: prior for prior in prior_records(option.priors)}
        if option.minimum or option.maximum or option.only:
            sessions = select_rows(sessions, minimum=option.minimum, maximum=option.maximum, only=option.only)
    # a variable mapped to a column of its own name is not mapped
    columns = {variable: column for variable, column in columns.items() if variable != column}
    return Universe(choices, spec, Study(sessions, columns, reference, tuple(priors.values())))
