"""The registry: every TOML file under ``models/`` is a model, named by its path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bayes_alliance._messages import unknown
from bayes_alliance.errors import SpecError
from bayes_alliance.spec.course import with_course
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.toml import read_model


@dataclass(frozen=True)
class ModelEntry:
    """One line of the list of models."""

    name: str
    title: str
    question: str
    tags: tuple[str, ...]


def models_folder() -> Path:
    """Return the folder of registered models.

    Installed wheels carry it inside the package; an editable install has it beside the package, and there a copy
    inside would go stale.

    Raises
    ------
    SpecError
        If neither place exists.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_models", package.parent / "models"):
        if folder.is_dir():
            return folder
    raise SpecError("The folder of registered models was not found; reinstall bayes_alliance.")


def model_names() -> tuple[str, ...]:
    """Return the names of the registered models, sorted: the path under ``models/`` without ``.toml``."""
    folder = models_folder()
    return tuple(sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.toml")))


def list_models() -> tuple[ModelEntry, ...]:
    """List the registered models with the question each answers.

    Returns
    -------
    tuple of ModelEntry
        Name, title, question and tags of each, sorted by name.

    Examples
    --------
    >>> "growth/treatment" in [entry.name for entry in list_models()]
    True
    """
    entries = []
    for name in model_names():
        spec = load_model(name)
        entries.append(ModelEntry(name, spec.title, spec.question, spec.tags))
    return tuple(entries)


def load_model(name: str | Path, *, course: str = "linear") -> ModelSpec:
    """Load a registered model by name, or a model file by path.

    Parameters
    ----------
    name : str or Path
        Such as ``"growth/treatment"``; anything ending in ``.toml`` is a path.
    course : str
        How time stands in the formulas of a model that reads ``time``: ``"linear"``, ``"log"`` (of time + 1),
        ``"sqrt"``, ``"spline"`` (natural cubic, 3 degrees of freedom; ``"spline(4)"`` has 4) or ``"piecewise"`` (bent
        once, at the middle of the times; ``"piecewise(5, 9)"`` at 5 and 9).

    Returns
    -------
    ModelSpec
        Frozen plain data; its title names a course that is not linear.

    Raises
    ------
    SpecError
        If there is no such model (the nearest name is given) or its file is not valid; if there is no such course, or
        the model reads no ``time``.

    Examples
    --------
    >>> load_model("growth/treatment", course="log").title
    'Growth by condition, along log(time + 1)'
    """
    spec = _load(name)
    return spec if course == "linear" else with_course(spec, course)


def _load(name: str | Path) -> ModelSpec:
    if isinstance(name, Path) or str(name).endswith(".toml"):
        return read_model(Path(name))
    names = model_names()
    if name not in names:
        other = unknown("model", name, names)
        raise SpecError(replace(other, fix=f"{other.fix} A path ends in '.toml'.".lstrip()))
    return read_model(models_folder() / f"{name}.toml")
