"""An analysis file run: rows read, models fitted, results written; a kill at any moment loses one fit at most."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from bayes_alliance._messages import first_few
from bayes_alliance.comparison.models import check_read, read_by, share_rows
from bayes_alliance.design.design import Design, make_design
from bayes_alliance.errors import AllianceError, DesignError, RunError, SpecError, TableError
from bayes_alliance.findings import Findings
from bayes_alliance.fit.cache import fit_cached, question_key, read_answer
from bayes_alliance.fit.engines import fit_design
from bayes_alliance.fit.provenance import Plain, versions
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.settings import Progress
from bayes_alliance.fit.spreadsheet import csv_bytes
from bayes_alliance.fit.store import MANIFEST, locked, replace_file, write_artefact
from bayes_alliance.run.agreement import draws_digest
from bayes_alliance.run.analysis import Analysis, find_specs, read_analysis
from bayes_alliance.run.environment import all_packages, environment_files
from bayes_alliance.run.ids import without_cells
from bayes_alliance.run.record import (
    ANALYSIS,
    FITS,
    FORMAT,
    LOG,
    RECORD,
    RESULTS,
    ROOT,
    Run,
    file_digest,
    find_links,
    load_run,
    read_record,
)
from bayes_alliance.run.results import compare_all, comparison_problems, write_results
from bayes_alliance.run.row_digests import tell_changes
from bayes_alliance.run.rows import Rows, find_paths, read_rows
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.toml import write_model
from bayes_alliance.study import Study

FLAGS = ("PYTENSOR_FLAGS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE")
"""Environment variables that digits may depend on; no others are recorded."""


KEY_HEAD = b"role,code,id"
"""How a key from codes to ids begins."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a run answers: the analysis, its text, the folder its paths lie in, and the models by label."""

    analysis: Analysis
    text: str
    folder: Path
    specs: Mapping[str, ModelSpec]


@dataclass(eq=False)
class Log:
    """Lines with the seconds they were written at; shown as they come by ``tell``."""

    tell: Callable[[str], None]
    begun: float = field(default_factory=time.perf_counter)
    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{time.perf_counter() - self.begun:8.1f} s  {text}")
        self.tell(text)


def run_analysis(
    path: str | Path,
    *,
    folder: str | Path | None = None,
    replace_old: bool = False,
    key: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Progress = "auto",
    tell: Callable[[str], None] = lambda text: None,
) -> Run:
    """Run an analysis file.

    Parameters
    ----------
    path : str or Path
        The analysis file; what it names lies in its folder.
    folder : str or Path, optional
        Of the run; ``<file>-run`` beside the file unless stated. Where a run of the same file was begun there, it goes
        on: fits whose question did not change are read from disk.
    replace_old : bool
        Whether a run of another analysis in that folder may be replaced.
    key : str or Path, optional
        Where the key from codes to ids is written, for the owner's eyes; nowhere unless stated, and never in the run's
        folder.
    cache : str or Path, optional
        As in ``fit_model``; shared between runs.
    progress : {"auto", "off"}
        Whether bars are shown.
    tell : callable
        Is called with each line of the log.

    Returns
    -------
    Run

    Raises
    ------
    SpecError, TableError, DesignError
        With everything that is wrong with the file, the table or a model, before anything is fitted. Ids are codes, and
        other cells of text are described by their length.
    RunError
        If another process runs in the folder, or it holds something else; or for an error of another library, whose
        text is not repeated.
    FitError
        If sampling cannot start or finish, or the folder cannot be written.
    KeyboardInterrupt
        If the process is stopped meanwhile: fits that were finished are in the folder, and the same call goes on.
    """
    analysis, text = read_analysis(path)
    base = Path(path).resolve().parent
    place = Path(folder) if folder is not None else default_folder(path)
    question = Question(analysis, text, base, _specs(analysis, base))
    return execute(question, place, replace_old=replace_old, key=key, cache=cache, progress=progress, log=Log(tell))


def default_folder(path: str | Path) -> Path:
    """Return the folder of an analysis file's run unless another is stated: ``<file>-run`` beside the file."""
    return Path(path).resolve().parent / f"{Path(path).stem}-run"


