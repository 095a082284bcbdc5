"""Execute the notebooks and store their outputs.

    uv run --group test python notebooks/execute.py

What differs from run to run (times of execution, widget states) is not stored.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
TIMEOUT = 300


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
    return notebook


def main() -> None:
    """Execute the notebooks named on the command line, or all."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        start = time.perf_counter()
        nbformat.write(execute(path), path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
