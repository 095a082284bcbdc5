"""Model variables to columns of the study: names mapped at the door, declared variables worked out per patient."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_alliance._messages import (
    are,
    count_of,
    first_few,
    hint,
    number_text,
    quote,
    show_cell,
    show_cells,
    show_level,
    unknown,
    unknown_cell,
)
from bayes_alliance.design.columns.declared import declared_values
from bayes_alliance.design.columns.rows import Rows
from bayes_alliance.design.columns.survival import SURVIVE, survive_values
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import ROLES, SESSION, SESSIONS, VISIT
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class Variable:
    """A model variable over the rows of an equation.

    ``label`` is how the study calls it. ``values`` are numbers, NaN where missing; a factor has ``levels`` instead,
    the reference first, and ``values`` hold positions in them. ``sessions`` are the first and last session a
    declared variable was worked out from.
    """

    name: str
    label: str
    values: np.ndarray
    levels: tuple[str, ...] | None = None
    sessions: tuple[float, float] | None = None


_INDICATOR = re.compile(r"(?P<column>.+)\[(?P<level>[^\[\]]+)\]\Z")


def check_names(spec: ModelSpec, study: Study[SessionTable]) -> list[Problem]:
    """Report mappings that name nothing, columns that are not there, variables without a column."""
    units = [e.unit for e in spec.equation if e.unit not in ("session", "patient", *study.sessions.roles)]
    problems = [
        Problem(f"{column!r} is no column name.", where="columns")
        for column in study.columns.values()
        if not isinstance(column, str)
    ]
    problems += [
        Problem(f"A row of an equation is a {unit} and no column plays it.", fix="Name its column in roles.")
        for unit in units
    ]
    if problems:
        return problems
    needed = needed_variables(spec)
    factors = {part for equation in spec.equation for factor in equation.factors for part in factor.split(":")}
    factors |= {name for equation in spec.equation for name in equation.centring_factors}
    factors |= {member for group in spec.groups.values() for member in group.members}
    return [
        *_mapped(study, needed, factors),
        *_lacking(study, needed, spec.otherwise),
        *_single(study, spec.otherwise),
        *_grouped(study, factors, spec.otherwise),
        *_referred(spec, study, needed),
        *_doubled(spec, study),
    ]


def _mapped(study: Study[SessionTable], needed: Sequence[str], factors: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with the mapping of columns."""
    roles, frame = study.sessions.roles, study.sessions.frame
    for name, column in study.columns.items():
        if name in roles:
            twice = f"{name!r} is named twice: roles say {roles[name]!r} and columns say {column!r}."
            yield Problem(twice, fix="Name it once.")
        elif name in ROLES:
            yield Problem(f"{name!r} is a role.", where="columns", fix="Name it in roles when the table is read.")
        elif name not in needed and name not in factors:
            yield unknown("variable of the model", name, [one for one in needed if one not in roles], "columns")
        elif column not in frame.columns and column_of(column)[0] not in frame.columns:
            yield unknown("column", column_of(column)[0], frame.columns, "columns")


def _instead(name: str, otherwise: Mapping[str, str]) -> str:
    """Return which registered model answers for studies without a variable or role, where one is named."""
    if name in (SESSION, VISIT) and SESSIONS in otherwise:
        return f" For a study with one row per patient there is the model {otherwise[SESSIONS]!r}."
    return f" For a study without it there is the model {otherwise[name]!r}." if name in otherwise else ""


def has_one_value(name: str, study: Study[SessionTable]) -> bool:
    """Return whether the column of a variable is one of words and holds a single one."""
    column = study.sessions.frame.get(column_for(name, study))
    return column is not None and column.dtype != np.float64 and column.nunique() == 1


def _single(study: Study[SessionTable], otherwise: Mapping[str, str]) -> Iterator[Problem]:
    """Yield predictors with one level for which another registered model answers."""
    for name in otherwise:
        if name not in ROLES and has_one_value(name, study):
            yield Problem(
                f"{name!r} (column {column_for(name, study)!r}) has one level, and the model compares two.",
                fix=_instead(name, otherwise).strip(),
            )


