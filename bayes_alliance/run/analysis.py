"""The analysis file: data, roles, models, sampling and comparisons of one study, as plain data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bayes_alliance._messages import quote, shorten, unknown
from bayes_alliance.comparison.units import UnitName
from bayes_alliance.design.columns.declared_columns import declare_columns
from bayes_alliance.errors import SpecError
from bayes_alliance.findings import Findings, Problem, as_problem
from bayes_alliance.fit.settings import Engine, SamplerSettings
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.parts import Bound
from bayes_alliance.spec.registry import load_model, model_names
from bayes_alliance.spec.toml import is_file, parse_toml, read_text
from bayes_alliance.table.files.options import FileOptions
from bayes_alliance.table.nesting import Transfer
from bayes_alliance.table.shape.shape import Shape, read_shape

LABEL: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
"""What a model is called in a run: it becomes the name of a folder on any system."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


class DataPart(_Part):
    """Which table is read, and how; paths lie in the folder of the analysis file.

    With ``shared_rows`` every model uses the rows that all of them can use, so that they can be compared. ``transfers``
    of patients may be a file with their ids and a column ``meaning``: the analysis file is kept with the run, where
    nobody is named.
    """

    path: str
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    roles: dict[str, str]
    patients: str | None = None
    therapists: str | None = None
    groups: str | None = None
    missing: dict[str, list[str | int | float]] = {}
    bounds: dict[str, Annotated[tuple[Bound, Bound], Field(strict=False)]] = {}
    units: dict[str, str] = {}
    accept: dict[str, list[int | float | str]] = {}
    minimum: dict[str, float] = {}
    maximum: dict[str, float] = {}
    only: dict[str, str | float] = {}
    transfers: Transfer | dict[str, str] = "ask"
    shared_rows: bool = False
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    sheet: str | None = None
    wide: dict[str, str] = {}
    wide_sessions: dict[str, float] = {}
    questionnaire: dict[str, str] | None = None
    session: dict[str, str] | None = None
    each_row: Literal["patient", "session"] | None = None
    header: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)]] | None = None
    labels: list[str] | None = None

    def shape(self, findings: Findings) -> Shape:
        """Return the shape that is stated of the table."""
        stated = (self.wide, self.wide_sessions, self.questionnaire, self.session)
        return read_shape(*stated, self.roles, findings, self.each_row)

    @property
    def file_options(self) -> FileOptions:
        """Return what is stated of the sessions' file."""
        header = tuple(self.header) if isinstance(self.header, list) else self.header
        return FileOptions(self.separator, self.decimal, self.encoding, self.sheet, header, self.labels)


class ModelPart(_Part):
    """One model: of the registry, or a file in the analysis file's folder; own entries add to the shared ones.

    ``course`` is the form of time, as ``load_model`` takes it. ``labels`` and ``estimands`` are written as in a model
    file and stand beside those the model has.
    """

    name: str
    label: str = ""
    course: str = "linear"
    columns: dict[str, str] = {}
    reference: dict[str, str] = {}
    priors: dict[str, str] = {}
    labels: dict[str, str] = {}
    estimands: dict[str, dict[str, Any]] = {}


class ComparisonPart(_Part):
    """Models weighed on the same outcomes of the same units."""

    models: Annotated[list[str], Field(min_length=2)]
    unit: UnitName = "patient"
    outcomes: list[str] | None = None


class SamplingPart(_Part):
    """How to sample; as in ``SamplerSettings``."""

    engine: Engine = "auto"
    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    target_accept: float | None = None
    max_treedepth: int = 10


class ReportPart(_Part):
    """What a run keeps for its report: pictures, checks of predictions and priors, and, where asked for, rows."""

    pictures: bool = True
    checks: bool = True
    rows: bool = False


class Analysis(_Part):
    """One study's questions: what is read, which models are fitted, how they are compared."""

    title: str
    question: str = ""
    seed: int = Field(ge=0)
    data: DataPart
    scores: dict[str, dict[str, Any]] = {}
    columns: dict[str, str] = {}
    reference: dict[str, str] = {}
    priors: dict[str, str] = {}
    sampling: SamplingPart = SamplingPart()
    models: Annotated[list[ModelPart], Field(min_length=1, alias="model")]
    comparisons: Annotated[list[ComparisonPart], Field(alias="comparison")] = []
    report: ReportPart = ReportPart()

    @property
    def labels(self) -> tuple[str, ...]:
        """Return what the models are called in the run."""
        return tuple(model_label(model) for model in self.models)

    def settings(self, progress: Literal["auto", "off"] = "auto") -> SamplerSettings:
        """Return the settings of the sampler."""
        return SamplerSettings(**self.sampling.model_dump(exclude={"engine"}), progress=progress)


def model_label(model: ModelPart) -> str:
    """Return a model's label, made from its name where none is stated."""
    stem = model.name.removesuffix(".toml").replace("\\", "/").replace("/", "-").lower()
    stem += "" if model.course == "linear" else f"-{model.course}"
    return model.label or re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")


