"""For tests that run something by ONNX Runtime's WebGPU provider, on a device in software."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from farm.devices.environment import load_environments
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import DeviceError
from farm.host.folders import cache_folder
from farm.host.locks import Lock
from workers.discovery import device_availability
from workers.environments.install import install, remove
from workers.environments.installed import installed_environments

NAME = "webgpu"
SOFTWARE: DeviceProfile = load_profiles()["gpu-software"]


def require_webgpu(patch: pytest.MonkeyPatch) -> Path:
    """Make the device there; without it the test is skipped, or fails where it is required.

    The environment is installed once for a machine, because its packages are downloaded, and by
    one process: others wait. Its data folder.
    """
    data = cache_folder() / "tests"
    patch.setenv("XDG_DATA_HOME", str(data))
    if not Path(SOFTWARE.variables["VK_ICD_FILENAMES"]).exists():
        _missing("SwiftShader is not installed (.ci/install webgpu)")
    data.mkdir(parents=True, exist_ok=True)
    try:
        with Lock.take(data):
            _install()
    except DeviceError as error:
        _missing(str(error))
    found = device_availability(SOFTWARE)
    if not found.available:
        _missing(f"{found.reason} (.ci/install webgpu)")
    return data


def _install() -> None:
    """As it is described today. Raises DeviceError."""
    environment, found = load_environments()[NAME], installed_environments().get(NAME)
    if found is not None and (found.broken or found.environment.digest != environment.digest):
        remove(NAME)
    install(environment, lambda line: None)


def _missing(why: str) -> None:
    if os.environ.get("FARM_REQUIRE_WEBGPU"):
        pytest.fail(why)
    pytest.skip(why)