def check_several_sessions(spec: ModelSpec, sessions: SessionTable) -> list[Problem]:
    """Report that no patient has two rows where another registered model answers."""
    if SESSIONS not in spec.otherwise or len(np.unique(sessions.ids("patient"))) < len(sessions):
        return []
    return [
        Problem(
            "Every patient has one row, and the model compares sessions of one patient.",
            fix=f"For a study with one row per patient there is the model {spec.otherwise[SESSIONS]!r}.",
        )
    ]


def _lacking(study: Study[SessionTable], needed: Sequence[str], otherwise: Mapping[str, str]) -> Iterator[Problem]:
    """Yield variables without a column."""
    roles, frame = study.sessions.roles, study.sessions.frame
    for name in needed:
        if name in roles or (name not in ROLES and (name in study.columns or name in frame.columns)):
            continue
        if name in ROLES:
            fix = f"Name its column in roles.{_instead(name, otherwise)}"
            yield Problem(f"The model reads {name!r} and no column plays it.", fix=fix)
            continue
        yield Problem(
            f"Variable {name!r} of the model has no column.",
            allowed=f"Columns seen: {quote(frame.columns)}.",
            fix=f"State columns={{{name!r}: ...}}. {hint(name, frame.columns)}".rstrip() + _instead(name, otherwise),
        )


def _grouped(study: Study[SessionTable], factors: Collection[str], otherwise: Mapping[str, str]) -> Iterator[Problem]:
    """Yield grouping factors without a column."""
    roles, frame = study.sessions.roles, study.sessions.frame
    for part in sorted(factors):
        if part in ROLES and part not in roles:
            yield Problem(
                f"The model groups rows by {part!r} and no column plays it.",
                allowed=f"Columns seen: {quote(frame.columns)}.",
                fix=f"Name its column in roles.{_instead(part, otherwise)}",
            )
        elif part not in ROLES and study.columns.get(part, part) not in frame.columns:
            yield unknown("column", study.columns.get(part, part), frame.columns, "Grouping factor")


def _referred(spec: ModelSpec, study: Study[SessionTable], needed: Sequence[str]) -> Iterator[Problem]:
    """Yield references of what has no levels."""
    frame = study.sessions.frame
    for name in study.reference:
        column = study.columns.get(name)
        if name in spec.variables:
            yield Problem(f"{name!r} is a declared variable, a number; it has no levels.", where="reference")
        elif name not in needed:
            yield unknown("variable of the model", name, needed, "reference")
        elif column is not None and column_of(column)[1] and column not in frame.columns:
            yield Problem(
                f"{name!r} is 1 for {column!r} and 0 elsewhere; it has no other reference.", where="reference"
            )


def _doubled(spec: ModelSpec, study: Study[SessionTable]) -> list[Problem]:
    """Report two variables of an equation that are one column: an outcome would predict itself; and two outcomes."""

    def shared(names: Iterable[str]) -> dict[str, list[str]]:
        played: dict[str, list[str]] = {}
        for name in names:
            if name not in spec.variables:
                played.setdefault(study.column(name), []).append(name)
        return {column: together for column, together in played.items() if len(together) > 1}

    problems = [
        Problem(
            f"Column {column!r} plays {quote(names)} in one equation.", fix="Map each variable to a column of its own."
        )
        for equation in spec.equation
        for column, names in shared(equation.variables).items()
    ]
    return problems + [
        Problem(f"Column {column!r} is the outcome of {quote(names)}, which are different equations.")
        for column, names in shared(spec.outcomes).items()
    ]


def not_a_factor(where: str, variable: Variable, what: str) -> Problem:
    """Return the problem of a number where something differs by the levels of a factor."""
    return Problem(
        f"column {variable.label!r} is a number; {what} differ by the levels of a factor.",
        where=f"{where} = {variable.name!r}",
        fix=f"State reference={{{variable.name!r}: ...}} to read it as one.",
    )


