"""Files of an artefact: written whole or not at all, verified when read. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bayes_alliance._messages import quote
from bayes_alliance.errors import FitError

MANIFEST: Final = "manifest.json"


def write_artefact(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder; the manifest with their sha256 comes last, so a half-written folder has none.

    Raises
    ------
    FitError
        If the folder cannot be written, on a full disk for instance; what stood there before may be gone, but is
        never half read.
    """
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for name, content in files.items():
            replace_file(folder / name, content)
        replace_file(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
    except OSError as error:
        raise FitError(f"{str(folder)!r} cannot be written: {error.strerror}.") from error


def read_artefact(folder: Path) -> dict[str, bytes]:
    """Read the files of a folder and check each against the manifest.

    Raises
    ------
    FitError
        If the manifest or a file is missing, or a file is not what was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files = {name: (folder / name).read_bytes() for name in manifest}
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise FitError(f"{str(folder)!r} is no complete fit: {missing!r} is missing.") from None
    except (OSError, ValueError) as error:
        raise FitError(f"{str(folder)!r} cannot be read: {error}.") from None
    changed = [name for name, content in files.items() if hashlib.sha256(content).hexdigest() != manifest[name]]
    if changed:
        raise FitError(f"{str(folder)!r} was changed or damaged after it was written: {quote(changed)}.")
    return files


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary one beside it takes its place."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
