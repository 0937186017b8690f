"""Compiles a candidate into an artifact: a folder with ``model.onnx`` and its record.

A candidate for a package engine becomes generated C and programs instead, see
``farm.artifact.packages``; a pipeline a folder of artifacts, see ``farm.artifact.parts``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from farm.artifact.folder import ArtifactManifest
from farm.artifact.graphs import Graphs, graph_title
from farm.artifact.write import write_model
from farm.candidate import Candidate, PackageEngine, Pipeline
from farm.codegen.program import DEFAULT_NAME, PortType
from farm.compile.operators import Operator, Quantization, quantizable
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import Feeds
from farm.units import Bytes

if TYPE_CHECKING:
    from farm.artifact.packages import Packages
    from farm.codegen.generate import Generation


class Compiler(Graphs):
    """Compiles many candidates of one model; what they have in common is done once.

    model, calibration: see ``Graphs``. package_name: of packages; see ``farm.codegen.emit``.
    ports: what quantised inputs and outputs of packages are for their callers.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        calibration: Sequence[Feeds],
        package_name: str = DEFAULT_NAME,
        ports: PortType = PortType.FLOAT32,
    ) -> None:
        super().__init__(model, calibration)
        self._package_name = package_name
        self._ports = ports

    def compile(self, candidate: Candidate, folder: Path) -> ArtifactManifest:
        """Write the artifact of a candidate into an existing, empty folder.

        Raises CompileError: the candidate does not fit the model.
        """
        if isinstance(candidate.engine, PackageEngine):
            return self._packages.compile(candidate, candidate.engine, folder)
        if isinstance(candidate.engine, Pipeline):
            from farm.artifact.parts import compile_parts  # noqa: PLC0415  (as below)

            whole, title = self.graph(candidate), graph_title(self.model, candidate)
            return compile_parts(whole, self.sources, candidate.engine, title, folder)
        return write_model(self.graph(candidate), folder)

    def generation(self, candidate: Candidate) -> Generation:
        """The generated code of a candidate for a package engine; the last one is remembered.

        Raises CompileError.
        """
        return self._packages.generation(candidate)

    def expected_bytes(self, candidate: Candidate) -> Bytes:
        """About what a package needs; see ``Packages.expected_bytes``. Raises CompileError."""
        return self._packages.expected_bytes(candidate)

    @cached_property
    def _packages(self) -> Packages:
        from farm.artifact.packages import Packages  # noqa: PLC0415  (loads the code generator)

        return Packages(self, self._package_name, self._ports)


def compile_candidate(
    model: onnx.ModelProto, candidate: Candidate, calibration: Sequence[Feeds], folder: Path
) -> ArtifactManifest:
    """Compile one candidate; see ``Compiler``. Raises CompileError."""
    return Compiler(model, calibration).compile(candidate, folder)


def quantizable_operators(model: onnx.ModelProto, kind: Quantization) -> tuple[Operator, ...]:
    """The operators of the user's graph that a kind of quantisation applies to, in graph order.

    Their names are what ``keep_float`` takes. Raises CompileError.
    """
    return quantizable(prepare(model).model, kind)
