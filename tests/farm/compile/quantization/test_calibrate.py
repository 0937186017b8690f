"""Ranges of activations from calibration data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.compile.quantization.calibrate import Range, calibrate
from farm.errors import CompileError
from tests import models

METHODS = list(CalibrationMethod)


def doubling(size: int = 4096):
    """y = x + x, so that both tensors' values are known."""
    node = make_node("Add", ["x", "x"], ["y"], name="double")
    return models.build([node], [models.value("x", [size])], [models.value("y", [size])], {})


def ranges(values, method):
    model = doubling(len(values[0]))
    feeds = [{"x": np.asarray(v, np.float32)} for v in values]
    return calibrate(model, ("x", "y"), feeds, method)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20))
def test_min_max_is_exact_and_contains_zero(values):
    found = ranges([values, values[::-1]], CalibrationMethod.MIN_MAX).ranges["x"]
    gap = max(0.0, min(values), -max(values))
    assert found == Range(min(0.0, *values), max(0.0, *values), gap)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(METHODS), st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50))
def test_every_method_stays_within_the_extremes(method, values):
    found = ranges([values], method).ranges
    for name, factor in (("x", 1), ("y", 2)):
        lowest, highest = min(0.0, *values) * factor, max(0.0, *values) * factor
        assert lowest <= found[name].lowest <= 0 <= found[name].highest <= highest


@pytest.mark.parametrize("method", [CalibrationMethod.ENTROPY, CalibrationMethod.PERCENTILE])
def test_rare_outliers_are_clipped(method):
    values = np.random.default_rng(0).standard_normal((8, 1 << 14))
    values[3, 77] = 500.0
    found = ranges(values, method).ranges["x"]
    assert 2.5 < found.highest < 50, "one outlier of 131072 values decides the range"
    assert -50 < found.lowest < -2.5
    assert ranges(values, CalibrationMethod.MIN_MAX).ranges["x"].highest == 500


@pytest.mark.parametrize("method", METHODS)
def test_what_is_always_empty_has_no_range(method):
    concat = make_node("Concat", ["past", "x"], ["present"], axis=0)
    inputs = [models.value("past", [0]), models.value("x", [4])]
    model = models.build([concat], inputs, [models.value("present", [4])], {})
    feeds = [{"past": np.zeros(0, np.float32), "x": np.arange(4, dtype=np.float32)}] * 3
    found = calibrate(model, ("past", "x", "present"), feeds, method).ranges
    assert sorted(found) == ["present", "x"]


def test_results_are_the_same_every_time():
    values = np.random.default_rng(0).standard_normal((4, 1 << 16))
    first, second = (ranges(values, CalibrationMethod.ENTROPY) for _ in range(2))
    assert first == second


def test_notes_say_how_many_samples_were_used():
    found = ranges([[1.0]] * 300, CalibrationMethod.PERCENTILE)
    assert found.notes[0] == "Ranges from 256 of 300 calibration samples (percentile)."
    assert found.notes[1].startswith("Histograms from 64 samples")


def test_no_data_is_refused():
    with pytest.raises(CompileError, match="needs calibration data, and there is none"):
        calibrate(doubling(), ("x",), [], CalibrationMethod.MIN_MAX)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(CompileError, match="not finite in tensor 'y'"):
        ranges([[3e38]], CalibrationMethod.MIN_MAX)


def test_data_that_does_not_fit_is_one_sentence():
    feeds = [{"x": np.zeros((2, 2), np.float32)}]
    with pytest.raises(CompileError, match=r"^Pass calibrate failed: .*\.$"):
        calibrate(doubling(), ("y",), feeds, CalibrationMethod.MIN_MAX)
