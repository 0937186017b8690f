"""Options of engines, a module for each family: the main ones, near ones, and as flat choices.

A family knows which engines are worth a first trial, which differ from one in a single option,
and how an engine becomes flat parameters for the sampler and comes back from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from farm.candidate import Engine, PackageEngine, Pipeline
from tuner.search.options import fake, onnxruntime, openvino
from tuner.search.options.family import Choice, Family, Width

_FAMILIES: dict[str, Family] = {
    "onnxruntime-cpu": onnxruntime.FAMILY,
    "openvino": openvino.PLUGIN,
    "openvino-runtime": openvino.RUNTIME,
    "fake": fake.FAMILY,
}
SAMPLED = tuple(kind for kind in _FAMILIES if kind != "fake")
"""Kinds of engines whose options are sampled; packages have none."""


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


def flat_defaults() -> dict[str, Choice]:
    """Every parameter of every engine, as an engine has it to which it does not apply."""
    return {name: value for kind in SAMPLED for name, value in _FAMILIES[kind].defaults.items()}


def flat_choices(kinds: Iterable[str], width: Width) -> dict[str, tuple[Choice, ...]]:
    """What each parameter may be where there are these kinds of engines."""
    choices: dict[str, tuple[Choice, ...]] = {k: (v,) for k, v in flat_defaults().items()}
    for kind in kinds:
        choices |= _FAMILIES[kind].choices(width)
    return choices


def flatten(engine: Engine) -> dict[str, Choice] | None:
    """An engine's own parameters; None where it has none, or no flat ones."""
    family = _FAMILIES.get(engine.kind)
    return family.flatten(engine) if family else None


def unflatten(kind: str, parameters: Mapping[str, Choice]) -> Engine:
    """The engine of a kind that flat parameters stand for."""
    return _FAMILIES[kind].unflatten(parameters)
