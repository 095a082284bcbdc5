"""Imports point one way, files stay small, and nothing runs code from data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bayes_alliance"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = {
    "_messages": -1,
    "errors": 0,
    "_terminal": 0,
    "names": 0,
    "instruments": 1,
    "table": 2,
    "spec": 2,
    "design": 3,
    "build": 4,
    "collapse": 4,
    "simulate": 4,
    "fit": 5,
    "posterior": 6,
    "diagnosis": 7,
    "comparison": 7,
    "plan": 8,
    "plot": 9,
    "run": 10,
    "report": 11,
    "cli": 12,
    "__init__": 13,
}
SAME_LEVEL_ALLOWED = {"errors", "names", "_messages"}
FORBIDDEN_BELOW = {
    "spec": {"numpy", "pandas", "pymc", "pytensor", "arviz", "xarray", "scipy"},
    "table": {"pymc", "pytensor", "nutpie"},
    "design": {"pymc", "pytensor", "nutpie"},
    "collapse": {"pymc", "pytensor"},
}


def room(path: Path) -> str:
    """Return the first folder under the package, or the module's own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Return every module imported anywhere in a file, type-checking blocks of the public face left out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    """A module imports its own room and lower layers only."""
    here = room(path)
    assert here in LAYERS, f"{here} has no layer; add it to the order of imports"
    for module in imports(path):
        if not module.startswith("bayes_alliance."):
            continue
        there = module.split(".")[1]
        allowed = there == here or LAYERS[there] < LAYERS[here]
        assert allowed, f"{path.name} ({here}) imports {module}, which lies above it or beside it"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_layers_keep_to_their_libraries(path: Path) -> None:
    """Spec knows no data library, table and design know no PyMC, the exact engine no PyTensor."""
    banned = FORBIDDEN_BELOW.get(room(path), set())
    assert not {module.split(".")[0] for module in imports(path)} & banned


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_runs_code_from_data(path: Path) -> None:
    """No eval, exec, pickle or relative of them anywhere."""
    tree = ast.parse(path.read_text())
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not calls & {"eval", "exec", "compile", "__import__"}
    assert not {"pickle", "cloudpickle", "joblib", "shelve", "dill"} & {m.split(".")[0] for m in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has at most 400 lines and a function fits a screen."""
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            size = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert size <= 80, f"{node.name} has {size} lines"


def test_no_junk_drawer() -> None:
    """No file is called utils, helpers or misc."""
    assert not [path for path in MODULES if path.stem in ("utils", "helpers", "misc", "common")]
