"""Compiles a model that is cut into parts: a folder with one artifact in it for each part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from farm.artifact.engines import c_compiler
from farm.artifact.folder import PIPELINE_FILE, ArtifactManifest, write_record
from farm.artifact.write import write_model
from farm.candidate import CPackage, OnnxRuntimeCpu, PackageEngine, Pipeline, PipelinePart
from farm.codegen import generate
from farm.codegen.build.compilers import Target
from farm.codegen.build.toolchain import build_shared
from farm.codegen.package.compiled import compile_package
from farm.codegen.package.record import SHARED_FILE
from farm.codegen.package.write import LIBRARY_FILE
from farm.codegen.program import PortType
from farm.compile.cut import cut, has_fixed_shape
from farm.compile.formats.real_ends import RealEnds
from farm.compile.optimize import SaveOptimised
from farm.compile.passes import Compiled
from farm.errors import CompileError
from farm.model.ends import graph_inputs
from farm.session.pipeline import PartRecord, PipelineRecord, TensorRecord
from farm.units import Bytes


def compile_parts(
    whole: Compiled,
    earlier: Sequence[onnx.ModelProto],
    engine: Pipeline,
    title: str,
    folder: Path,
) -> ArtifactManifest:
    """Write the artifacts of all parts into an existing, empty folder.

    whole: the graph in the candidate's precision. earlier: what it was made from, the model that
    parts name operators of first. title: what the model is, for generated code.

    Raises CompileError: see ``cut``; an engine does not compile its part.
    """
    given, pieces = earlier[0], cut(whole.model, engine.parts, *earlier)
    found = [
        _compile_part(piece, part, f"{title}, {part.place}", folder / _folder_name(index))
        for index, (piece, part) in enumerate(zip(pieces, engine.parts, strict=True))
    ]
    (folder / PIPELINE_FILE).write_text(_record(given, engine, pieces).to_json(), "utf-8")
    digest = hashlib.sha256("".join(each.sha256 for each in found).encode()).hexdigest()
    notes = (*whole.notes, *dict.fromkeys(note for each in found for note in each.notes))
    size = Bytes(sum(each.size for each in found))
    manifest = ArtifactManifest(digest, size, (*whole.passes, "cut"), notes)
    write_record(manifest, folder)
    return manifest


def _folder_name(index: int) -> str:
    return f"part-{index + 1}"


def _compile_part(
    piece: onnx.ModelProto, part: PipelinePart, title: str, folder: Path
) -> ArtifactManifest:
    folder.mkdir()
    match part.engine:
        case OnnxRuntimeCpu(saved_graph=True) as engine:
            saved = SaveOptimised(engine.graph_level, engine.disabled_optimizers)
            return write_model(Compiled(piece).then(saved), folder)
        case engine if isinstance(engine, PackageEngine):
            return _compile_package(piece, part, engine, title, folder)
        case _:
            return write_model(Compiled(piece), folder)


def _compile_package(
    piece: onnx.ModelProto, part: PipelinePart, engine: PackageEngine, title: str, folder: Path
) -> ArtifactManifest:
    """Of float32, or of the integers that the sub-model has, at its ends, too."""
    real = RealEnds()(piece)
    ports = {
        before.name: PortType(_tensor(before).dtype)
        for before, after in zip(_ends(piece), _ends(real.model), strict=True)
        if before != after
    }
    try:
        generate.check_inputs(real.model)
        generation = generate.generate(real.model, title, ports=ports)
    except CompileError as error:
        raise CompileError(f"The part at {part.place} cannot be packaged: {error}") from None
    compiler, target = c_compiler(engine), Target(engine.target)
    compiled = compile_package(folder, generation, target, compiler)
    if isinstance(engine, CPackage):
        build_shared(folder / LIBRARY_FILE, folder / SHARED_FILE, target, compiler)
    manifest = ArtifactManifest(
        compiled.sha256, compiled.flash_bytes, ("generate",), compiled.notes
    )
    write_record(manifest, folder)
    return manifest


def _ends(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [*model.graph.input, *model.graph.output]


def _record(
    given: onnx.ModelProto, engine: Pipeline, pieces: Sequence[onnx.ModelProto]
) -> PipelineRecord:
    """What the parts read and write; the caller's ends are those of the model as it was given."""
    ends = [value for piece in pieces for value in _ends(piece)]
    tensors = {value.name: _tensor(value) for value in (*graph_inputs(given), *ends)}
    return PipelineRecord(
        tuple(tensors.values()),
        tuple(value.name for value in graph_inputs(given)),
        tuple(value.name for value in given.graph.output),
        tuple(
            PartRecord(
                part.place,
                _folder_name(index),
                tuple(value.name for value in piece.graph.input),
                tuple(value.name for value in piece.graph.output),
                any(_quantised_weights(piece.graph)),
                len(piece.graph.node),
            )
            for index, (part, piece) in enumerate(zip(engine.parts, pieces, strict=True))
        ),
    )


def _tensor(value: onnx.ValueInfoProto) -> TensorRecord:
    kind = value.type.tensor_type
    dtype = tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = tuple(d.dim_value for d in kind.shape.dim)
    return TensorRecord(value.name, dtype, shape if has_fixed_shape(value) else None)


def _quantised_weights(graph: onnx.GraphProto) -> Iterator[str]:
    """Weights, not biases or scales, that are stored as integers and read as real numbers."""
    flat = {t.name for t in graph.initializer if len(t.dims) > 1}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in flat:
            yield node.input[0]
