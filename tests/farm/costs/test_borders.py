"""What a call takes, from runs whose kernels are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.costs.borders import Run, convert_per_byte, measured_ends, modelled_ends
from farm.costs.calibration import CostPlace
from farm.costs.families import Family
from farm.costs.probes.borders import LARGE, MANY, Border
from farm.devices.profile import load_profiles
from farm.measurement import Method
from farm.units import Seconds
from tests.farm.costs.test_calibration import CONSTANTS, ONE, ROOF

ROOFLINE = CONSTANTS.roofline
LAUNCH, TENSOR, TAKE, GIVE = 20e-6, 1e-6, 1e-10, 3e-10


def run(tensors: int, taken: int, given: int, kernels: float = 5e-6) -> Run:
    """tensors: inputs and outputs. taken, given: bytes."""
    outside = LAUNCH + TENSOR * tensors + TAKE * taken + GIVE * given
    return Run(Seconds(outside + kernels), Seconds(kernels))


RUNS = {
    Border.ONE: run(2, 0, 0),
    Border.MANY: run(2 * MANY, 0, 0),
    Border.TAKEN: run(2, 4 * LARGE, 0),
    Border.BOTH: run(2, 4 * LARGE, 4 * LARGE),
}


def test_what_a_call_consists_of_is_found() -> None:
    ends = measured_ends(ONE, RUNS, None)
    assert ends.launch == pytest.approx(LAUNCH)
    assert ends.per_tensor == pytest.approx(TENSOR)
    assert ends.take_per_byte == pytest.approx(TAKE)
    assert ends.give_per_byte == pytest.approx(GIVE)
    assert (ends.method, ends.convert_per_byte) == (Method.MEASURED, 0.0)


def test_noise_never_makes_a_border_negative() -> None:
    noisy = {**RUNS, Border.MANY: Run(Seconds(1e-6), Seconds(5e-6)), Border.BOTH: run(2, 0, 0)}
    ends = measured_ends(ONE, noisy, None)
    assert min(ends.launch, ends.per_tensor, ends.take_per_byte, ends.give_per_byte) == 0.0
    assert ends.launch > 0.0


def test_conversions_are_by_kernels_that_convert() -> None:
    layouts = replace(ROOFLINE, roofs={Family.REORDER: ROOF})
    assert convert_per_byte("float32", layouts) == pytest.approx(1.5 * 2.0 / 1e10)
    assert convert_per_byte("int8", layouts) == 0.0
    formats = replace(ROOFLINE, roofs={Family.CONVERSION: ROOF})
    assert convert_per_byte("int8", formats) == pytest.approx(1.5 * 1.25 / 1e10)
    assert convert_per_byte("float32", None) == 0.0


def test_a_device_that_nobody_calls_here_has_the_borders_of_its_profile() -> None:
    dsp = load_profiles()["dsp"]
    place = CostPlace("dsp", "cpackage-emulated", "int8")
    ends = modelled_ends(place, dsp, None)
    assert ends is not None
    assert (ends.method, ends.launch, ends.per_tensor) == (Method.MODELLED, 3e-4, 5e-6)
    assert ends.take_per_byte == ends.give_per_byte == 1e-10
    assert modelled_ends(place, replace(dsp, links={}), None) is None
