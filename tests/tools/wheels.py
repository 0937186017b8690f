"""Small wheels for tests that install something, without a network."""

from __future__ import annotations

import hashlib
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

from farm.devices.environment import Environment
from workers.environments.installed import environments_folder, write_record


@dataclass(frozen=True)
class Wheel:
    path: Path
    name: str
    version: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def requirement(self) -> str:
        """A line of a requirements file; the wheel is found in its own folder."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def build_wheel(
    folder: Path,
    name: str = "tiny",
    version: str = "1.0",
    source: str = "",
    *,
    empty: bool = False,
    requires: str = "",
    starts: bool = False,
) -> Wheel:
    """A package of one module. With it, all that the tests' own interpreter has is importable.

    source: of the module, after its version. empty: it has no module, so that the outer one of its
    name is found. requires: another package that it needs. starts: every Python that has it
    begins by importing it.
    """
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = '{version}'\n{source}",
        f"{name}-outer.pth": sysconfig.get_path("purelib") + "\n",
        f"{info}/METADATA": _metadata(name, version, requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if starts:
        files[f"{name}.pth"] = f"import {name}\n"
    if empty:
        del files[f"{name}.py"]
    record = "".join(f"{place},,\n" for place in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(place), text)
    return Wheel(path, name, version)


def _metadata(name: str, version: str, requires: str) -> str:
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"


def environment_toml(wheel: Wheel, name: str = "tiny", engine: str = "onnxruntime-cpu") -> str:
    """An environment of this wheel alone."""
    return (
        f'name = "{name}"\ndescription = "For a test"\nengines = ["{engine}"]\n'
        f'modules = ["{wheel.name}"]\nrequirements = "{wheel.requirement}"\n'
    )


def pretend_installed(environment: Environment) -> Path:
    """An environment without packages of its own, which is quick to make."""
    place = environments_folder() / environment.name
    venv.create(place, symlinks=True, with_pip=False)
    (packages,) = (place / "lib").glob("python*/site-packages")
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    write_record(place, environment, {"python": "3", "tiny": "1.0"})
    return place
