"""ONNX Runtime, with its own CPU provider or with a plugin provider.

ONNX Runtime falls back to its CPU provider with no more than a printed warning. Here the
assignment of every operator is recorded and compared with the plan: a session that would run
elsewhere is refused.
"""

from __future__ import annotations

import importlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import onnxruntime as ort

from farm.profile.kernels import OPTIMISED_FILE
from farm.session.spec import (
    CPU_PROVIDER,
    THREAD_AFFINITIES,
    WEBGPU_LAYOUT,
    WEBGPU_PROVIDER,
    SessionSpec,
)
from workers.engines.session import Array, EngineError, Feeds, NotAsPlannedError, Session, compact

_PACKAGES = {  # that plugins come in
    "onnxruntime_ep_openvino": "onnxruntime-ep-openvino",
    "onnxruntime_qnn": "onnxruntime-qnn",
}
_PLAIN = "NCHW"
_NAMED = 5  # operators named in a message
_PINNING_SECONDS = 1.0  # a thread pins itself once it runs


class OnnxRuntimeSession(Session):
    """A session created exactly as its spec says, or not at all.

    model: a file, or what is in it, where its name must not matter.
    profiled: where it writes its optimised graph and, at the end, the times of its kernels.

    Raises EngineError when the session cannot be created, NotAsPlannedError when operators were
    assigned to another provider than the one asked for.
    """

    def __init__(
        self, model: Path | bytes, spec: SessionSpec, profiled: Path | None = None
    ) -> None:
        self._prepare(spec)
        options = _session_options(spec)
        if profiled is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profiled / "kernels")
            options.optimized_model_filepath = str(profiled / OPTIMISED_FILE)
        plain = _in_plain_layout(model, spec)
        self._is_elsewhere = spec.provider == WEBGPU_PROVIDER
        self._session = _created(model, options, spec)
        self.assignment = self._checked_assignment(spec, plain)
        _check_affinities(spec.config_entries.get(THREAD_AFFINITIES, ""))
        self._feeds: dict[str, Array] = {}

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        try:
            return list(self._session.run(None, dict(feeds)))
        except Exception as error:  # noqa: BLE001  (as above)
            raise EngineError(compact(error)) from None

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        self._feeds = dict(feeds)

    def timed(self, loops: int) -> int:
        """Run ``loops`` times; nanoseconds."""
        run, feeds = self._session.run, self._feeds
        start = time.perf_counter_ns()
        for _ in range(loops):
            run(None, feeds)
        return time.perf_counter_ns() - start

    def bound(self, inputs: Feeds, outputs: Sequence[Array]) -> Callable[[], None]:
        """What runs once from arrays into other ones. Raises EngineError.

        Nothing is copied, but to and from the memory of another device, in every run: ONNX Runtime
        copies an input there when it is bound, and not again when it runs.
        """
        binding, run = self._session.io_binding(), self._session.run_with_iobinding

        def bind_inputs() -> None:
            for name, array in inputs.items():
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

        try:
            bind_inputs()
            for output, array in zip(self._session.get_outputs(), outputs, strict=True):
                place = array.ctypes.data
                binding.bind_output(output.name, "cpu", 0, array.dtype, array.shape, place)
        except Exception as error:  # noqa: BLE001  (as above)
            raise EngineError(compact(error)) from None

        def once(_kept: object = (inputs, outputs)) -> None:  # a binding knows addresses alone
            try:
                if self._is_elsewhere:
                    bind_inputs()
                run(binding)
            except Exception as error:  # noqa: BLE001  (as above)
                raise EngineError(compact(error)) from None

        return once

    @property
    def is_quantised(self) -> bool:
        """Whether it has operators that quantise activations."""
        return any(each.op_type.startswith("QuantizeLinear") for each in _placed(self._session))

    def end_profile(self) -> Path:
        """Stop timing kernels; the file that has the times."""
        return Path(self._session.end_profiling())

    def _prepare(self, spec: SessionSpec) -> None:
        """What comes before all else."""
        os.environ.update(spec.variables)

    def _checked_assignment(
        self, spec: SessionSpec, plain: Sequence[_Placed] | None = None
    ) -> Mapping[str, int]:
        """Operators by provider. plain: where they are in a session that tells of all of them."""
        tell = getattr(self._session, "get_provider_graph_assignment_info", None)
        if tell is None and spec.provider == CPU_PROVIDER:  # before 1.24; nowhere else to go
            return {}
        if tell is None:
            raise NotAsPlannedError(
                f"ONNX Runtime {ort.__version__} does not tell whether {spec.provider} runs an "
                "operator; 1.24 is the first version that does."
            )
        wanted, placed = spec.provider, _placed(self._session)
        allowed = {wanted, *spec.beside}
        elsewhere = [each for each in placed if each.provider not in allowed]
        if plain is not None:
            if spec.on_cpu or spec.allow_cpu_fallback:
                elsewhere = _without_added(elsewhere, plain)
            if sorted(elsewhere) != sorted(e for e in plain if e.provider not in allowed):
                raise NotAsPlannedError(
                    f"{wanted} takes other operators in this layout than in NCHW, and only there "
                    "ONNX Runtime tells of all of them."
                )
            placed = list(plain)
        counts = Counter(each.provider for each in placed)
        if placed and wanted not in counts:
            raise NotAsPlannedError(
                f"{wanted} took none of the {len(placed)} operators; they would have run on "
                f"{', '.join(sorted(counts))}."
            )
        chosen = frozenset(spec.on_cpu)
        if strayed := [e for e in placed if e.name in chosen and e.provider != CPU_PROVIDER]:
            raise NotAsPlannedError(
                f"{wanted} took {len(strayed)} operators that {CPU_PROVIDER} was to run: "
                f"{_listed(strayed)}."
            )
        refused = [each for each in elsewhere if each.name not in chosen]
        if refused and not spec.allow_cpu_fallback:
            raise NotAsPlannedError(
                f"{wanted} did not take {len(refused)} of {len(placed)} operators: "
                f"{_listed(refused)}."
            )
        return dict(counts)


