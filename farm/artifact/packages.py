"""Packages of a model: code that is generated for a candidate, and programs that run it.

See ``farm.codegen.package.compiled``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from farm.artifact.engines import c_compiler
from farm.artifact.folder import ArtifactManifest, write_record
from farm.artifact.graphs import Graphs, graph_title
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    FloatType,
    PackageEngine,
    Precision,
    StaticInt8,
)
from farm.codegen import generate
from farm.codegen.build.compilers import Target
from farm.codegen.generate import Generation
from farm.codegen.package.compiled import compile_package
from farm.codegen.program import PortType
from farm.compile.quantization.calibrate import Calibration, Range
from farm.errors import CompileError
from farm.model.formats import has_qdq
from farm.units import Bytes


class Packages:
    """Packages of one model.

    graphs: of the model. name: see ``farm.codegen.emit``. ports: what quantised inputs and
    outputs are for callers.
    """

    def __init__(self, graphs: Graphs, name: str, ports: PortType) -> None:
        self._graphs = graphs
        self._name = name
        self._ports = ports
        self._ranges: dict[CalibrationMethod, Calibration] = {}
        self._generated: tuple[Precision, Generation] | None = None

    def compile(
        self, candidate: Candidate, engine: PackageEngine, folder: Path
    ) -> ArtifactManifest:
        """Write a candidate's artifact into an existing, empty folder. Raises CompileError."""
        generation, prepared = self.generation(candidate), self._graphs.prepared()
        target = Target(engine.target)
        compiled = compile_package(folder, generation, target, c_compiler(engine))
        notes = (*prepared.notes, *compiled.notes)
        passes = (*prepared.passes, "generate")
        manifest = ArtifactManifest(compiled.sha256, compiled.flash_bytes, passes, notes)
        write_record(manifest, folder)
        return manifest

    def generation(self, candidate: Candidate) -> Generation:
        """The generated code of a candidate for a package engine; the last one is remembered.

        Raises CompileError.
        """
        if self._generated is None or self._generated[0] != candidate.precision:
            self._generated = candidate.precision, self._generate(candidate)
        return self._generated[1]

    def _generate(self, candidate: Candidate) -> Generation:
        generate.check_inputs(self._graphs.model)
        prepared = self._graphs.prepared().model
        title, name, ports = graph_title(prepared, candidate), self._name, self._ports
        match candidate.precision:
            case Precision(quantization=None, float_type=FloatType.FLOAT32):
                return generate.generate(prepared, title, name=name, ports=ports)
            case Precision(quantization=StaticInt8(per_channel=True, products=False) as choice):
                if has_qdq(prepared):
                    generate.placed(prepared)  # what cannot be packaged at all is told as that
                    raise CompileError(
                        "The model came quantised, and a package keeps the integers that it came "
                        "with: ask for no other precision."
                    )
                _check_names(prepared, choice.keep_float)
                ranges = self._calibrated(choice.calibration)
                kept, model = choice.keep_float, self._graphs.corrected(choice).model
                return generate.generate(model, title, ranges.ranges, kept, name, ports)
            case precision:
                raise CompileError(
                    "A package computes in float32 or in static int8 per channel, and not in "
                    f"{precision.label()}."
                )

    def expected_bytes(self, candidate: Candidate) -> Bytes:
        """About what a package's arena and scratch memory need, without calibration data.

        A tensor takes one byte or four per value, and with ranges that are not known yet some
        take the other one: what is needed in the end is a quarter of it or more.

        Raises CompileError.
        """
        generate.check_inputs(self._graphs.model)
        prepared, choice = self._graphs.prepared().model, candidate.precision.quantization
        if isinstance(choice, StaticInt8):
            tensors = generate.tensors_to_calibrate(prepared)
            ranges = dict.fromkeys(tensors, Range(-1.0, 1.0))
            _, storage = generate.placed(prepared, ranges, choice.keep_float, self._ports)
        else:
            _, storage = generate.placed(prepared, ports=self._ports)
        return Bytes(storage.arena_bytes + storage.scratch_bytes)

    def _calibrated(self, method: CalibrationMethod) -> Calibration:
        if method not in self._ranges:
            tensors = generate.tensors_to_calibrate(self._graphs.prepared().model)
            self._ranges[method] = self._graphs.ranges(tensors, method)
        return self._ranges[method]


def _check_names(model: onnx.ModelProto, keep_float: Sequence[str]) -> None:
    """Raise CompileError for operators that are to stay in float and do not exist."""
    names = [node.name for node in model.graph.node]
    if unknown := sorted(set(keep_float) - set(names)):
        raise CompileError(
            f"Cannot keep {', '.join(map(repr, unknown))} in float: there is no operator of that "
            f"name. There are: {', '.join(names)}."
        )
