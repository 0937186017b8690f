"""What the commands that only read must not wait for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from db.store import Store
from tests.db.samples import fill, trial
from tests.tools.command import ROOT, environment

# Slow to import, and of no use where nothing is measured.
HEAVY = {"onnx", "onnx_ir", "onnxruntime", "ray", "numba", "scipy", "numpy", "alembic", "psutil"}
_SHOW_MODULES = """
import atexit, sys
sys.path.insert(0, sys.argv.pop(1))
atexit.register(lambda: print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
import cli
cli.main()
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["tune", "--help"],
        ["results"],
        ["results", "--format", "json"],
        ["query", "SELECT * FROM trial"],
    ],
)
def test_readers_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    with fill(Store.open(str(tmp_path / "farm.db"))) as store:
        store.lease_trial(trial())
    ended = subprocess.run(
        [sys.executable, "-c", _SHOW_MODULES, str(ROOT), *arguments],
        env=dict(environment(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(ended.stderr.split())
    assert "typer" in imported
    assert ended.stdout.strip()
    assert not imported & HEAVY
    if "--help" in arguments:
        assert "sqlalchemy" not in imported
    if arguments == ["--help"]:
        assert "pydantic" not in imported  # Typer loads it for the options of a command


# What begins at every measurement, and what it must not wait for: loaded where it is used.
_BEGUN = {
    "the command": (
        ("tuner.bench", "tuner.tune", "db.store", "reports.progress", "workers.executor"),
        {
            *("alembic", "numba", "onnx_ir", "onnxruntime", "openvino", "optuna", "ray"),
            *("scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.special", "sklearn"),
            *("farm.codegen.generate", "sqlalchemy.dialects.postgresql", "sympy"),
        },
    ),
    "a child that measures": (
        ("workers.child.main", "workers.engines.onnxruntime.session"),
        {"farm.candidate", "onnx", "psutil", "pydantic", "scipy", "sqlalchemy"},
    ),
    "a part of a pipeline": (
        ("workers.child.stage",),
        {"farm.candidate", "onnx", "onnxruntime", "psutil", "pydantic", "scipy"},
    ),
    "the child that compiles": (
        ("workers.child.main", "workers.child.compiling"),
        {"farm.codegen.generate", "onnx_ir", "openvino", "scipy", "sqlalchemy", "sympy"},
    ),
    "a worker of a cluster": (
        ("workers.trials.worker",),
        {"farm.codegen.generate", "onnxruntime", "openvino", "scipy", "sqlalchemy"},
    ),
}


@pytest.mark.parametrize("begun", _BEGUN)
def test_measuring_begins_with_what_it_needs(begun: str) -> None:
    modules, heavy = _BEGUN[begun]
    source = f"import sys, {', '.join(modules)}; print(*{heavy!r} & sys.modules.keys())"
    ended = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "\n"
