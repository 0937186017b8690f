"""The devices at the moment when a plan is applied, and what is wished of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from farm.errors import PlanError

_LOW_BATTERY = 0.3


class Priority(StrEnum):
    """How urgent the application is beside all else that uses the devices."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def exponent(self) -> int:
        """How much the utilisation of a device counts."""
        return list(Priority).index(self)


@dataclass(frozen=True, slots=True)
class State:
    """The devices at the moment, by the names of places or of their devices.

    utilisation: 0 to 1 of what others use. weights: of places; above 1 they count more, below 1
    less. avoided: places that take only what no other can. power_budget: watts that all devices
    may draw. watts: what they draw now; None: what the plan draws. battery: 0 to 1, None where
    there is none.

    Raises PlanError: a value out of its range.
    """

    utilisation: Mapping[str, float] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    weights: Mapping[str, float] = field(default_factory=dict)
    battery: float | None = None
    watts: float | None = None
    power_budget: float | None = None
    avoided: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shares = {f"the utilisation of '{name}'": u for name, u in self.utilisation.items()}
        if self.battery is not None:
            shares["the battery"] = self.battery
        for what, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise PlanError(f"In the state {what} is {share:g}; it is a share from 0 to 1.")
        above = {f"the weight of '{name}'": w for name, w in self.weights.items()}
        watts = {"watts": self.watts, "power_budget": self.power_budget}
        above |= {what: value for what, value in watts.items() if value is not None}
        for what, value in above.items():
            if not 0.0 < value < inf:
                raise PlanError(
                    f"In the state {what} is {value:g}; it must be above 0 and finite."
                )

    def exceeds_budget(self, planned_watts: float) -> bool:
        """Whether more is drawn than may be. planned_watts: what the plan draws."""
        drawn = planned_watts if self.watts is None else self.watts
        return self.power_budget is not None and drawn > self.power_budget

    def avoids(self, place: str) -> bool:
        """Whether a place, or its device, is to be avoided."""
        return place in self.avoided or device_of(place) in self.avoided

    @property
    def battery_share(self) -> float:
        """How much joules count because the battery is low, from 0 to 1."""
        if self.battery is None:
            return 0.0
        return min(max((_LOW_BATTERY - self.battery) / _LOW_BATTERY, 0.0), 1.0)


IDLE = State()


def of_place(values: Mapping[str, float], place: str, default: float) -> float:
    """The value of a place, or of its device."""
    return values.get(place, values.get(device_of(place), default))


def device_of(place: str) -> str:
    """The device of a place ``device/engine``."""
    return place.partition("/")[0]
