"""What a device's counter says of the energy of a loaded child, or why it says nothing."""

from __future__ import annotations

from farm.measurement import Measurement, Method, Metric
from workers.protocol import EnergyReading
from workers.trials.children import CounterFailed, LoadedChild


def energy_of(
    child: LoadedChild, window: float | None
) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """Measurements of energy, and a sentence in their place where the counter failed.

    window: seconds to be counted; None where no counter tells of the child's candidate.

    Raises ChildError.
    """
    if window is None:
        return (), ()
    try:
        reading = child.energy(window)
    except CounterFailed as error:
        return (), (str(error),)
    return of_energy(reading), ()


def of_energy(reading: EnergyReading) -> tuple[Measurement, ...]:
    """A reading as measurements."""
    return (
        Measurement(Metric.ENERGY, reading.joules, Method.MEASURED),
        Measurement(Metric.ENERGY_WINDOW, reading.window_seconds, Method.MEASURED),
        Measurement(Metric.IDLE_POWER, reading.idle_watts, Method.MEASURED),
    )
