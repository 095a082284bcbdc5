"""Data layouts that every registered model meets: a study without therapists, with three arms and so on."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_alliance as ba
from bayes_alliance.errors import AllianceError
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.spec.registry import model_names
from tests.contracts.test_registry import table_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layouts.json"

type Layout = Callable[
    [pd.DataFrame, dict[str, str], dict[str, str]], tuple[pd.DataFrame, dict[str, str], dict[str, str]]
]


def _same(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    return frame, roles, columns


def _without(role: str) -> Layout:
    def change(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
        left = {name: column for name, column in roles.items() if name != role}
        return frame.drop(columns=roles[role], errors="ignore"), left, columns

    return change


def _no_condition(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    left = {name: column for name, column in columns.items() if not column.startswith("arm")}
    if "in_group" in columns:
        left["in_group"] = "grouped"
    return frame.assign(grouped=(frame["arm"] == "MBCT") * 1.0).drop(columns="arm"), roles, left


def _one_arm(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    left = {**columns, **({"in_group": "grouped"} if "in_group" in columns else {})}
    return frame.assign(grouped=(frame["arm"] == "MBCT") * 1.0, arm="TAU"), roles, left


def _three_arms(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    people = frame["pid"].where(frame["arm"] == "TAU").rank(method="dense")
    left = {**columns, **({"in_group": "grouped"} if "in_group" in columns else {})}
    third = (frame["arm"] == "TAU") & (people % 2 == 0)
    grouped = (frame["arm"] == "MBCT") * 1.0
    return frame.assign(grouped=grouped, arm=np.where(third, "CBT", frame["arm"])), roles, left


def _from_0(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    return frame.assign(week=frame["week"] - 1, last=frame["last"] - 1), roles, columns


def _visits(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    left = {name: column for name, column in roles.items() if name != "session"}
    return frame.assign(week=frame["week"] * 1.15), left, {**columns, "time": "week"}


def _one_session(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    return frame.groupby("pid").head(1), roles, columns


def _in_years(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    rng = np.random.default_rng(4)
    years = (frame["week"] - frame["week"].mean() + rng.uniform(-0.4, 0.4, len(frame))) / 2
    return frame.assign(years=years.round(2)), roles, {**columns, "time": "years"}


def _no_ids(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    left = {name: column for name, column in roles.items() if name not in ("patient", "session")}
    return frame.groupby("pid").head(1).drop(columns=["pid", "week"]), left, columns


def _unnumbered(frame: pd.DataFrame, roles: dict[str, str], columns: dict[str, str]) -> tuple:
    left = {name: column for name, column in roles.items() if name != "session"}
    return frame.sort_values(["pid", "week"]).drop(columns="week"), left, columns


OPTIONS: dict[str, dict[str, Any]] = {
    "visits at times such as 1.15": {"session": {"column": "week"}},
    "one row per patient, no ids": {"each_row": "patient"},
    "sessions in order, no numbers": {"each_row": "session"},
}
"""How a table is read that has no numbers of sessions, or no ids."""

LAYOUTS: dict[str, Layout] = {
    "as the model expects": _same,
    "no therapists": _without("therapist"),
    "no groups": _without("group"),
    "no condition": _no_condition,
    "one arm": _one_arm,
    "three arms": _three_arms,
    "sessions from 0": _from_0,
    "visits at times such as 1.15": _visits,
    "time in years, from -2": _in_years,
    "one session per patient": _one_session,
    "one row per patient, no ids": _no_ids,
    "sessions in order, no numbers": _unnumbered,
}


def design_on(name: str, layout: str, trial: pd.DataFrame) -> ba.Design:
    """Make the design of a model on a layout, or raise why it is refused."""
    table, columns, reference = table_for(name, trial)
    frame, roles, columns = LAYOUTS[layout](table.frame, dict(table.roles), dict(columns))
    reference = {n: level for n, level in reference.items() if columns.get(n, n) in frame.columns}
    bounds = {n: ends for n, ends in table.bounds.items() if n in frame.columns}
    columns = {n: column for n, column in columns.items() if n in needed_variables(ba.load_model(name))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = ba.read_sessions(frame, roles, bounds=bounds, **OPTIONS.get(layout, {}))
        return ba.make_design(ba.load_model(name), ba.Study(read, columns, reference))


def outcome_of(name: str, layout: str, trial: pd.DataFrame) -> str:
    """Return ``"runs"``, or why a model is refused on a layout."""
    try:
        design_on(name, layout, trial)
    except AllianceError as error:
        return " ".join(str(problem) for problem in error.problems)
    return "runs"


def work_out(trial: pd.DataFrame) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every model with what becomes of each layout."""
    for name in model_names():
        yield name, {layout: outcome_of(name, layout, trial) for layout in LAYOUTS}


def write_page(trial: pd.DataFrame) -> None:
    """Write the table where the documentation reads it."""
    PAGE.write_text(json.dumps(dict(work_out(trial)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
