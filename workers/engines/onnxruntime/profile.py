"""What ONNX Runtime's profiler says of the kernels of a session.

The profiler takes some time of its own, most of it between kernels and a microsecond or two
in each. How much that is here is found on a chain of small operators, whose time is known without
the profiler, and subtracted from every kernel.
"""

from __future__ import annotations

import json
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from farm.profile.kernels import CHAIN_FILE, CHAIN_INPUT, CHAIN_VALUES, EngineProfile, Kernel
from farm.session.spec import CPU_PROVIDER, TENSORRT_PROVIDER, WEBGPU_PROVIDER, SessionSpec
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.session import EngineError, Feeds

_SUFFIX = "_kernel_time"
_RUN = "model_run"
_TIMED_THERE = "Api"  # the category of what a device timed itself
_WARMUP_RUNS = 2
_LEAST_RUNS, _MOST_RUNS = 5, 200
_MOST_EVENTS = 10_000  # each is about 700 bytes of text
_FAST_SHARE = 4  # one run of so many counts: those that nothing else on the machine disturbed
_DISTURBED, _TICK = 2.0, 2e-6  # of its median, and seconds: no kernel takes so much more by itself
_PRECISIONS = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "int8": "int8",
    "uint8": "int8",
}
# They quantise what they read, and compute in integers.
_DYNAMIC = frozenset({"DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})


def profile(
    model: Path, spec: SessionSpec, feeds: Feeds, folder: Path, seconds: float
) -> EngineProfile:
    """Profile a model for about so many seconds.

    folder: has the chain of ``farm.profile.chain`` as ``CHAIN_FILE``, and is given the optimised
    graph as ``OPTIMISED_FILE``.

    Raises EngineError: a session cannot be created or run, or one kernel is all of the model.
    """
    if spec.plugin or spec.provider == TENSORRT_PROVIDER:
        raise EngineError(
            f"{spec.provider} runs the model as one kernel and does not tell what is in it."
        )
    create, spec = _kind(spec)
    own = folder / "calibration"
    own.mkdir()
    values = {CHAIN_INPUT: np.zeros(CHAIN_VALUES, np.float32)}
    unlabelled = replace(spec, on_cpu=())  # the chain's operators have no labels
    chain = _measured(create, folder / CHAIN_FILE, unlabelled, values, own, seconds / 4)
    overhead = _overhead(chain)
    measured = _measured(create, model, spec, feeds, folder, seconds)
    kernels = (
        Kernel(name, event.kind, event.precision, max(0.0, event.seconds - overhead))
        for name, event in measured.events.items()
    )
    return EngineProfile(tuple(kernels), measured.latency, overhead)


def _kind(spec: SessionSpec) -> tuple[type[OnnxRuntimeSession], SessionSpec]:
    """What creates the session, and as what: so that the profiler tells how long kernels take."""
    if not spec.memory:
        return OnnxRuntimeSession, spec
    from workers.engines.onnxruntime.on_device import (  # noqa: PLC0415  (where there is such a device)
        OnDeviceSession,
        load_libraries,
        one_after_the_other,
    )

    load_libraries(spec)
    return OnDeviceSession, one_after_the_other(spec)


@dataclass(frozen=True, slots=True)
class _Event:
    """One run of a kernel. begin: seconds, by a clock of the profiler's."""

    name: str
    kind: str
    precision: str
    begin: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _Measured:
    """Kernels by name with their seconds per run, and seconds of a run without the profiler."""

    events: Mapping[str, _Event]
    latency: float


def _measured(
    create: type[OnnxRuntimeSession],
    model: Path,
    spec: SessionSpec,
    feeds: Feeds,
    folder: Path,
    seconds: float,
) -> _Measured:
    plain, profiled = create(model, spec), create(model, spec, folder)
    for session in (plain, profiled):
        session.verify()
        session.run(feeds)
        session.set_feeds(feeds)
        first = session.timed(_WARMUP_RUNS)
    events = max(1, sum(plain.assignment.values()))
    lasts = 2 * first * 1e-9 / _WARMUP_RUNS
    wanted = min(_MOST_RUNS, _MOST_EVENTS // events, int(seconds / lasts))
    plain_seconds = []
    for _ in range(max(_LEAST_RUNS, wanted)):
        plain_seconds.append(plain.timed(1) * 1e-9)
        profiled.timed(1)
    told = json.loads(profiled.end_profile().read_bytes())
    read = device_runs if spec.provider == WEBGPU_PROVIDER else kernel_runs
    runs = read(told)[1 + _WARMUP_RUNS :]
    if not runs:
        raise EngineError("ONNX Runtime's profiler reported no runs.")
    fast = _fastest(runs, lambda run: sum(event.seconds for event in run))
    return _Measured(_mean(fast), _mean_of(_fastest(plain_seconds, lambda each: each)))


def kernel_runs(events: Iterable[Mapping[str, Any]]) -> list[list[_Event]]:
    """The kernels of each run, in the order in which they began.

    What runs inside another kernel, like the body of a loop, is not counted in that one.
    """
    begins = sorted(e["ts"] * 1e-6 for e in events if e["name"] == _RUN)
    found = [_event(e) for e in events if e["name"].endswith(_SUFFIX)]
    runs: list[list[_Event]] = [[] for _ in begins]
    for event in sorted(found, key=lambda event: (event.begin, -event.seconds)):
        if at := bisect_right(begins, event.begin):
            runs[at - 1].append(event)
    return [_without_nested(run) for run in runs]


def device_runs(events: Sequence[Mapping[str, Any]]) -> list[list[_Event]]:
    """The kernels of each run, by the clock of the device that ran them.

    What ONNX Runtime times of them itself is no more than handing them over. Operators on the CPU
    provider are timed as ever; copies between both are left out. Every run hands over the same
    kernels in the same order, some operators several.

    Raises EngineError: the device times nothing.
    """
    nodes = {e["name"].removesuffix(_SUFFIX): e for e in events if e["name"].endswith(_SUFFIX)}
    timed = [e for e in events if e["cat"] == _TIMED_THERE and _node_of(e) in nodes]
    count = sum(e["name"] == _RUN for e in events)
    if not count or not timed or len(timed) % count:
        raise EngineError("The device does not time its kernels, and nobody else can.")
    each = len(timed) // count
    here = [e for e in events if e["name"] == _RUN or _provider_of(e) == CPU_PROVIDER]
    return [
        [*(_device_event(e, nodes[_node_of(e)]) for e in timed[each * at : each * (at + 1)]), *own]
        for at, own in enumerate(kernel_runs(here))
    ]


def _node_of(told: Mapping[str, Any]) -> str:
    """The node of a kernel that is called ``NODE&OPERATOR&PROGRAM``."""
    return str(told["name"]).rsplit("&", 2)[0]


def _provider_of(told: Mapping[str, Any]) -> str:
    return str(told.get("args", {}).get("provider", ""))


def _device_event(told: Mapping[str, Any], node: Mapping[str, Any]) -> _Event:
    return _timed(_event(node), told["dur"] * 1e-6)


def _event(told: Mapping[str, Any]) -> _Event:
    kind, types = told["args"]["op_name"], told["args"].get("input_type_shape", [])
    first = next(iter(types[0]), "") if types else ""
    precision = "int8" if kind in _DYNAMIC else _PRECISIONS.get(first, first)
    name = told["name"].removesuffix(_SUFFIX)
    return _Event(name, kind, precision, told["ts"] * 1e-6, told["dur"] * 1e-6)


def _without_nested(run: Sequence[_Event]) -> list[_Event]:
    seconds = [event.seconds for event in run]
    around: list[int] = []  # kernels that are running
    for at, event in enumerate(run):
        while around and _ends(run[around[-1]]) <= event.begin:
            around.pop()
        if around and _ends(event) <= _ends(run[around[-1]]):
            seconds[around[-1]] -= event.seconds
        around.append(at)
    return [_timed(event, max(0.0, s)) for event, s in zip(run, seconds, strict=True)]


def _ends(event: _Event) -> float:
    return event.begin + event.seconds


def _timed(event: _Event, seconds: float) -> _Event:
    return _Event(event.name, event.kind, event.precision, event.begin, seconds)


def _mean(runs: Sequence[Sequence[_Event]]) -> dict[str, _Event]:
    """Mean seconds per run of each kernel; one that runs several times in a run adds up."""
    kernels: dict[str, _Event] = {}
    seconds: dict[str, list[float]] = {}
    for at, run in enumerate(runs):
        for event in run:
            kernels.setdefault(event.name, event)
            seconds.setdefault(event.name, [0.0] * len(runs))[at] += event.seconds
    return {name: _timed(event, undisturbed(seconds[name])) for name, event in kernels.items()}


def undisturbed(seconds: Sequence[float]) -> float:
    """The mean, in which times that are far above the median count as if they were the median.

    Something else had the processor then, for milliseconds where a kernel takes microseconds.
    """
    middle = statistics.median(seconds)
    most = _DISTURBED * middle + _TICK
    return _mean_of([value if value <= most else middle for value in seconds])


def _overhead(calibrated: _Measured) -> float:
    """Seconds that the profiler takes inside each kernel."""
    whole = sum(event.seconds for event in calibrated.events.values())
    return max(0.0, (whole - calibrated.latency) / len(calibrated.events))


def _fastest(values: Sequence[Any], key: Any) -> list[Any]:  # noqa: ANN401 (of any type)
    return sorted(values, key=key)[: max(3, len(values) // _FAST_SHARE)]


def _mean_of(values: Sequence[float]) -> float:
    return sum(values) / len(values)
