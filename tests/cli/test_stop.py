"""Commands that are stopped: an exit code of their own, one sentence, nothing half stored, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.cli.fit_commands import write_results
from bayes_alliance.cli.interruption import Terminated
from bayes_alliance.cli.simulate_command import write_table
from bayes_alliance.diagnosis import calibration
from bayes_alliance.fit import fit as fit_module
from bayes_alliance.fit import store
from bayes_alliance.plot import pictures
from bayes_alliance.run import execution
from bayes_alliance.run.record import FITS, load_run
from bayes_alliance.simulate import twins
from tests.cli.test_cli import ROLE_OPTIONS, run
from tests.run.conftest import ANALYSIS, write_study

STUDY = ANALYSIS[: ANALYSIS.index("[[comparison]]")] + "[report]\npictures = false\nchecks = false\n"
"""Two models, without pictures."""


def raising(stop: BaseException) -> Callable[..., object]:
    """Return a function that is stopped."""

    def stopped(*_: object, **__: object) -> object:
        raise stop

    return stopped


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a stopped command says: one line on standard error."""
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("Stopped: ")
    return said[0]


@pytest.fixture(autouse=True)
def heeding() -> Iterator[None]:
    """Heed SIGINT, which a test run that began in the background ignores, and its children with it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


STOPS = [(KeyboardInterrupt(), 130), (Terminated(), 143)]


@pytest.mark.parametrize(("stop", "code"), STOPS)
def test_a_stopped_fit_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trial: pd.DataFrame,
    tmp_path: Path,
    stop: BaseException,
    code: int,
) -> None:
    """Ctrl-C ends with 130, SIGTERM with 143; earlier results are as they were."""
    trial.to_csv(tmp_path / "trial.csv", index=False)
    monkeypatch.setattr(fit_module, "fit_model", raising(stop))
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    asked = ("fit", "growth/treatment", str(tmp_path / "trial.csv"), "--columns", ROLE_OPTIONS)
    asked += ("--reference", "condition=TAU", "--seed", "1", "--out", str(tmp_path / "out"))
    assert run(monkeypatch, *asked) == code
    assert f"'{tmp_path / 'out'}' is as it was; run the same command to begin again." in one_sentence(capsys)
    assert list((tmp_path / "out").iterdir()) == []
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_stopped_run_keeps_what_was_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Stopped at its second model it holds the first, says so, and the same command goes on from there."""
    analysis = write_study(tmp_path, analysis=STUDY)
    real, calls = execution.fit_design, list[int]()

    def second(*given: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(execution, "fit_design", second)
    assert run(monkeypatch, "run", str(analysis)) == 130
    folder = tmp_path / "analysis-run"
    sentence = one_sentence(capsys)
    assert f"fits that were finished are stored in '{folder}'; run the same command to go on from there." in sentence
    assert [path.name for path in (folder / FITS).iterdir()] == ["main"]
    with pytest.raises(ba.RunError, match="Fitted: 'main'; not fitted: 'own'"):
        load_run(folder)
    run(monkeypatch, "run", str(analysis))
    assert "main: answered from the run's folder" in capsys.readouterr().out
    assert load_run(folder).labels == ("main", "own")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "nothing was stored; with --cache DIR a calibration that is stopped goes on from there."),
        (("--cache", "kept"), "studies that were done are stored in 'kept'; run the same command to go on"),
    ],
)
def test_a_stopped_calibration_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: tuple[str, ...],
    sentence: str,
) -> None:
    """With a cache and without."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calibration, "run_tasks", raising(KeyboardInterrupt()))
    assert run(monkeypatch, "calibrate", "growth/three-level", "--n", "2", *options) == 130
    assert sentence in one_sentence(capsys)


def test_a_command_stopped_before_it_wrote_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Commands that store nothing on the way."""
    monkeypatch.setattr(twins, "simulate_twin", raising(KeyboardInterrupt()))
    asked = ("simulate", "growth/treatment", "--layout", "embct-mbct", "--out", str(tmp_path / "x.csv"))
    assert run(monkeypatch, *asked) == 130
    assert "nothing was written" in one_sentence(capsys)


