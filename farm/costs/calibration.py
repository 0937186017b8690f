"""Calibrations: the constants of a device's places and of the borders between them, as values.

They are kept as JSON texts: an infinite limit is ``null`` there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from farm.costs.families import Family
from farm.costs.fit import Point
from farm.costs.roofline import Level, Roof, Roofline
from farm.costs.work import KernelWork
from farm.errors import StoreError
from farm.measurement import Method
from farm.plan.placement.problem import CALLER, Link
from farm.units import Seconds

Pattern = tuple[str, ...]
"""Types of operators in the model's order that one kernel stands for."""


@dataclass(frozen=True, slots=True)
class CostPlace:
    """Where an operator may run, as far as its cost goes: device, engine and precision.

    engine: kind of the engine. precision: of operators that can have it, ``float32`` or ``int8``.
    """

    device: str
    engine: str
    precision: str = "float32"

    @property
    def name(self) -> str:
        """As plans call it, ``cpu/onnxruntime-cpu``."""
        return f"{self.device}/{self.engine}"

    def __str__(self) -> str:
        return f"{self.name} in {self.precision}"


@dataclass(frozen=True, slots=True)
class PlaceConstants:
    """What was found out of the kernels of one place.

    options: of the engine, as tables show them. method: measured, or modelled from packets.
    patterns: operators that it fused. points: what the roofline was fitted to.
    """

    engine: str
    precision: str
    options: str
    method: Method
    roofline: Roofline
    patterns: tuple[Pattern, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """What it takes to call an engine, and to hand tensors over to it and back.

    launch: seconds of a call. per_tensor: seconds of each tensor of it. take_per_byte,
    give_per_byte: seconds of a byte of inputs and of outputs. convert_per_byte: seconds of a byte
    that comes in another layout or number format than the engine computes in.
    """

    engine: str
    precision: str
    method: Method
    launch: Seconds
    per_tensor: Seconds
    take_per_byte: float
    give_per_byte: float
    convert_per_byte: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """A border in the middle of a model, in float32, from one engine of the device to another.

    seconds: of the first tensor, beside the call of the second engine: caches are cold, and
    threads asleep. take_per_byte: seconds; what the first engine gives costs at its ends.
    """

    source: str
    target: str
    seconds: Seconds
    take_per_byte: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one calibration of a device found out."""

    device: str
    places: tuple[PlaceConstants, ...]
    ends: tuple[Ends, ...]
    crossings: tuple[Crossing, ...] = ()

    def crossings_by_name(self) -> dict[tuple[str, str], Crossing]:
        """Borders in place by the names of both places."""
        return {
            (f"{self.device}/{c.source}", f"{self.device}/{c.target}"): c for c in self.crossings
        }

    def constants(self, place: CostPlace) -> PlaceConstants | None:
        """Of one place; None where it was not calibrated."""
        of = (place.engine, place.precision)
        return next((c for c in self.places if (c.engine, c.precision) == of), None)

    def ends_of(self, place: CostPlace) -> Ends | None:
        """Of one place; None where it was not measured."""
        of = (place.engine, place.precision)
        return next((e for e in self.ends if (e.engine, e.precision) == of), None)


def links(
    ends: Mapping[CostPlace, Ends],
    crossings: Mapping[tuple[str, str], Crossing] = MappingProxyType({}),
) -> dict[tuple[str, str], Link]:
    """Links between all places of one machine, and from and to the caller, by their names.

    crossings: borders in place, by the names of both places, where they are known.

    Elsewhere a tensor that goes from one engine to another one is given by the first like to the
    caller, and taken by the second like from the caller: all of them are called in one process.
    What an engine converts at the ends of the model is among its kernels, and not counted again.
    """
    found: dict[tuple[str, str], Link] = {}
    for place, end in ends.items():
        found[CALLER, place.name] = Link(end.per_tensor, end.take_per_byte)
        found[place.name, CALLER] = Link(end.per_tensor, end.give_per_byte)
    for source, giving in ends.items():
        for target, taking in ends.items():
            if source.name != target.name:
                known = crossings.get((source.name, target.name))
                found[source.name, target.name] = _between(source, giving, target, taking, known)
    return found


def _between(
    source: CostPlace, giving: Ends, target: CostPlace, taking: Ends, known: Crossing | None
) -> Link:
    """The link of two engines. What layouts take is in borders that are known, in float32."""
    converts = [
        end.convert_per_byte
        for place, end in ((source, giving), (target, taking))
        if known is None or place.precision != "float32"
    ]
    if known is None:
        latency = giving.per_tensor + taking.per_tensor
        per_byte = giving.give_per_byte + taking.take_per_byte
    else:
        latency, per_byte = known.seconds, giving.give_per_byte + known.take_per_byte
    return Link(latency, per_byte, sum(converts))


def constants_json(calibration: Calibration) -> str:
    """The places' constants, to be read again by :func:`calibration_of`."""
    return json.dumps([_place_plain(place) for place in calibration.places])


def ends_json(calibration: Calibration) -> str:
    """The engines' ends, to be read again by :func:`calibration_of`."""
    return json.dumps(
        [
            *(_ends_plain(ends) for ends in calibration.ends),
            *(_crossing_plain(crossing) for crossing in calibration.crossings),
        ]
    )


def calibration_of(device: str, constants: str, ends: str) -> Calibration:
    """What the two functions above wrote.

    Raises StoreError: the texts are not theirs.
    """
    try:
        places = tuple(map(_place_of, json.loads(constants)))
        rows = json.loads(ends)
        return Calibration(
            device,
            places,
            tuple(_ends_of(row) for row in rows if "to" not in row),
            tuple(
                _crossing_of(row) for row in rows if "take_seconds_per_byte" in row and "to" in row
            ),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(
            f"The calibration of device {device} in the store cannot be read: "
            f"{type(error).__name__} {error}. Make a new one: farm devices calibrate {device}"
        ) from None


Json = dict[str, Any]


def _place_plain(place: PlaceConstants) -> Json:
    return {
        "engine": place.engine,
        "precision": place.precision,
        "options": place.options,
        "method": str(place.method),
        **plain_roofline(place.roofline),
        "patterns": [list(pattern) for pattern in place.patterns],
        "points": [
            [str(p.work.family), p.work.flops, p.work.traffic, p.seconds, p.kind]
            for p in place.points
        ],
    }


def _place_of(plain: Json) -> PlaceConstants:
    return PlaceConstants(
        plain["engine"],
        plain["precision"],
        plain["options"],
        Method(plain["method"]),
        roofline_of(plain),
        tuple(map(tuple, plain["patterns"])),
        tuple(
            Point(KernelWork(Family(family), flops, traffic), seconds, kind)
            for family, flops, traffic, seconds, kind in plain["points"]
        ),
    )


def plain_roofline(roofline: Roofline) -> Json:
    """What JSON takes, to be read again by :func:`roofline_of`."""
    return {
        "levels": [
            {
                "limit": None if math.isinf(level.limit) else level.limit,
                "bytes_per_second": level.bytes_per_second,
            }
            for level in roofline.levels
        ],
        "resolution_seconds": roofline.resolution,
        "general": _roof_plain(roofline.general),
        "families": {str(family): _roof_plain(roof) for family, roof in roofline.roofs.items()},
    }


def roofline_of(plain: Json) -> Roofline:
    """What :func:`plain_roofline` wrote."""
    levels = tuple(
        Level(math.inf if each["limit"] is None else each["limit"], each["bytes_per_second"])
        for each in plain["levels"]
    )
    roofs = {Family(name): _roof_of(roof) for name, roof in plain["families"].items()}
    return Roofline(levels, _roof_of(plain["general"]), roofs, plain["resolution_seconds"])


def _roof_plain(roof: Roof) -> Json:
    return {
        "overhead_seconds": roof.overhead,
        "seconds_per_flop": roof.per_flop,
        "bytes_factor": roof.per_byte,
        "spread": roof.spread,
        "kernels": roof.rows,
    }


def _roof_of(plain: Json) -> Roof:
    return Roof(
        Seconds(plain["overhead_seconds"]),
        Seconds(plain["seconds_per_flop"]),
        plain["bytes_factor"],
        plain["spread"],
        plain["kernels"],
    )


def _ends_plain(ends: Ends) -> Json:
    return {
        "engine": ends.engine,
        "precision": ends.precision,
        "method": str(ends.method),
        "launch_seconds": ends.launch,
        "seconds_per_tensor": ends.per_tensor,
        "take_seconds_per_byte": ends.take_per_byte,
        "give_seconds_per_byte": ends.give_per_byte,
        "convert_seconds_per_byte": ends.convert_per_byte,
    }


def _crossing_plain(crossing: Crossing) -> Json:
    return {
        "engine": crossing.source,
        "to": crossing.target,
        "seconds": crossing.seconds,
        "take_seconds_per_byte": crossing.take_per_byte,
    }


def _crossing_of(plain: Json) -> Crossing:
    return Crossing(
        plain["engine"],
        plain["to"],
        Seconds(plain["seconds"]),
        plain["take_seconds_per_byte"],
    )


def _ends_of(plain: Json) -> Ends:
    return Ends(
        plain["engine"],
        plain["precision"],
        Method(plain["method"]),
        Seconds(plain["launch_seconds"]),
        Seconds(plain["seconds_per_tensor"]),
        plain["take_seconds_per_byte"],
        plain["give_seconds_per_byte"],
        plain["convert_seconds_per_byte"],
    )


def all_patterns(points: Sequence[Pattern]) -> tuple[Pattern, ...]:
    """Each pattern of several operators once, sorted."""
    return tuple(sorted({pattern for pattern in points if len(pattern) > 1}))
