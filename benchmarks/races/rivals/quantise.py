"""Int8 models by the engines' own tools, as their documentation says.

ONNX Runtime: ``quant_pre_process`` and ``quantize_static``, QDQ, activations u8, weights s8 per
channel. OpenVINO: ``nncf.quantize`` with its default preset, run by an interpreter that has NNCF:

    python benchmarks/races/rivals/quantise.py MODEL.onnx CALIBRATION.npz MODEL.xml
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def samples(path: Path) -> list[dict[str, Any]]:
    """The samples of an npz whose arrays have a leading sample axis."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    count = len(next(iter(arrays.values())))
    return [{name: array[i, ...] for name, array in arrays.items()} for i in range(count)]


def by_onnxruntime(model: Path, calibration: Path, target: Path) -> None:
    """Write ONNX Runtime's int8 model."""
    from onnxruntime.quantization import (  # noqa: PLC0415  (NNCF's interpreter has it not)
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left: Iterator[dict[str, Any]] = iter(samples(calibration))

        def get_next(self) -> dict[str, Any] | None:
            return next(self._left, None)

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def by_nncf(interpreter: Path, model: Path, calibration: Path, target: Path) -> str:
    """Write NNCF's int8 model; empty, or why there is none."""
    done = subprocess.run(
        [interpreter, __file__, model, calibration, target],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else "it failed")


def _quantise(model: str, calibration: str, target: str) -> None:
    """In the interpreter that has NNCF."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it sends nothing
    import nncf  # noqa: PLC0415
    import openvino as ov  # noqa: PLC0415

    given = samples(Path(calibration))
    read = ov.Core().read_model(model)
    ov.save_model(nncf.quantize(read, nncf.Dataset(given), subset_size=len(given)), target)


if __name__ == "__main__":
    _quantise(*sys.argv[1:])
