"""Twins: the designs of published studies as data, simulated with stated truths. Never the studies' own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import Field, ValidationError

from bayes_alliance._messages import count_of, quote, unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.simulate.covariates import draw_variables
from bayes_alliance.simulate.layout import Layout, Share, as_problem, make_layout
from bayes_alliance.simulate.people import lay_out
from bayes_alliance.simulate.simulation import SimulatedTable, add_outcomes, check_specs, finish, outcome_column
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.parts import Record, Words
from bayes_alliance.spec.registry import load_model
from bayes_alliance.spec.toml import parse_toml, read_text


class Generated(Record):
    """One outcome of a twin: from a registered model or from one written here, with its truth."""

    model: str | None = None
    spec: dict[str, object] | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    reference: dict[str, str] = Field(default_factory=dict)
    truth: dict[str, float]


class Collected(Record):
    """What came between a study's design and its table, at about the size the study had it.

    ``never`` is the share of patients who leave before the first session; of the others ``absent`` are shares who give
    no value of a variable at any session, ``missing`` shares of single values. ``error`` are SDs of measurement, added
    once everything is drawn from the true values.
    """

    never: Share = 0.0
    absent: dict[str, Share] = Field(default_factory=dict)
    missing: dict[str, Share] = Field(default_factory=dict)
    error: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)


class Twin(Record):
    """A study's design and the truth its synthetic data come from.

    ``known`` says what is published of the design, ``assumed`` what is ours. Outcomes are drawn in the order of
    ``generate``, each from what came before. ``leave`` names a 0/1 variable of those who leave treatment: their
    sessions end at random, and ``lost`` variables are missing for them; ``missing`` gives shares missing by chance.
    ``collected`` is what its table lacks of the study's own gaps, and stands for ``missing`` where it is asked for.
    """

    title: str
    references: Words
    known: Words
    assumed: Words
    layout: dict[str, object]
    variables: dict[str, dict[str, object]] = Field(default_factory=dict)
    generate: Annotated[tuple[Generated, ...], Field(strict=False, min_length=1)]
    leave: str | None = None
    lost: Words = ()
    missing: dict[str, Share] = Field(default_factory=dict)
    collected: Collected | None = None

    def spec(self, outcome: Generated) -> ModelSpec:
        """Return the model an outcome is drawn from."""
        if outcome.model is not None:
            return load_model(outcome.model)
        return make_model(
            {"title": self.title, "question": "Where does this outcome come from?", **(outcome.spec or {})}
        )

    @property
    def models(self) -> tuple[str, ...]:
        """Return the registered models this twin has data for, in the order of their outcomes."""
        return tuple(outcome.model for outcome in self.generate if outcome.model is not None)


FOLDER = Path(__file__).resolve().parent / "twins"


def list_twins() -> tuple[str, ...]:
    """Return the names of the twins, sorted.

    Returns
    -------
    tuple of str
        As ``load_twin`` takes them.
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_twin(name: str) -> Twin:
    """Load a twin by name.

    Parameters
    ----------
    name : str
        One of ``list_twins()``.

    Returns
    -------
    Twin
        Frozen plain data.

    Raises
    ------
    SpecError
        If there is no such twin, or its file is not valid.
    """
    if name not in list_twins():
        raise SpecError(unknown("twin", name, list_twins()))
    return read_twin(parse_toml(read_text(FOLDER / f"{name}.toml", "Twin"), "A twin"), f"{name}.toml")


def read_twin(content: Mapping[str, object], where: str = "") -> Twin:
    """Make a twin from plain data, as its TOML file holds them.

    Raises
    ------
    SpecError
        With every problem of its keys, layout and variables.
    """
    try:
        twin = Twin.model_validate(dict(content))
    except ValidationError as error:
        valid = tuple(Twin.model_fields)
        raise SpecError([as_problem("twin", detail, valid) for detail in error.errors()], where) from None
    layout = make_layout(twin.layout, where)
    check_specs(twin.variables, layout)
    problems = [
        Problem(f"generate[{number}] names a model or writes a spec, one of the two.")
        for number, outcome in enumerate(twin.generate, start=1)
        if (outcome.model is None) == (outcome.spec is None)
    ]
    if twin.leave and len(layout.sessions) < 2 and not twin.lost:
        problems.append(
            Problem(
                f"leave = {twin.leave!r} needs two sessions or more, which it ends (the layout has "
                f"{list(layout.sessions)}), or lost = [...], what is then missing."
            )
        )
    if twin.collected is not None and twin.collected.never and twin.leave is None:
        problems.append(Problem("collected.never needs leave = ..., the variable that says who left."))
    if problems:
        raise SpecError(problems, where)
    return twin


