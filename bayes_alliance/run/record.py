"""A run as a value: its folder, its record, its fits. What is unfinished, damaged or newer is never read as whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from bayes_alliance._messages import escaped, first_few, quote, unknown
from bayes_alliance.errors import FitError, RunError
from bayes_alliance.fit.result import Fit, load_fit
from bayes_alliance.fit.store import MANIFEST, parse_json, read_artefact
from bayes_alliance.run.analysis import Analysis, parse_analysis
from bayes_alliance.run.record_checks import find_problems

FORMAT: Final = 2
"""Of the record; a run of a later one is refused."""

RECORD: Final = "run.json"
ANALYSIS: Final = "analysis.toml"
LOG: Final = "log.txt"
FITS: Final = "fits"
RESULTS: Final = "results"

ROOT: Final = re.compile(
    r"run\.json|analysis\.toml|log\.txt|requirements\.txt|environment\.yml|conda-packages\.txt"
    r"|model-[a-z0-9_-]+\.toml|comparison-[0-9]+\.csv"
)
"""Names of the files of a run that lie in its folder itself."""

TABLES: Final = re.compile(r"(summary|estimands|surface|congruence-checklist)\.csv|\w[\w.-]*\.png")
"""Names of the files of a model's results."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    ``record`` holds everything its report says and a rerun needs; ``text`` is the analysis file as it was.
    """

    folder: Path
    record: Mapping[str, Any]
    text: str

    @cached_property
    def analysis(self) -> Analysis:
        """Return the analysis as read from its file."""
        return parse_analysis(self.text, ANALYSIS)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return what its models are called."""
        return tuple(self.record["models"])

    @property
    def passed(self) -> bool:
        """Return whether the sampling of every model passed its checks."""
        return all(model["facts"]["passed"] for model in self.record["models"].values())

    def fit(self, label: str) -> Fit:
        """Read one fit from disk; it has no rows.

        Raises
        ------
        RunError
            If there is no such model.
        """
        if label not in self.labels:
            raise RunError(unknown("model", label, self.labels))
        return load_fit(self.folder / FITS / label)

    def pictures(self, label: str) -> dict[str, bytes]:
        """Return a model's pictures by name."""
        files = read_artefact(self.folder / RESULTS / label)
        return {name: content for name, content in files.items() if name.endswith(".png")}

    @escaped
    def __repr__(self) -> str:
        lines = [f"Run of {self.record['title']!r}, seed {self.record['seed']}."]
        lines += [f"{label}: {one['facts']['verdict']}" for label, one in self.record["models"].items()]
        return "\n".join(lines)


def load_run(folder: str | Path) -> Run:
    """Read a finished run and check that each of its files is what was written.

    Parameters
    ----------
    folder : str or Path
        That ``run_analysis`` wrote to.

    Returns
    -------
    Run
        Its record, results and fits.

    Raises
    ------
    RunError
        If the folder holds no run, an unfinished or failed one (with what is missing), one of a newer version, a file
        that was changed or damaged, or a record that is not one of a run.
    """
    place = Path(folder)
    record, text = read_record(place)
    if record["state"] != "complete":
        raise RunError(_unfinished(place, record))
    bad = [name for name, digest in record["files"].items() if file_digest(place, name) != digest]
    if bad:
        raise RunError(
            f"{place.name!r} was changed or damaged after it was written: {first_few([repr(one) for one in bad])}. "
            f"Run the analysis again, or restore the folder from a copy."
        )
    return Run(place, record, text)


def read_record(place: Path) -> tuple[dict[str, Any], str]:
    """Return a run's record, whatever its state, and the text of its analysis file.

    Raises
    ------
    RunError
        If there is none, it is damaged, of a newer version, or does not hold what a run's record holds.
    """
    if not (place / MANIFEST).is_file():
        raise RunError(f"{place.name!r} holds no run: {RECORD!r} is missing. Make one with: bayes-alliance run FILE.")
    try:
        files = read_artefact(place)
    except FitError as error:
        raise RunError(error.problems, error.where) from None
    if RECORD not in files or ANALYSIS not in files:
        raise RunError(f"{place.name!r} holds something else than a run.")
    try:
        record, text = parse_json(files[RECORD]), files[ANALYSIS].decode()
    except ValueError as error:
        raise RunError(f"The run in {place.name!r} cannot be read: {str(error).rstrip('.')}.") from None
    made = record.get("format") if isinstance(record, dict) else None
    if not isinstance(made, int):
        raise RunError(f"{place.name!r} holds something else than a run: {RECORD!r} states no format.")
    if made > FORMAT:
        raise RunError(
            f"{place.name!r} was written by a newer version (format {made}, this one reads up to {FORMAT}; "
            f"bayes-alliance {_version(record)}). Update bayes-alliance to read it."
        )
    if made < FORMAT:
        raise RunError(
            f"{place.name!r} was written by an earlier version (format {made}, this one reads {FORMAT}; bayes-alliance "
            f"{_version(record)}). Run its analysis file again."
        )
    problems = find_problems(record)
    if problems:
        raise RunError([problem.after(f"{RECORD!r} of {place.name!r} is not that of a run.") for problem in problems])
    return record, text


def file_digest(place: Path, name: str) -> str | None:
    """Return the sha256 of a file of a run by its name there; None where there is no file, or only a link to one."""
    path = place
    try:
        for part in name.split("/"):
            path = path / part
            if path.is_symlink():
                return None
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def find_links(place: Path) -> list[str]:
    """Return what of a run's folders is a link, which writing and clearing would follow, by its name in the run."""
    parts = [place / FITS, place / RESULTS]
    inner = [path for part in parts if part.is_dir() for path in sorted(part.glob("*"))]
    return [path.relative_to(place).as_posix() for path in (*parts, *inner) if path.is_symlink()]


def _version(record: Mapping[str, Any]) -> str:
    """Return the version a record says it was written by; of a newer format nothing is certain."""
    found: Any = record
    for part in ("versions", "packages", "bayes-alliance"):
        found = found.get(part) if isinstance(found, dict) else None
    return str(found or "unknown")[:40]


def _unfinished(place: Path, record: Mapping[str, Any]) -> list[str]:
    done = [label for label in record["labels"] if (place / FITS / label / MANIFEST).exists()]
    left = [label for label in record["labels"] if label not in done]
    have = f"Fitted: {quote(done) or 'none'}; not fitted: {quote(left) or 'none'}."
    if record["state"] == "failed":
        return [f"The run in {place.name!r} failed. {have}", *record["problems"]]
    return [
        f"The run in {place.name!r} is unfinished: it was begun and has not ended. {have} Run the analysis again with "
        f"the same --out, and it goes on from there."
    ]
