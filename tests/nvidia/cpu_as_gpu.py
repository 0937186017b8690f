"""The real ONNX Runtime made to say that its CPU provider is one of NVIDIA's: a stand-in.

Variables of the environment say what goes wrong: FARM_STAND_IN_REFUSES names operators that the
pretended provider leaves to the CPU, ``*`` all of them, as where it did not start;
FARM_STAND_IN_FAILS is what every run on it fails with.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

PRETENDED = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
REFUSES, FAILS = "FARM_STAND_IN_REFUSES", "FARM_STAND_IN_FAILS"
_CPU = "CPUExecutionProvider"


def pretend(ort: Any, put: Callable[[Any, str, Any], None]) -> None:
    """Change the module. put: sets an attribute, as ``setattr`` does."""
    put(ort, "InferenceSession", _session_class(ort.InferenceSession))
    put(ort, "SessionOptions", _options_class(ort.SessionOptions))
    put(ort, "get_available_providers", lambda: [*PRETENDED, _CPU])
    put(ort, "preload_dlls", lambda directory=None: None)
    put(ort.OrtValue, "ortvalue_from_numpy", _copied(ort.OrtValue.ortvalue_from_numpy))
    made = ort.OrtValue.ortvalue_from_shape_and_type
    put(
        ort.OrtValue,
        "ortvalue_from_shape_and_type",
        lambda shape, kind, device, number: made(shape, kind, _known(device), 0),
    )
    bind = ort.IOBinding.bind_output
    put(
        ort.IOBinding,
        "bind_output",
        lambda self, name, device="cpu", number=0, *more: bind(
            self, name, _known(device), 0, *more
        ),
    )


def _copied(real: Callable[..., Any]) -> Callable[..., Any]:
    """On a device of its own a value is a copy; the CPU's shares the array."""
    return lambda array, device="cpu", number=0: real(np.array(array), _known(device), 0)


def _known(device: str) -> str:
    assert device in ("cpu", "cuda")
    return "cpu"


def _options_class(real: type) -> type:
    class Options(real):  # type: ignore[misc]
        """The CPU provider, which pretends, is not to be refused."""

        def add_session_config_entry(self, key: str, value: str) -> None:
            if key != "session.disable_cpu_ep_fallback":
                super().add_session_config_entry(key, value)

    return Options


def _session_class(real: type) -> type:
    class Session(real):  # type: ignore[misc]
        def __init__(self, *arguments: Any, providers: Any = (), **more: Any) -> None:
            names = [each if isinstance(each, str) else each[0] for each in providers]
            self.pretended = next((name for name in names if name in PRETENDED), "")
            self.given_providers = providers
            super().__init__(*arguments, providers=[_CPU], **more)

        def get_providers(self) -> list[str]:
            return [self.pretended, _CPU] if self.pretended else [_CPU]

        def get_provider_graph_assignment_info(self) -> list[SimpleNamespace]:
            told = super().get_provider_graph_assignment_info()
            nodes = [node for subgraph in told for node in subgraph.get_nodes()]
            refused = os.environ.get(REFUSES, "").split(",")
            placed: dict[str, list[Any]] = {}
            for node in nodes:
                left = "*" in refused or node.op_type in refused or not self.pretended
                placed.setdefault(_CPU if left else self.pretended, []).append(node)
            return [
                SimpleNamespace(ep_name=name, get_nodes=lambda found=found: found)
                for name, found in placed.items()
            ]

        def run_with_iobinding(self, *arguments: Any) -> None:
            if self.pretended and (message := os.environ.get(FAILS)):
                raise RuntimeError(message)
            super().run_with_iobinding(*arguments)

    return Session
