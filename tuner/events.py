"""What a run tells whoever watches it, while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farm.measurement import Outcome
from farm.prediction import Prediction


@dataclass(frozen=True, slots=True)
class DeviceStarted:
    """The search on a device begins, with so many seconds to go."""

    device: str
    budget_seconds: float


@dataclass(frozen=True, slots=True)
class DeviceEnded:
    """Nothing more is done on a device."""

    device: str


@dataclass(frozen=True, slots=True)
class StageStarted:
    """The search turns to something else: baseline, engines, ..., race, confirmation."""

    device: str
    stage: str


@dataclass(frozen=True, slots=True)
class TimeForeseen:
    """What a trial of the baseline is expected to take, by trials that were run on the device.

    enough_for: so many of them have time in what is to go.
    """

    device: str
    trial: Prediction
    enough_for: int


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial ended. ``message`` says why it is not ok."""

    device: str
    label: str
    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True)
class BestChanged:
    """A race has a leader. speedup: the baseline's objective over its own."""

    device: str
    label: str
    speedup: float


@dataclass(frozen=True, slots=True)
class Ticked:
    """Something was measured; so many seconds are used of those that were to go."""

    device: str
    used_seconds: float


Event = (
    DeviceStarted
    | DeviceEnded
    | StageStarted
    | TimeForeseen
    | TrialFinished
    | BestChanged
    | Ticked
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
    del event
