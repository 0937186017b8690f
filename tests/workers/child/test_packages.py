"""Compiled code is compared with the reference before a package is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.candidate import Candidate, CPackage, to_json
from farm.codegen.build.compilers import Target
from farm.codegen.generate import Generation, generate
from farm.codegen.lower.floats import operators as float_operators
from farm.codegen.package.write import write_sources
from farm.compile.quantization.calibrate import Range
from farm.errors import CompileError
from tests.models import build, value
from workers.child import packages as packaging
from workers.child.compiling import compile_candidate
from workers.engines.session import EngineError

SAMPLES = [{"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)}]
RANGES = {"x": Range(-1.0, 1.0), "y": Range(0.0, 1.0)}


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    nodes = [make_node("Sigmoid", ["x"], ["y"], name="curve")]
    return build(nodes, [value("x", [1, 8])], [value("y", [1, 8])], {})


def vectors(generation: Generation, monkeypatch, change):
    """Test vectors of a program whose compiled code answers otherwise than its reference."""
    (right,) = generation.program.run(SAMPLES[0]).values()
    monkeypatch.setattr(packaging, "_answers", lambda *_: [(change(right).astype(np.float32),)])
    return packaging.make_vectors(generation.program, Path(), Target.PORTABLE, SAMPLES)


def test_of_floats_rounding_is_forgiven_and_nothing_more(model, monkeypatch):
    generation = generate(model, "test")
    assert not generation.program.is_integer

    (vector,) = vectors(generation, monkeypatch, lambda y: y * (1 + 1e-6))
    assert vector.outputs[0] == pytest.approx(1 / (1 + np.exp(-SAMPLES[0]["x"])), rel=1e-5)
    with pytest.raises(CompileError, match=r"differ in output 0 by \d+\.\d% of its size"):
        vectors(generation, monkeypatch, lambda y: 1 - y)
    with pytest.raises(CompileError, match="output 0: 8 of 8 elements are NaN or infinite in one"):
        vectors(generation, monkeypatch, lambda y: y * np.nan)


def test_of_integers_every_bit_counts(model, monkeypatch):
    generation = generate(model, "test", RANGES)
    assert generation.program.is_integer

    assert len(vectors(generation, monkeypatch, lambda y: y)) == 1
    with pytest.raises(CompileError, match="differ in output 0 of test vector 0"):
        vectors(generation, monkeypatch, lambda y: y * (1 + 1e-6))


@pytest.fixture
def workload(model, tmp_path) -> Path:
    """The folder from which a child compiles candidates."""
    folder = tmp_path / "workload"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "calibration.npz", x=np.stack([s["x"] for s in SAMPLES]))
    return folder


def test_a_candidate_that_does_not_compute_its_model_cannot_be_compiled(
    workload, tmp_path, monkeypatch
):
    right = float_operators._LOWERINGS["Tanh"]
    monkeypatch.setitem(float_operators._LOWERINGS, "Sigmoid", right)  # type: ignore[index]
    (tmp_path / "artifact").mkdir()

    with pytest.raises(EngineError) as caught:
        compile_candidate(workload, to_json(Candidate(CPackage())), tmp_path / "artifact")
    assert str(caught.value).startswith("Output 'y' of the float32 package differs from the ")
    assert str(caught.value).endswith(
        " of its range; this is a fault of the code generator or of the compiler."
    )


def test_sources_of_another_generation_are_refused(model, tmp_path):
    generation = generate(model, "test")
    write_sources(tmp_path, generation)
    packaging._require_same_sources(tmp_path, generation)
    files = {**generation.generated.files, "model.c": "other"}
    other = replace(generation, generated=replace(generation.generated, files=files))

    with pytest.raises(CompileError, match=r"model\.c was generated otherwise"):
        packaging._require_same_sources(tmp_path, other)
