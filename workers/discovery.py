"""Which devices and engines can be used on this machine, and what the others lack."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from farm.candidate import UNTIMED, FloatType
from farm.codegen.build.compilers import Target, find_compilers, find_emulator, host_targets
from farm.devices.environment import load_environments
from farm.devices.profile import Availability, DeviceProfile
from farm.host.privacy import sending_nothing
from workers.environments.installed import Installed, environments_of
from workers.gpus.devices import openvino_interpreter
from workers.gpus.intel import intel_availability
from workers.gpus.webgpu import computes_float16, missing_device, webgpu_availability
from workers.meters.energy_window import energy_window
from workers.nvidia.presence import (
    NVIDIA_ENGINES,
    driver_availability,
    engine_presence,
    gpu_availability,
    nvidia_availability,
)

_ASK_SECONDS = 30.0
_CAPABILITIES = (
    "import json, openvino; "
    "print(json.dumps(openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')))"
)
_HERE = Availability(available=True)
_WEBGPU = "onnxruntime-webgpu"
_INTEL = "openvino-gpu"
_NO_NEED = "none; the engine openvino-runtime runs OpenVINO without it"
_BY_PACKAGE = Availability(
    available=False,
    reason="OpenVINO is offered by its own package: the engine openvino-runtime, which is faster",
    remedy="none; one of the two is offered",
)


def engine_availability(engine: str) -> Availability:
    """Whether an engine of this kind can run in the farm's own interpreter."""
    probe = _PROBES.get(engine)
    if probe is None:
        return Availability(
            available=False,
            reason=f"this version of the farm has no engine '{engine}'",
            remedy="correct the name of the engine in the device profile",
        )
    return probe()


def engines_of(profile: DeviceProfile) -> dict[str, Availability]:
    """Whether each of the profile's engines is offered here, in the profile's order.

    Of the two ways to OpenVINO one is: both have the same kernels, and the search would try
    everything twice. Its own package goes first: ONNX Runtime's plug-in takes longer for each run
    (``benchmarks/races/openvino_ways.py``).
    """
    if profile.interpreter:
        found = {engine: _of_interpreter(engine) for engine in profile.engines}
    else:
        given = environments_of(profile.engines)
        found = {engine: _of_engine(engine, given.get(engine)) for engine in profile.engines}
    if on_gpu := NVIDIA_ENGINES & found.keys():
        gpu = gpu_availability(profile.gpu)
        found |= {} if gpu.available else dict.fromkeys(on_gpu, gpu)
    package = found.get("openvino-runtime")
    if _INTEL in found and found[_INTEL].available:
        python = profile.interpreter or openvino_interpreter()
        found[_INTEL] = intel_availability(profile, python)
    if _WEBGPU in found:
        found[_WEBGPU] = _webgpu_on(profile, found[_WEBGPU])
    plugin = found.get("openvino")
    if plugin is not None and package is not None and package.available:
        found["openvino"] = _BY_PACKAGE if plugin.available else replace(plugin, remedy=_NO_NEED)
    return found


def _of_interpreter(engine: str) -> Availability:
    """Whether an engine can run where a profile names a Python of its own.

    What is in there shows when it is asked, or runs; the farm's own has no build for GPUs.
    """
    seen_there = engine in NVIDIA_ENGINES or engine == _INTEL
    return _HERE if seen_there else engine_availability(engine)


def _of_engine(engine: str, given: Installed | None) -> Availability:
    """Whether an engine can run here: in the environment that gives it, if one is installed."""
    if given is None or engine not in _PROBES:
        found = engine_availability(engine)
        if found.available and engine in NVIDIA_ENGINES:
            return nvidia_availability(engine, "the farm's own Python", _versions_here())
        offered = engine in _PROBES and not found.available
        return _with_environment(found, engine) if offered else found
    if given.broken:
        name = given.environment.name
        remedy = f"farm devices remove {name}, then farm devices install {name}"
        return Availability(available=False, reason=given.broken, remedy=remedy)
    if engine in NVIDIA_ENGINES:
        where = f"environment {given.environment.name}"
        return nvidia_availability(engine, where, given.versions)
    return _HERE


@cache
def _versions_here() -> dict[str, str]:
    """Of all packages in the farm's own interpreter."""
    return {each.name: each.version for each in importlib.metadata.distributions() if each.name}


