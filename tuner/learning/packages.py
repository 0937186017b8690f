"""What packages of a model hold in memory: planned before anything is compiled or calibrated."""

from __future__ import annotations

from onnx import ModelProto

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, PackageEngine, StaticInt8
from farm.codegen import generate
from farm.compile.quantization.calibrate import Range
from farm.errors import FarmError
from farm.units import Bytes
from tuner.learning.values import Subject


class PlannedPackages:
    """Weights, arena and scratch memory of the packages of one model.

    The generator lowers and places the model as it does for a package; of integers it is told
    ranges that are no one's, which decide no size but where a tensor's own ranges would keep it
    in float.
    """

    def __init__(self, sha256: str, model: ModelProto) -> None:
        self._sha256 = sha256
        self._compiler = Compiler(model, ())
        self._found: dict[tuple[str, ...] | None, Bytes | None] = {}

    def __call__(self, subject: Subject, candidate: Candidate) -> Bytes | None:
        """Bytes of a candidate's package; None where it is none, or cannot be made."""
        if subject.sha256 != self._sha256 or not isinstance(candidate.engine, PackageEngine):
            return None
        match candidate.precision.quantization:
            case None:
                kept = None
            case StaticInt8(keep_float=kept):
                pass
            case _:
                return None
        if kept not in self._found:
            self._found[kept] = self._planned(kept)
        return self._found[kept]

    def _planned(self, kept: tuple[str, ...] | None) -> Bytes | None:
        """Of integers, but for these operators; None of floats alone."""
        try:
            model = self._compiler.prepared().model
            ranges = None
            if kept is not None:
                ranges = dict.fromkeys(generate.tensors_to_calibrate(model), Range(-1.0, 1.0))
            made = generate.generate(model, "planned", ranges, kept or ())
        except FarmError:
            return None
        storage = made.storage
        return Bytes(storage.arena_bytes + storage.scratch_bytes + made.generated.weight_bytes)
