"""Files of an artefact: the old ones or the new ones whenever a process dies, verified when read. No pickle.

What a folder says is checked before it is used: the names in its manifest are plain names of files inside it, and what
is read is a file, never a link that leads elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from bayes_alliance._messages import first_few, quote
from bayes_alliance.errors import FitError

MANIFEST: Final = "manifest.json"

LOCK: Final = ".lock"
"""File that one writer of a folder holds at a time; the operating system lets go of it when a process dies."""

NAME: Final = re.compile(r"\w[\w.-]*")
"""A plain file name: letters, digits, ``_``, ``-`` and ``.``, not at the start; no folder, and nothing hidden."""

LONGEST: Final = 200
"""Bytes a name may have, so that those of staged and temporary files still fit into a folder."""

DIGEST: Final = re.compile(r"[0-9a-f]{64}")

LEFT: Final = re.compile(r"\.(?P<name>\w[\w.-]*)\.([0-9a-f]{16}\.new|[a-z0-9_]{8}\.part)")
"""Names of staged and of temporary files, which a process that died leaves."""


def write_artefact(
    folder: Path, files: Mapping[str, bytes], *, known: re.Pattern[str] = NAME, mode: int | None = None
) -> None:
    """Write files into a folder, in place of those of an earlier artefact there.

    New files are staged under names of their own; then the manifest of their sha256 takes the place of the old one,
    which is the moment at which the new artefact is the folder's; then they get their names. Whenever the process
    dies, ``read_artefact`` finds all old or all new ones.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    files : mapping of str to bytes
        Content by name; names are plain, or plain inside one folder (``pictures/a.png``).
    known : Pattern
        Names that an artefact of this kind may have. Of an earlier artefact only files of such names are removed.
    mode : int, optional
        Permissions of the files; those of their owner alone unless stated.

    Raises
    ------
    FitError
        If the folder cannot be written, on a full disk for instance, or its manifest names files outside it; what
        stood there before still stands.
    """
    odd = [name for name in files if not _is_name(name)]
    if odd:
        raise FitError(f"{quote(odd)}: an artefact's files have plain names.")
    _check_old(folder)
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK):
            old = _check_old(folder)
            for inner in {(folder / name).parent for name in files} - {folder}:
                if inner.is_symlink():
                    raise FitError(f"{str(inner)!r} is a link, not a folder. Nothing was changed. Give another folder.")
                inner.mkdir(exist_ok=True)
            _tidy(folder, old, known)
            for name, content in files.items():
                replace_file(_staged(folder / name, manifest[name]), content, mode=mode)
            replace_file(folder / MANIFEST, json.dumps(manifest, indent=1).encode(), mode=mode)
            for name, digest in manifest.items():
                os.replace(_staged(folder / name, digest), folder / name)
            for name in set(old) - set(manifest):
                if known.fullmatch(name):
                    (folder / name).unlink(missing_ok=True)
            _sync(folder)
    except OSError as error:
        raise FitError(f"{str(folder)!r} cannot be written: {error.strerror}.") from error


def read_artefact(folder: Path) -> dict[str, bytes]:
    """Read the files of a folder and check each against the manifest.

    Raises
    ------
    FitError
        If the manifest or a file is missing, the manifest names files outside the folder, or a file is a link or not
        what was written.
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


