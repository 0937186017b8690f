"""Artifacts of pipelines: what lies in their folder, and which candidates share one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from farm.artifact.compiler import Compiler
from farm.artifact.folder import PIPELINE_FILE, read_manifest
from farm.artifact.key import artifact_key
from farm.candidate import (
    Candidate,
    CPackageEmulated,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    PartEngine,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.compile.formats.real_ends import RealEnds
from farm.errors import CompileError
from farm.session.pipeline import parse_pipeline
from tests import models
from tests.farm.compile import graphs

ORT = OnnxRuntimeCpu(threads=1)
FRONT, BACK = ("first", "bias"), ("relu", "second")


def pipeline(first: PartEngine, second: PartEngine, cut: int = 2, **options: bool) -> Pipeline:
    every = (*FRONT, *BACK)
    parts = PipelinePart("cpu", first, every[:cut]), PipelinePart("cpu", second, every[cut:])
    return Pipeline(parts, **options)


def key(engine: Pipeline, precision: Precision | None = None) -> str:
    candidate = Candidate(engine, precision or Precision())
    return artifact_key("model", "", candidate, "data", "{}")


def test_a_folder_for_each_part_and_what_they_share(tmp_path: Path) -> None:
    candidate = Candidate(pipeline(ORT, OpenVinoRuntime()))
    manifest = Compiler(models.mlp(), []).compile(candidate, tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert manifest.passes == ("cut",)
    record = parse_pipeline((tmp_path / PIPELINE_FILE).read_bytes())
    assert [(t.name, t.dtype, t.shape) for t in record.tensors] == [
        ("x", "float32", (1, 32)),
        ("a1", "float32", (1, 64)),
        ("y", "float32", (1, 10)),
    ]
    assert (record.inputs, record.outputs) == (("x",), ("y",))
    assert [(p.place, p.inputs, p.outputs) for p in record.parts] == [
        ("cpu/onnxruntime-cpu", ("x",), ("a1",)),
        ("cpu/openvino-runtime", ("a1",), ("y",)),
    ]
    sizes = [(tmp_path / part.folder / "model.onnx").stat().st_size for part in record.parts]
    assert manifest.size == sum(sizes)
    assert parse_pipeline(record.to_json()) == record


def test_parts_with_quantised_weights_are_told(tmp_path: Path) -> None:
    choice = StaticInt8(keep_float=("second",))
    candidate = Candidate(pipeline(ORT, ORT), Precision(quantization=choice))
    Compiler(models.mlp(), graphs.feeds(models.mlp())).compile(candidate, tmp_path)
    record = parse_pipeline((tmp_path / PIPELINE_FILE).read_bytes())
    assert [part.quantised for part in record.parts] == [True, False]


def test_candidates_that_compile_to_the_same_share_it() -> None:
    plain = key(pipeline(ORT, ORT))
    assert key(pipeline(replace(ORT, threads=2), ORT)) == plain, "sessions are no part of it"
    assert key(pipeline(ORT, ORT, overlapped=True)) == plain
    others = {
        key(pipeline(ORT, ORT, cut=1)),
        key(pipeline(ORT, OpenVinoRuntime())),
        key(pipeline(replace(ORT, saved_graph=True), ORT)),
        key(pipeline(CPackageEmulated(), ORT)),
        key(pipeline(ORT, ORT), Precision(quantization=StaticInt8())),
        artifact_key("model", "", Candidate(ORT), "data", "{}"),
    }
    assert len(others - {plain}) == 6


def test_a_part_with_a_saved_graph_is_optimised_alone(tmp_path: Path) -> None:
    saved = replace(ORT, saved_graph=True)
    Compiler(models.mlp(), []).compile(Candidate(pipeline(saved, ORT)), tmp_path)
    first, second = (onnx.load(tmp_path / f"part-{i}" / "model.onnx") for i in (1, 2))
    assert graphs.types(first) == {"Gemm"} or "FusedMatMul" in graphs.types(first)
    assert graphs.types(second) == {"Relu", "MatMul"}


def test_what_cannot_be_packaged_names_its_place(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Det", ["x"], ["d"], name="determinant"),
        onnx.helper.make_node("Neg", ["d"], ["y"], name="negative"),
    ]
    ends = [models.value("x", [1, 4, 4])], [models.value("y", [1])]
    parts = (
        PipelinePart("dsp", CPackageEmulated(), ("determinant",)),
        PipelinePart("cpu", ORT, ("negative",)),
    )
    with pytest.raises(CompileError, match="The part at dsp/cpackage-emulated cannot be packaged"):
        Compiler(models.build(nodes, *ends, {}), []).compile(Candidate(Pipeline(parts)), tmp_path)


def test_integers_at_the_ends_of_a_package_are_its_ports(tmp_path: Path) -> None:
    model = graphs.residual_net()
    parts = (
        PipelinePart("cpu", ORT, ("stem", "norm", "stem_relu")),
        PipelinePart("dsp", CPackageEmulated(), ("body", "join", "join_relu", "pool")),
        PipelinePart("cpu", ORT, ("flat", "head")),
    )
    candidate = Candidate(Pipeline(parts), Precision(quantization=StaticInt8()))
    Compiler(model, graphs.feeds(model)).compile(candidate, tmp_path)
    package = json.loads((tmp_path / "part-2" / "package.json").read_text("utf-8"))
    ports = [*package["inputs"], *package["outputs"]]
    assert [port["dtype"] for port in ports] == ["uint8", "uint8"]
    last = onnx.load(tmp_path / "part-3" / "model.onnx")
    assert last.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8


def test_ends_that_no_pair_quantises_stay_as_they_are() -> None:
    model = models.mlp()
    result = RealEnds()(model)
    assert not result.changed
    assert result.model == model
