"""Nothing is sent anywhere, and nothing is kept to be sent later.

What libraries in C++ connect to is not seen from Python. Of ONNX Runtime it is known where it
keeps what it would send: below the user's cache folder. By hand, everything can be seen with
``strace -f -e trace=connect farm bench MODEL``.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.candidate import Candidate, Engine, OnnxRuntimeCpu, OpenVinoRuntime
from farm.delivery.winner import write_delivery
from farm.model.model import load_model
from farm.session.of_candidate import session_spec
from tests.openvino import require_openvino
from tests.tools.command import ROOT, Command, start_few_blocks

_ROOTS = ("farm", "workers", "tuner", "db", "reports", "commands")
# These would keep ONNX Runtime quiet by themselves.
_SILENT = ("CI", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")
_GUARD = """
import socket, sys
from pathlib import Path

def _guard(event, arguments):
    if event == "socket.connect":
        connected, address = arguments
        local = connected.family == socket.AF_UNIX or str(address[0]).startswith(("127.", "::1"))
        if connected.type & socket.SOCK_STREAM and not local:
            with Path(r"{log}").open("a") as log:
                log.write(f"{{sys.argv}} connects to {{address}}\\n")

sys.addaudithook(_guard)
Path(r"{log}.ran").touch()
"""


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which dependencies would send what they can."""
    for name in _SILENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")


def _importers() -> Iterator[str]:
    """Modules that import ONNX Runtime themselves."""
    for root in _ROOTS:
        for path in sorted((ROOT / root).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imported = {
                name.split(".")[0]
                for node in ast.walk(tree)
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            if "onnxruntime" in imported and "templates" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_only_roots_that_switch_telemetry_off_import_onnx_runtime() -> None:
    importers = list(_importers())
    assert "workers.engines.onnxruntime.session" in importers
    assert {name.split(".")[0] for name in importers} <= {"farm", "workers"}


@pytest.mark.parametrize("root", ["farm", "workers", "workers.child.main", "workers.child.stage"])
@pytest.mark.usefixtures("loud")
def test_onnx_runtime_keeps_nothing_to_be_sent(tmp_path: Path, root: str) -> None:
    source = (
        f"import {root}, os, sys; assert 'onnxruntime' not in sys.modules; "
        "import onnxruntime as ort; ort.get_available_providers(); "
        "print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['RAY_USAGE_STATS_ENABLED'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 0\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("root", ["farm", "workers.child.main"])
def test_openvino_has_nothing_to_send_with(root: str) -> None:
    """Its package sends an event when it is imported, if this module can be."""
    pytest.importorskip("openvino")
    source = (
        f"import {root}, openvino, sys; print(sys.modules['openvino_telemetry'], "
        "[name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None []\n"


@pytest.mark.slow
@pytest.mark.usefixtures("loud")
def test_a_run_connects_to_nothing(farm: Command) -> None:
    guards, log = farm.folder / "guards", farm.folder / "connections"
    guards.mkdir()
    (guards / "sitecustomize.py").write_text(_GUARD.format(log=log))
    options = ("--local", "--trials", "2", "--budget", "4s")
    process = start_few_blocks(farm.folder, "tune", "model.onnx", *options, PYTHONPATH=str(guards))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert Path(f"{log}.ran").exists(), "the guard was there"
    assert not log.exists(), log.read_text()
    assert {path.name for path in (farm.folder / "cache").iterdir()} == {"farm"}


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("engine", [OnnxRuntimeCpu(threads=1), OpenVinoRuntime(threads=1)])
def test_a_delivered_program_keeps_nothing(farm: Command, engine: Engine) -> None:
    if isinstance(engine, OpenVinoRuntime):
        require_openvino(engine.kind)
    folder, model = farm.folder / "out", load_model(farm.folder / "model.onnx", {})
    content = model.proto.SerializeToString()
    write_delivery(folder, content, session_spec(Candidate(engine)), model.inputs, "{}")
    delivered = subprocess.run(
        [sys.executable, folder / "run.py"],
        env={**os.environ, "XDG_CACHE_HOME": str(farm.folder / "kept")},
        capture_output=True,
        check=False,
    )
    assert delivered.returncode == 0, delivered.stderr
    assert not (farm.folder / "kept").exists()
