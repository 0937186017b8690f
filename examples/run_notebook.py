"""Runs the notebook from_python.ipynb in a temporary folder, and keeps what it printed in it.

    .venv/bin/python examples/run_notebook.py

The outputs are those of the machine on which this ran last; the notebook names it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
NOTEBOOK = FOLDER / "from_python.ipynb"


def main() -> None:
    """Run every cell, and write the notebook with its outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        for name in ("digits.onnx", "digits.npz"):
            shutil.copy(FOLDER / name, folder)
        resources = {"metadata": {"path": folder}}
        # When each cell ran would be another text each time.
        NotebookClient(notebook, timeout=600, resources=resources, record_timing=False).execute()
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
