"""ONNX Runtime, with its own CPU provider or with a plugin provider.

ONNX Runtime falls back to its CPU provider with no more than a printed warning. Here the
assignment of every operator is recorded and compared with the plan (``placement``): a session that
would run elsewhere is refused.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import onnxruntime as ort

from farm.profile.kernels import OPTIMISED_FILE
from farm.session.spec import (
    THREAD_AFFINITIES,
    WEBGPU_PROVIDER,
    SessionSpec,
)
from workers.engines.onnxruntime.placement import (
    Placed,
    checked_assignment,
    needs_others,
    placed,
)
from workers.engines.session import Array, EngineError, Feeds, NotAsPlannedError, Session, compact

_PACKAGES = {  # that plugins come in
    "onnxruntime_ep_openvino": "onnxruntime-ep-openvino",
    "onnxruntime_qnn": "onnxruntime-qnn",
}
_PINNING_SECONDS = 1.0  # a thread pins itself once it runs


class OnnxRuntimeSession(Session):
    """A session created exactly as its spec says, or not at all.

    model: a file, or what is in it, where its name must not matter.
    profiled: where it writes its optimised graph and, at the end, the times of its kernels.

    Raises EngineError when the session cannot be created, NotAsPlannedError when operators were
    assigned to another provider than the one asked for: here, where the session tells that itself,
    else in :meth:`verify`.
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
        self._model, self._spec = model, spec
        self._is_elsewhere = spec.provider == WEBGPU_PROVIDER
        self._session = _created(model, options, spec)
        if not needs_others(spec):
            self.verify()
        _check_affinities(spec.config_entries.get(THREAD_AFFINITIES, ""))
        self._feeds: dict[str, Array] = {}

    def verify(self) -> None:
        """See ``Session``: other sessions of the model may have to tell where operators are."""
        self.assignment = checked_assignment(self._session, self._spec, self._placed_in)

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
        return any(each.op_type.startswith("QuantizeLinear") for each in placed(self._session))

    def end_profile(self) -> Path:
        """Stop timing kernels; the file that has the times."""
        return Path(self._session.end_profiling())

    def _prepare(self, spec: SessionSpec) -> None:
        """What comes before all else."""
        os.environ.update(spec.variables)

    def _placed_in(self, spec: SessionSpec) -> list[Placed]:
        """Where operators are in another session of the same model. Raises EngineError."""
        return placed(_created(self._model, _session_options(spec), spec))


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