class _Placed(NamedTuple):
    """An operator, and the provider that runs it."""

    provider: str
    op_type: str
    name: str

    def __str__(self) -> str:
        return f"{self.op_type} {self.name}".strip()


def _without_added(operators: Sequence[_Placed], plain: Sequence[_Placed]) -> list[_Placed]:
    """Without the transpositions that a layout needs around operators of another provider."""
    own = {each.name for each in plain}
    return [each for each in operators if each.op_type != "Transpose" or each.name in own]


def _listed(operators: Sequence[_Placed]) -> str:
    more = f" and {len(operators) - _NAMED} more" if len(operators) > _NAMED else ""
    return f"{', '.join(map(str, operators[:_NAMED]))}{more}"


def _placed(session: ort.InferenceSession) -> list[_Placed]:
    told = session.get_provider_graph_assignment_info()
    operators = ((part.ep_name, node) for part in told for node in part.get_nodes())
    return [_Placed(provider, node.op_type, node.name) for provider, node in operators]


def _in_plain_layout(model: Path | bytes, spec: SessionSpec) -> list[_Placed] | None:
    """Where operators are in a session that changes no layouts; None where that is the same.

    Where ONNX Runtime changes layouts for a provider, it tells of what is left to the CPU, and no
    more of what the provider had taken before that (seen in 1.27). Raises EngineError.
    """
    if spec.config_entries.get(WEBGPU_LAYOUT, _PLAIN) == _PLAIN:
        return None
    plain = replace(spec, config_entries={**spec.config_entries, WEBGPU_LAYOUT: _PLAIN})
    return _placed(_created(model, _session_options(plain), plain))


def save_optimised(model: Path, spec: SessionSpec, target: Path) -> None:
    """Write a model as a session of it has it once it is created. Raises EngineError."""
    options = _session_options(spec)
    options.optimized_model_filepath = str(target)
    _created(model, options, spec)


