"""The environment of a run as files that make it again: pip's, conda's, and what conda itself had installed."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Final

PROJECT: Final = "bayes-alliance"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def needed_packages() -> dict[str, str]:
    """Return every installed package that this one needs, directly or not, with its version, by name."""
    found: dict[str, str] = {}
    left = [PROJECT]
    while left:
        name = left.pop()
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform, or an extra nobody installed
        if (key := _plain(one.metadata["Name"])) in found:
            continue
        found[key] = one.version
        left += list(_requirements(one))
    return dict(sorted(found.items()))


def all_packages() -> dict[str, str]:
    """Return every installed package and its version, by name."""
    return dict(sorted((_plain(one.metadata["Name"]), one.version) for one in distributions() if one.metadata["Name"]))


def environment_files() -> dict[str, bytes]:
    """Return files by name that recreate the environment.

    Returns
    -------
    dict of str to bytes
        ``requirements.txt``: every needed package but this one, pinned, for ``pip install -r``. ``environment.yml``:
        the same through conda, which installs Python, and pip the rest, so that nothing has to be solved.
        ``conda-packages.txt``, only where Python stands in a conda environment: name, version and build of what conda
        installed. None of them names a host, a user or a path.
    """
    packages = needed_packages()
    own = packages.pop(PROJECT, "unknown")
    head = (
        f"# Environment of a run of {PROJECT} {own}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}.\n"
    )
    pins = [f"{name}=={version}" for name, version in packages.items()]
    files = {
        "requirements.txt": head
        + f"# Install these, then {PROJECT} itself: pip install -r requirements.txt\n"
        + "\n".join(pins)
        + "\n",
        "environment.yml": head
        + f"name: {PROJECT}-run\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n"
        + f"  - python={platform.python_version()}\n  - pip\n  - pip:\n"
        + "".join(f"      - {pin}\n" for pin in pins)
        + "variables:\n  PYTENSOR_FLAGS: cxx=\n",
    }
    conda = "\n".join(conda_packages(Path(sys.prefix)))
    if conda:
        files["conda-packages.txt"] = f"{head}# What conda installed: name, version, build.\n{conda}\n"
    return {name: text.encode() for name, text in files.items()}


def conda_packages(prefix: Path) -> list[str]:
    """Return ``name=version=build`` of everything conda installed under a prefix; nothing where it is none of conda."""
    lines = []
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            lines.append(f"{record['name']}={record['version']}={record['build']}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return lines


def _requirements(one: Distribution) -> Iterator[str]:
    """Yield the names a package requires; those of extras are left out."""
    for text in one.requires or ():
        requirement, _, marker = text.partition(";")
        name = _NAME.match(requirement.strip())
        if name and "extra" not in marker:
            yield name.group()


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
