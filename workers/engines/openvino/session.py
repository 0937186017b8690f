"""OpenVINO by its own package: it reads ONNX files and runs on processors of Intel, AMD and ARM.

OpenVINO chooses the arithmetic of each operator itself: a hint is no order. Here what every
operator got is read from the runtime model, and a session in another precision is refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino as ov

from farm.session.openvino_precision import kernels_of, quantised_in, refusal
from farm.session.spec import OpenVinoSpec
from workers.engines.openvino.on_gpu import OnGpu
from workers.engines.session import (
    Array,
    EngineError,
    Feeds,
    NotAsPlannedError,
    Session,
    compact,
    memory_ran_out,
)

# A model that comes from a cache loads faster than where it is delivered. It is no part of the
# spec: without it nothing is kept, too, unless a later version of OpenVINO has another default.
_NOTHING_KEPT = {"CACHE_DIR": ""}


class _Caller(Session):
    """One request of a compiled model. Inputs are read where they lie, and not copied.

    context: of a GPU, in whose memory the data of timed runs is to stay.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        context: ov.RemoteContext | None = None,
        tensors: Sequence[ov.Tensor] = (),
    ) -> None:
        self._compiled, self._context, self._tensors = compiled, context, tensors
        self._ports = [port.get_names() for port in compiled.inputs]
        self._request = compiled.create_infer_request()
        self._there: OnGpu | None = None

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        try:
            return self._outputs(self._bound(feeds))
        except Exception as error:  # noqa: BLE001  (its errors share no other base)
            raise EngineError(compact(error)) from None

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        self._tensors, self._there = self._bound(feeds), None

    def timed(self, loops: int) -> int:
        """Run ``loops`` times; nanoseconds."""
        if self._context is not None and self._there is None:
            self._stay(self._context)
        if self._there is None:
            return self.with_transfers(loops)
        return _timed(self._there.infer, loops)

    def with_transfers(self, loops: int) -> int:
        """As :meth:`timed`, from and to the host's memory."""
        self._bind(self._tensors)
        return _timed(self._request.infer, loops)

    def _stay(self, context: ov.RemoteContext) -> None:
        """Put the data of timed runs into the GPU's memory, if the same comes of it there.

        Raises EngineError: there is no room, which may be otherwise in the next process.
        """
        try:
            there = OnGpu(self._compiled, context, self._tensors)
            there.check(self._outputs(self._tensors))
        except Exception as error:  # noqa: BLE001  (as above)
            if memory_ran_out(error):
                raise EngineError(compact(error)) from None
            self._context, self.kept_off = None, compact(error)
        else:
            self._there = there
        self.on_device = self._there is not None

    def _outputs(self, tensors: Sequence[ov.Tensor]) -> list[Array]:
        self._bind(tensors)
        self._request.infer()
        return [np.array(tensor.data) for tensor in self._request.output_tensors]

    def _bound(self, feeds: Feeds) -> list[ov.Tensor]:
        arrays = (next(feeds[name] for name in names if name in feeds) for names in self._ports)
        # Not ascontiguousarray, which makes a scalar into an array of one.
        return [ov.Tensor(np.asarray(a, order="C"), shared_memory=True) for a in arrays]

    def _bind(self, tensors: Sequence[ov.Tensor]) -> None:
        for index, tensor in enumerate(tensors):
            self._request.set_input_tensor(index, tensor)


class OpenVinoSession(_Caller):
    """A model compiled exactly as its spec says, or not at all.

    stays: whether the data of timed runs is to stay in the memory of a GPU. kernels: what runs, in
    this order.

    Raises EngineError when it cannot be compiled, NotAsPlannedError when operators compute on
    another device, or in another precision, than those that were asked for.
    """

    def __init__(self, model: Path, spec: OpenVinoSpec, *, stays: bool = True) -> None:
        core = ov.Core()
        try:
            read = core.read_model(model)
            super().__init__(core.compile_model(read, spec.device, spec.config | _NOTHING_KEPT))
        except Exception as error:  # noqa: BLE001  (as above)
            raise EngineError(compact(error)) from None
        _check_devices(spec.device, self._compiled.get_property("EXECUTION_DEVICES"))
        self.kernels = kernels_of(self._compiled)
        if reason := refusal(self.kernels, spec.float_type, spec.integers, quantised_in(read)):
            raise NotAsPlannedError(reason)
        if stays and spec.device.startswith("GPU"):
            self._open(core, spec.device)
        counts = Counter(kernel.precision for kernel in self.kernels if kernel.computes)
        self.assignment = {f"OpenVINO {spec.device} {name}": n for name, n in counts.items()}

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """What runs once from arrays into other ones, in a request of its own, without copies.

        Raises EngineError.
        """
        try:
            request = self._compiled.create_infer_request()
            for index, tensor in enumerate(self._bound(inputs)):
                request.set_input_tensor(index, tensor)
            for index, array in enumerate(outputs):
                request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        except Exception as error:  # noqa: BLE001  (as above)
            raise EngineError(compact(error)) from None

        def once(_kept: object = (self, inputs, outputs)) -> None:  # the arrays must live as long
            try:
                request.infer(share_outputs=True)
            except Exception as error:  # noqa: BLE001  (as above)
                raise EngineError(compact(error)) from None

        return once

    def counted(self) -> dict[str, float]:
        """Mean seconds of each kernel over all runs so far, if its config has PERF_COUNT."""
        told = self._request.profiling_info
        return {each.node_name: each.real_time.total_seconds() for each in told}

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        """Requests of one compiled model, which run at the same time if it has the streams.

        Raises EngineError: the GPU has no room for the data of all.
        """
        callers = [_Caller(self._compiled, self._context, self._tensors) for _ in range(count)]
        for each in callers if self.on_device else ():
            each.timed(1)  # its data is put there
        yield callers

    def _open(self, core: ov.Core, device: str) -> None:
        """Find the memory of the GPU that the model was compiled for."""
        try:
            self._context = core.get_default_context(device)
        except Exception as error:  # noqa: BLE001  (as above)
            self.kept_off = compact(error)


def _timed(infer: Callable[[], object], loops: int) -> int:
    start = time.perf_counter_ns()
    for _ in range(loops):
        infer()
    return time.perf_counter_ns() - start


def _check_devices(wanted: str, told: Sequence[str]) -> None:
    """Raise NotAsPlannedError where a model was compiled for other devices than one.

    The first GPU is called ``GPU`` or ``GPU.0``, which is the same.
    """
    if {name.removesuffix(".0") for name in told} != {wanted.removesuffix(".0")}:
        raise NotAsPlannedError(
            f"OpenVINO compiled it for {', '.join(told) or 'no device'}, and not for {wanted}."
        )
