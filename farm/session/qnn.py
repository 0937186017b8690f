"""Sessions of Qualcomm's compiler: for the HTP of one chip, with all operators there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from farm.candidate import FloatType, GivenFormat, OnnxRuntimeQnn, Precision, StaticInt8
from farm.errors import CompileError
from farm.session.spec import SessionSpec

# By Qualcomm's `QNN_SOC_MODEL_*`, as ExecuTorch has them (backends/qualcomm/serialization/
# qc_schema.py). Without one, the emulator computes floats as no chip does, in float32.
_SOC_MODELS: Mapping[str, int] = MappingProxyType(
    {
        "SM8450": 36,  # v69
        "SM8475": 42,  # v69
        "SXR2230P": 53,  # v69
        "SM8550": 43,  # v73
        "SA8255": 52,  # v73
        "QCS9100": 77,  # v73
        "SM8650": 57,  # v75
        "SM8750": 69,  # v79
        "SM8850": 87,  # v81
    }
)


def qnn_spec(engine: OnnxRuntimeQnn, precision: Precision) -> SessionSpec:
    """The session of ONNX Runtime's QNN provider.

    Raises CompileError where the HTP would compute in something else than is asked for.
    """
    is_quantised = isinstance(precision.quantization, StaticInt8) or (
        precision.quantization is None and precision.given is GivenFormat.QUANTISED
    )
    if not is_quantised or precision.float_type is not FloatType.FLOAT16:
        raise CompileError(
            f"The {engine.kind} engine computes in int8, and in float16 what is not quantised; "
            f"the candidate asks for {precision.label()}. Its precision is to have the float_type "
            "float16, and the quantization static-int8 or, for a model that came quantised, the "
            "given format quantised."
        )
    return SessionSpec(
        provider="QNNExecutionProvider",
        plugin="onnxruntime_qnn",
        provider_options={
            "backend_type": "htp",
            "soc_model": str(_SOC_MODELS[engine.chip]),
            "enable_htp_fp16_precision": "1",
            "htp_graph_finalization_optimization_mode": "3",  # the most
            "offload_graph_io_quantization": "0",  # else the ends would run on the processor
        },
    )
