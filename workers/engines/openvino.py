"""OpenVINO by its own package: it reads ONNX files and runs on processors of Intel, AMD and ARM.

OpenVINO chooses the arithmetic of each operator itself: a hint is no order. Here what every
operator got is read from the runtime model, and a session in another precision is refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov

from farm.session.spec import OpenVinoSpec
from workers.engines.session import Array, EngineError, Feeds, NotAsPlannedError, Session, compact

_FLOATS = frozenset({"f32", "bf16", "f16", "f64"})
_INTEGERS = frozenset({"i8", "u8"})
# What has weights or multiplies matrices: only these have kernels of every precision.
_ARITHMETIC = frozenset(
    {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq",
     "RNNCell", "ScaledDotProductAttention"}
)  # fmt: skip
# Constants and conversions have the precision of what they convert; they compute nothing.
_NO_ARITHMETIC = frozenset(
    {"Input", "Output", "Const", "Convert", "Reorder", "Reshape", "FakeQuantize"}
)
_TOLD = ("layerType", "runtimePrecision", "originalLayersNames")
_NAMED = 5  # operators named in a message


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operator as OpenVINO runs it.

    precision: by OpenVINO's name. operators: names in the model of what it stands for.
    reads: names of the kernels whose results it reads.
    """

    name: str
    layer_type: str
    precision: str
    operators: tuple[str, ...]
    reads: tuple[str, ...] = ()


class _Caller(Session):
    """One request of a compiled model. Inputs are read where they lie, and not copied."""

    def __init__(self, compiled: ov.CompiledModel, tensors: Sequence[ov.Tensor] = ()) -> None:
        self._ports = [port.get_names() for port in compiled.inputs]
        self._request = compiled.create_infer_request()
        self._tensors = tensors

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        try:
            self._bind(self._bound(feeds))
            self._request.infer()
            return [np.array(tensor.data) for tensor in self._request.output_tensors]
        except Exception as error:  # noqa: BLE001  (its errors share no other base)
            raise EngineError(compact(error)) from None

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        self._tensors = self._bound(feeds)

    def timed(self, loops: int) -> int:
        """Run ``loops`` times; nanoseconds."""
        self._bind(self._tensors)
        infer = self._request.infer
        start = time.perf_counter_ns()
        for _ in range(loops):
            infer()
        return time.perf_counter_ns() - start

    def _bound(self, feeds: Feeds) -> list[ov.Tensor]:
        arrays = (next(feeds[name] for name in names if name in feeds) for names in self._ports)
        # Not ascontiguousarray, which makes a scalar into an array of one.
        return [ov.Tensor(np.asarray(a, order="C"), shared_memory=True) for a in arrays]

    def _bind(self, tensors: Sequence[ov.Tensor]) -> None:
        for index, tensor in enumerate(tensors):
            self._request.set_input_tensor(index, tensor)


class OpenVinoSession(_Caller):
    """A model compiled exactly as its spec says, or not at all.

    kernels: what runs, in this order.

    Raises EngineError when it cannot be compiled, NotAsPlannedError when operators compute in
    another precision than the one that was asked for.
    """

    def __init__(self, model: Path, spec: OpenVinoSpec) -> None:
        core = ov.Core()
        try:
            self._compiled = core.compile_model(core.read_model(model), spec.device, spec.config)
            super().__init__(self._compiled)
        except Exception as error:  # noqa: BLE001  (as above)
            raise EngineError(compact(error)) from None
        self.kernels = tuple(_kernels(self._compiled))
        _check_precision(self.kernels, spec)
        counts = Counter(k.precision for k in self.kernels if k.layer_type not in _NO_ARITHMETIC)
        self.assignment = {f"OpenVINO {spec.device} {name}": n for name, n in counts.items()}

    def counted(self) -> dict[str, float]:
        """Mean seconds of each kernel over all runs so far, if its config has PERF_COUNT."""
        told = self._request.profiling_info
        return {each.node_name: each.real_time.total_seconds() for each in told}

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        """Requests of one compiled model, which run at the same time if it has the streams."""
        yield [_Caller(self._compiled, self._tensors) for _ in range(count)]


def _kernels(compiled: ov.CompiledModel) -> Iterator[Kernel]:
    """The operators in the order in which they are executed."""
    for operator in compiled.get_runtime_model().get_ordered_ops():
        found = operator.get_rt_info()
        told = {name: _text(found[name]) for name in _TOLD if name in found}
        names = tuple(filter(None, told.get("originalLayersNames", "").split(",")))
        yield Kernel(
            operator.get_friendly_name(),
            told.get("layerType", ""),
            told.get("runtimePrecision", ""),
            names,
            tuple(i.get_node().get_friendly_name() for i in operator.input_values()),
        )


def _text(value: object) -> str:
    return str(getattr(value, "value", value))


def _check_precision(kernels: Sequence[Kernel], spec: OpenVinoSpec) -> None:
    """Raise NotAsPlannedError where operators compute in another precision than planned."""
    computing = [k for k in kernels if k.layer_type not in _NO_ARITHMETIC]
    heavy = [k for k in computing if k.layer_type in _ARITHMETIC]
    others = [k for k in computing if k.precision in _FLOATS - {spec.float_type, "f32"}]
    if spec.integers == "none":
        others += [k for k in heavy if k.precision in _INTEGERS]
    if others:
        raise NotAsPlannedError(
            f"OpenVINO computes {len(others)} of {len(computing)} operators in another precision "
            f"than {spec.float_type}: {_listed(others)}."
        )
    if spec.integers == "needed" and not any(k.precision in _INTEGERS for k in heavy):
        raise NotAsPlannedError(
            f"OpenVINO computes none of {len(computing)} operators in int8: {_listed(heavy)}."
        )
    if spec.float_type == "f32":
        return
    floats = [k for k in heavy if k.precision in _FLOATS] or computing
    if not any(k.precision == spec.float_type for k in floats):
        raise NotAsPlannedError(
            f"OpenVINO computes none of {len(floats)} operators in {spec.float_type}: "
            f"{_listed(floats)}."
        )


def _listed(kernels: Sequence[Kernel]) -> str:
    shown = [f"{k.layer_type} {k.name} in {k.precision}" for k in kernels[:_NAMED]]
    more = f" and {len(kernels) - _NAMED} more" if len(kernels) > _NAMED else ""
    return ", ".join(shown) + more
