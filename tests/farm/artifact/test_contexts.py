"""Artifacts of Qualcomm's compiler: the binary, the model that names it, and what both are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.artifact.folder import (
    CONTEXT_FILE,
    GRAPH_FILE,
    MODEL_FILE,
    adopt_context,
    complete_context,
    read_manifest,
)
from farm.errors import CompileError


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What the compiler wrote, and beside its folder the graph."""
    (tmp_path / "graph.onnx").write_bytes(b"graph")
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / MODEL_FILE).write_bytes(b"model")
    (folder / CONTEXT_FILE).write_bytes(b"binary")
    return folder


def test_its_size_is_what_a_chip_loads(written: Path, tmp_path: Path) -> None:
    complete_context(tmp_path / "graph.onnx", ("a note",), written)
    manifest = read_manifest(written)
    assert (manifest.size, manifest.notes) == (len(b"model") + len(b"binary"), ("a note",))
    assert (written / GRAPH_FILE).read_bytes() == b"graph"


def test_what_was_delivered_is_an_artifact_again(written: Path, tmp_path: Path) -> None:
    complete_context(tmp_path / "graph.onnx", (), written)
    again = tmp_path / "again"
    again.mkdir()
    adopt_context(written, again)
    assert read_manifest(again) == read_manifest(written)
    for name in (MODEL_FILE, CONTEXT_FILE, GRAPH_FILE):
        assert (again / name).read_bytes() == (written / name).read_bytes()


def test_a_compiler_that_writes_no_binary(written: Path, tmp_path: Path) -> None:
    (written / CONTEXT_FILE).unlink()
    with pytest.raises(CompileError, match=r"^Qualcomm's compiler wrote no model_qnn\.bin\.$"):
        complete_context(tmp_path / "graph.onnx", (), written)
