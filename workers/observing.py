"""What the devices of this machine are doing at the moment: how busy they are, what they draw."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import psutil

from farm.devices.profile import DeviceKind, DeviceProfile
from workers.nvidia.devices import opened

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Observed:
    """utilisation: 0 to 1 by device. battery: 0 to 1, None where none discharges.

    notes: a sentence for each device that cannot be looked at.
    """

    utilisation: dict[str, float]
    battery: float | None
    notes: tuple[str, ...] = ()


def observe(profiles: Iterable[DeviceProfile], seconds: float = _LOOK_SECONDS) -> Observed:
    """Look at this machine's devices for so many seconds."""
    given = tuple(profiles)
    busy = [percent / 100.0 for percent in psutil.cpu_percent(interval=seconds, percpu=True)]
    utilisation = {p.name: _of_processors(p, busy) for p in given if p.kind is DeviceKind.CPU}
    utilisation |= dict(_of_gpus(given))
    return Observed(utilisation, _battery(), tuple(_unseen(given, utilisation)))


def _of_gpus(profiles: Iterable[DeviceProfile]) -> Iterator[tuple[str, float]]:
    for profile in profiles:
        found = opened(profile)
        busy = None if found is None else found[0].utilisation(found[1])
        if busy is not None:
            yield profile.name, min(max(busy, 0.0), 1.0)


def _of_processors(profile: DeviceProfile, busy: list[float]) -> float:
    """The mean of the processors that the profile names, or of all."""
    own = [busy[at] for at in profile.processors if at < len(busy)] or busy
    return min(max(sum(own) / len(own), 0.0), 1.0)


def _battery() -> float | None:
    found = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if found is None or found.power_plugged:
        return None
    return min(max(float(found.percent) / 100.0, 0.0), 1.0)


def _unseen(profiles: Iterable[DeviceProfile], seen: Container[str]) -> Iterator[str]:
    for profile in profiles:
        if profile.name not in seen:
            yield (
                f"How busy {profile.name} is cannot be seen here, so it is taken to be idle; "
                "--state says otherwise."
            )
