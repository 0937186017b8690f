"""The real OpenVINO made to say that its CPU device is a GPU of Intel: a stand-in.

What is computed is right; how long it takes says nothing of a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Memory = Literal["there", "missing", "full", "closed", "another"]
"""Of the pretended GPU: it is there, has no context, no room, nothing for callers, or zeros."""


class RemoteTensor:
    """Stands in for OpenVINO's: what is in it is copied to and fro, and not to be read there.

    held: a tensor of the host, which stands in for the GPU's memory.
    """

    def __init__(self, held: Any, *, is_written: bool) -> None:
        self.held = held
        self._is_written = is_written

    @property
    def data(self) -> Any:
        raise RuntimeError("Not Implemented")

    def copy_from(self, source: Any) -> None:
        if self._is_written:
            self.held.copy_from(source)
        else:
            self.held.data[:] = 0.0

    def copy_to(self, target: Any) -> None:
        self.held.copy_to(target)


class Context:
    """Stands in for the context of a GPU, which has its memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.made: list[RemoteTensor] = []

    def create_tensor(self, kind: Any, shape: Any, properties: dict[str, str]) -> RemoteTensor:
        import openvino as ov  # only where it is installed

        assert not properties
        if self._memory == "full":
            raise RuntimeError("[GPU] CL_MEM_OBJECT_ALLOCATION_FAILURE")
        if self._memory == "closed":
            raise RuntimeError("[GPU] Remote tensors are not supported")
        held = ov.Tensor(kind, shape)
        self.made.append(RemoteTensor(held, is_written=self._memory != "another"))
        return self.made[-1]


class Request:
    """A request for the processor that takes tensors of the pretended GPU's memory, too."""

    def __init__(self, real: Any, outputs: Sequence[Any]) -> None:
        self._real = real
        self._outputs = {port.get_any_name() for port in outputs}
        self._there: list[RemoteTensor] = []

    def set_tensor(self, name: str, tensor: RemoteTensor) -> None:
        self._real.set_tensor(name, tensor.held)
        if name in self._outputs:
            self._there.append(tensor)

    def infer(self, **how: Any) -> Any:
        """As OpenVINO's, it makes arrays of all outputs in the end."""
        found = self._real.infer(**how)
        return [tensor.data for tensor in self._there] or found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class CompiledModel:
    """A model compiled for the processor, which says that it is on other devices."""

    def __init__(self, real: Any, devices: Sequence[str]) -> None:
        self._real = real
        self._devices = list(devices)

    def get_property(self, name: str) -> Any:
        if name == "EXECUTION_DEVICES":
            return self._devices
        return self._real.get_property(name)

    def create_infer_request(self) -> Request:
        return Request(self._real.create_infer_request(), self._real.outputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def pretend(
    real: type, gpus: Sequence[str], says: Sequence[str] = (), memory: Memory = "there"
) -> type:
    """A ``Core`` that has these GPUs. says: where it says that models are, if not where asked."""

    class Core:
        context = Context(memory)

        def __init__(self) -> None:
            self._core = real()
            self.available_devices = ["CPU", *gpus]

        def read_model(self, path: Any) -> Any:
            return self._core.read_model(path)

        def compile_model(self, model: Any, device: str, config: dict[str, str]) -> Any:
            known = {*gpus, "GPU"} if gpus else set()
            if device not in known:
                raise RuntimeError(f"Device with {device!r} name is not registered")
            compiled = self._core.compile_model(model, "CPU", config)
            first = gpus[0] if device == "GPU" else device
            return CompiledModel(compiled, says or [first])

        def get_default_context(self, device: str) -> Context:
            if memory == "missing":
                raise RuntimeError(f"[GPU] Context was not initialized for {device} device")
            return self.context

    return Core
