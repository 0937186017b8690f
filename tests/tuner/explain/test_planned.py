"""What did not run as it was planned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.candidate import (
    Candidate,
    DynamicInt8,
    Engine,
    FloatType,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeWebGpu,
    OpenVino,
    Precision,
    StaticInt8,
)
from tests.tuner.explain.sides import DYNAMIC, FLOAT, OPERATORS, STATIC, kernel, side
from tuner.explain.planned import fallbacks, planned_precision, unfused
from tuner.runs.record.operators import ModelOperator

QUANTISED = (
    kernel("QuantizeLinear", "conv1", 1),
    kernel("QLinearConv", "conv1 relu1", 20, "int8"),
    kernel("DequantizeLinear", "conv2", 2, "int8"),
    kernel("Conv", "conv2", 30),
    kernel("QuantizeLinear", "sum", 3),
    kernel("QLinearAdd", "sum", 4, "int8"),
    kernel("DequantizeLinear", "share", 5, "int8"),
    kernel("Softmax", "share", 6),
)


def test_a_convolution_in_float_between_integers() -> None:
    note = "Operator conv2 stays in float: its output 'c2' needs more than 8 bits."
    trial = side(STATIC, *QUANTISED, notes=("1 of 2 operators quantised (static-int8).", note))
    (found,) = fallbacks(trial, OPERATORS)
    assert (found.name, found.planned, found.computed) == ("conv2", "int8", "float32")
    assert found.reason == "its output 'c2' needs more than 8 bits"
    assert found.share == pytest.approx(30 / 71)
    (chain,) = unfused(trial, OPERATORS)
    assert (chain.name, chain.op_type) == ("conv2", "Conv")
    assert chain.kernels == ("DequantizeLinear", "Conv", "QuantizeLinear")
    assert chain.seconds == pytest.approx(35e-6)


def test_the_end_of_the_integers_is_not_unfused() -> None:
    whole = tuple(each for each in QUANTISED if "conv2" not in each.operators)
    assert list(unfused(side(STATIC, *whole), OPERATORS)) == []
    assert list(fallbacks(side(STATIC, *whole), OPERATORS)) == []


def test_what_is_kept_in_float_is_as_planned() -> None:
    kept = Candidate(precision=Precision(quantization=StaticInt8(keep_float=("conv2",))))
    assert list(fallbacks(side(kept, *QUANTISED), OPERATORS)) == []


def test_only_what_is_quantised_statically_has_pairs() -> None:
    assert list(unfused(side(FLOAT, *QUANTISED), OPERATORS)) == []


def test_half_precision_that_an_engine_computes_in_float32() -> None:
    half = side(FLOAT.with_float(FloatType.FLOAT16), kernel("Conv", "conv1", 9))
    (found,) = fallbacks(half, OPERATORS)
    assert (found.name, found.planned, found.computed) == ("conv1", "float16", "float32")
    kept = side(FLOAT.with_float(FloatType.FLOAT16), kernel("Conv", "conv1", 9, "float16"))
    assert list(fallbacks(kept, OPERATORS)) == []


@pytest.mark.parametrize(
    ("provider", "engine"),
    [
        ("OpenVINOExecutionProvider", OpenVino(cpu_operators=True)),
        ("WebGpuExecutionProvider", OnnxRuntimeWebGpu(cpu_operators=True)),
    ],
)
def test_operators_on_another_provider(provider: str, engine: Engine) -> None:
    counts = {provider: 5, "CPUExecutionProvider": 2}
    mixed = side(Candidate(engine), assignment=counts)
    (found,) = fallbacks(mixed, OPERATORS)
    assert (found.name, found.operators, found.computed) == ("", 2, "CPUExecutionProvider")
    assert list(fallbacks(side(FLOAT), OPERATORS)) == []


@pytest.mark.parametrize(
    ("quantization", "op_type", "has_weights", "planned"),
    [
        (StaticInt8(), "Conv", True, "int8"),
        (StaticInt8(), "MatMul", False, ""),
        (StaticInt8(products=True), "MatMul", False, "int8"),
        (StaticInt8(keep_float=("it",)), "Conv", True, ""),
        (StaticInt8(), "Add", True, ""),
        (DynamicInt8(), "Conv", True, ""),
        (DynamicInt8(convolutions=True), "Conv", True, "int8"),
        (DynamicInt8(), "LSTM", True, "int8"),
        (None, "Conv", True, ""),
    ],
)
def test_what_a_candidate_plans(quantization, op_type, has_weights, planned) -> None:
    candidate = Candidate(OnnxRuntimeCpu(), Precision(quantization=quantization))
    operator = ModelOperator(op_type, has_weights)
    assert planned_precision(candidate, "it", operator) == planned
    with_half = replace(candidate, precision=replace(candidate.precision, float_type="bfloat16"))
    assert planned_precision(with_half, "it", ModelOperator("Relu", False)) == ""


def test_dynamic_int8_in_integers_is_as_planned() -> None:
    ran = side(DYNAMIC, kernel("ConvInteger", "conv1", 9, "int8"), kernel("Mul", "conv1", 1))
    assert list(fallbacks(ran, OPERATORS)) == []


def test_operators_that_a_gpu_left_to_the_cpu() -> None:
    counts = {"CUDAExecutionProvider": 5, "CPUExecutionProvider": 2}
    mixed = side(Candidate(OnnxRuntimeCuda(cpu_operators=True)), assignment=counts)
    (found,) = fallbacks(mixed, OPERATORS)
    assert (found.operators, found.computed) == (2, "CPUExecutionProvider")
    assert found.reason == "CUDA did not take them, and the candidate allows that"