def _with_environment(found: Availability, engine: str) -> Availability:
    """Offer the environment that would give an engine, where one comes with the farm.

    Nobody downloads one for a driver that does not run what is in it.
    """
    for name, environment in load_environments().items():
        gives = engine in environment.engines and not environment.by_name_only
        if gives and not environment.unsuited:
            runs = driver_availability(f"environment {name}", environment.pinned)
            return (
                replace(found, remedy=f"farm devices install {name}") if runs.available else runs
            )
    return found


def webgpu_computes_float16(profile: DeviceProfile) -> bool:
    """Whether ONNX Runtime's WebGPU provider runs on the profile's device, and in float16, too."""
    found = engines_of(profile).get(_WEBGPU)
    runs = found is not None and found.available
    return runs and computes_float16(profile, _webgpu_interpreter(profile))


def _webgpu_on(profile: DeviceProfile, found: Availability) -> Availability:
    """Whether it runs on the profile's device. found: whether there is a Python that has it.

    Nobody downloads a package for a device that is not there.
    """
    if not found.available and not profile.interpreter:
        return missing_device(profile) or found
    return webgpu_availability(profile, _webgpu_interpreter(profile))


def _webgpu_interpreter(profile: DeviceProfile) -> str:
    given = environments_of([_WEBGPU]).get(_WEBGPU)
    return profile.interpreter or (sys.executable if given is None else str(given.interpreter))


def usable_engines(profile: DeviceProfile) -> tuple[str, ...]:
    """The profile's engines that can run here, in the profile's order."""
    return tuple(name for name, found in engines_of(profile).items() if found.available)


def device_availability(profile: DeviceProfile) -> Availability:
    """Whether the profile's device can be tuned here; if not, why, and what would change it.

    By an engine whose latency is unknown nothing can be tuned.
    """
    found = _availability(profile)
    counts = found.available and energy_window(profile) is not None
    return replace(found, counts_energy=counts)


def _availability(profile: DeviceProfile) -> Availability:
    if profile.interpreter and not Path(profile.interpreter).exists():
        return Availability(
            available=False,
            reason=f"its interpreter {profile.interpreter} does not exist",
            remedy="create that virtual environment, or correct the profile",
        )
    if missing := sorted(set(profile.processors) - set(_processors())):
        return Availability(
            available=False,
            reason=f"this process may not run on processor {missing[0]}, which the profile names",
            remedy="correct processors in the profile",
        )
    found = [state for engine, state in engines_of(profile).items() if engine not in UNTIMED]
    if here := next((each for each in found if each.available), None):
        return here
    if found:
        return found[0]
    if not profile.engines:
        return Availability(available=False, reason="it names no engine")
    return Availability(
        available=False,
        reason=f"the latency of {' and '.join(profile.engines)} is unknown here",
        remedy="farm bench --candidate tells its accuracy",
    )


def _processors() -> Iterable[int]:
    """Logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def engine_on(profile: DeviceProfile, engine: str) -> Availability:
    """Whether one of the profile's engines can run on its device here."""
    return engines_of(profile)[engine]


def emulator_availability() -> Availability:
    """Whether packages for the Hexagon can be executed here, not only compiled."""
    if find_emulator():
        return _HERE
    return Availability(
        available=False,
        reason="qemu-hexagon is not installed: latencies of Hexagon packages are modelled",
        remedy="apt-get install qemu-user, or your system's package of QEMU's user mode",
    )


def openvino_float_types(interpreter: str = "") -> tuple[FloatType, ...]:
    """Arithmetic types that OpenVINO's CPU device says it is good at on this machine.

    interpreter: the Python that runs OpenVINO's own package; empty for the farm's own. Where that
    one gives no answer, what is known here, or float32, which every processor has.
    """
    if interpreter:
        offered = _asked_elsewhere(interpreter) or _asked_here() or frozenset({"FP32"})
    else:
        offered = _asked_here()
    names = {"FP32": FloatType.FLOAT32, "BF16": FloatType.BFLOAT16, "FP16": FloatType.FLOAT16}
    return tuple(float_type for name, float_type in names.items() if name in offered)


@cache
def _asked_elsewhere(interpreter: str) -> frozenset[str]:
    """What OpenVINO says of its CPU device in another interpreter; nothing where it fails."""
    command = [interpreter, "-I", "-c", sending_nothing(_CAPABILITIES)]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(command, capture_output=True, timeout=_ASK_SECONDS, check=True)
        return frozenset(json.loads(done.stdout))
    return frozenset()


