"""ONNX Runtime on a GPU: inputs and outputs stay in its memory while runs are timed.

CUDA and TensorRT; what is different by WebGPU is in ``workers.engines.onnxruntime.webgpu``.

A run whose data is in the host's memory spends much of its time on copies, which whoever has the
data on the GPU does not pay: both are told. Inputs and outputs keep their addresses, because a
recorded graph of CUDA reads and writes nothing but these.
"""

from __future__ import annotations

import copy
import importlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort

from farm.session.spec import TENSORRT_PROVIDER, SessionSpec
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.session import Array, EngineError, Feeds, Session, compact
from workers.nvidia.meter import GpuMeter
from workers.nvidia.nvml import NvmlError

_RECORDING = ("enable_cuda_graph", "trt_cuda_graph_enable")
_TYPES = {"float": "float32", "double": "float64"}  # ONNX Runtime's names where NumPy has others


class OnDeviceSession(OnnxRuntimeSession):
    """A session created exactly as its spec says, or not at all; see ``OnnxRuntimeSession``.

    What it needs was loaded by ``load_libraries``.

    Raises EngineError, too, where there is no GPU.
    """

    on_device = True

    def __init__(self, model: Path, spec: SessionSpec, profiled: Path | None = None) -> None:
        super().__init__(model, spec, profiled)
        self._memory = spec.memory
        is_recorded = any(spec.provider_options.get(name) == "1" for name in _RECORDING)
        self._alone = threading.Lock() if is_recorded else None
        self._binding: Binding | None = None
        self._holds_feeds = False  # those of the timed runs, and no other ones

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once, from and to the host's memory."""
        with _reported():
            binding = self._bound_to(feeds)
            self._holds_feeds = False
            binding.put(feeds)
            binding.run()
            return binding.take()

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        super().set_feeds(feeds)
        self._holds_feeds = False
        with _reported():
            self._ready()

    def timed(self, loops: int) -> int:
        """Run ``loops`` times in the GPU's memory, until it has done all of it; nanoseconds."""
        binding = self._ready()

        def runs() -> None:
            for _ in range(loops):
                binding.run()
            binding.wait()

        return self._time(runs)

    def with_transfers(self, loops: int) -> int:
        """As :meth:`timed`, with inputs from the host's memory and outputs that go there."""
        feeds, binding = self._feeds, self._bound_to(self._feeds)

        def runs() -> None:
            for _ in range(loops):
                binding.put(feeds)
                binding.run()
                binding.take()

        return self._time(runs)

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """What runs once from arrays into other ones, by way of the GPU's memory."""
        return Session.bound(self, inputs, outputs)

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        """As many with inputs of their own; what is recorded runs for one at a time."""
        if self._alone is not None:
            yield [self] * count
            return
        callers = [copy.copy(self) for _ in range(count)]
        for each in callers:
            each._binding = None  # noqa: SLF001  (its own kind)
            each.set_feeds(self._feeds)
        yield callers

    def _prepare(self, spec: SessionSpec) -> None:
        super()._prepare(spec)
        self.meter = self._counters()

    def _counters(self) -> GpuMeter | None:
        """Counters of the GPU. Raises EngineError."""
        try:
            return GpuMeter.visible()
        except NvmlError as error:
            raise EngineError(f"No NVIDIA GPU can be used: {error.reason}.") from None

    def _bind(self, feeds: Feeds) -> Binding:
        """What inputs and outputs of one caller are bound to."""
        return _InPlace(self._session, self._memory, feeds)

    def _ready(self) -> Binding:
        """The binding, with the input of the timed runs in it."""
        binding = self._bound_to(self._feeds)
        if not self._holds_feeds:
            binding.put(self._feeds)
            self._holds_feeds = True
        return binding

    def _bound_to(self, feeds: Feeds) -> Binding:
        """The binding of this session, made by the first feeds."""
        if self._binding is None:
            self._binding = self._bind(feeds)
        return self._binding

    def _time(self, runs: Callable[[], None]) -> int:
        """Waiting for another caller counts: it is what a caller waits."""
        start = time.perf_counter_ns()
        with self._alone or nullcontext():
            runs()
        return time.perf_counter_ns() - start


def load_libraries(spec: SessionSpec) -> None:
    """Load CUDA's and TensorRT's libraries from their Python packages, where these are there.

    ONNX Runtime itself looks for them where the system keeps libraries.
    """
    if hasattr(ort, "preload_dlls"):  # since 1.21
        ort.preload_dlls(directory="")
    if spec.provider == TENSORRT_PROVIDER:
        with suppress(ImportError):
            importlib.import_module("tensorrt_libs")


def one_after_the_other(spec: SessionSpec) -> SessionSpec:
    """The session with every kernel at its end before the next one is started.

    ONNX Runtime's profiler times the starting, which is the running then, with what it takes to
    start one kernel and to hear of its end. Kernels of a recorded graph are not started one by
    one, so that nothing is recorded. The variable: CUDA C++ Programming Guide, "Concurrent
    Execution between Host and Device". It holds for the whole process.
    """
    started = {k: v for k, v in spec.provider_options.items() if k not in _RECORDING}
    waiting = spec.variables | {"CUDA_LAUNCH_BLOCKING": "1"}
    return replace(spec, provider_options=started, variables=waiting)


class Binding(ABC):
    """Inputs and outputs of one caller, in the memory of a device."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._binding = session.io_binding()

    @abstractmethod
    def put(self, feeds: Feeds) -> None:
        """Copy inputs to the device."""

    def run(self) -> None:
        """Run once, or hand a run over to the device."""
        self._session.run_with_iobinding(self._binding)

    @abstractmethod
    def wait(self) -> None:
        """Until the device has done all that it was given."""

    def take(self) -> list[Array]:
        """The outputs, copied to the host."""
        return list(self._binding.copy_outputs_to_cpu())


class _InPlace(Binding):
    """Values whose addresses stay.

    Outputs whose size may vary have none: they are bound anew for every other input.
    """

    def __init__(self, session: ort.InferenceSession, memory: str, feeds: Feeds) -> None:
        super().__init__(session)
        self._memory = memory
        self._varying: list[str] = []
        self._inputs: Mapping[str, ort.OrtValue] = {
            each.name: ort.OrtValue.ortvalue_from_numpy(whole(feeds[each.name]), memory, 0)
            for each in session.get_inputs()
        }
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for output in session.get_outputs():
            if all(isinstance(size, int) for size in output.shape):
                dtype = np.dtype(_dtype(output.type))
                value = ort.OrtValue.ortvalue_from_shape_and_type(output.shape, dtype, memory, 0)
                self._binding.bind_ortvalue_output(output.name, value)
            else:
                self._varying.append(output.name)

    def put(self, feeds: Feeds) -> None:
        for name, value in self._inputs.items():
            value.update_inplace(whole(feeds[name]))
        for name in self._varying:
            self._binding.bind_output(name, self._memory, 0)

    def wait(self) -> None:
        self._binding.synchronize_outputs()


def _dtype(kind: str) -> str:
    """NumPy's name of ONNX Runtime's ``tensor(float)``."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return _TYPES.get(name, name)


def whole(array: Array) -> Array:
    """An array whose values lie one after the other."""
    return np.asarray(array, order="C")  # not ascontiguousarray, which gives a scalar a dimension


@contextmanager
def _reported() -> Iterator[None]:
    """Raise an engine's errors as EngineError."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (ORT's errors share no other base)
        raise EngineError(compact(error)) from None