@without_cells("an analysis was run")
def execute(
    question: Question,
    place: Path,
    *,
    replace_old: bool = False,
    key: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Progress = "auto",
    log: Log,
    rows: Rows | None = None,
) -> Run:
    """Answer a question in a folder; what ``run_analysis`` does once its file is read. ``rows`` may have been read."""
    _check_key(key, place)
    if rows is None:
        rows = read_rows(question.analysis, question.folder, question.specs)
    if key is not None:
        _write_key(rows, Path(key))
    log(f"{rows.read:,} rows read, {len(rows.sessions):,} selected; fingerprint {rows.sessions.fingerprint()[:16]}.")
    for message in rows.sessions.messages:
        log(f"- {message}")
    designs, notes = _designs(question, rows)
    rows = replace(rows, sessions=replace(rows.sessions, messages=(*rows.sessions.messages, *notes)))
    for note in notes:
        log(f"- {note}")
    with _alone(place):
        _check_place(place, question, rows, replace_old)
        started = _record(question, rows, designs, "running")
        _write_root(place, started, question, log)
        try:
            fits = {
                label: _fit(label, question, design, place, cache, progress, log) for label, design in designs.items()
            }
            facts = write_results(question.analysis, fits, place, progress, log)
            comparisons = compare_all(question.analysis, fits, log)
        except AllianceError as error:
            failed = {**started, "state": "failed", "problems": list(map(str, error.problems))}
            _write_root(place, failed, question, log)
            raise
        _clear(place, designs)
        log("Complete.")
        _write_root(place, _finished(started, fits, facts, comparisons, place), question, log)
    return load_run(place)


def _specs(analysis: Analysis, base: Path) -> dict[str, ModelSpec]:
    """Load the models; where that fails, files that are not there are told with it."""
    try:
        return find_specs(analysis, base)
    except SpecError as error:
        findings = Findings(list(error.problems))
        find_paths(analysis, base, findings)
        raise SpecError(findings.problems) from None


def _designs(question: Question, rows: Rows) -> tuple[dict[str, Design], tuple[str, ...]]:
    """Bring every model and the rows together, telling what does not fit of all models at once; and what was left."""
    analysis = question.analysis
    found: dict[str, Design] = {}
    problems = check_read(question.specs.values(), [*analysis.columns, *analysis.reference])
    for model, (label, spec) in zip(analysis.models, question.specs.items(), strict=True):
        read = read_by(spec)
        columns = {name: column for name, column in analysis.columns.items() if name in read}
        columns |= model.columns
        stated = {n: level for n, level in analysis.reference.items() if n in read} | model.reference
        try:
            reference = {n: rows.code_of(_column(n, columns, rows), level) for n, level in stated.items()}
            study = Study(rows.sessions, columns, reference, {**analysis.priors, **model.priors})
            found[label] = make_design(spec, study)
        except (DesignError, TableError) as error:
            problems += [problem.under(f"model {label!r}") for problem in error.problems]
    notes: list[str] = []
    if analysis.data.shared_rows and len(found) > 1 and not problems:
        found, notes = share_rows(found)
    problems = problems or [p for one in analysis.comparisons for p in comparison_problems(one, found)]
    if problems:
        raise DesignError(problems)
    return found, tuple(notes)


def _column(name: str, columns: Mapping[str, str], rows: Rows) -> str:
    return rows.sessions.roles.get(name, columns.get(name, name))


def _fit(
    label: str,
    question: Question,
    design: Design,
    place: Path,
    cache: str | Path | None,
    progress: Progress,
    log: Log,
) -> Fit:
    """Return a model's fit: from the run's folder where the question is the same, else fitted and stored there."""
    analysis = question.analysis
    settings, engine = analysis.settings(progress), analysis.sampling.engine
    asked = question_key(design, seed=analysis.seed, settings=settings, engine=engine)
    here = place / FITS / label
    known, damaged = read_answer(here, design)
    if known is not None and known.provenance.get("question") == asked:
        log(f"{label}: answered from the run's folder; the question is the same.")
        return known
    if damaged:
        log(f"{label}: what the folder holds is damaged or of another question; it is fitted anew.")
    if cache is not None:
        fit = fit_cached(design, seed=analysis.seed, settings=settings, engine=engine, folder=Path(cache), key=asked)
    else:
        fit = fit_design(design, seed=analysis.seed, settings=settings, engine=engine)
    fit = replace(fit, provenance={**fit.provenance, "question": asked})
    fit.save(here, include_rows=analysis.report.rows)
    log(f"{label}: {fit.verdict}")
    return fit


def _record(question: Question, rows: Rows, designs: Mapping[str, Design], state: str) -> dict[str, Any]:
    analysis = question.analysis
    table = rows.sessions
    known = {role: set(table.frame[column].unique().tolist()) - {""} for role, column in table.roles.items()}
    counts = {role: len(values) for role, values in known.items()}
    return {
        "format": FORMAT,
        "state": state,
        "title": analysis.title,
        "question": analysis.question,
        "labels": list(designs),
        "names": {label: model.name for label, model in zip(designs, analysis.models, strict=True)},
        "specs": {label: write_model(spec) for label, spec in question.specs.items()},
        "seed": analysis.seed,
        "settings": dict(analysis.settings().as_dict()),
        "engine": analysis.sampling.engine,
        "data": dict(rows.digests),
        "rows_read": rows.read,
        "rows_selected": len(table),
        "counts": counts,
        "rows_kept": analysis.report.rows,
        "messages": list(table.messages),
        "steps": [{"kind": step.kind, "rows": step.rows, "messages": list(step.messages)} for step in table.steps],
        "fingerprint": table.fingerprint(),
        "versions": versions(),
        "packages": all_packages(),
        "flags": {name: os.environ[name] for name in FLAGS if name in os.environ},
        "files": {},
        "models": {},
        "comparisons": [],
    }