def parse_json(content: bytes) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    ValueError
        If it is no JSON in UTF-8, or nested too deeply to be read.
    """
    try:
        return json.loads(content.decode())
    except RecursionError:
        raise ValueError("It is nested too deeply") from None


def _read(folder: Path) -> tuple[dict[str, bytes], str]:
    """Return the files of a folder, and what is wrong with them."""
    manifest, problem = _manifest(folder)
    if problem:
        return {}, problem
    found = {name: _read_one(folder / name, digest) for name, digest in manifest.items()}
    lacking = [name for name, content in found.items() if content is None]
    if any(not (folder / name).exists() for name in lacking):
        return {}, f"{str(folder)!r} is no complete fit: {quote(n for n in lacking)} is missing."
    if lacking:
        return {}, f"{str(folder)!r} was changed or damaged after it was written: {quote(lacking)}."
    return {name: content for name, content in found.items() if content is not None}, ""


def _manifest(folder: Path) -> tuple[dict[str, str], str]:
    """Return the digests of a folder's files by name, and what is wrong with its manifest."""
    place = folder / MANIFEST
    try:
        if place.is_symlink():
            return {}, f"{str(folder)!r} cannot be read: {MANIFEST!r} is a link, not a file."
        stated = parse_json(place.read_bytes())
    except FileNotFoundError:
        return {}, f"{str(folder)!r} is no complete fit: {MANIFEST!r} is missing."
    except (OSError, ValueError) as error:
        return {}, f"{str(folder)!r} cannot be read: {error}."
    if not isinstance(stated, dict) or not all(_is_digest(digest) for digest in stated.values()):
        return {}, f"{str(folder)!r} cannot be read: {MANIFEST!r} does not list the sha256 of files by their names."
    return stated, _odd_names(folder, stated)


def _odd_names(folder: Path, manifest: Mapping[str, str]) -> str:
    """Report names of a manifest that are not those of files inside its folder."""
    odd = [f"{name!r}" if len(name) <= LONGEST else f"{name[:20]!r}…" for name in manifest if not _is_name(name)]
    odd += [f"{name!r}" for name in manifest if _is_name(name) and (folder / name).parent.is_symlink() and "/" in name]
    if not odd:
        return ""
    return (
        f"{str(folder)!r} was not written by bayes_alliance: {MANIFEST!r} names {first_few(odd)}. Only plain names of "
        f"files inside the folder are allowed. Nothing was changed. Give another folder, or ask where this one is from."
    )


def _is_name(name: str) -> bool:
    """Return whether a name is that of a file in the folder, or in one folder inside it."""
    parts = name.split("/")
    return (
        len(parts) <= 2
        and all(NAME.fullmatch(part) and len(part.encode()) <= LONGEST for part in parts)
        and name != MANIFEST
    )


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and DIGEST.fullmatch(text) is not None


def _check_old(folder: Path) -> dict[str, str]:
    """Return the manifest of what a folder holds, empty where there is none that can be read.

    Raises
    ------
    FitError
        If it names files outside the folder.
    """
    manifest, problem = _manifest(folder)
    if manifest and problem:
        raise FitError(problem)
    return manifest


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a lock between processes; wait for whoever holds it, so many seconds where stated.

    Raises
    ------
    filelock.Timeout
        If it is still held then.
    FitError
        If the lock is a link, which would have another file emptied.
    """
    if path.is_symlink():
        raise FitError(f"{str(path)!r} is a link, not a lock. Give another folder, or remove the link.")
    with FileLock(path, timeout=timeout):
        yield


def replace_file(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file whole or not at all: a temporary one beside it takes its place."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name.lstrip('.')}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            Path(temporary).chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _staged(path: Path, digest: str) -> Path:
    """Return where a file is before it has its name."""
    return path.with_name(f".{path.name}.{digest[:16]}.new")


def _read_one(path: Path, digest: str) -> bytes | None:
    """Return a file's content if it is what was written, under its own name or staged."""
    for place in (path, _staged(path, digest), path):
        content = _read_whole(place, digest)
        if content is not None:
            return content
    return None


def _read_whole(path: Path, digest: str) -> bytes | None:
    """Return the content of a file, no link, if it is what was written."""
    try:
        content = None if path.is_symlink() else path.read_bytes()
    except OSError:
        return None
    return content if content is not None and hashlib.sha256(content).hexdigest() == digest else None


def _tidy(folder: Path, manifest: Mapping[str, str], known: re.Pattern[str]) -> None:
    """Finish what a process that died left: staged files of the manifest get their names, others go."""
    for name, digest in manifest.items():
        staged = _staged(folder / name, digest)
        if known.fullmatch(name) and _read_whole(staged, digest) is not None:
            os.replace(staged, folder / name)
    for place in {folder, *((folder / name).parent for name in manifest)}:
        for left in place.glob(".*"):
            own = LEFT.fullmatch(left.name)
            inner = "" if place == folder else f"{place.name}/"
            if own and (known.fullmatch(inner + own["name"]) or own["name"] == MANIFEST):
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
