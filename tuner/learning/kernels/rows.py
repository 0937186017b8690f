"""Kernels that were profiled, as rows to learn from, whatever model they are of."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from db.questions.operators.costs import ProfiledTrial
from farm.candidate import (
    Candidate,
    DynamicInt8,
    Engine,
    Pipeline,
    StaticInt8,
    ThreadedEngine,
    engine_label,
    from_json,
)
from farm.costs.calibration import CostPlace
from farm.costs.kernels import as_in_a_run, in_seconds, kernel_groups, wired
from farm.costs.operators import CostedOperator, group_signature
from farm.costs.records import operators_of, plain_operators
from farm.devices.profile import DeviceProfile
from farm.profile.kernels import OperatorProfile
from farm.units import Seconds
from tuner.learning.kernels.features import touched_bytes
from tuner.runs.record.operators import costed_in

_LEAST = 1e-8  # seconds of a kernel that no clock could tell from none


@dataclass(frozen=True, slots=True)
class Setting:
    """What decides how an engine runs a kernel.

    precision: of numbers, as places have it, or another one. options: of the engine, as tables
    show them, but for its threads, and with what sets the precision apart from others of its name.
    threads: of the engine; 0 where it takes as many as there are.
    """

    device: str
    engine: str
    precision: str
    options: str
    threads: int = 0

    @classmethod
    def of_engine(
        cls, device: str, engine: Engine, precision: str, more: str = "", cores: int = 0
    ) -> Setting:
        """That an engine has. more: of the precision, behind the options. cores: of the device."""
        threads = 0
        if isinstance(engine, ThreadedEngine):
            takes_all = 0 < cores <= engine.threads
            engine, threads = replace(engine, threads=0), 0 if takes_all else engine.threads
        return cls(device, engine.kind, precision, engine_label(engine) + more, threads)

    @property
    def place(self) -> CostPlace:
        """The place whose roofline is nearest."""
        precision = "int8" if self.precision == "int8" else "float32"
        return CostPlace(self.device, self.engine, precision)

    @property
    def alike(self) -> str:
        """What settings whose kernels are learnt together have in common: the engine.

        Other options, compilers and instruction sets make the same kernels slower or faster by
        factors of their own; what makes one kernel slower than another is mostly the same.
        """
        return self.engine


@dataclass(frozen=True, slots=True)
class KernelRow:
    """A kernel as it ran in a model.

    model: what identifies it. around: bytes that all of its operators touch. seconds: of what
    converts and reorders for the kernel, too. is_probe: the model was made to calibrate with.
    """

    model: str
    setting: Setting
    operators: tuple[CostedOperator, ...]
    around: float
    seconds: Seconds
    is_probe: bool = False

    @property
    def signature(self) -> str:
        """Of its operators."""
        return group_signature([op.signature for op in self.operators])


def setting_of(device: str, candidate: Candidate, cores: int = 0) -> Setting | None:
    """The setting of a candidate; None where its kernels are unlike those of any single run.

    cores: of the device; 0 where that is not known.
    """
    engine, precision = candidate.engine, candidate.precision
    if candidate.callers > 1 or candidate.batch > 1 or candidate.rewritten:
        return None
    if isinstance(engine, Pipeline):
        return None
    match precision.quantization:
        case None:
            return Setting.of_engine(device, engine, str(precision.float_type), "", cores)
        case StaticInt8(products=False, keep_float=(), per_channel=per_channel):
            more = "" if per_channel else ", per tensor"
            return Setting.of_engine(device, engine, "int8", more, cores)
        case DynamicInt8(keep_float=()):
            return Setting.of_engine(device, engine, "dynamic-int8", "", cores)
        case _:
            return None


def rows_of_trials(
    trials: Iterable[ProfiledTrial],
    profiles: Sequence[DeviceProfile],
    cores: int = 0,
    calls: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[KernelRow]:
    """The kernels of profiled trials whose models' operators are in the store.

    Their seconds are those of a run without the profiler, see ``farm.costs.kernels.run_factor``.

    cores: of the machine, of which a profile may name some; 0 where that is not known. calls:
    seconds of a call of each engine, by its kind; none where they are not known.
    """
    by_name = {profile.name: profile for profile in profiles}
    models: dict[str, tuple[CostedOperator, ...]] = {}
    for trial in trials:
        profile = by_name.get(trial.device)
        own = (len(profile.processors) if profile else 0) or cores
        setting = setting_of(trial.device, from_json(trial.candidate), own)
        if setting is None or profile is None:
            continue
        if trial.model_sha256 not in models:
            models[trial.model_sha256] = costed_in(trial.model_details)
        call = calls.get(setting.engine, 0.0)
        kernels = as_in_a_run(in_seconds(trial.kernels, profile), trial.latency, call)
        yield from rows_of_profile(
            trial.model_sha256, setting, models[trial.model_sha256], kernels
        )


def rows_of_profile(
    model: str,
    setting: Setting,
    operators: Sequence[CostedOperator],
    kernels: Sequence[OperatorProfile],
) -> Iterator[KernelRow]:
    """The kernels of one profile. operators: all that run. kernels: in seconds."""
    around = touched_bytes(operators, setting.precision)
    named = {op.name: op for op in operators}
    for group in kernel_groups(kernels, wired(operators)) if operators else ():
        if all(name in named for name in group.operators):
            members = tuple(named[name] for name in group.operators)
            yield KernelRow(model, setting, members, around, Seconds(max(group.cost, _LEAST)))


def distinct(rows: Iterable[KernelRow]) -> tuple[KernelRow, ...]:
    """Rows of which each is of another kernel, model or setting, with the mean of their seconds.

    The mean is that of logarithms.
    """
    found: dict[tuple[str, Setting, str], list[KernelRow]] = {}
    for row in rows:
        found.setdefault((row.model, row.setting, row.signature), []).append(row)
    return tuple(
        replace(alike[0], seconds=Seconds(math.exp(statistics.fmean(_logs(alike)))))
        for alike in found.values()
    )


def _logs(rows: Iterable[KernelRow]) -> list[float]:
    return [math.log(row.seconds) for row in rows]


def plain_rows(rows: Iterable[KernelRow]) -> list[list[object]]:
    """Lists that JSON takes, to be read again by :func:`rows_of`."""
    return [
        [
            row.model,
            [s.engine, s.precision, s.options, s.threads],
            row.around,
            row.seconds,
            plain_operators(row.operators),
        ]
        for row in rows
        for s in [row.setting]
    ]


def rows_of(device: str, details: str) -> tuple[KernelRow, ...]:
    """Those that the details of a calibration keep under ``kernels``; none of older ones."""
    return tuple(
        KernelRow(
            model,
            Setting(device, *setting),
            operators_of(operators),
            around,
            Seconds(seconds),
            is_probe=True,
        )
        for model, setting, around, seconds, operators in json.loads(details).get("kernels", ())
    )


def by_setting(rows: Iterable[KernelRow]) -> Mapping[tuple[str, str], tuple[KernelRow, ...]]:
    """Rows by what their settings have in common, and by precision."""
    found: dict[tuple[str, str], list[KernelRow]] = {}
    for row in rows:
        found.setdefault((row.setting.alike, row.setting.precision), []).append(row)
    return {key: tuple(of) for key, of in found.items()}
