"""What a device's counter says of the energy of a loaded child, or why it says nothing."""

from __future__ import annotations

from collections.abc import Iterator

from farm.measurement import Measurement, Method, Metric
from farm.units import format_joules
from workers.meters.energy import without_idle
from workers.protocol import EnergyReading
from workers.trials.children import CounterFailed, LoadedChild

_LONGER = 4  # times a window, where one did not tell the energy from idling
_ODD_IDLE = 0.25  # twice what a count more or less does to the idle power of NVML


def energy_of(
    child: LoadedChild, window: float | None
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Measurements of energy, and a sentence in their place where the counter tells none.

    window: seconds to be counted; None where no counter tells of the child's candidate.

    Raises ChildError.
    """
    if window is None:
        return (), ()
    try:
        reading = counted_energy(child, window)
    except CounterFailed as error:
        return (), (str(error),)
    return tuple(of_energy(reading)), tuple(doubts_of(reading))


def counted_energy(child: LoadedChild, window: float) -> EnergyReading:
    """Energy of one run, by a longer window where this one does not tell it from idling.

    Raises ChildError, CounterFailed.
    """
    reading = _reading(child, window)
    return reading if reading.is_told else _reading(child, _LONGER * window)


def of_energy(reading: EnergyReading) -> Iterator[Measurement]:
    """A reading as measurements; what the counter does not tell from idling is none."""
    if reading.is_told:
        yield Measurement(Metric.ENERGY, reading.joules, Method.MEASURED)
    yield Measurement(Metric.ENERGY_WINDOW, reading.window_seconds, Method.MEASURED)
    yield Measurement(Metric.IDLE_POWER, reading.idle_watts, Method.MEASURED)


def doubts_of(reading: EnergyReading) -> Iterator[str]:
    """That there is no energy because the counter does not tell it."""
    if not reading.is_told:
        yield (
            "The energy of a run is below what the counter tells from idling, which is "
            f"{format_joules(reading.least_joules)} here."
        )


def odd_idle(before: float, after: float) -> str:
    """That something else ran while idle power was measured; "" where none can be seen."""
    if abs(after - before) <= _ODD_IDLE * min(before, after):
        return ""
    return f"idle power was {before:.3g} W before and {after:.3g} W after energy was counted"


def _reading(child: LoadedChild, window: float) -> EnergyReading:
    before = child.idle_watts(window / 2)
    count = child.energy(window)
    return without_idle(count, before, child.idle_watts(window / 2))