def save_context(model: Path, spec: SessionSpec, target: Path) -> None:
    """Write a quantised model as its provider compiles it: a binary, and what names it.

    target: the model that names it; the binary lies beside it.

    Raises EngineError. Raises NotAsPlannedError: the provider refuses an operator, which is named,
    or the model is not quantised.
    """
    written = {
        "ep.context_enable": "1",
        "ep.context_embed_mode": "0",
        "ep.context_file_path": str(target),
    }
    whole = replace(spec, config_entries={**spec.config_entries, **written})
    # Of a file, ONNX Runtime would write a hash of its path into the binary.
    session = OnnxRuntimeSession(model.read_bytes(), whole)
    if not session.is_quantised:
        raise NotAsPlannedError(
            "The model did not come quantised, as the candidate says: it has no QuantizeLinear."
        )


def _created(
    model: Path | bytes, options: ort.SessionOptions, spec: SessionSpec
) -> ort.InferenceSession:
    """A session. Raises EngineError."""
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            disabled_optimizers=list(spec.disabled_optimizers),
            enable_fallback=False,  # else a provider's error ends in a session on the CPU
            **_providers(spec),
        )
    except EngineError:
        raise
    except Exception as error:  # noqa: BLE001  (ORT's errors share no other base)
        raise EngineError(compact(error)) from None


def _session_options(spec: SessionSpec) -> ort.SessionOptions:
    """Of a session that tells nobody about the user's model."""
    ort.set_default_logger_severity(4)
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = spec.intra_op_num_threads
    options.enable_mem_pattern = spec.enable_mem_pattern
    options.enable_cpu_mem_arena = spec.enable_cpu_mem_arena
    level = spec.graph_optimization_level
    options.graph_optimization_level = ort.GraphOptimizationLevel(level)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for key, value in spec.config_entries.items():
        options.add_session_config_entry(key, value)
    if spec.plugin:
        options.add_provider_for_devices(_plugin_devices(spec), spec.provider_options)
    return options


def _check_affinities(asked: str) -> None:
    """Raise NotAsPlannedError where threads do not stay on the processors that were asked for.

    ONNX Runtime goes on where the system refuses, with nothing but a printed error.
    """
    if not asked:
        return
    if not hasattr(os, "sched_getaffinity"):
        raise NotAsPlannedError("Whether threads stay on their processors cannot be seen here.")
    wanted = {int(number) - 1 for number in asked.split(";")}
    deadline = time.monotonic() + _PINNING_SECONDS
    while missing := wanted - _lone_processors():
        if time.monotonic() > deadline:
            usable = ", ".join(str(number + 1) for number in sorted(os.sched_getaffinity(0)))
            raise NotAsPlannedError(
                f"No thread of ONNX Runtime stays on logical processor {min(missing) + 1}, as it "
                f"was asked for; this process may use {usable}, counted from 1."
            )
        time.sleep(0.001)


def _lone_processors() -> set[int]:
    """Processors that a thread of this process has to itself to run on, from 0."""
    alone = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it ended meanwhile
            processors = os.sched_getaffinity(int(task.name))
            alone |= processors if len(processors) == 1 else set()
    return alone


def _providers(spec: SessionSpec) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """A plugin is chosen through the session options; naming providers, too, is an error."""
    if spec.plugin:
        return {}
    if spec.provider not in ort.get_available_providers():
        raise NotAsPlannedError(
            f"{spec.provider} is not in this build of ONNX Runtime, which has "
            f"{', '.join(ort.get_available_providers())}."
        )
    first = spec.provider, dict(spec.provider_options)
    return {"providers": [first, *((name, dict(given)) for name, given in spec.beside.items())]}


def _remedy(plugin: str) -> str:
    return f": pip install {_PACKAGES[plugin]}" if plugin in _PACKAGES else ""


def _plugin_devices(spec: SessionSpec) -> list[ort.OrtEpDevice]:
    try:
        plugin = importlib.import_module(spec.plugin)
    except ImportError:
        raise EngineError(
            f"{spec.provider} needs the Python package {spec.plugin}, which is not installed"
            f"{_remedy(spec.plugin)}."
        ) from None
    ort.register_execution_provider_library(spec.provider, plugin.get_library_path())
    devices = [d for d in ort.get_ep_devices() if d.ep_name == spec.provider]
    if not devices:
        raise NotAsPlannedError(f"{spec.provider} found no device on this machine.")
    return devices[:1]
