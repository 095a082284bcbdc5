"""Many fits: the same whoever computes them, resumed after a kill, one lost where a process dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.fit.cache import ANSWERED
from bayes_alliance.fit.many_fits import answer_job
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES, make_trial

FEW = ba.SamplerSettings(draws=30, tune=30, chains=2, progress="off")


def jobs_of(number: int, trial: pd.DataFrame | None = None) -> list[ba.FitJob]:
    """Return jobs: one model on outcomes that differ by a constant."""
    spec = ba.parse_model(HEAD + equation("score", "week + (1 | patient) + (1 | therapist)"))
    design = ba.make_design(spec, ba.read_sessions(make_trial() if trial is None else trial, ROLES))
    return [
        ba.FitJob(
            f"job {i}",
            replace(design, equations=(replace(design.equation, y=design.equation.y + i),), fingerprint=f"rows {i}"),
            engine="collapsed",
            settings=FEW,
        )
        for i in range(number)
    ]


def draws_of(fits: ba.ManyFits) -> list[np.ndarray]:
    """Return the coefficients of all fits."""
    return [fits[name].data["posterior"]["b"].to_numpy() for name in fits]


class Deadly:
    """Stands for a design that kills the process it comes to."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        """Die where this is unpacked."""
        return os._exit, (1,)


@pytest.mark.slow
def test_the_same_fits_on_one_process_two_or_threads(tmp_path: Path) -> None:
    """Seeds belong to places, so neither workers nor their order matter; a second run reads what is there."""
    jobs = jobs_of(3)
    one = ba.fit_many(jobs, folder=tmp_path / "a", seed=1, workers=1, progress="off")
    with ThreadPoolExecutor(2) as pool:
        two = ba.fit_many(jobs, folder=tmp_path / "b", seed=1, executor=pool, progress="off")
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "b").glob("*/manifest.json")}
        more = ba.fit_many(jobs_of(5), folder=tmp_path / "b", seed=1, executor=pool, progress="off")
    assert len(before) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for left, right in zip(draws_of(one), draws_of(two), strict=True):
        np.testing.assert_array_equal(left, right)
    for left, right in zip(draws_of(one), draws_of(more)[:3], strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(draws_of(one)[0], draws_of(one)[1])
    assert list(one.table()["name"]) == ["job 0", "job 1", "job 2"]
    assert len(list((tmp_path / "b").glob("*.lock"))) == 5
    assert not any(ANSWERED in two[name].messages for name in two)


@pytest.mark.slow
def test_a_process_that_dies_takes_one_fit(tmp_path: Path) -> None:
    """A job that kills its process twice is reported; all others are fitted."""
    jobs = jobs_of(3)
    jobs[1] = replace(jobs[1], design=Deadly())  # type: ignore[arg-type]
    fits = ba.fit_many(jobs, folder=tmp_path, seed=1, workers=2, progress="off")
    assert [answer.name for answer in fits.failed] == ["job 1"]
    assert "died twice" in fits.failed[0].error
    with pytest.raises(ba.FitError, match="Job 'job 1' has no fit: its process died twice"):
        fits["job 1"]
    assert fits["job 2"].data["posterior"].sizes["draw"] == 30
    with pytest.raises(ba.FitError, match="Unknown job 'job 9'"):
        fits["job 9"]


@pytest.mark.slow
def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """A worker killed from outside: what was out is fitted again."""
    killed = []

    def kill() -> None:
        while not list(tmp_path.glob("*.lock")):
            time.sleep(0.05)
        child = multiprocessing.active_children()[0]
        killed.append(child.pid)
        os.kill(child.pid or 0, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    fits = ba.fit_many(jobs_of(4), folder=tmp_path, seed=1, workers=2, progress="off")
    thread.join()
    assert killed
    assert not fits.failed
    assert len(draws_of(fits)) == 4


RUN = """
import sys
import bayes_alliance as ba
from tests.fit.test_many import jobs_of
if __name__ == "__main__":
    fits = ba.fit_many(jobs_of(6), folder=sys.argv[1], seed=1, workers=1, progress="off")
    print(len(fits), len(fits.failed))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """The run is killed after its second fit and its workers go with it; started again it fits only the rest."""
    psutil = pytest.importorskip("psutil")
    script, folder = tmp_path / "run.py", tmp_path / "fits"
    script.write_text(RUN)
    command = [sys.executable, "-W", "ignore", str(script), str(folder)]
    environment = dict(os.environ, PYTHONPATH=str(Path.cwd()))
    child = subprocess.Popen(command, env=environment)
    while len(list(folder.glob("*/manifest.json"))) < 2:
        assert child.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    child.wait()
    _, left = psutil.wait_procs(workers, timeout=30)
    assert workers
    assert not left, "workers outlive the run"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/manifest.json")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["6", "0"]
    after = {path: path.stat().st_mtime_ns for path in folder.glob("*/manifest.json")}
    assert len(after) == 6
    assert {path: after[path] for path in before} == before


@pytest.mark.slow
def test_a_cluster_runs_the_same_call_and_survives_a_worker(tmp_path: Path) -> None:
    """On a Dask cluster of two processes, one of them killed while it fits: all fits are there, and the same."""
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    jobs = jobs_of(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            ) as cluster,
            distributed.Client(cluster) as client,
        ):

            def kill() -> None:
                while not list(tmp_path.glob("*.lock")):
                    time.sleep(0.05)
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

            thread = threading.Thread(target=kill)
            thread.start()
            fits = ba.fit_many(jobs, folder=tmp_path, seed=1, executor=client, progress="off")
            thread.join()
    assert not fits.failed, fits.failed
    with ThreadPoolExecutor(2) as pool:
        here = ba.fit_many(jobs, folder=tmp_path / "here", seed=1, executor=pool, progress="off")
    for left, right in zip(draws_of(fits), draws_of(here), strict=True):
        np.testing.assert_array_equal(left, right)


def test_what_cannot_be_run_is_said_first(tmp_path: Path) -> None:
    """Repeated names, a seed that is none, a folder that cannot be made; a model that cannot be fitted is an answer."""
    jobs = jobs_of(2)
    with pytest.raises(ba.FitError, match="Jobs share a name: 'job 0'"):
        ba.fit_many([jobs[0], jobs[0]], folder=tmp_path, seed=1)
    with pytest.raises(ba.FitError, match="seed must be a whole number"):
        ba.fit_many(jobs, folder=tmp_path, seed=-1)
    (tmp_path / "file").write_text("")
    with pytest.raises(ba.FitError, match="cannot be written"):
        ba.fit_many(jobs, folder=tmp_path / "file", seed=1)
    spec = ba.parse_model(
        HEAD + equation("dropout", "pre + (1 | therapist)", unit="patient", extra='family = "bernoulli"')
    )
    refused = ba.FitJob("x", ba.make_design(spec, ba.read_sessions(make_trial(), ROLES)), engine="collapsed")
    answer = answer_job((refused, 1, str(tmp_path)))
    assert "dropout is bernoulli" in answer.error
