"""Imports point one way, files stay small, and nothing runs code from data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bayes_alliance"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS = {
    "findings": -2,
    "_messages": -1,
    "errors": 0,
    "_terminal": 0,
    "names": 0,
    "outcome": 1,
    "_later": 1,
    "table": 2,
    "spec": 2,
    "study": 3,
    "design": 4,
    "build": 5,
    "collapse": 5,
    "simulate": 5,
    "quadrature": 6,
    "fit": 7,
    "expectation": 8,
    "posterior": 9,
    "diagnosis": 10,
    "comparison": 10,
    "plot": 11,
    "run": 12,
    "report": 13,
    "cli": 14,
    "__init__": 15,
}
FORBIDDEN_BELOW = {
    "outcome": {"pandas", "xarray", "pymc", "pytensor", "arviz", "nutpie"},
    "spec": {"numpy", "pandas", "pymc", "pytensor", "arviz", "xarray", "scipy"},
    "table": {"pymc", "pytensor", "nutpie"},
    "design": {"pymc", "pytensor", "nutpie"},
    "collapse": {"pymc", "pytensor"},
    "quadrature": {"pymc", "pytensor", "nutpie"},
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


def test_every_layer_is_there() -> None:
    """The list names no room that does not exist."""
    assert set(LAYERS) == {room(path) for path in MODULES}


def module_name(path: Path) -> str:
    """Return the dotted name of a file's module; a package's is that of its folder."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows() -> dict[str, set[str]]:
    """Return which modules every module imports, in functions and for type checks too."""
    known = {module_name(path): path for path in MODULES}
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, path in known.items():
        if path == PACKAGE / "__init__.py":
            continue  # the public face names what it loads, and nothing in the package imports it
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                found[name] |= {one if one in known else node.module for one in inside} & set(known)
    return found


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return sets of nodes of which each can be reached from each other one."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, left = set[str](), [start]
        while left:
            for node in graph.get(left.pop(), set()) - seen:
                seen.add(node)
                left.append(node)
        reached[start] = seen
    found = [{a, *(b for b in reached[a] if a in reached[b])} for a in graph if a in reached[a]]
    return [circle for number, circle in enumerate(found) if circle not in found[:number]]


def test_no_module_is_in_a_circle() -> None:
    """Not by imports in functions, nor by those for type checks."""
    assert circles(arrows()) == []


def test_no_room_is_in_a_circle() -> None:
    """Folders inside rooms count as rooms, and so do the files beside them."""

    def folder(name: str) -> str:
        path = PACKAGE.parent / name.replace(".", "/")
        inner = path if (path / "__init__.py").exists() else path.parent
        return name if inner == PACKAGE else str(inner.relative_to(PACKAGE))

    graph: dict[str, set[str]] = {}
    for name, others in arrows().items():
        graph.setdefault(folder(name), set()).update({folder(other) for other in others} - {folder(name)})
    assert circles(graph) == []


def test_circles_are_found() -> None:
    """Two that import one another, three in a ring, and one that imports itself."""
    ring = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e"}, "f": {"g"}, "g": {"f"}}
    assert circles(ring) == [{"a", "b", "c"}, {"e"}, {"f", "g"}]


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
    """A file has at most 400 lines and a function at most 60 after its docstring."""
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            size = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert size <= 60, f"{node.name} has {size} lines"


def test_no_junk_drawer() -> None:
    """No file is called utils, helpers or misc."""
    assert not [path for path in MODULES if path.stem in ("utils", "helpers", "misc", "common")]
