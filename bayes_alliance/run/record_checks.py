"""What the record of a run must hold: anybody may have written the folder, so it is checked before it is used."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bayes_alliance.findings import Problem, StepKind
from bayes_alliance.fit.stored_fit import detail_problem
from bayes_alliance.run.analysis import LABEL

FILE: Final = re.compile(r"(fits|results)/[a-z0-9][a-z0-9_-]{0,63}/\w[\w.-]*")
"""Name of a file that a record lists: a model's fit or results."""

type Label = Annotated[str, StringConstraints(pattern=LABEL.pattern.removesuffix("\\Z") + "$")]
type Line = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Equation(_Part):
    outcome: str
    unit: str
    family: str
    link: Literal["logit", "probit"] | None = None
    formula: str
    text: str
    latex: str
    rows_read: int
    rows_used: int
    left_out: dict[str, int]
    levels: dict[str, int]


class _Check(_Part):
    name: str
    passed: bool
    sentence: str
    remedy: str


class _Facts(_Part):
    title: str
    question: str
    references: list[str]
    equations: list[_Equation]
    summary: list[Line]
    coefficients: list[str]
    estimands: list[Line]
    passed: bool
    verdict: str
    messages: list[str]
    missing: list[Line]
    claims: list[Line]
    sensitivity: list[Line]
    overlap: list[Line]
    predictive: list[Line]
    checks: list[_Check]
    notes: list[str]


class _Model(_Part):
    facts: _Facts
    provenance: dict[str, Any]
    draws: str
    chains: int
    draws_per_chain: int


class _Comparison(_Part):
    models: list[str]
    unit: str
    table: list[Line]
    messages: list[str]


class _Versions(_Part):
    packages: dict[str, str]
    code: str
    blas: str
    python: str
    platform: str


class _Step(_Part):
    kind: StepKind
    rows: int
    messages: list[str]


class _Record(_Part):
    format: int
    state: Literal["running", "failed", "complete"]
    title: str
    question: str
    labels: list[Label]
    names: dict[Label, str]
    specs: dict[Label, str]
    seed: int
    settings: dict[str, int | float | str | None]
    engine: str
    data: dict[str, dict[str, Any]]
    rows_read: int
    rows_selected: int
    counts: dict[str, int]
    rows_kept: bool
    messages: list[str]
    steps: Annotated[list[_Step], Field(min_length=1)]
    fingerprint: str
    versions: _Versions
    packages: dict[str, str]
    flags: dict[str, str]
    files: dict[str, str]
    models: dict[Label, _Model]
    comparisons: list[_Comparison]
    problems: list[str] = []
    finished: str = ""


def find_problems(record: dict[str, Any]) -> list[Problem]:
    """Report everything of a record that is not what a run's record holds, in sentences.

    Labels of models name folders, and files are those of models: neither may lead out of the run.
    """
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        return [detail_problem(detail) for detail in error.errors()]
    problems = [
        Problem(f"{name[:100]!r} is no file of a model.") for name in record["files"] if not FILE.fullmatch(name)
    ]
    if record["state"] == "failed" and not record.get("problems"):
        problems.append(Problem("It failed, and does not say why."))
    if record["state"] == "complete" and not (record["models"] and record.get("finished")):
        problems.append(Problem("It is complete, and has no models or no date."))
    if record["state"] == "complete" and set(record["models"]) != set(record["labels"]):
        problems.append(Problem("Its models are not those it lists."))
    return problems
