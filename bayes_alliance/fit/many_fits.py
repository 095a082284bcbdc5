"""Many fits: on processes of this machine or a cluster, streamed to disk, resumed after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_alliance._messages import first_few, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.errors import AllianceError, FitError
from bayes_alliance.fit.cache import fit_cached, question_key
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.result import Fit, load_fit
from bayes_alliance.fit.seeds import check_seed, spread_seed
from bayes_alliance.fit.settings import Engine, Progress, SamplerSettings
from bayes_alliance.fit.workers import Lost, run_tasks


@dataclass(frozen=True, eq=False)
class FitJob:
    """One fit of many: a design under a name of its own, and how to sample it."""

    name: str
    design: Design
    engine: Engine = "auto"
    settings: SamplerSettings = field(default_factory=SamplerSettings)


@dataclass(frozen=True)
class Answer:
    """What became of a job: the folder its fit is in, its verdict, or why there is none."""

    name: str
    folder: str
    passed: bool
    verdict: str
    error: str = ""


@dataclass(frozen=True, eq=False)
class ManyFits:
    """Fits on disk, in the order of their jobs."""

    answers: tuple[Answer, ...]

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[str]:
        return iter(answer.name for answer in self.answers)

    def __getitem__(self, name: str) -> Fit:
        """Load a fit, verified; without its design, which ``with_rows`` brings back."""
        found = {answer.name: answer for answer in self.answers}
        if name not in found:
            raise FitError(unknown("job", name, found))
        if found[name].error:
            raise FitError(f"Job {name!r} has no fit: {found[name].error}")
        return load_fit(found[name].folder)

    @property
    def failed(self) -> tuple[Answer, ...]:
        """Return the jobs without a fit."""
        return tuple(answer for answer in self.answers if answer.error)

    def table(self) -> pd.DataFrame:
        """Return one line per job: name, passed, verdict, error."""
        columns = ["name", "passed", "verdict", "error"]
        return pd.DataFrame([{c: getattr(answer, c) for c in columns} for answer in self.answers], columns=columns)


def fit_many(
    jobs: Sequence[FitJob],
    *,
    folder: str | Path,
    seed: int,
    executor: Executor | Any | None = None,
    workers: int | None = None,
    progress: Progress = "auto",
) -> ManyFits:
    """Fit many designs.

    Every fit is on disk the moment it is done, under the key of its question: a run that was killed goes on where it
    was when it is started again, with the same or with more jobs behind the old ones. A process that dies takes one fit
    with it, which is tried once more.

    Parameters
    ----------
    jobs : sequence of FitJob
        Names differ.
    folder : str or Path
        For the fits, without rows; a cluster's workers must see it too.
    seed : int
        Spread over the jobs by their places: the fits do not depend on the number of workers or their order.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where to fit; processes of this machine unless stated. They are spawned: in a script the call stands under
        ``if __name__ == "__main__":``.
    workers : int, optional
        Processes of this machine; as many as it has cores unless stated.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    ManyFits
        Jobs that failed are in it, with the reason; ``failed`` lists them.

    Raises
    ------
    FitError
        If names repeat, the seed is none, or the folder cannot be written.
    """
    check_seed(seed)
    names = [job.name for job in jobs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise FitError(f"Jobs share a name: {first_few([repr(name) for name in repeated])}.")
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"{str(place)!r} cannot be written: {error.strerror}.") from None
    seeds = spread_seed(seed, len(jobs))
    tasks = [(replace(job, settings=job.settings.for_worker()), seeds[i], str(place)) for i, job in enumerate(jobs)]
    with counter("Fits", len(jobs), progress) as advance:
        found = run_tasks(answer_job, tasks, executor=executor, workers=workers, advance=advance)
    answers = [
        Answer(names[i], "", False, "", one.why) if isinstance(one, Lost) else one for i, one in enumerate(found)
    ]
    return ManyFits(tuple(answers))


type Task = tuple[FitJob, int, str]


def answer_job(task: Task) -> Answer:
    """Fit one job, or find it fitted; what a worker runs."""
    job, seed, folder = task
    question: dict[str, Any] = {"seed": seed, "settings": job.settings, "engine": job.engine}
    key = question_key(job.design, **question)
    try:
        fit = fit_cached(job.design, folder=Path(folder), key=key, **question)
    except AllianceError as error:
        return Answer(job.name, "", False, "", str(error))
    return Answer(job.name, str(Path(folder) / key), fit.passed, fit.verdict)
