"""The project's own files: pins, the conda environment, the wheel, what the README promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import bayes_alliance
from bayes_alliance.spec.registry import model_names, models_folder

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["tool"]["uv"]["constraint-dependencies"])}
DIRECT = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
GROUPED = [Requirement(text) for group in PROJECT["dependency-groups"].values() for text in group]
MATCH_SPEC = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)=(?P<version>\d+(\.\d+)*)\Z")


def pinned(name: str) -> Version:
    """Return the version a package is pinned at."""
    (specifier,) = PINS[canonicalize_name(name)].specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


def closure(requirements: list[Requirement]) -> set[str]:
    """Return every installed distribution the requirements lead to."""
    found: set[str] = set()
    queue = [(r, frozenset(r.extras)) for r in requirements]
    while queue:
        requirement, extras = queue.pop()
        name = canonicalize_name(requirement.name)
        if name in found and not extras:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            inner = Requirement(text)
            environments = [default_environment() | {"extra": extra} for extra in ("", *extras)]
            if inner.marker is None or any(inner.marker.evaluate(dict(e)) for e in environments):
                queue.append((inner, frozenset(inner.extras)))
    return found


def installed(requirements: list[Requirement]) -> list[Requirement]:
    """Return the requirements of groups that are installed here."""
    names = {canonicalize_name(d.metadata["Name"]) for d in metadata.distributions()}
    return [r for r in requirements if canonicalize_name(r.name) in names]


def test_every_resolved_package_is_pinned() -> None:
    """Whatever the dependencies lead to is pinned, at the version that is installed."""
    for name in sorted(closure([*DIRECT, *installed(GROUPED)])):
        assert name in PINS, f"{name} is resolved and has no constraint"
        assert Version(metadata.version(name)) == pinned(name), name


def test_pins_satisfy_the_declared_ranges() -> None:
    """A pin outside its declared range would make the project impossible to install."""
    for requirement in [*DIRECT, *GROUPED]:
        assert pinned(requirement.name) in requirement.specifier


def test_conda_environment_agrees_with_pyproject() -> None:
    """environment.yml names each direct dependency once, at the pinned version, and parses as match specs."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    specs = [entry for entry in content["dependencies"] if isinstance(entry, str) and entry != "pip"]
    parsed = {}
    for spec in specs:
        match = MATCH_SPEC.match(spec)
        assert match, f"{spec!r} is no match spec of the form name=version"
        parsed[match["name"]] = match["version"]
    assert parsed.pop("python") == (ROOT / ".python-version").read_text().strip()
    assert sorted(parsed) == sorted(canonicalize_name(r.name) for r in DIRECT)
    for name, version in parsed.items():
        assert Version(version) == pinned(name), name
    assert content["channels"][0] == "conda-forge"


def test_uv_settings() -> None:
    """No group is installed unasked, and byte code is compiled at install only: as a setting it costs every command."""
    settings = PROJECT["tool"]["uv"]
    assert "compile-bytecode" not in settings
    assert settings["default-groups"] == []


def test_no_file_names_a_registry_host() -> None:
    """No lock file and no package index address is part of the project."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    files = tracked.stdout.split()
    assert "uv.lock" not in files
    for name in files:
        if name.endswith((".toml", ".yml", ".md", ".txt", ".cfg")):
            text = (ROOT / name).read_text()
            assert not re.search(r"(pypi\.org|pythonhosted|anaconda\.org|index-url)", text), name


def test_wheel_carries_every_model(tmp_path: Path) -> None:
    """The wheel holds the registry inside the package, file for file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"bayes_alliance/_models/{name}.toml" for name in model_names()}
    assert expected <= names
    assert "bayes_alliance/_models/references.bib" in names
    assert {f"bayes_alliance/simulate/twins/{name}.toml" for name in bayes_alliance.list_twins()} <= names
    assert {f"bayes_alliance/{name}" for name in ("py.typed", "spec/variables.toml")} <= names
    examples = (ROOT / "bayes_alliance" / "diagnosis" / "examples").glob("*.toml")
    assert {f"bayes_alliance/diagnosis/examples/{path.name}" for path in examples} <= names


def test_editable_install_reads_the_folder_beside_it(request: pytest.FixtureRequest) -> None:
    """A model file added after installation is found, and there is no copy inside the package to go stale."""
    package = Path(bayes_alliance.__file__).parent
    if (package / "_models").exists():
        pytest.skip("installed from a wheel")
    assert models_folder() == ROOT / "models"
    added = ROOT / "models" / "added-by-a-test.toml"
    request.addfinalizer(lambda: added.unlink(missing_ok=True))
    added.write_text((ROOT / "models" / "growth" / "three-level.toml").read_text())
    assert "added-by-a-test" in model_names()


def test_ci_runs_the_readmes_test_command() -> None:
    """CI calls the command the README gives, word for word."""
    command = "pip install uv && uv run --compile-bytecode --group test pytest"
    assert command in (ROOT / "README.md").read_text()
    assert "pip install uv && uv run --compile-bytecode bayes-alliance demo" in (ROOT / "README.md").read_text()
    assert command in (ROOT / ".ci" / "run").read_text()
    assert "pip install" in (ROOT / ".ci" / "run").read_text()


def test_version_is_stated_once_more_only_in_the_package() -> None:
    """The package and pyproject agree on the version."""
    assert bayes_alliance.__version__ == PROJECT["project"]["version"]


def test_every_module_and_model_is_tracked() -> None:
    """No file of the package, the registry or the tests is hidden by .gitignore."""
    ignored = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "bayes_alliance", "models", "tests"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ignored.returncode:
        pytest.skip("not a git checkout")
    assert not [name for name in ignored.stdout.split() if name.endswith((".py", ".toml", ".bib", ".typed"))]


@pytest.mark.slow
def test_a_spent_budget_skips_what_has_not_begun() -> None:
    """CI's share of slow tests is bounded however slow the machine, and what it leaves out is said."""
    command = [sys.executable, "-m", "pytest", "-m", "slow", "-n", "0", "--budget", "0", "tests/cli/test_simulate.py"]
    # options of the run that this test is in are not those of the run it begins
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the budget of 0 minutes is spent" in done.stdout
    assert re.search(r"= 1 skipped, \d+ deselected in ", done.stdout)
