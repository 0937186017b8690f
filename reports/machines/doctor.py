"""What ``farm doctor`` looks at: software, devices, store, and how quiet the machine is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from db.reader import StoreReader
from farm.codegen.build.compilers import Target, emulator_version, find_compilers, host_targets
from farm.devices.environment import Environment
from farm.devices.profile import DeviceProfile
from farm.errors import FarmError
from farm.host.limits import memory_limit, processor_quota
from farm.text import listed
from farm.units import format_bytes
from workers.discovery import device_availability, emulator_availability, engines_of
from workers.environments.installed import State, states
from workers.fingerprint import fingerprint, software_versions
from workers.meters.disturbance import MachineReading
from workers.meters.energy import POWERCAP, CounterError, find_rapl, powercap
from workers.nvidia.devices import opened

_LISTEN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. remedy: what would make it better, if anything."""

    what: str
    found: str
    level: Literal["ok", "note", "problem"] = "ok"
    remedy: str = ""

    @property
    def fatal(self) -> bool:
        """Whether the farm cannot work like this."""
        return self.level == "problem"


def diagnose(
    profiles: Mapping[str, DeviceProfile],
    store: str | None,
    environments: Mapping[str, Environment] | None = None,
) -> list[Finding]:
    """Look at everything. Takes about a second, in which the machine should do nothing else.

    environments: that are known; those that are installed are shown in any case.
    """
    return [
        *_machine(),
        *_software(),
        *_toolchain(),
        *(finding for p in profiles.values() if not p.is_fake for finding in _device(p)),
        *(finding for p in profiles.values() for finding in _gpu(p)),
        *map(_environment, states(environments or {})),
        _store(store),
        _quiet(),
    ]


def _machine() -> Iterator[Finding]:
    here = fingerprint()
    yield Finding("machine", here.describe())
    if limits := _limits():
        yield Finding("control group", f"grants {limits}")
    yield Finding("instruction sets", ", ".join(here.isa) or "none that engines choose by")
    yield Finding("caches", here.caches or "unknown")
    yield _rapl()
    if here.governor and here.governor != "performance":
        yield Finding(
            "clock governor",
            here.governor,
            "note",
            "the governor performance makes times steadier",
        )


def _rapl() -> Finding:
    what, place = "energy counter", powercap()
    told = f", which {POWERCAP} names," if POWERCAP in os.environ else ""
    try:
        rapl = find_rapl()
        if rapl is not None and rapl.moves():
            return Finding(what, "RAPL")
    except CounterError:
        rapl = None
    if rapl is not None:
        remedy = f"energies are modelled: what {place}{told} holds counts nothing"
        return Finding(what, "RAPL, which stands still", "note", remedy)
    remedy = f"energies are modelled; with RAPL: make {place}{told} readable"
    return Finding(what, "none that can be read", "note", remedy)


def _limits() -> str:
    """What a container grants, which the machine's cores and memory above follow from."""
    quota, memory = processor_quota(), memory_limit()
    granted = [] if quota is None else [f"{quota:g} processors"]
    return " and ".join(granted if memory is None else [*granted, format_bytes(memory)])


def _software() -> Iterator[Finding]:
    for package, version in software_versions().items():
        yield Finding(package, version)


def _toolchain() -> Iterator[Finding]:
    """Compilers of packages, the default one first, and what executes Hexagon packages."""
    for what, target in (("host", host_targets()[0]), ("Hexagon", Target.HEXAGON_HVX)):
        found = ", ".join(compiler.label for compiler in find_compilers(target))
        if found:
            yield Finding(f"compiler for the {what}", found)
        else:
            yield Finding(f"compiler for the {what}", "none", "note", "pip install ziglang")
    emulator = emulator_availability()
    if emulator.available:
        yield Finding("Hexagon emulator", emulator_version())
    else:
        yield Finding("Hexagon emulator", emulator.reason, "note", emulator.remedy)


def _device(profile: DeviceProfile) -> Iterator[Finding]:
    found = device_availability(profile)
    if not found.available:
        yield Finding(f"device {profile.name}", found.reason, "note", found.remedy)
        return
    what = f"available: {found.found}" if found.found else "available"
    yield Finding(f"device {profile.name}", what)
    for engine, state in engines_of(profile).items():
        if state.available:
            yield Finding(f"engine {engine}", "available")
        else:
            yield Finding(f"engine {engine}", state.reason, "note", state.remedy)


def _gpu(profile: DeviceProfile) -> Iterator[Finding]:
    """What the driver tells of a device's GPU, and whether it is held below its clock."""
    found = opened(profile)
    if found is None:
        return
    nvml, gpu = found
    told = [gpu.describe()]
    clock, watts = nvml.clock(gpu), nvml.watts(gpu)
    told += [] if clock is None else [f"{clock / 1e6:.0f} MHz at the moment"]
    told += [] if watts is None else [f"draws {watts:.0f} W"]
    what = f"GPU of {profile.name}"
    if slowed := nvml.slowed_now(gpu):
        remedy = "cool it, or raise its power limit"
        yield Finding(what, f"{', '.join(told)}, slowed by {listed(slowed)}", "note", remedy)
    else:
        yield Finding(what, ", ".join(told))
    if nvml.joules(gpu) is None:
        remedy = "a GPU of the generation Volta or newer counts energy"
        yield Finding(f"energy counter of {profile.name}", "none", "note", remedy)


def _environment(state: State) -> Finding:
    name, engines = state.environment.name, ", ".join(state.environment.engines)
    what = f"environment {name}"
    if state.installed is None:
        reason = state.environment.unsuited
        found = f"not for this machine: {reason}" if reason else f"not installed; gives {engines}"
        return Finding(what, found)
    if broken := state.installed.broken:
        return Finding(what, broken, "note", f"farm devices remove {name}, then install it again")
    where = " where it is named" if state.environment.by_name_only else ""
    size = format_bytes(state.size)
    return Finding(what, f"installed, {size}; {engines} runs in it{where}")


def _store(url: str | None) -> Finding:
    try:
        with StoreReader.open(url) as reader:
            runs = len(reader.runs())
            return Finding("store", f"{reader.place}, {runs} run{'s' if runs != 1 else ''}")
    except FarmError as error:
        return Finding("store", str(error), "note")


def _quiet() -> Finding:
    before = MachineReading.now()
    time.sleep(_LISTEN_SECONDS)
    disturbed = MachineReading.now().disturbed_since(before)
    if disturbed:
        return Finding(
            "quiet machine", disturbed, "note", "stop other programs before you measure"
        )
    return Finding("quiet machine", f"nothing disturbed it for {_LISTEN_SECONDS:g} s")