def parse_analysis(text: str, where: str = "") -> Analysis:
    """Read an analysis from TOML text.

    Raises
    ------
    SpecError
        With every problem at once: TOML syntax, unknown keys and the nearest valid one, values of a wrong type, labels
        that repeat, comparisons of models that are not there; or for what ``parse_toml`` refuses.
    """
    content = parse_toml(text, "An analysis file", where)
    try:
        analysis = Analysis.model_validate(content)
    except ValidationError as error:
        raise SpecError([_as_problem(detail) for detail in error.errors()], where) from None
    problems = _problems(analysis)
    if problems:
        raise SpecError(problems, where)
    return analysis


def read_analysis(path: str | Path) -> tuple[Analysis, str]:
    """Read an analysis file; return it and its exact text.

    Raises
    ------
    SpecError
        If the file cannot be read, or as in ``parse_analysis``.
    """
    place = Path(path)
    if not is_file(place):
        raise SpecError(f"No analysis file at {shorten(str(place))}.")
    text = read_text(place, "Analysis file")
    return parse_analysis(text, place.name), text


def inside(folder: Path, name: str, what: str, findings: Findings) -> Path | None:
    """Return the path of a file in the analysis file's folder; report one that leads out of it, and return None."""
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        findings.problem(
            f"{what} {name!r} lies outside the analysis file's folder.",
            fix="Give a path inside it: a run that depends on files elsewhere cannot be repeated by somebody else.",
        )
        return None
    if not path.is_file():
        findings.problem(f"no file {name!r} in the analysis file's folder.", where=what)
        return None
    return path


def find_specs(analysis: Analysis, folder: Path) -> dict[str, ModelSpec]:
    """Load every model by its label.

    Raises
    ------
    SpecError
        With the problems of all models at once.
    """
    found: dict[str, ModelSpec] = {}
    findings = Findings()
    for model in analysis.models:
        try:
            if model.name in model_names():
                found[model_label(model)] = _asked(load_model(model.name, course=model.course), model, analysis.columns)
            elif model.name.endswith(".toml"):
                path = inside(folder, model.name, "model", findings)
                if path is not None:
                    found[model_label(model)] = _asked(load_model(path, course=model.course), model, analysis.columns)
            else:
                other = unknown("model", model.name, model_names())
                findings.add([replace(other, fix=f"{other.fix} A file of your own ends in .toml.".lstrip())])
        except SpecError as error:
            findings.add(problem.under(f"model {model.name!r}") for problem in error.problems)
    findings.stop(SpecError)
    return found


def _asked(spec: ModelSpec, model: ModelPart, columns: Mapping[str, str]) -> ModelSpec:
    """Return a model with what the analysis asks of it beside its own estimands, and works out of sessions for it."""
    spec, _ = declare_columns(spec, {**columns, **model.columns})
    if not model.estimands and not model.labels:
        return spec
    content = spec.model_dump(mode="json", exclude_defaults=True)
    content["labels"] = {**content.get("labels", {}), **model.labels}
    content["estimands"] = {**content.get("estimands", {}), **model.estimands}
    return make_model(content)


def _problems(analysis: Analysis) -> list[Problem]:
    problems: list[Problem] = []
    for label in analysis.labels:
        if not LABEL.match(label):
            problems.append(
                Problem(
                    "it cannot name a folder.",
                    where=f"label {label!r}",
                    allowed="It is a small letter or a digit, followed by up to 63 of a to z, 0 to 9, '-' and '_'.",
                    fix='State label = "..." beside the name of the model.',
                )
            )
    twice = [label for label, count in Counter(analysis.labels).items() if count > 1]
    if twice:
        problems.append(Problem(f"Models share a label: {quote(twice)}.", fix='State label = "..." for each.'))
    for comparison in analysis.comparisons:
        if len(set(comparison.models)) < len(comparison.models):
            problems.append(Problem(f"{quote(comparison.models)} names a model twice.", where="comparison"))
        problems += [
            unknown("model", name, analysis.labels, "comparison")
            for name in comparison.models
            if name not in analysis.labels
        ]
    try:
        analysis.settings()
    except Exception as error:  # the settings' own sentences
        found = getattr(error, "problems", [str(error)])
        problems += [as_problem(problem).under("sampling") for problem in found]
    return problems


_PLACES: Final[Mapping[str, type[BaseModel]]] = {
    "": Analysis,
    "data": DataPart,
    "model": ModelPart,
    "comparison": ComparisonPart,
    "sampling": SamplingPart,
    "report": ReportPart,
}


def _as_problem(detail: Any) -> Problem:
    place = [str(part) for part in detail["loc"] if not isinstance(part, int)]
    where = ".".join(str(part) for part in detail["loc"]) or "the file"
    if detail["type"] == "extra_forbidden":
        record = _PLACES.get(place[0] if len(place) > 1 else "", Analysis)
        keys = [field.alias or name for name, field in record.model_fields.items()]
        table = f"[{place[0]}]" if len(place) > 1 else ""
        return unknown("key", place[-1], keys, table)
    if detail["type"] == "missing":
        return Problem(f"{where!r} is missing.")
    if detail["type"] == "literal_error":
        allowed = f"Allowed: {detail['ctx']['expected']}."
        return Problem(f"{where} = {shorten(detail['input'])} is not allowed.", allowed=allowed)
    return Problem(f"{detail['msg'].lower()}.", where=f"{where} = {shorten(detail['input'])}")
