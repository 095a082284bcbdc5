"""Notebooks: what is committed was executed, passed its checks and names no machine; and it still runs."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def texts(notebook: nbformat.NotebookNode) -> str:
    """Return everything the cells printed or showed as text."""
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown.append(output.get("text", ""))
            shown += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_outputs_are_of_one_clean_run(path: Path) -> None:
    """Cells ran in order, none raised or wrote to standard error, every fit passed, no path of a machine shows."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
    streams = [[o.get("name") for o in cell.outputs] for cell in cells]
    assert not [1 for names in streams for a, b in pairwise(names) if a and a == b], "printed text is in pieces"
    shown = texts(notebook)
    assert "Sampling passed" in shown
    assert "FAILED" not in shown
    assert not re.search(r"(/home/|/root/|/Users/|/tmp/|/work/|site-packages)", shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_speak_before_they_compute(path: Path) -> None:
    """A notebook starts with its question and cites the data it shows."""
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].cell_type == "markdown"
    assert "**Question.**" in notebook.cells[0].source
    assert "**Data.**" in notebook.cells[0].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_end_with_what_to_report(path: Path) -> None:
    """The last cell says what of all this belongs into a paper."""
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[-1].cell_type == "markdown"
    assert re.search(r"\*\*To report\.\*\*|## What to report", notebook.cells[-1].source)


LONGER = {"who-leaves-early": 360}
"""Seconds of notebooks that take longer than three minutes: this one fits eight joint models."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_took_less_than_three_minutes(path: Path) -> None:
    """On two cores, as executed for the repository."""
    assert nbformat.read(path, as_version=4).metadata["seconds"] < LONGER.get(path.stem, 180)


def test_the_index_has_every_notebook_and_its_question() -> None:
    """notebooks/README.md links each of them, and nothing else."""
    text = (FOLDER / "README.md").read_text()
    assert sorted(set(re.findall(r"\(([a-z-]+)\.ipynb\)", text))) == [path.stem for path in NOTEBOOKS]


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return of every cell which kinds of output it has."""
    return [
        [kind for output in cell.get("outputs", ()) for kind in (output.get("name"), *output.get("data", {})) if kind]
        for cell in notebook.cells
    ]


def said(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the words that cells printed, without numbers, which other processors may round differently."""
    return re.findall(r"[^\W\d_]{2,}", texts(notebook))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_run(path: Path, tmp_path: Path, data_folder: Path) -> None:
    """Executed anew, a notebook raises nothing, its fits pass, and it says what the committed one says."""
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    environment = os.environ | {"BAYES_ALLIANCE_DATA": str(data_folder)}
    command = [sys.executable, str(FOLDER / "execute.py"), str(copy)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
    committed, executed = (nbformat.read(one, as_version=4) for one in (path, copy))
    assert "Sampling passed" in texts(executed)
    assert "FAILED" not in texts(executed)
    assert kinds(executed) == kinds(committed)
    alike = difflib.SequenceMatcher(None, said(committed), said(executed), autojunk=False).ratio()
    assert alike > 0.9, "the committed outputs are of another notebook: execute it anew"
