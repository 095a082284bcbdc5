"""Tasks on processes: replaced where their memory grows, each on its own where one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from bayes_alliance.fit import workers
from bayes_alliance.fit.workers import Lost, run_tasks


def own_process(task: int) -> tuple[int, int]:
    """Return the task and the process that did it."""
    return task, os.getpid()


def dies_once(task: tuple[int, Path]) -> int:
    """Return the task's number; the first process that comes to task 1 is killed there."""
    number, folder = task
    if number == 1 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"{number}-{os.getpid()}-{len(list(folder.iterdir()))}").touch()
    return number


def refuses(task: int) -> int:
    """Raise for odd tasks."""
    if task % 2:
        raise ValueError(f"task {task} is odd")
    return task


def run(function: object, tasks: list, told: list[int] | None = None, number: int = 1) -> list:
    """Run tasks on processes of this machine."""
    return run_tasks(function, tasks, executor=None, workers=number, advance=(told if told is not None else []).append)


@pytest.mark.slow
def test_a_process_whose_memory_grew_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process does all tasks while its memory stays; with no room to grow each task after the first has its own."""
    told: list[int] = []
    found = run(own_process, list(range(4)), told)
    assert [task for task, _ in found] == [0, 1, 2, 3]
    assert len({process for _, process in found}) == 1
    assert told == [1, 2, 3, 4]
    monkeypatch.setattr(workers, "GROWTH", -1)
    monkeypatch.setattr(workers, "_memory", lambda: 0)
    assert len({process for _, process in run(own_process, list(range(3)))}) == 3


@pytest.mark.slow
def test_only_the_task_of_a_process_that_died_goes_again(tmp_path: Path) -> None:
    """Killed at its first attempt, it is done at its second; what another process was at is done once."""
    assert run(dies_once, [(i, tmp_path) for i in range(5)], number=2) == [0, 1, 2, 3, 4]
    done = sorted(int(path.name.partition("-")[0]) for path in tmp_path.iterdir() if path.name != "died")
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_errors_of_tasks_are_told_by_task() -> None:
    """An error takes its task alone, and its process goes on."""
    found = run(refuses, [0, 1, 2])
    assert [found[0], found[2]] == [0, 2]
    assert found[1] == Lost("ValueError: task 1 is odd")


def dies(task: int) -> int:
    """End the process at task 1."""
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


@pytest.mark.slow
def test_an_executor_that_breaks_loses_what_was_not_done() -> None:
    """It is the caller's, who has to make another; what was done stays."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = run_tasks(dies, [0, 1, 2], executor=pool, workers=None, advance=lambda done: None)
    assert found[0] == 0
    assert all("a worker of the executor died" in one.why for one in found[1:])
