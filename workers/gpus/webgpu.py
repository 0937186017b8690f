"""Whether ONNX Runtime's WebGPU provider runs on the device of a profile, and in what.

A small model is run there: what Vulkan lists, the provider may refuse.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from dataclasses import dataclass
from functools import cache

from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from farm.devices.profile import Availability, DeviceProfile
from farm.host.privacy import sending_nothing
from farm.session.spec import WEBGPU_PROVIDER
from farm.tool_messages import without_sources
from farm.units import counted
from workers.gpus.alone import alone, named_drivers
from workers.gpus.vulkan import (
    VulkanDevice,
    counts_otherwise,
    has_double,
    own_variables,
    vulkan_gpu,
    vulkan_gpus,
    vulkan_here,
)

_ASK_SECONDS = 120.0
_LETTERS = 200  # of a provider's error
_TRIED = """
import base64, json
import numpy as np
import onnxruntime as ort
ort.set_default_logger_severity(4)
def tried(text):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = ort.InferenceSession(
            base64.b64decode(text), options, providers=[PROVIDER], enable_fallback=False
        )
        (port,) = session.get_inputs()
        kind = np.float16 if "16" in port.type else np.float32
        (found,) = session.run(None, {port.name: np.full(port.shape, 3, kind)})
    except Exception as error:
        return str(error) or type(error).__name__
    return "" if (found == 6).all() else "it answers 3 + 3 wrongly"
for text in MODELS:
    print(json.dumps(tried(text)), flush=True)
"""


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of a model in float32 and one in float16: empty, or why it did not run."""

    float32: str
    float16: str


def webgpu_availability(profile: DeviceProfile, interpreter: str) -> Availability:
    """Whether the provider runs on the profile's device. interpreter: Python that has it."""
    if (lacking := missing_device(profile)) is not None:
        return lacking
    gpu = vulkan_gpu(profile)
    assert gpu is not None  # else it would be missing
    if why := _tried(interpreter, profile).float32:
        return Availability(
            available=False,
            reason=f"{WEBGPU_PROVIDER} does not run on {gpu}: {why}",
            remedy="install a newer driver of your GPU",
        )
    return Availability(available=True, found=gpu.describe())


def missing_device(profile: DeviceProfile) -> Availability | None:
    """Why no engine could run on the profile's device by Vulkan; None where nothing is missing."""
    if missing := _missing_driver(profile):
        return _no_driver(f"its Vulkan driver {missing} is not installed", profile)
    vulkan = vulkan_here(own_variables(profile))
    if not vulkan.has_loader:
        return Availability(
            available=False,
            reason="the library libvulkan.so.1, which finds Vulkan drivers, is not installed",
            remedy="apt-get install libvulkan1, or your system's package of it",
        )
    if not vulkan.devices:
        return _no_driver("no Vulkan driver of a GPU was found", profile)
    if not vulkan_gpus(profile):
        return _other_kind(vulkan.devices[0], profile)
    if (gpu := vulkan_gpu(profile)) is None:
        return _no_such_number(profile)
    return _not_alone(gpu, profile) if alone(profile) is None else None


def computes_float16(profile: DeviceProfile, interpreter: str) -> bool:
    """Whether the provider computes in float16 on the profile's device."""
    return not _tried(interpreter, profile).float16


def _no_driver(reason: str, profile: DeviceProfile) -> Availability:
    if profile.is_software:
        remedy = "apt-get install chromium libvulkan1, or correct the profile's variables"
    else:
        remedy = "install the Vulkan driver of your GPU; gpu-software is a device without one"
    return Availability(available=False, reason=reason, remedy=remedy)


def _other_kind(found: VulkanDevice, profile: DeviceProfile) -> Availability:
    if not profile.is_software:
        return _no_driver(f"the only Vulkan device is a program ({found})", profile)
    return Availability(
        available=False,
        reason=f"no Vulkan device is a program, as its profile says of it ({found})",
        remedy="leave out is_software in the device profile, or correct its variables",
    )


def _no_such_number(profile: DeviceProfile) -> Availability:
    if counts_otherwise(profile):
        return Availability(
            available=False,
            reason=f"other engines of its profile count other GPUs than {WEBGPU_PROVIDER}",
            remedy="name onnxruntime-webgpu in a device profile of its own",
        )
    gpus = counted(len(vulkan_gpus(profile)), "GPU")
    return Availability(
        available=False,
        reason=f"Vulkan lists {gpus}, and number {profile.gpu}, from 0, is none of them",
        remedy="correct gpu in the device profile",
    )


def _not_alone(gpu: VulkanDevice, profile: DeviceProfile) -> Availability:
    """A process would see others, too, and take one of them."""
    if has_double(gpu, profile):
        return Availability(
            available=False,
            reason=f"Vulkan lists {gpu} more than once, and nothing tells which is which: the "
            "driver tells neither their addresses nor their ids",
            remedy="install a newer driver",
        )
    others = [each for each in vulkan_here(own_variables(profile)).devices if each != gpu]
    beside = [each for each in others if each.driver_name == gpu.driver_name]
    layer = "install Mesa's layer that chooses among GPUs (mesa-vulkan-drivers)"
    if not beside:
        remedy = "name the file of its driver in the profile's variables, as VK_DRIVER_FILES"
    elif any((each.vendor, each.model) == (gpu.vendor, gpu.model) for each in beside):
        remedy = layer
    else:
        remedy = f"{layer}, or Vulkan's loader 1.4.326 or newer"
    hidden = " and ".join(map(str, beside or others))
    return Availability(
        available=False,
        reason=f"{WEBGPU_PROVIDER} takes any GPU that it sees, and nothing here hides {hidden}",
        remedy=remedy,
    )


def _missing_driver(profile: DeviceProfile) -> str:
    """The first driver that the variables name and that is not there; empty for none."""
    named = named_drivers(profile.variables) or ()
    return next((str(path) for path in named if not path.exists()), "")


def _tried(interpreter: str, profile: DeviceProfile) -> _Tried:
    variables = own_variables(profile) | (alone(profile) or {})
    return _asked(interpreter, tuple(sorted(variables.items())))


@cache
def _asked(interpreter: str, variables: tuple[tuple[str, str], ...]) -> _Tried:
    """In a process of its own, which a faulty driver may end."""
    models = [_doubling(kind) for kind in (TensorProto.FLOAT, TensorProto.FLOAT16)]
    known = f"PROVIDER, MODELS = {WEBGPU_PROVIDER!r}, {models!r}\n{_TRIED}"
    command = [interpreter, "-I", "-c", sending_nothing(f"\n{known}")]
    environment = os.environ | dict(variables)
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_ASK_SECONDS, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return _Tried(*(f"it does not answer within {_ASK_SECONDS:g} s",) * 2)
    except OSError as error:
        return _Tried(*(f"its Python cannot be started: {error.strerror}",) * 2)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    ended = f"its process ended with {done.returncode}: {said[-1] if said else 'it said nothing'}"
    answers = (line for line in done.stdout.splitlines() if line.startswith(b'"'))
    told = [*map(json.loads, answers), ended, ended]
    return _Tried(*(without_sources(text)[:_LETTERS].rstrip(".") for text in told[:2]))


def _doubling(kind: int) -> str:
    """A model that adds what it is given to itself, in base 64."""
    ends = (make_tensor_value_info(name, kind, [4]) for name in ("x", "y"))
    given, made = ends
    graph = make_graph([make_node("Add", ["x", "x"], ["y"], name="sum")], "twice", [given], [made])
    model = make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)
    return base64.b64encode(model.SerializeToString()).decode()
