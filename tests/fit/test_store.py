"""Artefacts on disk: old or new whatever happens to the writer, and damage is always noticed."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bayes_alliance as ba
from bayes_alliance.fit import store
from bayes_alliance.fit.store import MANIFEST, read_artefact, write_artefact

NAMES = ("posterior.nc", "fit.json", "picture.png")


def content(version: int, size: int = 20_000) -> dict[str, bytes]:
    """Return files of an artefact that say which version they are of."""
    return {name: f"{version:08d}".encode() + os.urandom(size) for name in NAMES}


def version_of(files: dict[str, bytes]) -> int:
    """Return the version that all files are of."""
    versions = {int(part[:8]) for part in files.values()}
    assert set(files) == set(NAMES)
    assert len(versions) == 1, versions
    return versions.pop()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Names and bytes come back; files of the earlier artefact that the new one lacks are gone."""
    write_artefact(tmp_path / "a", {"x": b"1", "y": b"2"})
    assert read_artefact(tmp_path / "a") == {"x": b"1", "y": b"2"}
    write_artefact(tmp_path / "a", {"x": b"3"})
    assert read_artefact(tmp_path / "a") == {"x": b"3"}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".lock", MANIFEST, "x"]


def test_a_file_of_ours_is_never_read_half(tmp_path: Path) -> None:
    """Where a name is taken by a folder nothing is written, and nothing is read."""
    blocked = tmp_path / "b"
    (blocked / "y").mkdir(parents=True)
    with pytest.raises(ba.FitError, match="cannot be written"):
        write_artefact(blocked, {"x": b"1", "y": b"2"})
    (blocked / "y").rmdir()
    assert read_artefact(blocked) == {"x": b"1", "y": b"2"}  # staged files count


CALLS = ("mkstemp", "fdopen", "fsync", "replace")


@pytest.mark.parametrize("call", CALLS)
def test_a_full_disk_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """ENOSPC at every single call that writes: a clean error, and a whole artefact before and after."""
    folder = tmp_path / "fit"
    write_artefact(folder, content(0))
    owner = store.tempfile if call == "mkstemp" else os
    real, failing, count = getattr(owner, call), [0], [0]

    def full(*args: object, **kwargs: object) -> object:
        count[0] += 1
        if count[0] == failing[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)

    for place in range(1, 12):
        failing[0], count[0] = place, 0
        before = version_of(read_artefact(folder))
        with monkeypatch.context() as patch:
            patch.setattr(owner, call, full)
            said = ""
            try:
                write_artefact(folder, content(before + 1))
            except ba.FitError as error:
                said = str(error)
        assert not said or "No space left on device" in said
        assert version_of(read_artefact(folder)) in ((before, before + 1) if said else (before + 1,))
        if count[0] < place:
            break
    else:
        raise AssertionError("more calls than were tried")
    write_artefact(folder, content(99))
    assert sorted(path.name for path in folder.iterdir()) == sorted([".lock", MANIFEST, *NAMES])


WRITER = """
import sys
from pathlib import Path
from tests.fit.test_store import content
from bayes_alliance.fit.store import write_artefact
for version in range(1, 10**6):
    write_artefact(Path(sys.argv[1]), content(version, 200_000))
    print(version, flush=True)
"""


def kill_often(folder: Path, kills: int) -> None:
    """Kill a writer again and again at random moments; every time a whole artefact must be there."""
    rng = random.Random(1)
    write_artefact(folder, content(0))
    done = 0
    while done < kills:
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.06))
        child.send_signal(signal.SIGKILL)
        child.wait()
        said = [1, *(int(line) for line in child.stdout if line.strip().isdigit())]
        assert version_of(read_artefact(folder)) in (said[-1], said[-1] + 1)
        child.stdout.close()
        done += 1


def test_killed_writers_leave_the_old_or_the_new(tmp_path: Path) -> None:
    """Eight kills at random moments."""
    kill_often(tmp_path / "fit", 8)


@pytest.mark.slow
def test_killed_writers_leave_the_old_or_the_new_often(tmp_path: Path) -> None:
    """Three hundred kills at random moments."""
    kill_often(tmp_path / "fit", 300)


ROUNDS = """
import sys
from pathlib import Path
from tests.fit.test_store import content, version_of
from bayes_alliance.fit.store import read_artefact, write_artefact
for version in range(int(sys.argv[2])):
    write_artefact(Path(sys.argv[1]), content(version))
    version_of(read_artefact(Path(sys.argv[1])))
"""


def test_eight_writers_of_one_folder(tmp_path: Path) -> None:
    """Eight processes, fifty rounds each: whatever is read is one artefact, whole."""
    folder = tmp_path / "fit"
    write_artefact(folder, content(0))
    command = [sys.executable, "-c", ROUNDS, str(folder), "50"]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=False), range(8)))
    assert [(child.returncode, child.stderr) for child in done] == [(0, "")] * 8
    assert version_of(read_artefact(folder)) == 49


def test_flipped_bits_and_cut_files_are_noticed(tmp_path: Path) -> None:
    """A thousand flipped bits and two hundred truncations of any file, the manifest included: never read as whole."""
    folder, rng = tmp_path / "fit", random.Random(2)
    write_artefact(folder, content(7, 500))
    whole = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    for number in range(1200):
        name = rng.choice(sorted(whole))
        damaged = bytearray(whole[name])
        if number < 1000:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        else:
            damaged = damaged[: rng.randrange(len(damaged))]
        (folder / name).write_bytes(bytes(damaged))
        try:
            found = read_artefact(folder)
        except ba.FitError:
            pass
        else:
            # a flipped bit may only turn one way of writing the manifest into another
            assert name == MANIFEST
            assert found == {key: value for key, value in whole.items() if key != MANIFEST}
        (folder / name).write_bytes(whole[name])
    assert version_of(read_artefact(folder)) == 7
