"""The real OpenVINO made to say that its CPU device is a GPU of Intel: a stand-in.

What is computed is right; how long it takes says nothing of a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Memory = Literal["there", "missing", "full", "closed", "another"]
"""Of the pretended GPU: it is there, has no context, no room, nothing for callers, or zeros."""


class Context:
    """Stands in for a GPU's memory: tensors of the host."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.made: list[Any] = []

    def create_tensor(self, kind: Any, shape: Any, properties: dict[str, str]) -> Any:
        import openvino as ov  # only where it is installed

        class Unwritten(ov.Tensor):
            def copy_from(self, source: Any) -> None:
                self.data[:] = 0.0

        assert not properties
        if self._memory == "full":
            raise RuntimeError("[GPU] CL_MEM_OBJECT_ALLOCATION_FAILURE")
        if self._memory == "closed":
            raise RuntimeError("[GPU] Remote tensors are not supported")
        make = Unwritten if self._memory == "another" else ov.Tensor
        self.made.append(make(kind, shape))
        return self.made[-1]


class CompiledModel:
    """A model compiled for the processor, which says that it is on other devices."""

    def __init__(self, real: Any, devices: Sequence[str]) -> None:
        self._real = real
        self._devices = list(devices)

    def get_property(self, name: str) -> Any:
        if name == "EXECUTION_DEVICES":
            return self._devices
        return self._real.get_property(name)

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
