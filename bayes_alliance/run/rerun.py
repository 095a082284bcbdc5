"""A run asked again: the same rows or none, every model fitted anew, and how the draws agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from bayes_alliance._messages import count_of, escaped
from bayes_alliance.errors import AllianceError, RunError
from bayes_alliance.fit.settings import Progress
from bayes_alliance.fit.store import MANIFEST
from bayes_alliance.run.agreement import Agreed, Agreement, compare_fits, tell_differences
from bayes_alliance.run.analysis import parse_analysis
from bayes_alliance.run.execution import Log, Question, execute
from bayes_alliance.run.record import ANALYSIS, Run, load_run, read_record
from bayes_alliance.run.row_digests import tell_changes
from bayes_alliance.run.rows import Rows, check_stated, read_rows
from bayes_alliance.spec.toml import parse_model, parse_toml

ORDER: tuple[Agreement, ...] = ("bit-identical", "statistically identical", "different")


@dataclass(frozen=True, eq=False)
class Rerun:
    """What came of asking again: how each model's fits agree, and what differs about the circumstances.

    ``now`` is the new run where it was kept.
    """

    before: Run
    now: Run | None
    agreed: Mapping[str, Agreed]
    differences: tuple[str, ...]

    @property
    def level(self) -> Agreement:
        """Return the least agreement of any model."""
        return max((one.level for one in self.agreed.values()), key=ORDER.index)

    @property
    def verdict(self) -> str:
        """Return in one line how the runs agree, and under what differences."""
        circumstances = f" Different: {'; '.join(self.differences)}." if self.differences else " Nothing else differs."
        return f"{self.level.capitalize()}: {count_of(len(self.agreed), 'model')} fitted again.{circumstances}"

    @escaped
    def __repr__(self) -> str:
        lines = [self.verdict]
        for label, one in self.agreed.items():
            far = f", largest difference {one.worst:.1f} Monte Carlo errors" if len(one.table) else ""
            lines.append(f"{label}: {one.level}{far}.")
            lines += [f"- {why}" for why in one.why]
        return "\n".join(lines)


def rerun(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    progress: Progress = "auto",
    tell: Callable[[str], None] = lambda text: None,
) -> Rerun:
    """Fit everything in a run again and compare the draws.

    Parameters
    ----------
    folder : str or Path
        Of the run; not changed.
    data : str or Path, optional
        Folder that the analysis file's paths lie in; the one that holds the run's folder unless stated.
    seed : int, optional
        Another seed, to see whether conclusions hang on it.
    out : str or Path, optional
        Empty folder that keeps the new run, or that of a rerun that was stopped and goes on; a temporary one, without
        pictures, unless stated.
    progress, tell
        As in ``run_analysis``.

    Returns
    -------
    Rerun
        ``level`` is "bit-identical", "statistically identical" (see ``compare_fits``) or "different".

    Raises
    ------
    RunError
        If the run is unfinished or damaged, or the rows are not those it was of, with what differs.
    """
    before = load_run(folder)
    base = Path(data) if data is not None else before.folder.resolve().parent
    specs = {label: parse_model(text, where=label) for label, text in before.record["specs"].items()}
    text = before.text if seed is None else _with_seed(before.text, seed)
    analysis = parse_analysis(text, ANALYSIS)
    if out is None:
        quick = analysis.report.model_copy(update={"pictures": False, "checks": False})
        analysis = analysis.model_copy(update={"report": quick, "comparisons": []})
    question = Question(analysis, text, base, specs)
    rows = _read_same(before, question)
    if out is not None:
        place = Path(out)
        if place.resolve().is_relative_to(before.folder.resolve()):
            raise RunError("A rerun must not lie in the run's folder, which it does not change. Give another --out.")
        if place.exists() and not _is_free(place):
            raise RunError(f"{str(place)!r} is no empty folder; a rerun, which fits everything anew, needs one.")
        now = execute(question, place, progress=progress, log=Log(tell), rows=rows)
        return _compare(before, now, kept=True)
    with tempfile.TemporaryDirectory(prefix="bayes-alliance-rerun-") as temporary:
        now = execute(question, Path(temporary) / "run", progress=progress, log=Log(tell), rows=rows)
        return _compare(before, now, kept=False)


def _is_free(place: Path) -> bool:
    """Return whether a rerun may write here: nothing is there, or a rerun that was stopped, which then goes on."""
    if not place.is_dir():
        return False
    return not any(place.iterdir()) or ((place / MANIFEST).exists() and read_record(place)[0]["state"] == "running")


def _compare(before: Run, now: Run, *, kept: bool) -> Rerun:
    agreed = {label: compare_fits(before.fit(label), now.fit(label)) for label in before.labels}
    return Rerun(before, now if kept else None, agreed, tuple(tell_differences(before.record, now.record)))


def _with_seed(text: str, seed: int) -> str:
    """Return an analysis file's text with another seed, so that what a folder holds and says is one thing."""
    return str(tomli_w.dumps({**parse_toml(text, "An analysis file"), "seed": seed}))


def _read_same(before: Run, question: Question) -> Rows:
    """Read the rows; refuse others than the run's, saying what differs before the file's own digest is looked at."""
    try:
        rows = read_rows(question.analysis, question.folder, question.specs, stated=False)
    except AllianceError as error:
        said = "The run cannot be repeated: its rows cannot be read."
        raise RunError([problem.after(said) for problem in error.problems]) from None
    changes = tell_changes(before.record["data"], rows.digests)
    if changes:
        raise RunError(
            [
                f"The rows in {question.folder.name!r} are not those of the run: {changes[0]}",
                *changes[1:],
                "Restore the data, or run the analysis file on the new ones: that is another run.",
            ]
        )
    check_stated(question.analysis, rows.files["data"])
    return rows
