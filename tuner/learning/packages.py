"""What packages of a model hold in memory: planned before anything is compiled or calibrated."""

from __future__ import annotations

from onnx import ModelProto

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, PackageEngine, Precision, StaticInt8
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
        self._found: dict[Precision, Bytes | None] = {}

    def __call__(self, subject: Subject, candidate: Candidate) -> Bytes | None:
        """Bytes of a candidate's package; None where it is none, or cannot be made."""
        if subject.sha256 != self._sha256 or not isinstance(candidate.engine, PackageEngine):
            return None
        precision = candidate.precision
        if precision not in self._found:
            self._found[precision] = self._planned(precision)
        return self._found[precision]

    def _planned(self, precision: Precision) -> Bytes | None:
        choice = precision.quantization
        if choice is not None and not isinstance(choice, StaticInt8):
            return None
        try:
            model = self._compiler.prepared().model
            ranges = kept = None
            if isinstance(choice, StaticInt8):
                names = generate.tensors_to_calibrate(model)
                ranges, kept = dict.fromkeys(names, Range(-1.0, 1.0)), choice.keep_float
            made = generate.generate(model, "planned", ranges, kept or ())
        except FarmError:
            return None
        storage = made.storage
        return Bytes(storage.arena_bytes + storage.scratch_bytes + made.generated.weight_bytes)