def _asked_here() -> frozenset[str]:
    if _openvino_runtime().available:
        return _openvino_runtime_capabilities()
    return frozenset((_openvino_capabilities() or "").split() if _openvino().available else ())


@cache
def _openvino_capabilities() -> str | None:
    """What OpenVINO's first device says of itself; None where the plugin offers no device.

    Asked of the plugin in this process: it loads a library but runs nothing.
    """
    import onnxruntime as ort  # noqa: PLC0415  (only where it is asked)
    import onnxruntime_ep_openvino as plugin  # noqa: PLC0415

    name = "farm.discovery.openvino"
    ort.register_execution_provider_library(name, plugin.get_library_path())
    try:
        devices = [d for d in ort.get_ep_devices() if d.ep_name == "OpenVINOExecutionProvider"]
        return devices[0].ep_metadata.get("OPTIMIZATION_CAPABILITIES", "") if devices else None
    finally:
        ort.unregister_execution_provider_library(name)


@cache
def _openvino_runtime_capabilities() -> frozenset[str]:
    """What OpenVINO says of its CPU device, asked in this process: it runs nothing."""
    import openvino  # noqa: PLC0415  (only where it is asked)

    return frozenset(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _onnxruntime() -> Availability:
    if importlib.util.find_spec("onnxruntime"):
        return _HERE
    return Availability(
        available=False,
        reason="the Python package onnxruntime is not installed",
        remedy="pip install onnxruntime",
    )


def _openvino() -> Availability:
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return Availability(
            available=False,
            reason=f"the OpenVINO plugin exists for x86-64 only, this is {platform.machine()}",
            remedy="none; the other engines are used",
        )
    if not importlib.util.find_spec("onnxruntime_ep_openvino"):
        return Availability(
            available=False,
            reason="the Python package onnxruntime-ep-openvino is not installed",
            remedy="pip install onnxruntime-ep-openvino",
        )
    if _openvino_capabilities() is None:  # it takes Intel's processors only
        return Availability(
            available=False,
            reason="the OpenVINO plugin offers no device for this machine's processor",
            remedy=_NO_NEED,
        )
    return _HERE


def _openvino_runtime() -> Availability:
    if importlib.util.find_spec("openvino"):
        return _HERE
    return Availability(
        available=False,
        reason="the Python package openvino is not installed",
        remedy="pip install openvino, where there is one for this system",
    )


def _webgpu() -> Availability:
    """The farm's own interpreter may have it in place of the plain ONNX Runtime."""
    with suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("onnxruntime-webgpu")
        return _HERE
    return Availability(
        available=False,
        reason="the Python package onnxruntime-webgpu is not installed",
        remedy="none; there is no such package for this system",
    )


def _qnn() -> Availability:
    """Qualcomm's emulator of its HTP, with its compiler."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return Availability(
            available=False,
            reason="Qualcomm's emulator is in the package for Linux on x86-64 only, this is "
            f"{sys.platform} on {platform.machine()}",
            remedy="none; the other engines are used",
        )
    if importlib.util.find_spec("onnxruntime_qnn"):
        return _HERE
    return Availability(
        available=False,
        reason="the Python package onnxruntime-qnn is not installed",
        remedy="pip install 'onnxruntime-qnn>=2.7'",
    )


def _cpackage() -> Availability:
    if find_compilers(host_targets()[0]):
        return _HERE
    return Availability(
        available=False,
        reason="no C compiler was found (Zig's, clang or gcc)",
        remedy="pip install ziglang",
    )


def _cpackage_emulated() -> Availability:
    """Without the emulator packages can be compiled, and checked on the host: still available."""
    if find_compilers(Target.HEXAGON_HVX):
        return _HERE
    return Availability(
        available=False,
        reason="no compiler for the Hexagon DSP was found (Zig's)",
        remedy="pip install ziglang",
    )


_PROBES: dict[str, Callable[[], Availability]] = {
    "onnxruntime-cpu": _onnxruntime,
    "openvino": _openvino,
    "openvino-runtime": _openvino_runtime,
    _INTEL: _openvino_runtime,
    _WEBGPU: _webgpu,
    **dict.fromkeys(sorted(UNTIMED), _qnn),
    "cpackage": _cpackage,
    "cpackage-emulated": _cpackage_emulated,
    **dict.fromkeys(sorted(NVIDIA_ENGINES), engine_presence),
    "fake": lambda: _HERE,
}