def column_for(name: str, study: Study[SessionTable]) -> str:
    """Return the column a model variable is read from, without the level of an indicator."""
    text = study.column(name)
    return text if text in study.sessions.frame.columns else column_of(text)[0]


def column_of(text: str) -> tuple[str, str | None]:
    """Split ``grp[RO-DBT]`` into column and level; a plain column has no level."""
    match = _INDICATOR.match(text)
    return (match["column"], match["level"]) if match else (text, None)


def make_variable(
    name: str,
    spec: ModelSpec,
    rows: Rows,
    study: Study[SessionTable],
    findings: Findings,
    levels: tuple[str, ...] | None = None,
) -> Variable:
    """Make a model variable over the rows.

    ``columns`` may map it to one level of a column, such as ``grp[RO-DBT]``: 1 where the level holds, 0 elsewhere.
    ``levels`` are those of its column, in order, where the rows are a part of a table and may lack some.
    """
    if name in spec.variables and spec.declared[name].function == SURVIVE:
        return Variable(name, name, survive_values(name, spec, rows, study.columns, findings))
    if name in spec.raters:
        own = [make_variable(r, spec, rows, study, findings) for r in spec.raters[name]]
        wordy = [variable.label for variable in own if variable.levels is not None]
        if wordy:
            findings.problem(f"{quote(wordy)} hold words; ratings are numbers.", where=f"raters of {name!r}")
        return rated_values(name, own)
    if name in spec.variables and rows.unit not in ("session", "patient"):
        findings.problem(
            f"[variables] {name} = {spec.variables[name]} has a value per patient, and a row of this equation "
            f"is a {rows.unit}.",
            fix=f"Give it an equation of patients, or map a column of {rows.unit}s.",
        )
        return Variable(name, name, np.full(len(rows), np.nan))
    if name in spec.variables:
        values, sessions = declared_values(name, spec, rows, study.columns, findings)
        return Variable(name, name, values, None, sessions)
    text = rows.source.roles.get(name, study.columns.get(name, name))
    column, level = (text, None) if text in rows.source.frame.columns else column_of(text)
    series = rows.column(column, findings)
    if level is not None:
        return _indicator(name, text, series, level, levels, findings)
    if name == "condition":
        _check_condition(rows, column, series, name in study.reference, findings)
    if series.dtype == np.float64 and name not in study.reference:
        return Variable(name, column, series.to_numpy(float))
    words = read_words(series)
    if levels is None:
        levels = order_levels(name, column, series, set(words.dropna()), study.reference.get(name), findings)
    position = {level: float(i) for i, level in enumerate(levels)}
    values = np.array([position.get(word, np.nan) if isinstance(word, str) else np.nan for word in words])
    return Variable(name, column, values, levels)


def _check_condition(rows: Rows, column: str, series: pd.Series, stated: bool, findings: Findings) -> None:
    """Refuse codes of several arms as a dose, and say how many patients change arm."""
    if series.dtype == np.float64 and not stated and not series.dropna().isin((0.0, 1.0)).all():
        codes = [number_text(code) for code in sorted(series.dropna().unique())]
        findings.problem(
            f"'condition' (column {column!r}) has the codes {first_few(codes)}, which would be a dose.",
            fix=f"State the arm the others are compared with: reference={{'condition': {codes[0]!r}}}.",
        )
    arms = pd.DataFrame({"patient": rows.key, "arm": series.to_numpy()}).groupby("patient").arm.nunique()
    changing = [repr(str(patient)) for patient in arms.index[arms > 1]]
    if changing:
        findings.note(
            f"{count_of(len(changing), 'patient')} {are(len(changing), 'changes', 'change')} condition: "
            f"{first_few(changing)}."
        )


def rated_values(name: str, raters: Sequence[Variable]) -> Variable:
    """Return the mean of the ratings there are, under the name of the true score."""
    table = np.column_stack([rater.values for rater in raters])
    count = (~np.isnan(table)).sum(axis=1)
    return Variable(name, name, np.where(count > 0, np.nansum(table, axis=1) / np.maximum(count, 1), np.nan))