def _finished(
    started: Mapping[str, Any],
    fits: Mapping[str, Fit],
    facts: Mapping[str, dict[str, Plain]],
    comparisons: list[dict[str, Plain]],
    place: Path,
) -> dict[str, Any]:
    models = {
        label: {
            "facts": facts[label],
            "provenance": dict(fit.provenance),
            "draws": draws_digest(fit),
            "chains": fit.data["posterior"].sizes["chain"],
            "draws_per_chain": fit.data["posterior"].sizes["draw"],
        }
        for label, fit in fits.items()
    }
    parts = sorted(path for part in (FITS, RESULTS) for path in (place / part).rglob("*"))
    names = [path.relative_to(place).as_posix() for path in parts if path.is_file() and path.name[0] != "."]
    files = {name: file_digest(place, name) for name in names}
    finished = datetime.now(UTC).date().isoformat()
    return {
        **started,
        "state": "complete",
        "finished": finished,
        "models": models,
        "comparisons": comparisons,
        "files": files,
    }


def _write_root(place: Path, record: Mapping[str, Any], question: Question, log: Log) -> None:
    files = {
        RECORD: json.dumps(record, indent=1, allow_nan=False).encode(),
        ANALYSIS: question.text.encode(),
        LOG: ("\n".join(log.lines) + "\n").encode(),
        **environment_files(),
        **{f"model-{label}.toml": text.encode() for label, text in record["specs"].items()},
    }
    for number, comparison in enumerate(record["comparisons"], start=1):
        files[f"comparison-{number}.csv"] = csv_bytes(comparison["table"])
    write_artefact(place, files, known=ROOT)


def _check_place(place: Path, question: Question, rows: Rows, replace_old: bool) -> None:
    """Refuse a folder of something else, and one of another question unless it may be replaced."""
    if not place.exists() or not any(place.glob("[!.]*")):
        return
    if not (place / MANIFEST).exists():
        raise RunError(f"{str(place)!r} holds other files. Give an empty folder, or one that is not there yet.")
    record, text = read_record(place)
    links = find_links(place)
    if links:
        raise RunError(
            f"{place.name!r} holds links in place of folders: {first_few([repr(link) for link in links])}. Nothing was "
            f"changed. Give another folder (--out), or put the folders themselves there."
        )
    if replace_old:
        return
    other = [] if text == question.text else ["another analysis file."]
    other += [] if record["seed"] == question.analysis.seed else ["another seed."]
    other += tell_changes(record["data"], rows.digests)
    specs = {label: write_model(spec) for label, spec in question.specs.items()}
    known = record["specs"]
    other += [f"another model {label!r}." for label in specs if label in known and known[label] != specs[label]]
    if other:
        raise RunError(
            f"{place.name!r} holds a run of {' '.join(other)} Give another folder (--out), or state --replace: fits "
            f"whose question did not change are kept then."
        )


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the folder for this process; of two at once the second is told."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with locked(place / ".run.lock", timeout=0):
            yield
    except Timeout:
        why = f"Another process runs an analysis in {place.name!r}. Wait for it, or give another folder (--out)."
        raise RunError(why) from None
    except OSError as error:
        raise RunError(f"{str(place)!r} cannot be written: {error.strerror}.") from None


def _clear(place: Path, designs: Mapping[str, Design]) -> None:
    """Remove what an earlier run left of models that are gone."""
    for part in (FITS, RESULTS):
        for old in (place / part).glob("*"):
            if old.is_dir() and old.name not in designs:
                shutil.rmtree(old)


def _check_key(key: str | Path | None, place: Path) -> None:
    if key is not None and Path(key).resolve().is_relative_to(place.resolve()):
        raise RunError("The key to the codes must not lie in the run's folder, which is made to be passed on.")


def _write_key(rows: Rows, path: Path) -> None:
    """Write the key for the owner's eyes only; a file that is no key is left alone."""
    try:
        if path.exists() and not path.read_bytes().startswith(KEY_HEAD):
            raise RunError(f"{path.name!r} is there and is no key to codes. Give --key another name.")
        replace_file(path, rows.coded.key.to_csv(index=False, lineterminator="\n").encode(), mode=0o600)
    except OSError as error:
        raise RunError(f"The key {path.name!r} cannot be written: {error.strerror}.") from None
