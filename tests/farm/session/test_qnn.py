"""Sessions of Qualcomm's compiler: one chip, all operators on it, and no other arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.candidate import (
    CHIPS,
    Candidate,
    DynamicInt8,
    FloatType,
    GivenFormat,
    OnnxRuntimeQnn,
    Precision,
    StaticInt8,
)
from farm.errors import CompileError
from farm.session.of_candidate import session_spec
from farm.session.spec import SessionSpec
from tests.qnn import AS_GIVEN, QUANTISED


@pytest.mark.parametrize("candidate", [QUANTISED, AS_GIVEN])
def test_all_operators_are_for_the_htp_of_one_chip(candidate: Candidate) -> None:
    assert session_spec(candidate) == SessionSpec(
        "QNNExecutionProvider",
        plugin="onnxruntime_qnn",
        provider_options={
            "backend_type": "htp",
            "soc_model": "57",
            "enable_htp_fp16_precision": "1",
            "htp_graph_finalization_optimization_mode": "3",
            "offload_graph_io_quantization": "0",
        },
    )


def test_each_chip_has_a_number_of_its_own() -> None:
    specs = [
        session_spec(replace(QUANTISED, engine=OnnxRuntimeQnn(chip=chip)))  # type: ignore[arg-type]
        for chip in CHIPS
    ]
    numbers = {spec.provider_options["soc_model"] for spec in specs}  # type: ignore[union-attr]
    assert len(numbers) == len(CHIPS)


@pytest.mark.parametrize(
    ("precision", "told"),
    [
        (Precision(), "float32"),
        (Precision(FloatType.FLOAT16), "float16"),
        (Precision(quantization=StaticInt8()), "int8 per-channel min-max"),
        (Precision(FloatType.FLOAT16, DynamicInt8()), "dynamic int8 + float16"),
        (Precision(given=GivenFormat.QUANTISED), "quantised as given"),
    ],
)
def test_it_computes_in_nothing_else(precision: Precision, told: str) -> None:
    with pytest.raises(CompileError) as caught:
        session_spec(Candidate(OnnxRuntimeQnn(), precision))
    assert str(caught.value) == (
        "The onnxruntime-qnn engine computes in int8, and in float16 what is not quantised; the "
        f"candidate asks for {told}. Its precision is to have the float_type float16, and the "
        "quantization static-int8 or, for a model that came quantised, the given format quantised."
    )
