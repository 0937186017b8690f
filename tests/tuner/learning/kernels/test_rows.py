"""Kernels as rows to learn from."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from farm.candidate import (
    Candidate,
    CPackage,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    Precision,
    StaticInt8,
)
from farm.measurement import Method
from farm.profile.kernels import OperatorProfile
from tests.farm.costs.values import chain
from tests.tuner.learning.kernels.values import SETTING, convolution, row
from tuner.learning.kernels.rows import (
    distinct,
    plain_rows,
    rows_of,
    rows_of_profile,
    setting_of,
)


def kernel(seconds: float, *operators: str) -> OperatorProfile:
    return OperatorProfile("k", "Conv", operators, "float32", seconds, None, Method.MEASURED)


def test_kernels_come_with_their_operators_and_what_is_around_them() -> None:
    operators = chain("Conv", "Relu", "Conv")
    found = [*rows_of_profile("m", SETTING, operators, [
        kernel(3e-6, "conv0", "relu1"), kernel(2e-6, "conv2")])]  # fmt: skip
    assert [[op.name for op in each.operators] for each in found] == [
        ["conv0", "relu1"],
        ["conv2"],
    ]
    assert [each.seconds for each in found] == [3e-6, 2e-6]
    assert {each.around for each in found} == {1600.0}


@pytest.mark.parametrize(
    ("candidate", "precision", "options"),
    [
        (Candidate(), "float32", "onnxruntime-cpu"),
        (Candidate(OnnxRuntimeCpu(threads=1)), "float32", "onnxruntime-cpu"),
        (Candidate(OnnxRuntimeCpu(spinning=False)), "float32", "onnxruntime-cpu no-spin"),
        (Candidate(precision=Precision(FloatType.BFLOAT16)), "bfloat16", "onnxruntime-cpu"),
        (Candidate(precision=Precision(quantization=StaticInt8(bias_correction=True))), "int8",
         "onnxruntime-cpu"),
        (Candidate(precision=Precision(quantization=StaticInt8(per_channel=False))), "int8",
         "onnxruntime-cpu, per tensor"),
        (Candidate(precision=Precision(quantization=DynamicInt8())), "dynamic-int8",
         "onnxruntime-cpu"),
    ],
)  # fmt: skip
def test_what_decides_how_kernels_run(candidate: Candidate, precision: str, options: str) -> None:
    found = setting_of("cpu", candidate)
    assert found is not None
    assert (found.precision, found.options) == (precision, options)
    assert found.engine == candidate.engine.kind


def test_as_many_threads_as_there_are_cores_are_all_of_them() -> None:
    found = [setting_of("cpu", Candidate(OnnxRuntimeCpu(threads=n)), cores=2) for n in (0, 1, 2)]
    assert [each.threads for each in found if each] == [0, 1, 0]
    unknown = setting_of("cpu", Candidate(OnnxRuntimeCpu(threads=2)))
    assert unknown is not None
    assert unknown.threads == 2


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(callers=2),
        Candidate(batch=2),
        Candidate(rewritten=True),
        Candidate(CPackage(), Precision(quantization=StaticInt8(keep_float=("a",)))),
    ],
)
def test_kernels_of_other_runs_teach_nothing(candidate: Candidate) -> None:
    assert setting_of("cpu", candidate) is None


def test_rows_of_the_same_kernel_are_one_with_their_geometric_mean() -> None:
    op = convolution(8, 8, 8)
    rows = [row("m", op, 1e-6), row("m", op, 4e-6), row("other", op, 7e-6)]
    assert [(each.model, each.seconds) for each in distinct(rows)] == [
        ("m", pytest.approx(2e-6)),
        ("other", pytest.approx(7e-6)),
    ]
    threads = replace(SETTING, threads=2)
    assert len(distinct([row("m", op, 1e-6), row("m", op, 1e-6, threads)])) == 2


def test_rows_are_kept_with_a_calibration() -> None:
    rows = (row("m", convolution(8, 8, 8), 1e-6), row("n", convolution(3, 5, 9), 2e-6))
    read = rows_of("cpu", json.dumps({"kernels": plain_rows(rows)}))
    assert read == tuple(replace(row, is_probe=True) for row in rows)
    assert rows_of("cpu", '{"notes": []}') == ()
