"""What it takes to call an engine and to hand tensors over, from runs that do little else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farm.costs.calibration import CostPlace, Ends
from farm.costs.families import Family
from farm.costs.probes.borders import LARGE, MANY, Border
from farm.costs.roofline import Roofline
from farm.costs.work import KernelWork
from farm.devices.profile import DeviceProfile
from farm.measurement import Method
from farm.units import Seconds

_LARGE_BYTES = 4 * LARGE
_INT8_SHARE = 1.25  # bytes that a conversion moves for each byte of float32: 4 read, 1 written


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a border model. seconds: as the caller waits. kernels: of these, in kernels."""

    seconds: Seconds
    kernels: Seconds

    @property
    def outside(self) -> float:
        """Seconds that are spent on the border."""
        return max(0.0, self.seconds - self.kernels)


def measured_ends(place: CostPlace, runs: Mapping[Border, Run], roofline: Roofline | None) -> Ends:
    """The ends of a place by runs of every border model, in float32.

    roofline: of the place, which says what conversions at its borders cost; None where its
    kernels are not known.
    """
    one, many = runs[Border.ONE].outside, runs[Border.MANY].outside
    per_tensor = max(0.0, many - one) / (2 * (MANY - 1))
    taken = max(0.0, runs[Border.TAKEN].outside - one) / _LARGE_BYTES
    both = max(0.0, runs[Border.BOTH].outside - one) / _LARGE_BYTES
    return Ends(
        place.engine,
        place.precision,
        Method.MEASURED,
        Seconds(max(0.0, one - 2 * per_tensor)),
        Seconds(per_tensor),
        taken,
        max(0.0, both - taken),
        convert_per_byte(place.precision, roofline),
    )


def modelled_ends(
    place: CostPlace, profile: DeviceProfile, roofline: Roofline | None
) -> Ends | None:
    """The ends of a place that nobody calls here, by its profile; None where that says nothing."""
    link = profile.links.get("caller")
    if link is None:
        return None
    per_byte = 1.0 / link.bytes_per_second
    return Ends(
        place.engine,
        place.precision,
        Method.MODELLED,
        Seconds(link.call_seconds),
        Seconds(link.tensor_seconds),
        per_byte,
        per_byte,
        convert_per_byte(place.precision, roofline),
    )


def convert_per_byte(precision: str, roofline: Roofline | None) -> float:
    """Seconds of each byte of float32 that an engine takes to its own format, and layout.

    By kernels of the place that were measured doing so; 0 where it has none.
    """
    family = Family.CONVERSION if precision == "int8" else Family.REORDER
    if roofline is None or family not in roofline.roofs:
        return 0.0
    share = _INT8_SHARE if family is Family.CONVERSION else 2.0
    large = roofline.predict(KernelWork(family, 0.0, share * _LARGE_BYTES)).value
    none = roofline.predict(KernelWork(family, 0.0, 0.0)).value
    return max(0.0, large - none) / _LARGE_BYTES
