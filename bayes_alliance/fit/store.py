"""Files of an artefact: the old ones or the new ones whenever a process dies, verified when read. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from bayes_alliance._messages import quote
from bayes_alliance.errors import FitError

MANIFEST: Final = "manifest.json"

LOCK: Final = ".lock"
"""File that one writer of a folder holds at a time; the operating system lets go of it when a process dies."""


def write_artefact(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, in place of those of an earlier artefact there.

    New files are staged under names of their own; then the manifest of their sha256 takes the place of the old one,
    which is the moment at which the new artefact is the folder's; then they get their names. Whenever the process
    dies, ``read_artefact`` finds all old or all new ones.

    Raises
    ------
    FitError
        If the folder cannot be written, on a full disk for instance; what stood there before still stands.
    """
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK):
            _tidy(folder)
            old = _named(folder)
            for name, content in files.items():
                replace_file(folder / _staged(name, manifest[name]), content)
            replace_file(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
            for name, digest in manifest.items():
                os.replace(folder / _staged(name, digest), folder / name)
            for name in set(old) - set(manifest):
                (folder / name).unlink(missing_ok=True)
            _sync(folder)
    except OSError as error:
        raise FitError(f"{str(folder)!r} cannot be written: {error.strerror}.") from error


def read_artefact(folder: Path) -> dict[str, bytes]:
    """Read the files of a folder and check each against the manifest.

    Raises
    ------
    FitError
        If the manifest or a file is missing, or a file is not what was written.
    """
    files, problem = _read(folder)
    if problem and (folder / MANIFEST).exists():
        # another process may have been replacing the files: look again when none is
        try:
            with locked(folder / LOCK):
                files, problem = _read(folder)
        except OSError:
            pass  # where nobody can write, nobody did
    if problem:
        raise FitError(problem)
    return files


def _read(folder: Path) -> tuple[dict[str, bytes], str]:
    """Return the files of a folder, and what is wrong with them."""
    try:
        manifest = {str(name): str(digest) for name, digest in json.loads((folder / MANIFEST).read_bytes()).items()}
    except FileNotFoundError:
        return {}, f"{str(folder)!r} is no complete fit: {MANIFEST!r} is missing."
    except (OSError, ValueError, AttributeError) as error:
        return {}, f"{str(folder)!r} cannot be read: {error}."
    found = {name: _read_one(folder, name, digest) for name, digest in manifest.items()}
    lacking = [name for name, content in found.items() if content is None]
    if any(not (folder / name).exists() for name in lacking):
        return {}, f"{str(folder)!r} is no complete fit: {quote(n for n in lacking)} is missing."
    if lacking:
        return {}, f"{str(folder)!r} was changed or damaged after it was written: {quote(lacking)}."
    return {name: content for name, content in found.items() if content is not None}, ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; wait for whoever holds it."""
    with FileLock(path):
        yield


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary one beside it takes its place."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _staged(name: str, digest: str) -> str:
    """Return the name of a file before it has its own."""
    return f".{name}.{digest[:16]}.new"


def _read_one(folder: Path, name: str, digest: str) -> bytes | None:
    """Return a file's content if it is what was written, under its own name or staged."""
    for place in (name, _staged(name, digest), name):
        try:
            content = (folder / place).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            return content
    return None


def _named(folder: Path) -> dict[str, str]:
    """Return the manifest of a folder, empty where there is none that can be read."""
    try:
        return {str(name): str(digest) for name, digest in json.loads((folder / MANIFEST).read_bytes()).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _tidy(folder: Path) -> None:
    """Finish what a process that died left: staged files of the manifest get their names, others go."""
    for name, digest in _named(folder).items():
        staged = folder / _staged(name, digest)
        if staged.exists():
            os.replace(staged, folder / name)
    for pattern in (".*.new", ".*.part"):
        for left in folder.glob(pattern):
            left.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Have the folder's names on disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
