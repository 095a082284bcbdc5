"""Execute the notebooks and store their outputs.

    uv run --group test python notebooks/execute.py

What differs from run to run (times of cells, widget states, how printed text was cut into pieces on its way) is not
stored, but for the seconds that the whole took: a reader should not wait longer than three minutes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
TIMEOUT = 900
"""Seconds for one cell: room for machines three times as slow as the one that wrote the outputs."""


def execute(path: Path) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of running it from its own folder.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ["BAYES_ALLIANCE_PROGRESS"] = "off"
    client = NotebookClient(
        notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(path.parent)}}, record_timing=False
    )
    client.execute()
    notebook.metadata.pop("widgets", None)
    join_streams(notebook)
    return notebook


def join_streams(notebook: nbformat.NotebookNode) -> None:
    """Join neighbouring pieces of one stream in place: a kernel sends printed text in as many as its clock gives."""
    for cell in notebook.cells:
        joined: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", ()):
            if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        if "outputs" in cell:
            cell.outputs = joined


def main() -> None:
    """Execute the notebooks named on the command line, or all."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        start = time.perf_counter()
        notebook = execute(path)
        notebook.metadata["seconds"] = round(time.perf_counter() - start)
        nbformat.write(notebook, path)
        print(f"{path.name}: {notebook.metadata['seconds']} s")


if __name__ == "__main__":
    main()
