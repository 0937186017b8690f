"""ONNX Runtime on a GPU by WebGPU: inputs and outputs stay where the session has them.

Python cannot make a value in WebGPU's memory (ONNX Runtime 1.27). But an input is copied there
when it is bound, and not when it runs, and an output may be left there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime as ort

from farm.session.spec import SessionSpec
from workers.engines.onnxruntime.on_device import Binding, OnDeviceSession, whole
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.session import Array, Feeds

_MEMORY, _PREFIX = "webgpu", "WebGPU"  # as a binding calls it, and how the session's name begins


class WebGpuSession(OnDeviceSession):
    """A session created exactly as its spec says, or not at all; see ``OnnxRuntimeSession``.

    Nothing tells of the GPU's memory, energy or clock. One caller at a time: the provider's queue
    is one, and reading from it is not guarded against a run.
    """

    def __init__(self, model: Path, spec: SessionSpec, profiled: Path | None = None) -> None:
        super().__init__(model, spec, profiled)
        self._alone = threading.Lock()

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """See ``OnnxRuntimeSession``."""
        return OnnxRuntimeSession.bound(self, inputs, outputs)

    def _counters(self) -> None:
        return None

    def _bind(self, feeds: Feeds) -> Binding:  # noqa: ARG002  (put when it is known which)
        return _WhereTheyAre(self._session)


class _WhereTheyAre(Binding):
    """Inputs where the operators that read them run, outputs where those that compute them do.

    Operators on the CPU provider, among them those that compute shapes, have theirs in the host's
    memory: a copy to the GPU that nobody asked for would be timed otherwise.
    """

    def __init__(self, session: ort.InferenceSession) -> None:
        super().__init__(session)
        self._inputs = [each.name for each in session.get_inputs()]
        places = (each.name for each in session.get_output_memory_infos())
        self._outputs = {
            each.name: _MEMORY if place.startswith(_PREFIX) else "cpu"
            for each, place in zip(session.get_outputs(), places, strict=True)
        }

    def put(self, feeds: Feeds) -> None:
        for name in self._inputs:
            self._binding.bind_cpu_input(name, whole(feeds[name]))
        for name, memory in self._outputs.items():  # a size that was another one is forgotten
            self._binding.bind_output(name, memory, 0)

    def wait(self) -> None:
        """Read the smallest output of the GPU: it comes after all that was handed over before.

        ``synchronize_outputs`` returns at once whatever is still to be done. What the CPU provider
        computes has waited for the GPU already.
        """
        outputs = zip(self._outputs.values(), self._binding.get_outputs(), strict=True)
        there = [output for memory, output in outputs if memory == _MEMORY]
        if full := [output for output in there if output.tensor_size_in_bytes()]:
            min(full, key=ort.OrtValue.tensor_size_in_bytes).numpy()