def _indicator(
    name: str, text: str, series: pd.Series, level: str, levels: tuple[str, ...] | None, findings: Findings
) -> Variable:
    words = read_words(series)
    levels = levels or tuple(sorted(set(words.dropna())))
    if level not in levels:
        findings.add([unknown_cell(f"level of {column_of(text)[0]!r}:", level, levels, "columns")])
    values = np.where(words.isna(), np.nan, (words == level).to_numpy(dtype=float, na_value=0.0))
    return Variable(name, text, values)


def read_words(series: pd.Series) -> pd.Series:
    """Return the levels of a column as text, missing where it is."""
    if series.dtype == np.float64:
        return series.map(number_text, na_action="ignore").astype("str")
    return series.astype("str")


def order_levels(
    name: str, column: str, series: pd.Series, present: set[str], reference: str | None, findings: Findings
) -> tuple[str, ...]:
    """Return the levels of a factor, the one that others are compared with first."""
    ordered = isinstance(series.dtype, pd.CategoricalDtype) and series.cat.ordered
    levels = [str(c) for c in series.cat.categories if str(c) in present] if ordered else _sorted_levels(present)
    reference = None if reference is None else str(reference)
    if reference is None and not ordered and len(levels) > 1:
        as_numbers = pd.to_numeric(pd.Series(levels), errors="coerce").notna().all()
        advice = " If these are numbers, store the column as numbers." if as_numbers else ""
        findings.problem(
            f"Factor {name!r} (column {column!r}) has levels without a stated order: {show_cells(levels)}.",
            fix=(
                f"State the one the others are compared with, such as reference={{{name!r}: "
                f"{show_cell(levels[0])}}}.{advice}"
            ),
        )
    elif reference is not None and reference not in levels:
        findings.add([unknown_cell("level", reference, levels, f"reference of {name!r}")])
    elif reference is not None:
        levels = [reference, *(level for level in levels if level != reference)]
    return tuple(levels)


def _sorted_levels(levels: set[str]) -> list[str]:
    """Sort as numbers where all are numbers, as words otherwise."""
    numbers = pd.to_numeric(pd.Series(sorted(levels), dtype="str"), errors="coerce")
    return sorted(levels, key=float) if len(levels) and numbers.notna().all() else sorted(levels)


def prune_levels(variable: Variable, keep: np.ndarray, findings: Findings) -> Variable:
    """Return a factor without the levels that no used row has; a lost reference is a problem."""
    if variable.levels is None:
        return variable
    used = set(np.unique(variable.values[keep & ~np.isnan(variable.values)]).astype(int))
    if len(used) == 1:
        findings.problem(
            f"Factor {variable.name!r} (column {variable.label!r}) has one level in the rows used: "
            f"{show_cell(variable.levels[used.pop()])}. Two are needed for a comparison.",
            fix="Leave the factor out or keep more rows.",
        )
        return variable
    lost = [level for i, level in enumerate(variable.levels) if i not in used]
    if not lost or not used:
        return variable
    if 0 not in used:
        findings.problem(
            f"No row used has the reference level {show_cell(variable.levels[0])} of {variable.name!r}.",
            fix=f"State another of {show_cells(level for i, level in enumerate(variable.levels) if i in used)}.",
        )
    verb = are(len(lost), "has", "have")
    shown = first_few([show_level(one) for one in lost])
    findings.note(f"{count_of(len(lost), 'level')} of {variable.label} {verb} no row in use: {shown}.")
    kept = [i for i in range(len(variable.levels)) if i in used]
    position = np.full(len(variable.levels), np.nan)
    position[kept] = np.arange(len(kept))
    values = np.where(np.isnan(variable.values), np.nan, position[np.nan_to_num(variable.values, nan=0).astype(int)])
    return Variable(variable.name, variable.label, values, tuple(variable.levels[i] for i in kept))
