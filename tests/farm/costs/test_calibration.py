"""Calibrations as values: kept as JSON, and composed into links."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from farm.costs.calibration import (
    Calibration,
    CostPlace,
    Crossing,
    Ends,
    PlaceConstants,
    all_patterns,
    calibration_of,
    constants_json,
    ends_json,
    links,
)
from farm.costs.families import Family
from farm.costs.fit import Point
from farm.costs.roofline import Level, Roof, Roofline
from farm.costs.work import KernelWork
from farm.errors import StoreError
from farm.measurement import Method
from farm.plan.placement.problem import CALLER, Link
from farm.units import Bytes, Seconds

ROOF = Roof(Seconds(2e-6), Seconds(1e-11), 1.5, 0.2, 9)
ONE = CostPlace("cpu", "onnxruntime-cpu")
TWO = CostPlace("cpu", "openvino-runtime", "int8")
CONSTANTS = PlaceConstants(
    "onnxruntime-cpu",
    "float32",
    "onnxruntime-cpu",
    Method.MEASURED,
    Roofline(
        (Level(32768.0, 1e11), Level(math.inf, 1e10)), ROOF, {Family.CONVOLUTION: ROOF}, 1e-6
    ),
    (("Conv", "Relu"),),
    (Point(KernelWork(Family.CONVOLUTION, 1e6, 1e4), Seconds(1e-5), "Conv"),),
)


def ends(place: CostPlace, scale: float = 1.0) -> Ends:
    return Ends(
        place.engine,
        place.precision,
        Method.MEASURED,
        Seconds(10e-6 * scale),
        Seconds(1e-6 * scale),
        1e-10 * scale,
        2e-10 * scale,
        3e-10 * scale,
    )


CALIBRATION = Calibration("cpu", (CONSTANTS,), (ends(ONE), ends(TWO, 10.0)))


def test_what_is_kept_comes_out_as_it_went_in() -> None:
    constants, borders = constants_json(CALIBRATION), ends_json(CALIBRATION)
    assert calibration_of("cpu", constants, borders) == CALIBRATION
    json.loads(constants, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.parametrize("constants", ["", "{", "[1]", '[{"engine": "x"}]'])
def test_other_texts_are_refused_with_what_to_do(constants: str) -> None:
    with pytest.raises(StoreError, match="farm devices calibrate cpu"):
        calibration_of("cpu", constants, "[]")


def test_a_place_is_found_by_engine_and_precision() -> None:
    assert CALIBRATION.constants(ONE) is CONSTANTS
    assert CALIBRATION.constants(TWO) is None
    assert CALIBRATION.ends_of(TWO) == ends(TWO, 10.0)
    assert CALIBRATION.ends_of(CostPlace("cpu", "cpackage")) is None
    assert (ONE.name, str(TWO)) == ("cpu/onnxruntime-cpu", "cpu/openvino-runtime in int8")


def test_a_border_in_place_counts_for_every_tensor_with_what_the_first_engine_gives() -> None:
    known = {ONE: ends(ONE), TWO: ends(TWO, 10.0)}
    in_place = Crossing(ONE.engine, TWO.engine, Seconds(2e-4), 7e-10)
    found = links(known, replace(CALIBRATION, crossings=(in_place,)).crossings_by_name())
    converts = known[TWO].convert_per_byte  # to int8: layouts are in the border
    assert found[ONE.name, TWO.name] == Link(2e-4, pytest.approx(2e-10 + 7e-10), converts)
    assert found[TWO.name, ONE.name] == links(known)[TWO.name, ONE.name], "not measured that way"


def test_borders_in_place_are_kept_with_the_ends() -> None:
    in_place = (Crossing("onnxruntime-cpu", "cpackage", Seconds(2e-4), 1e-10),)
    calibration = replace(CALIBRATION, crossings=in_place)
    texts = constants_json(calibration), ends_json(calibration)
    assert calibration_of("cpu", *texts) == calibration


def test_borders_of_an_older_farm_are_left_out() -> None:
    border = {"engine": "x", "to": "y", "seconds": 2e-4}
    older = [*json.loads(ends_json(CALIBRATION)), border]
    read = calibration_of("cpu", constants_json(CALIBRATION), json.dumps(older))
    assert read == CALIBRATION


def test_a_border_is_given_by_one_and_taken_by_the_other() -> None:
    found = links({ONE: ends(ONE), TWO: ends(TWO, 10.0)})
    assert set(found) == {
        (CALLER, ONE.name),
        (ONE.name, CALLER),
        (CALLER, TWO.name),
        (TWO.name, CALLER),
        (ONE.name, TWO.name),
        (TWO.name, ONE.name),
    }
    assert found[CALLER, ONE.name] == Link(1e-6, 1e-10)
    assert found[ONE.name, CALLER] == Link(1e-6, 2e-10)
    between = found[ONE.name, TWO.name]
    assert between.latency == pytest.approx(11e-6)
    assert between.per_byte == pytest.approx(2e-10 + 10e-10)
    assert between.convert_per_byte == pytest.approx(33e-10)
    assert between.cost(Bytes(1000)) == pytest.approx(11e-6 + 45e-7)


def test_patterns_are_of_several_operators() -> None:
    assert all_patterns([("Conv",), ("Conv", "Relu"), ("Add", "Relu"), ("Conv", "Relu")]) == (
        ("Add", "Relu"),
        ("Conv", "Relu"),
    )
