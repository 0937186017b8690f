"""What a session is created with, as plain JSON.

The child process creates its session from one of these, and the very same file,
``session.json``, is delivered with the winner: what was measured is what leaves the farm. This
module imports nothing but the standard library, because children may run in interpreters that
have no more than an engine installed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

_ADDED: dict[str, Any] = {
    "enable_cpu_mem_arena": True,
    "memory": "",
    "beside": {},
    "variables": {},
    "on_cpu": (),
}
THREAD_AFFINITIES = "session.intra_op_thread_affinities"
"""ONNX Runtime's key for the processors of its threads, counted from 1."""

CPU_PROVIDER = "CPUExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
WEBGPU_PROVIDER = "WebGpuExecutionProvider"
WEBGPU_LAYOUT = "ep.webgpuexecutionprovider.preferredLayout"
"""The key of a session for the layout of images; as an option of the provider it is not read."""


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """How to create a session of ONNX Runtime.

    provider: the execution provider that every operator must be assigned to.
    plugin: Python package of a plugin provider (``get_library_path()``), empty for built-in ones.
    provider_options, config_entries: passed through as they are.
    intra_op_num_threads, enable_mem_pattern, enable_cpu_mem_arena, graph_optimization_level: of
    ``SessionOptions``.
    disabled_optimizers: graph transformers that are switched off.
    allow_cpu_fallback: whether operators the provider refuses may run on the CPU provider.
    memory: where inputs and outputs stay while runs are timed, ``cuda``; if empty, where the
    provider has them: the host's memory, or by WebGPU that of the GPU.
    beside: further providers that may run what the first one refuses, with their options.
    variables: of the process, set before the session is created.
    on_cpu: names of operators that the CPU provider is to run, beside what the first one refuses.
    """

    provider: str
    plugin: str = ""
    provider_options: dict[str, str] = field(default_factory=dict)
    config_entries: dict[str, str] = field(default_factory=dict)
    intra_op_num_threads: int = 0
    enable_mem_pattern: bool = True
    enable_cpu_mem_arena: bool = True
    graph_optimization_level: int = 99
    disabled_optimizers: tuple[str, ...] = ()
    allow_cpu_fallback: bool = False
    memory: Literal["", "cuda"] = ""
    beside: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    on_cpu: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The content of ``session.json``.

        What was added to it is left out where it has its default: a session that was delivered
        before is still the same text.
        """
        plain = asdict(self)
        for name, usual in _ADDED.items():
            if plain[name] == usual:
                del plain[name]
        return json.dumps(plain, indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True, slots=True)
class OpenVinoSpec:
    """How to compile a model with OpenVINO.

    device, config: of ``Core.compile_model``; every value of ``config`` is a text.
    float_type: of every operator that computes in floats, by OpenVINO's name.
    integers: whether operators that have weights compute in integers. ``needed``: one at least.
    """

    device: str
    config: dict[str, str]
    float_type: Literal["f32", "bf16", "f16"] = "f32"
    integers: Literal["needed", "allowed", "none"] = "none"

    def to_json(self) -> str:
        """The content of ``session.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
