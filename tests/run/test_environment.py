"""Environments told and made again: files of pip and conda, other versions, reruns to the bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bayes_alliance.run.environment import conda_packages, environment_files, needed_packages
from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.record import Run, load_run
from tests.run.conftest import ANALYSIS, write_study

ROOT = Path(__file__).resolve().parents[2]

QUICK = "[report]\npictures = false\nchecks = false\n"


PYTHON = ("--python", sys.executable)


def uv(*words: str) -> None:
    """Run uv without the project's own pins, which hold what is installed to one version."""
    subprocess.run([shutil.which("uv") or "uv", words[0], "--no-config", *words[1:]], check=True, cwd=ROOT)


def command(
    *words: str, env: dict[str, str] | None = None, cores: set[int] | None = None, accepted: tuple[int, ...] = (0,)
) -> str:
    """Run the command line in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bayes_alliance.cli", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),
    )
    assert done.returncode in accepted, done.stdout + done.stderr
    return done.stdout


def test_every_needed_package_is_pinned() -> None:
    """Direct ones and those they need; none is of an extra nobody asked for; no host, user or path is named."""
    files = {name: content.decode() for name, content in environment_files().items()}
    pins = [line for line in files["requirements.txt"].splitlines() if line[0] != "#"]
    assert {"pymc", "numpy", "pytensor", "numba", "llvmlite"} <= {pin.partition("==")[0] for pin in pins}
    assert "distributed" not in needed_packages()
    assert all(pin.count("==") == 1 for pin in pins)
    made = yaml.safe_load(files["environment.yml"])
    assert made["channels"] == ["conda-forge", "nodefaults"]
    assert made["dependencies"][-1]["pip"] == pins
    assert not any(word in "".join(files.values()) for word in ("http", "file:", str(Path.home()), "/tmp"))


def test_what_conda_installed_is_told_with_builds(tmp_path: Path) -> None:
    """Where Python stands in a conda environment; elsewhere there is no such file."""
    assert conda_packages(tmp_path) == []
    (tmp_path / "conda-meta").mkdir()
    record = {"name": "numpy", "version": "2.5.5", "build": "py313h1", "url": "https://somewhere/numpy.conda"}
    (tmp_path / "conda-meta" / "numpy-2.5.5-py313h1.json").write_text(json.dumps(record))
    (tmp_path / "conda-meta" / "history").write_text("")
    (tmp_path / "conda-meta" / "broken.json").write_text("{")
    assert conda_packages(tmp_path) == ["numpy=2.5.5=py313h1"]


@pytest.mark.slow
def test_other_versions_are_told_and_statistically_identical(finished: Run, tmp_path: Path) -> None:
    """A rerun under an older NumPy, which brings another BLAS: other bits, same conclusions, both named."""
    try:
        uv("pip", "install", "-q", *PYTHON, "--no-deps", "--target", str(tmp_path / "old"), "numpy==2.4.6")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no older NumPy could be installed: {error}")
    path = f"{tmp_path / 'old'}{os.pathsep}{ROOT}"
    told = command("rerun", str(finished.folder), env={"PYTHONPATH": path})
    assert "Statistically identical: 2 models fitted again." in told
    assert "then, 2.4.6 now" in told
    assert "blas: " in told


@pytest.mark.slow
@pytest.mark.long
def test_the_exported_environment_makes_the_run_again(finished: Run, tmp_path: Path) -> None:
    """A new environment from the run's own requirements.txt: bit-identical."""
    uv("venv", "-q", *PYTHON, str(tmp_path / "env"))
    python = tmp_path / "env" / "bin" / "python"
    install = ("pip", "install", "-q", "--python", str(python))
    uv(*install, "-r", str(finished.folder / "requirements.txt"))
    uv(*install, "--no-deps", str(ROOT))
    told = subprocess.run(
        [str(python), "-m", "bayes_alliance.cli", "rerun", str(finished.folder)],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert "Bit-identical: 2 models fitted again." in told


def circumstances(folder: Path) -> list[tuple[dict[str, str], set[int]]]:
    """Return ten circumstances: caches of compiled code cold, warm and off, on one core and on two."""
    every = sorted(os.sched_getaffinity(0))
    one, two = {every[0]}, set(every[:2])
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    off = {"PYTENSOR_FLAGS": f"{flags},numba__cache=False".strip(",")}
    found = []
    for number, cores in enumerate((one, two)):
        new = folder / f"cache-{number}"
        moved = f"{flags},base_compiledir={new}".strip(",")
        cold = {"NUMBA_CACHE_DIR": str(new), "PYTENSOR_FLAGS": moved}
        found += [(cold, cores), (cold, cores), ({}, cores), ({}, two), (off, cores)]  # the second finds the first's
    return found


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["collapsed", "nuts"])
def test_reruns_are_bit_identical_whatever_the_caches_and_cores(tmp_path: Path, engine: str) -> None:
    """Cold, warm and off, one core and two: three circumstances here, all ten in the long test."""
    _rerun_all(tmp_path, engine, [0, 6, 4])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("engine", ["collapsed", "nuts"])
