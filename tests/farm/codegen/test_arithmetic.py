import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codegen.arithmetic import (
    MOST_SPREAD,
    add_weighted,
    dequantize,
    quantize,
    requantization,
    requantize,
    weighted_sum,
)
from farm.codegen.program import Quantization

factors = st.floats(min_value=-16.0, max_value=-0.01).map(lambda power: 2.0**power)
scales = st.floats(min_value=1e-3, max_value=1.0)
zero_points = st.integers(min_value=0, max_value=255)


class TestRequantize:
    @given(factor=factors, zero_point=zero_points)
    def test_is_as_near_as_rounding_lets_it(self, factor, zero_point):
        rule = requantization(np.array([factor]), zero_point)
        wanted = np.arange(-40, 300)
        sums = np.rint((wanted - zero_point) / factor).astype(np.int32)
        exact = np.clip(sums * factor + zero_point, 0, 255)

        found = requantize(sums + rule.offset[0], rule)

        # The last rounding, the one before it, and that of the zero point to whole units of the
        # accumulator.
        before = 0.5 * 0.5**rule.post_shift if rule.post_shift else 0.0
        assert np.abs(found - exact).max() <= 0.52 + before + 0.5 * factor

    @given(factor=factors, spread=st.floats(min_value=1.0, max_value=MOST_SPREAD))
    def test_serves_channels_far_apart(self, factor, spread):
        both = np.array([factor, factor / spread])
        rule = requantization(both, 0)
        wanted = np.arange(256)
        sums = np.rint(wanted[:, None] / both).astype(np.int32)

        found = requantize(sums + rule.offset, rule, channel_axis=1)

        assert np.abs(found - sums * both).max() <= 1.0

    def test_clamps(self):
        rule = requantization(np.array([0.01]), 10, lowest=10, highest=90)
        sums = np.array([-5000, 0, 100, 50000], np.int32)

        assert requantize(sums + rule.offset[0], rule).tolist() == [10, 10, 11, 90]

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([1.0], "not between 0 and 1"),
            ([0.0], "not between 0 and 1"),
            ([0.5, 0.5 / 40], "too far apart"),
            ([2.0**-26], "too small for 32 bits"),
        ],
    )
    def test_says_what_does_not_fit(self, values, message):
        with pytest.raises(ValueError, match=message):
            requantization(np.array(values), 0)


class TestWeightedSum:
    @given(a=scales, b=scales, zero_a=zero_points, zero_b=zero_points, zero_y=zero_points)
    def test_is_within_one_step_of_the_real_sum(self, a, b, zero_a, zero_b, zero_y):
        first, second = Quantization(a, zero_a), Quantization(b, zero_b)
        output = Quantization(a + b, zero_y)
        x, y = np.meshgrid(np.arange(0, 256, 5), np.arange(0, 256, 5))
        x, y = x.astype(np.uint8), y.astype(np.uint8)

        found = add_weighted(x, y, weighted_sum(first, second, output))

        real = (dequantize(x, first) + dequantize(y, second)) / output.scale + zero_y
        assert np.abs(found - np.clip(real, 0, 255)).max() <= 0.52

    def test_subtracts_and_clamps_negative_sums(self):
        same = Quantization(0.1, 20)
        rule = weighted_sum(same, same, same, -1, relu=True)

        assert add_weighted(np.uint8([50, 20]), np.uint8([30, 90]), rule).tolist() == [40, 20]

    def test_refuses_an_output_that_is_too_fine(self):
        with pytest.raises(ValueError, match="does not fit 16 bits"):
            weighted_sum(Quantization(1.0, 0), Quantization(1.0, 0), Quantization(1e-5, 0))


class TestQuantize:
    @given(scale=scales, zero_point=zero_points)
    def test_comes_back(self, scale, zero_point):
        every = np.arange(256, dtype=np.uint8)
        how = Quantization(scale, zero_point)

        assert quantize(dequantize(every, how), how).tolist() == every.tolist()

    def test_saturates_and_rounds_half_to_even(self):
        how = Quantization(1.0, 100)
        values = np.float32([-1e9, -0.5, 0.5, 1.5, 1e9, np.inf])

        assert quantize(values, how).tolist() == [0, 100, 100, 102, 255, 255]


@pytest.mark.parametrize("factor", [0.008, 0.05, 0.13, 0.26, 0.4, 0.49, 0.7])
def test_results_are_rounded_up_as_often_as_down(factor):
    accumulators = np.arange(int(200 / factor))
    rule = requantization(np.array([factor]), 0)  # another one is rounded to an accumulator's unit
    found = requantize((accumulators + rule.offset[0]).astype(np.int32), rule)
    error = found - accumulators * factor
    assert abs(error.mean()) < 0.07
    assert abs(error).max() < 0.6
