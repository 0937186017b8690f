"""The one sentence names the operators that make the difference."""

from __future__ import annotations

from dataclasses import replace

from farm.measurement import Estimate, Measurement, Method, Metric, Outcome
from tests.tuner.explain.sides import DYNAMIC, FLOAT, OPERATORS, kernel, side
from tuner.explain.conversions import conversions
from tuner.explain.explanation import Side
from tuner.explain.rows import operator_rows
from tuner.explain.sentence import Found, sentence
from tuner.racing.statistics import Comparison

PLAIN = side(
    FLOAT,
    kernel("Conv", "conv1 relu1", 200),
    kernel("Conv", "conv2", 300),
    kernel("Softmax", "share", 60),
)
SLOW = side(
    DYNAMIC,
    kernel("DynamicQuantizeLinear", "conv1", 100),
    kernel("ConvInteger", "conv1", 700, "int8"),
    kernel("Relu", "relu1", 20),
    kernel("ConvInteger", "conv2", 600, "int8"),
    kernel("Softmax", "share", 60),
)


def told(trial: Side, against: Side | None, comparison: Comparison | None = None) -> str:
    rows = operator_rows(trial, against, OPERATORS)
    found = Found(rows, tuple(conversions(trial, OPERATORS)))
    return sentence(trial, against, "the baseline", comparison, found)


def compared(times_as_fast: float, width: float = 0.01) -> Comparison:
    low, high = times_as_fast - width, times_as_fast + width
    return Comparison(Estimate(times_as_fast, low, high), 1e-4, 15)


def test_slower_int8_names_its_operators_kernels_and_share() -> None:
    assert told(SLOW, PLAIN) == (
        "onnxruntime-cpu 1 thread dynamic int8 with conv takes 2.64 times as long as the baseline "
        "(1.48 ms against 560 µs): 2 Conv operators (conv1, conv2) take 1.42 ms, 96% of its time, "
        "as ConvInteger, DynamicQuantizeLinear and Relu, and 500 µs as Conv in the baseline; "
        "conversions (DynamicQuantizeLinear) take 7% of its time."
    )


def test_the_ratio_is_that_of_blocks_side_by_side() -> None:
    assert "takes 2.50 times as long as" in told(SLOW, PLAIN, compared(0.4))


def test_faster_names_where_it_gains() -> None:
    assert told(PLAIN, SLOW) == (
        "onnxruntime-cpu 1 thread float32 is 2.64 times as fast as the baseline "
        "(560 µs against 1.48 ms): 2 Conv operators (conv1, conv2) take 500 µs, 89% of its time, "
        "as Conv, and 1.42 ms as ConvInteger, DynamicQuantizeLinear and Relu in the baseline."
    )


def test_a_little_is_told_in_per_cent() -> None:
    assert "takes 3.1% longer than the baseline" in told(SLOW, PLAIN, compared(0.97))
    assert "is 3.0% faster than the baseline" in told(SLOW, PLAIN, compared(1.03))


def test_what_is_not_significant_is_no_difference() -> None:
    assert told(PLAIN, PLAIN, compared(1.005)) == (
        "onnxruntime-cpu 1 thread float32 is, as far as 15 blocks show, as fast as the baseline "
        "(560 µs against 560 µs): 2 Conv operators (conv1, conv2) take 500 µs, 89% of its time, "
        "as Conv."
    )
    assert "is within 1% as fast as the baseline" in told(PLAIN, PLAIN)


def test_a_difference_that_is_not_in_the_kernels() -> None:
    threads = replace(PLAIN, latency=replace(PLAIN.latency, value=1e-3))
    assert told(threads, PLAIN).endswith(
        "; the difference is not in their kernels, which take 560 µs and 560 µs together."
    )


def test_alone_it_says_what_takes_the_most() -> None:
    assert told(PLAIN, None) == (
        "onnxruntime-cpu 1 thread float32 takes 560 µs: 2 Conv operators (conv1, conv2) take "
        "500 µs, 89% of its time, as Conv."
    )


def test_kernels_that_are_little_of_the_time_are_not_its_reason() -> None:
    mostly_outside = replace(PLAIN, latency=replace(PLAIN.latency, value=5.6e-3))
    assert told(mostly_outside, None) == (
        "onnxruntime-cpu 1 thread float32 takes 5.60 ms; its kernels take 10% of that: 2 Conv "
        "operators (conv1, conv2) take 500 µs, 89% of the kernels' time, as Conv."
    )


def test_what_was_not_measured_by_a_clock_is_told_with_its_method() -> None:
    latency = Measurement(Metric.LATENCY, 1e-3, Method.EMULATED)
    assert "(1.00 ms emulated against 560 µs)" in told(replace(SLOW, latency=latency), PLAIN)


def test_without_profiles_it_says_how_fast_it_is() -> None:
    bare = side(DYNAMIC, milliseconds=2.0)
    assert told(bare, PLAIN) == (
        "onnxruntime-cpu 1 thread dynamic int8 with conv takes 3.57 times as long as the baseline "
        "(2.00 ms against 560 µs)."
    )


def test_what_did_not_run_says_why() -> None:
    failed = replace(
        side(DYNAMIC), latency=None, outcome=Outcome.COMPILE_ERROR, message="No operator is left."
    )
    assert told(failed, PLAIN) == (
        "onnxruntime-cpu 1 thread dynamic int8 with conv was not measured (compile-error): No "
        "operator is left."
    )
    pending = replace(failed, outcome=None, message="")
    assert told(pending, PLAIN).endswith("was not measured, its trial is pending.")