def test_ten_reruns_per_engine_are_bit_identical(tmp_path: Path, engine: str) -> None:
    """Twenty in all."""
    _rerun_all(tmp_path, engine, list(range(10)))


def _rerun_all(folder: Path, engine: str, which: list[int]) -> None:
    one = ANALYSIS[: ANALYSIS.index('[[model]]\nname = "models/own.toml"')]
    analysis = write_study(
        folder / "study", analysis=one.replace("draws = 500", f'draws = 500\nengine = "{engine}"') + QUICK
    )
    run = folder / "study" / "run"
    command("run", str(analysis), "--out", str(run), accepted=(0, 1))  # few draws may fail their checks
    ways = circumstances(folder)
    for place in which:
        env, cores = ways[place]
        told = command("rerun", str(run), env=env, cores=cores)
        assert "Bit-identical: 1 model fitted again." in told, (place, told)


@pytest.mark.slow
def test_a_killed_run_is_never_read_as_whole_and_goes_on(tmp_path: Path) -> None:
    """SIGKILL at twelve moments of a run; then it finishes, with the draws of one that was left alone.

    Moments are told by what stands in the folder, from nothing to all but a few files: a clock would strike before
    anything is written on a slow machine, and after everything is on a fast one.
    """
    quick = ANALYSIS + "\n[report]\nchecks = false\npictures = true\n"
    alone = run_analysis(write_study(tmp_path / "alone", analysis=quick), progress="off")
    whole = _count(alone.folder)
    analysis = write_study(tmp_path / "killed", analysis=quick)
    folder = analysis.parent / "analysis-run"
    states = [_killed(analysis, folder, whole * moment // 12) for moment in range(12)]
    finished = run_analysis(analysis, progress="off")
    for label in finished.labels:
        assert finished.record["models"][label]["draws"] == alone.record["models"][label]["draws"]
    assert states[0] == "none"
    assert states.count("unfinished") > 6
    assert set(states) <= {"none", "unfinished", "complete"}


def _killed(analysis: Path, folder: Path, files: int) -> str:
    """Run an analysis until so many files stand in its folder, kill it there and return what the folder then is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bayes_alliance.cli", "run", str(analysis)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and _count(folder) < files:
        time.sleep(0.002)
    process.kill()
    process.wait()
    return _state(folder)


def _count(folder: Path) -> int:
    """Return how many files stand in a folder, staged ones too."""
    return sum(len(files) for _, _, files in os.walk(folder))


def _state(folder: Path) -> str:
    from bayes_alliance.errors import RunError

    try:
        assert load_run(folder).passed
    except RunError as error:
        return "none" if "holds no run" in str(error) else "unfinished" if "unfinished" in str(error) else str(error)
    return "complete"
