"""Do outputs agree? What generated code answers, its numpy reference, and the model itself.

Values that are not finite agree with their like alone: NaN with NaN, infinity with infinity of
the same sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
import onnxruntime as ort

from farm.codegen.program import Array, Tensor
from farm.compile.formats.float32_inside import Float32Inside
from farm.compile.formats.raise_opset import RaiseOpset
from farm.compile.passes import Compiled, cpu_session, reported_as, session_options
from farm.compile.prepare import FreezeWeights, SupportedIr
from farm.errors import GeneratorFault
from workers.engines.session import Feeds

Arrays = tuple[Array, ...]
"""The outputs of one run, in the program's order."""

# Where floats become integers again, one that is rounded the other way is a whole step off.
_MOST_NOISE = 0.05
_SILENCE = 1e-12

MOST_COMPARED = 32
"""Samples on which code in float32 is compared with its model."""
_MOST_DIFFERENCE = 1e-4  # of an output's range, in float32
_MOST_ROUNDING = 64 * float(np.finfo(np.float32).eps)  # of an output's largest value
_LAST_DIGITS = 2.0**-21  # of an input, a few of its last bits
_MARGIN = 4.0  # between two ways of rounding


def require_equal(ours: Sequence[Arrays], theirs: Sequence[Arrays], what: str) -> None:
    """Raise GeneratorFault where outputs differ in a single bit. what: the two, for messages."""
    for number, (one, two) in enumerate(zip(ours, theirs, strict=True)):
        for output, (left, right) in enumerate(zip(one, two, strict=True)):
            if bits(left) != bits(right):
                raise fault(f"{what} differ in output {output} of test vector {number}")


def require_near(ours: Sequence[Arrays], theirs: Sequence[Arrays], what: str) -> None:
    """Of each output, over all vectors: the noise must be small beside the signal."""
    for output in range(len(theirs[0])):
        told, wanted = _flat(ours, output), _flat(theirs, output)
        unlike = int(_unlike(told, wanted).sum())
        if unlike:
            raise fault(
                f"{what} differ in output {output}: {unlike} of {wanted.size} elements are NaN "
                "or infinite in one alone"
            )
        finite = np.isfinite(wanted)
        noise = float(np.linalg.norm(told[finite] - wanted[finite]))
        share = noise / max(float(np.linalg.norm(wanted[finite])), _SILENCE)
        if share > _MOST_NOISE:
            raise fault(f"{what} differ in output {output} by {share:.1%} of its size")


def require_faithful(
    model: onnx.ModelProto,
    outputs: Sequence[Tensor],
    samples: Sequence[Feeds],
    answers: Sequence[Arrays],
) -> None:
    """Raise GeneratorFault where code in float32 does not compute what its model does.

    A difference may be 1e-4 of an output's range over all samples, what rounding makes of its
    largest values, or as large as what the model itself makes of inputs that differ in their last
    digits: some models amplify these.

    model: as the user gave it; ONNX Runtime runs it without optimising. outputs: of the program.
    answers: of the code, one per sample. Raises CompileError when the model cannot be run.
    """
    run = _runner(model)
    wanted = [run(sample) for sample in samples]
    moved: list[Arrays] = []
    for position, tensor in enumerate(outputs):
        shapes = {each[position].shape for each in wanted}
        if shapes != {tensor.shape}:
            told, found = list(tensor.shape), " or ".join(str(list(s)) for s in sorted(shapes))
            raise fault(f"Output {tensor.label!r} has the shape {told}, and the model's {found}")
        if _faithful(_flat(answers, position), _flat(wanted, position)):
            continue
        moved = moved or [run(_moved(sample)) for sample in samples]
        _require_amplified(tensor, *(_flat(rows, position) for rows in (answers, wanted, moved)))


def fault(what: str) -> GeneratorFault:
    """The error of generated code that does not compute what it should."""
    return GeneratorFault(f"{what}; this is a fault of the code generator or of the compiler.")


def _faithful(told: Array, wanted: Array) -> bool:
    return not _unlike(told, wanted).any() and _difference(told, wanted) <= _rounding(wanted)


def _require_amplified(tensor: Tensor, told: Array, wanted: Array, moved: Array) -> None:
    """Raise GeneratorFault unless the model itself is as far from its result for moved inputs."""
    unlike = int((_unlike(told, wanted) & ~_unlike(moved, wanted)).sum())
    name = f"Output {tensor.label!r} of the float32 package"
    if unlike:
        raise fault(f"{name} has {unlike} of {wanted.size} elements that only here are not finite")
    difference = _difference(told, wanted)
    if difference > max(_rounding(wanted), _MARGIN * _difference(moved, wanted)):
        span = _range(wanted)
        size = f"{difference / span:.2g} of its range" if span else f"{difference:.2g}"
        raise fault(f"{name} differs from the model's own by {size}")


def _rounding(wanted: Array) -> float:
    largest = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
    return max(_MOST_DIFFERENCE * _range(wanted), _MOST_ROUNDING * largest)


def _range(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if finite.size else 0.0


def _difference(told: Array, wanted: Array) -> float:
    finite = np.isfinite(told) & np.isfinite(wanted)
    return float(np.abs(told[finite] - wanted[finite]).max(initial=0.0))


def _unlike(told: Array, wanted: Array) -> Array:
    """Where one value is not finite and the other is not the same."""
    finite = np.isfinite(told) & np.isfinite(wanted)
    same = (told == wanted) | (np.isnan(told) & np.isnan(wanted))
    unlike: Array = ~finite & ~same
    return unlike


def _flat(rows: Sequence[Arrays], output: int) -> Array:
    """All values of an output, in double precision."""
    return np.concatenate([row[output].ravel() for row in rows]).astype(np.float64)


def bits(array: Array) -> bytes:
    """An array's bytes; NaN is the same whatever its bits are: processors make others."""
    if array.dtype.kind != "f":
        return array.tobytes()
    return np.where(np.isnan(array), np.float32(np.nan), array).tobytes()


def _runner(model: onnx.ModelProto) -> Callable[[Feeds], Arrays]:
    """What runs a model as it is."""
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with reported_as("run the model"):
        session = cpu_session(_in_float32(model), options)

    def run(sample: Feeds) -> Arrays:
        with reported_as("run the model"):
            return tuple(session.run(None, dict(sample)))

    return run


def _in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as it is, but for 16-bit floats: code in float32 is not to round as they do."""
    widened = Compiled(model).then(SupportedIr(), FreezeWeights(), RaiseOpset(), Float32Inside())
    if Float32Inside.name in widened.passes:
        return widened.model
    return Compiled(model).then(SupportedIr()).model


def _moved(sample: Feeds) -> dict[str, Array]:
    """Inputs that are others in their last digits."""
    random = np.random.default_rng(0)
    return dict(_with_noise(sample, random))


def _with_noise(sample: Feeds, random: np.random.Generator) -> Iterator[tuple[str, Array]]:
    for name, array in sample.items():
        if array.dtype.kind != "f":
            yield name, array
            continue
        factors = 1 + _LAST_DIGITS * random.choice([-1.0, 1.0], np.shape(array))
        yield name, (array * factors).astype(np.float32)
