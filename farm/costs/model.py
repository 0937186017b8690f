"""Cost models: what operators cost at a place, by one interface.

A cost model is made once per planning from what the store has, and asked often.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from farm.costs.calibration import Calibration, CostPlace
from farm.costs.operators import CostedOperator, group_signature, members_of
from farm.costs.work import kernel_work
from farm.errors import DeviceError
from farm.prediction import Basis, Prediction
from farm.units import Seconds, counted

_Z90 = 1.6448536269514722  # of the standard normal distribution: 5 % lie above it
_ONE_ROW_SPREAD = 0.1  # of one profile: kernels differ by as much from one process to the next
_LEAST_SPREAD = 0.03  # of several that agree by chance


class CostModel(Protocol):
    """Says what operators cost."""

    def cost(self, operators: Sequence[CostedOperator], place: CostPlace) -> Prediction:
        """Seconds of one kernel that stands for these operators, in the model's order.

        Raises DeviceError: nothing is known of the place.
        """

    def groups_at(self, place: CostPlace) -> tuple[tuple[str, ...], ...]:
        """Signatures of operators that one kernel of a place stands for, several each."""


@dataclass(frozen=True, slots=True)
class ProfiledKernels:
    """Seconds of kernels by place and by the operators that they stand for.

    seconds: by ``group_signature``; one value for each profile.
    """

    seconds: Mapping[CostPlace, Mapping[str, tuple[Seconds, ...]]] = field(default_factory=dict)

    def of(self, operators: Sequence[CostedOperator], place: CostPlace) -> tuple[Seconds, ...]:
        """What was measured of these operators at a place."""
        of = group_signature([op.signature for op in operators])
        return self.seconds.get(place, {}).get(of, ())


class LearnedCosts(Protocol):
    """What was learnt of a device's kernels."""

    def cost(self, operators: Sequence[CostedOperator], place: CostPlace) -> Prediction | None:
        """Seconds of one kernel; None where nothing was learnt that is better than a roofline."""

    def of_model(self, operators: Iterable[CostedOperator]) -> LearnedCosts:
        """The same for kernels of one model, whose size decides what caches hold."""


@dataclass(frozen=True, slots=True)
class MeasuredThenRoofline:
    """The profiles of the very operators where there are any, else the roofline of the place.

    Where kernels of other models taught more than the roofline says, that comes between.

    calibrations, learned: by device.
    """

    calibrations: Mapping[str, Calibration]
    profiled: ProfiledKernels = field(default_factory=ProfiledKernels)
    learned: Mapping[str, LearnedCosts] = field(default_factory=dict)

    def cost(self, operators: Sequence[CostedOperator], place: CostPlace) -> Prediction:
        """See :class:`CostModel`."""
        if found := self.profiled.of(operators, place):
            return measured(found)
        calibration = self.calibrations.get(place.device)
        if calibration is None:
            raise not_calibrated(place.device)
        constants = calibration.constants(place)
        if constants is None:
            raise DeviceError(
                f"The calibration of device {place.device} knows nothing of {place.engine} in "
                f"{place.precision}. Make a new one: farm devices calibrate {place.device}"
            )
        learned = self.learned.get(place.device)
        expected = learned.cost(operators, place) if learned else None
        if expected is not None:
            return expected
        return constants.roofline.predict(kernel_work(operators, place.precision))

    def groups_at(self, place: CostPlace) -> tuple[tuple[str, ...], ...]:
        """See :class:`CostModel`."""
        known = map(members_of, self.profiled.seconds.get(place, {}))
        return tuple(members for members in known if len(members) > 1)


def measured(seconds: Sequence[Seconds]) -> Prediction:
    """The prediction that rests on profiles of the very operators: their geometric mean.

    The interval is that of a new profile, by the spread of those that are there; of one alone it
    is taken to be as profiles usually differ.
    """
    if min(seconds) <= 0.0:
        middle = statistics.fmean(seconds)
        return Prediction(middle, min(seconds), max(seconds), "s", Basis.MEASURED, len(seconds))
    logarithms = [math.log(each) for each in seconds]
    middle = statistics.fmean(logarithms)
    spread = statistics.stdev(logarithms) if len(seconds) > 1 else _ONE_ROW_SPREAD
    reach = _Z90 * max(spread, _LEAST_SPREAD)
    return Prediction(
        math.exp(middle),
        math.exp(middle - reach),
        math.exp(middle + reach),
        "s",
        Basis.MEASURED,
        len(seconds),
    )


def not_calibrated(device: str, threads: int = 0) -> DeviceError:
    """What there is to say of a device that nothing is known of, with so many threads."""
    of, option = (f" with {counted(threads, 'thread')}", f" --threads {threads}")
    return DeviceError(
        f"Device {device} was never calibrated{of if threads else ''} on this machine, so that "
        "nothing is known of what operators cost there: "
        f"farm devices calibrate {device}{option if threads else ''}"
    )
