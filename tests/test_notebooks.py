"""Notebooks: what is committed was executed, passed its checks and names no machine; and it still runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
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


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_run(path: Path, tmp_path: Path, data_folder: Path) -> None:
    """Executed anew, a notebook raises nothing and its fits pass."""
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    environment = os.environ | {"BAYES_ALLIANCE_DATA": str(data_folder)}
    command = [sys.executable, str(FOLDER / "execute.py"), str(copy)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    shown = texts(nbformat.read(copy, as_version=4))
    assert "Sampling passed" in shown
    assert "FAILED" not in shown
