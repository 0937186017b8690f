"""Costs: the profiles of the very operators first, then the roofline."""

from __future__ import annotations

import pytest

from farm.costs.calibration import Calibration, CostPlace
from farm.costs.model import MeasuredThenRoofline, ProfiledKernels, measured
from farm.errors import DeviceError
from farm.prediction import Basis
from farm.units import Seconds
from tests.farm.costs.test_calibration import CALIBRATION, ONE
from tests.farm.costs.values import chain

CONV, RELU = chain("Conv", "Relu")
KNOWN = ProfiledKernels({ONE: {"Conv+Relu": (Seconds(4e-5),), "Relu": (Seconds(1e-6),)}})


def test_a_profile_of_the_very_operators_goes_first() -> None:
    costs = MeasuredThenRoofline({"cpu": CALIBRATION}, KNOWN)
    group = costs.cost([CONV, RELU], ONE)
    assert (group.value, group.basis, group.rows) == (pytest.approx(4e-5), Basis.MEASURED, 1)
    assert costs.cost([CONV], ONE).basis is Basis.ROOFLINE
    assert costs.groups_at(ONE) == (("Conv", "Relu"),)
    assert costs.groups_at(CostPlace("cpu", "cpackage")) == ()


def test_without_profiles_the_roofline_says_it() -> None:
    found = MeasuredThenRoofline({"cpu": CALIBRATION}).cost([CONV], ONE)
    assert found.value == pytest.approx(2e-6 + 1000e-11 + 1.5 * 800 / 1e11)


def test_a_device_that_was_never_calibrated() -> None:
    with pytest.raises(DeviceError) as caught:
        MeasuredThenRoofline({}).cost([CONV], CostPlace("dsp", "cpackage-emulated"))
    assert str(caught.value) == (
        "Device dsp was never calibrated on this machine, so that nothing is known of what "
        "operators cost there: farm devices calibrate dsp"
    )


def test_an_engine_that_was_not_there_when_the_device_was_calibrated() -> None:
    costs = MeasuredThenRoofline({"cpu": Calibration("cpu", (), ())})
    with pytest.raises(DeviceError, match=r"knows nothing of onnxruntime-cpu in float32\. Make"):
        costs.cost([CONV], ONE)


def test_the_interval_of_one_profile_is_that_of_profiles_in_general() -> None:
    one = measured([Seconds(1e-5)])
    assert one.low < 1e-5 < one.high
    assert one.spread == pytest.approx(0.1)


def test_profiles_that_differ_widen_the_interval() -> None:
    close = measured([Seconds(1e-5), Seconds(1.01e-5)])
    apart = measured([Seconds(1e-5), Seconds(2e-5)])
    assert close.spread == pytest.approx(0.03)
    assert apart.spread > close.spread
    assert apart.value == pytest.approx(2**0.5 * 1e-5)


def test_a_kernel_that_took_no_time() -> None:
    found = measured([Seconds(0.0), Seconds(2e-6)])
    assert (found.low, found.value, found.high) == (0.0, 1e-6, 2e-6)