def simulate_twin(twin: str | Twin, *, seed: int, collected: bool = False) -> SimulatedTable:
    """Simulate a twin of a study.

    Parameters
    ----------
    twin : str or Twin
        Name or record.
    seed : int
        The same seed gives the same table.
    collected : bool
        Whether the table is as it would have been collected: with errors of measurement, with patients who never
        started (``started`` is 0) and with the study's gaps, where the twin states these. Truths are those of the true
        values then, and who and what is drawn is the same as without.

    Returns
    -------
    SimulatedTable
        Its ``truth`` holds the parameters of every outcome; its messages say that it is synthetic.

    Raises
    ------
    SpecError
        For an unknown name, a twin that does not say how it was collected, a layout without the waves a model reads,
        a truth that does not fit its model.
    """
    named = twin if isinstance(twin, str) else "a twin"
    record = load_twin(twin) if isinstance(twin, str) else twin
    how = record.collected if collected else None
    if collected and how is None:
        raise SpecError(f"{named} of {record.title!r} does not say how its table was collected.")
    layout = make_layout(record.layout)
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    rows = draw_variables(lay_out(layout, rng), check_specs(record.variables, layout), layout, rng)
    truth: dict[str, float] = {}
    effects: dict[str, xr.Dataset] = {}
    for outcome in record.generate:
        spec = record.spec(outcome)
        rows, drawn = add_outcomes(rows, spec, layout, outcome.truth, outcome.columns, outcome.reference, rng)
        effects |= {outcome_column(name, outcome.columns): drawn for name in spec.outcomes}
        truth |= outcome.truth
    findings = Findings()
    findings.note(f"SYNTHETIC: {named} of {record.title!r}, seed {seed}; every number is drawn from a stated truth.")
    _check_columns(record, rows)
    rows = _leave(rows, record, layout, rng, findings)
    if how is None:
        rows = _go_missing(rows, record.missing, layout, rng, findings)
    else:
        rows = _collect(rows, record, how, layout, rng, findings)
    return finish(rows, layout, tuple(findings.messages), truth, effects, seed)


def _check_columns(twin: Twin, rows: pd.DataFrame) -> None:
    """Raise where ``leave``, ``lost`` or ``missing`` name no column."""
    named = [*([twin.leave] if twin.leave else []), *twin.lost, *twin.missing]
    if twin.collected is not None:
        named += [*twin.collected.absent, *twin.collected.missing, *twin.collected.error]
    problems = [unknown("column", name, rows.columns) for name in named if name not in rows.columns]
    if problems:
        raise SpecError(problems)


def _leave(
    rows: pd.DataFrame, twin: Twin, layout: Layout, rng: np.random.Generator, findings: Findings
) -> pd.DataFrame:
    """End the sessions of those who leave before a session drawn at random among those after the first."""
    if twin.leave is None:
        return rows
    patient, session = layout.name("patient"), layout.name("session")
    people = rows.groupby(patient)[twin.leave].first()
    if len(layout.sessions) < 2:
        rows.loc[rows[twin.leave] == 1, list(twin.lost)] = np.nan
        leaving = int((people == 1).sum())
        findings.note(
            f"{count_of(leaving, 'patient')} left treatment early ({twin.leave}): {quote(twin.lost)} missing."
        )
        return rows
    until = pd.Series(rng.choice(layout.sessions[1:], size=len(people)), index=people.index).where(people == 1, np.inf)
    gone = rows[session] >= rows[patient].map(until)
    left = people.index[people == 1]
    if twin.lost:
        rows.loc[rows[patient].isin(left), list(twin.lost)] = np.nan
    findings.note(
        f"{count_of(len(left), 'patient')} left treatment early ({twin.leave}): {count_of(int(gone.sum()), 'row')} of "
        f"theirs {'is' if gone.sum() == 1 else 'are'} not there"
        + (f", and {quote(twin.lost)} missing." if twin.lost else ".")
    )
    return rows[~gone].reset_index(drop=True)


def _collect(
    rows: pd.DataFrame, twin: Twin, how: Collected, layout: Layout, rng: np.random.Generator, findings: Findings
) -> pd.DataFrame:
    """Add errors of measurement, then take away what the study did not get."""
    patient = layout.name("patient")
    people = np.array(sorted(set(rows[patient])))
    for name, spread in how.error.items():
        noise = rng.normal(0.0, spread, size=len(rows))
        if _is_constant(rows, patient, name):
            noise = pd.Series(noise, index=rows.index).groupby(rows[patient]).transform("first").to_numpy()
        rows[name] = rows[name] + noise
        findings.note(f"{name} is rated with an error of SD {spread:g}; truths are of values without it.")
    never = set(people[rng.random(len(people)) < how.never])
    out = rows[patient].isin(never)
    if how.never:
        gone = list(dict.fromkeys([*twin.lost, *how.error, *how.absent, *how.missing]))
        rows.loc[out, gone] = np.nan
        rows.loc[out, twin.leave] = 1.0
        rows = rows.assign(started=1.0 - out)[~(out & rows.duplicated(patient))].reset_index(drop=True)
        findings.note(
            f"{count_of(len(never), 'patient')} never started (started is 0): {twin.leave} is 1, {quote(gone)} missing."
        )
    for name, share in how.absent.items():
        silent = set(people[rng.random(len(people)) < share])
        rows.loc[rows[patient].isin(silent), name] = np.nan
        findings.note(f"{name} is missing in all rows of {count_of(len(silent - never), 'patient')} more.")
    return _go_missing(rows, how.missing, layout, rng, findings)


def _is_constant(rows: pd.DataFrame, patient: str, name: str) -> bool:
    """Return whether a variable has one value per patient."""
    return bool((rows.groupby(patient)[name].nunique(dropna=False) <= 1).all())


def _go_missing(
    rows: pd.DataFrame,
    missing: Mapping[str, float],
    layout: Layout,
    rng: np.random.Generator,
    findings: Findings,
) -> pd.DataFrame:
    """Take values away by chance: per patient for what is constant within patients, per row for the rest."""
    patient = layout.name("patient")
    for name, share in missing.items():
        constant = _is_constant(rows, patient, name)
        if constant:
            people = sorted(set(rows[patient]))
            absent = rows[patient].map(dict(zip(people, rng.random(len(people)) < share, strict=True))).astype(bool)
        else:
            absent = pd.Series(rng.random(len(rows)) < share, index=rows.index)
        rows.loc[absent, name] = np.nan
        findings.note(f"{name} is missing by chance in {share:.0%} of {'patients' if constant else 'rows'}.")
    return rows
