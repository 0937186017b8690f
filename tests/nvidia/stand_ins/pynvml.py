"""A stand-in for nvidia-ml-py on machines without a GPU: it answers as NVML's documentation says.

What it is to answer is JSON in the file that FARM_STAND_IN_GPUS names, read anew each time; see
``DEFAULTS`` and ``GPU``. Energy is counted every 0.1 s: 40 W always, and 500 W more for each
processor second of the process that asks.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

VARIABLE = "FARM_STAND_IN_GPUS"
DEFAULTS: dict[str, Any] = {
    "init": 0,
    "fails": {},  # codes of errors by the name of the question
    "driver": "580.65.06",
    "cuda": 13000,
    "gpus": [{}],
}
GPU: dict[str, Any] = {
    "lost": False,
    "name": "NVIDIA Stand-in",
    "memory": 24 << 30,
    "clock": 1980,
    "link": [4, 16],
    "energy": True,  # or how often a process is told it, by a GPU that is lost then
    "violations": {},  # nanoseconds by number of the policy; None where that is not supported
    "reasons": 0,
    "used": 300 << 20,  # by the process that asks; None where the driver does not see it
    "mig": None,  # whether it is divided into instances; None where that is not supported
    "grows": 0,  # what is used by all, each time that somebody asks
}
_IDLE_WATTS, _BUSY_WATTS, _COUNTED_EVERY = 40.0, 500.0, 0.1
_asked, _energy_asked = itertools.count(), itertools.count()
_NOT_SUPPORTED, _INVALID_ARGUMENT, _NO_PERMISSION, _GPU_IS_LOST = 3, 2, 4, 15


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


def _told() -> dict[str, Any]:
    path = os.environ.get(VARIABLE)
    return DEFAULTS | (json.loads(Path(path).read_text()) if path else {})


def _gpu(handle: int) -> dict[str, Any]:
    return GPU | _told()["gpus"][handle]


def _supported(value: Any) -> Any:
    if value is None:
        raise NVMLError(_NOT_SUPPORTED)
    return value


def _may_fail(question: str) -> None:
    if question in _told()["fails"]:
        raise NVMLError(_told()["fails"][question])


def nvmlInit() -> None:  # noqa: N802  (NVML's names)
    if _told()["init"]:
        raise NVMLError(_told()["init"])


def nvmlSystemGetDriverVersion() -> str:  # noqa: N802
    _may_fail("nvmlSystemGetDriverVersion")
    return str(_told()["driver"])


def nvmlSystemGetCudaDriverVersion() -> int:  # noqa: N802
    _may_fail("nvmlSystemGetCudaDriverVersion")
    return int(_told()["cuda"])


def nvmlDeviceGetCount() -> int:  # noqa: N802
    _may_fail("nvmlDeviceGetCount")
    return len(_told()["gpus"])


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    if not 0 <= index < nvmlDeviceGetCount():
        raise NVMLError(_INVALID_ARGUMENT)
    _may_fail("nvmlDeviceGetHandleByIndex")
    if _gpu(index)["lost"]:
        raise NVMLError(_GPU_IS_LOST)
    return index


def nvmlDeviceGetUUID(handle: int) -> str:  # noqa: N802
    return f"GPU-{handle:08d}-0000-0000-0000-000000000000"


def nvmlDeviceGetName(handle: int) -> str:  # noqa: N802
    return str(_gpu(handle)["name"])


def nvmlDeviceGetMigMode(handle: int) -> list[int]:  # noqa: N802
    return [int(_supported(_gpu(handle)["mig"]))] * 2


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:  # noqa: N802
    if _gpu(handle)["mig"]:
        raise NVMLError(_NO_PERMISSION)  # as users are told who are no administrators
    total = _gpu(handle)["memory"]
    used = (1 << 30) + _gpu(handle)["grows"] * next(_asked)
    return SimpleNamespace(total=total, used=used, free=total - used)


def nvmlDeviceGetMaxPcieLinkGeneration(handle: int) -> int:  # noqa: N802
    return int(_supported(_gpu(handle)["link"])[0])


def nvmlDeviceGetMaxPcieLinkWidth(handle: int) -> int:  # noqa: N802
    return int(_supported(_gpu(handle)["link"])[1])


def nvmlDeviceGetComputeRunningProcesses(handle: int) -> list[SimpleNamespace]:  # noqa: N802
    used = _gpu(handle)["used"]
    other = SimpleNamespace(pid=1, usedGpuMemory=5 << 20)
    if used is None:
        return [other]
    return [other, SimpleNamespace(pid=os.getpid(), usedGpuMemory=used)]


def nvmlDeviceGetTotalEnergyConsumption(handle: int) -> int:  # noqa: N802
    told = _gpu(handle)["energy"]
    if told is not True and next(_energy_asked) >= told:
        raise NVMLError(_NOT_SUPPORTED if not told else _GPU_IS_LOST)
    counted = time.monotonic() // _COUNTED_EVERY * _COUNTED_EVERY
    return round(1e3 * (_IDLE_WATTS * counted + _BUSY_WATTS * time.process_time()))


def nvmlDeviceGetPowerUsage(handle: int) -> int:  # noqa: N802
    return round(1e3 * _IDLE_WATTS)


def nvmlDeviceGetClockInfo(handle: int, kind: int) -> int:  # noqa: N802
    if kind != 1:  # NVML_CLOCK_SM
        raise NVMLError(_INVALID_ARGUMENT)
    return int(_supported(_gpu(handle)["clock"]))


def nvmlDeviceGetUtilizationRates(handle: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(gpu=37, memory=12)


def nvmlDeviceGetViolationStatus(handle: int, policy: int) -> SimpleNamespace:  # noqa: N802
    counted = _supported(_gpu(handle)["violations"])
    return SimpleNamespace(referenceTime=0, violationTime=counted.get(str(policy), 0))


def nvmlDeviceGetCurrentClocksThrottleReasons(handle: int) -> int:  # noqa: N802
    return int(_gpu(handle)["reasons"])
