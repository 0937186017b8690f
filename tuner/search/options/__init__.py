"""Options of engines, a module for each family: the main ones, and near ones.

A family knows which engines are worth a first trial, and which differ from one in one option.
"""

from __future__ import annotations

from collections.abc import Iterable

from farm.candidate import Engine, PackageEngine, Pipeline
from tuner.search.options import fake, nvidia, onnxruntime, openvino, webgpu
from tuner.search.options.family import Family, Width

_FAMILIES: dict[str, Family] = {
    "onnxruntime-cpu": onnxruntime.FAMILY,
    "openvino": openvino.PLUGIN,
    "openvino-runtime": openvino.RUNTIME,
    "openvino-gpu": openvino.GPU,
    "onnxruntime-cuda": nvidia.CUDA,
    "onnxruntime-tensorrt": nvidia.TENSORRT,
    "onnxruntime-webgpu": webgpu.FAMILY,
    "fake": fake.FAMILY,
}


SPIN_BESIDE_OTHERS = 20
"""Microseconds that ONNX Runtime's idle threads wait awake beside a second engine.

Its default is ruinous there: 22 to 32 ms where 7 ms suffice, on two cores.
"""


def default(kind: str) -> Engine:
    """An engine with its own defaults."""
    return _FAMILIES[kind].default


def main_engines(kind: str, width: Width) -> list[Engine]:
    """Engines of a kind with their main options, for a first trial of each."""
    return _FAMILIES[kind].main(width)


def near_engines(engine: Engine, width: Width, packages: Iterable[PackageEngine]) -> list[Engine]:
    """Engines that differ from this one in one option; it may be among them.

    packages: all engines for packages.
    """
    if isinstance(engine, PackageEngine):
        return [other for other in packages if other.kind == engine.kind]
    if isinstance(engine, Pipeline):
        return []
    return _FAMILIES[engine.kind].near(engine, width)