def stopping_at(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Have the process be stopped where it would replace its so-manieth file."""
    real, left = os.replace, [place]

    def replacing(*names: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        real(*names)

    monkeypatch.setattr(os, "replace", replacing)


def test_results_of_a_fit_are_one_artefact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_fit: ba.Fit) -> None:
    """Stopped at any of its writes over older results: posterior, record and summary are all old or all new."""
    tree = small_fit.data.copy()
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = posterior.assign(b=posterior["b"] + 100)
    other = replace(small_fit, data=tree, provenance={**small_fit.provenance, "seed": 8})  # no file is as it was
    old, new = (pd.DataFrame({"name": ["b"], "mean": [value]}) for value in (0.0, 100.0))
    monkeypatch.setattr(
        pictures, "draw_pictures", lambda fit: {"effects.png": repr(fit.data["posterior"]["b"]).encode()}
    )
    count = len(write_results(small_fit, old, tmp_path))
    # files are staged one by one, then comes the manifest, then they get their names
    for place in (1, count, count + 1, count + 2, count + 4, 99):
        with monkeypatch.context() as patch:
            stopping_at(patch, place)
            try:
                write_results(other, new, tmp_path)
                done = True
            except KeyboardInterrupt:
                done = False
        moved = float(ba.load_fit(tmp_path).data["posterior"]["b"].mean() - posterior["b"].mean()) > 50
        assert store.read_artefact(tmp_path)["summary.csv"] == (new if moved else old).to_csv(index=False).encode()
        assert (moved, done) == (place > count + 1, place == 99)


def test_a_table_never_stands_beside_the_truth_of_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stopped between the two files a simulation has no truth rather than an earlier one."""
    out = tmp_path / "x.csv"
    tables = [ba.simulate_twin("embct-mbct", seed=seed) for seed in (1, 2)]
    truth = write_table(tables[0], out)
    first = out.read_bytes()
    assert truth.exists()
    for place in (1, 2):
        with monkeypatch.context() as patch:
            stopping_at(patch, place)
            with pytest.raises(KeyboardInterrupt):
                write_table(tables[1], out)
        assert not truth.exists()
        assert (out.read_bytes() == first) == (place == 1)
    assert write_table(tables[1], out).exists()


SCRIPT = """
import sys
from bayes_alliance.collapse import chains
begun = chains._wait
def wait(sampler):
    print("SAMPLING", flush=True)
    return begun(sampler)
chains._wait = wait
if __name__ == "__main__":
    from bayes_alliance.cli.app import main
    main()
"""
"""The command line, which says when NUTS has begun: tests strike by that and not by the clock."""

LONG = STUDY.replace("draws = 500", 'draws = 200000\ntune = {tune}\nengine = "nuts"').replace(
    STUDY[STUDY.index('[[model]]\nname = "models/own.toml"') : STUDY.index("[report]")], ""
)
"""One model, sampled for longer than any test waits."""


def strike(number: int, *command: str, sign: str = "SAMPLING", after: float = 0.5) -> tuple[int, str, list[int]]:
    """Start a command, send a signal once its sign has come; return exit code, standard error and processes left."""
    psutil = pytest.importorskip("psutil")
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert child.stdout is not None
    for text in child.stdout:
        if sign in text:
            break
    else:
        raise AssertionError(child.communicate()[1])
    time.sleep(after)
    others = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    _, left = psutil.wait_procs([one for one in others if "resource_tracker" not in one.name()], timeout=5)
    return child.returncode, said.strip(), [one.pid for one in left]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "tune"), [(signal.SIGINT, 130, 50), (signal.SIGTERM, 143, 1_000_000)])
def test_a_signal_ends_sampling(tmp_path: Path, number: int, code: int, tune: int) -> None:
    """While drawing and while tuning: one sentence, no fit in the folder, and the same run goes on with fewer draws."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    analysis = write_study(tmp_path, analysis=LONG.replace("{tune}", str(tune)))
    found, said, left = strike(number, str(script), "run", str(analysis))
    assert (found, left) == (code, [])
    assert len(said.splitlines()) == 1
    assert said.startswith("Stopped: fits that were finished are stored in")
    folder = tmp_path / "analysis-run"
    assert not (folder / FITS).exists()
    with pytest.raises(ba.RunError, match="not fitted: 'main'"):
        load_run(folder)
    short = LONG.replace("{tune}", "300").replace("200000", "300")
    analysis.write_text(short)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "run", str(analysis), "--replace"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode in (0, 1), done.stderr
    assert load_run(folder).record["models"]["main"]["draws_per_chain"] == 300


MANY = """
import sys
from dataclasses import replace
import bayes_alliance as ba
from bayes_alliance.collapse import chains
from tests.fit.test_many import jobs_of
begun = chains._wait
def wait(sampler):
    open(sys.argv[1] + "/SAMPLING", "a").write("x")
    return begun(sampler)
chains._wait = wait
if __name__ == "__main__":
    long = ba.SamplerSettings(draws=1_000_000, tune=50, chains=2, progress="off")
    jobs = [replace(job, engine="nuts", settings=long) for job in jobs_of(3)]
    print("BEGUN", flush=True)
    ba.fit_many(jobs, folder=sys.argv[1], seed=1, workers=2, progress="off")
"""


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_signal_ends_all_workers(tmp_path: Path, whole_group: bool) -> None:
    """Ctrl-C sent to the parent alone, or by a terminal to all: every process ends at once, and no stump is stored."""
    psutil = pytest.importorskip("psutil")
    script, folder = tmp_path / "run.py", tmp_path / "fits"
    folder.mkdir()
    script.write_text(MANY)
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(script), str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        start_new_session=True,
    )
    while not (folder / "SAMPLING").exists() or len((folder / "SAMPLING").read_text()) < 2:
        assert child.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)
    workers = psutil.Process(child.pid).children(recursive=True)
    begun = time.monotonic()
    if whole_group:
        os.killpg(child.pid, signal.SIGINT)
    else:
        child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    _, left = psutil.wait_procs(workers, timeout=5)
    assert workers
    assert not left, "workers outlive the run"
    assert time.monotonic() - begun < 30
    assert said.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert said.count("Traceback") == 1, "workers say nothing"
    assert not list(folder.glob("*/manifest.json"))
