"""A result with everything in it, made up and the same each time."""

from __future__ import annotations

from db.records import Phase, Result
from farm.measurement import Estimate, Measurement, Method, Metric, Outcome
from farm.prediction import Basis, Prediction
from tests.db.samples import START
from tuner.results import (
    AccuracyComparison,
    DeviceResult,
    Measured,
    Status,
    TuneResult,
    Verdict,
)


def measurement(
    metric: Metric,
    value: float,
    low: float | None = None,
    high: float | None = None,
    method: Method = Method.MEASURED,
) -> Measurement:
    return Measurement(metric, value, method, low, high)


def measured(label: str, microseconds: float) -> Measured:
    seconds = microseconds * 1e-6
    found = (
        measurement(Metric.LATENCY, seconds, 0.98 * seconds, 1.02 * seconds),
        measurement(Metric.PEAK_MEMORY, 12_582_912.0),
        measurement(Metric.ENERGY, 11 * seconds, method=Method.MODELLED),
        measurement(Metric.ACCURACY, 0.93),
        measurement(Metric.CPU_SECONDS, 1.9 * seconds),
    )
    return Measured(
        f"{label[:4]}0123456789ab", "c0ffee", label, "onnx-1", {m.metric: m for m in found}
    )


BASELINE = measured("onnxruntime-cpu float32", 152.0)
WINNER = measured("openvino 1 thread bfloat16", 51.2)
PREDICTED = {
    Metric.LATENCY: Prediction(4.8e-5, 3.9e-5, 6.1e-5, "s", Basis.LEARNED, 412),
    Metric.PEAK_MEMORY: Prediction(12e6, 9e6, 15e6, "B", Basis.LEARNED, 412),
}
IMPROVED = DeviceResult(
    "cpu",
    Status.TUNED,
    verdict=Verdict.IMPROVED,
    baseline=BASELINE,
    winner=WINNER,
    ratio=Estimate(2.97, 2.91, 3.02),
    gain=Estimate(2.97, 2.91, 3.02),
    accuracy=AccuracyComparison("top1", 0.93, 0.93, 0.925, 240, on_real_data=True),
    trials={Outcome.OK: 31, Outcome.REJECTED: 2, Outcome.COMPILE_ERROR: 1},
    disturbed=4,
    output="runs/kws/cpu",
)
PACKAGE = Measured(
    "cpac0123456789ab",
    "c0ffee",
    "cpackage hexagon-v67-hvx int8 per-channel min-max",
    "package-1",
    {
        m.metric: m
        for m in (
            measurement(Metric.LATENCY, 5.62e-5, 5.62e-5, 5.62e-5, Method.MODELLED),
            measurement(Metric.PEAK_MEMORY, 49_992.0, method=Method.PLANNED),
            measurement(Metric.ENERGY, 3.02e-5, method=Method.MODELLED),
            measurement(Metric.PACKETS, 28_096.0, method=Method.EMULATED),
            measurement(Metric.ARENA, 21_376.0, method=Method.PLANNED),
            measurement(Metric.MODEL_SIZE, 41_440.0, method=Method.PLANNED),
        )
    },
)
PACKAGED = DeviceResult(
    "dsp",
    Status.TUNED,
    verdict=Verdict.IMPROVED,
    baseline=PACKAGE,
    winner=PACKAGE,
    ratio=Estimate(1.5, 1.5, 1.5),
    gain=Estimate(1.5, 1.5, 1.5),
    accuracy=AccuracyComparison("top1", 0.92, 0.93, 0.925, 240, on_real_data=True),
    trials={Outcome.OK: 4, Outcome.REJECTED: 1},
    notes=(
        "cpackage hexagon-v67 float32, the model as it was given, does not fit: 5 bytes more.",
    ),
    output="runs/kws/dsp",
)
NO_GAIN = DeviceResult(
    "cpu",
    Status.TUNED,
    verdict=Verdict.NO_GAIN,
    baseline=BASELINE,
    winner=BASELINE,
    accuracy=AccuracyComparison("agreement", 1.0, 1.0, 1.0, 20, on_real_data=False),
    trials={Outcome.OK: 1},
    disturbed=9,
    tolerated=3,
)
MISSING = DeviceResult(
    "gpu", Status.UNAVAILABLE, "no NVIDIA GPU was found", "run on a machine with one"
)
FAILED = DeviceResult(
    "odd",
    Status.FAILED,
    "the baseline cannot be measured (timeout): no answer to 'load' within 30 s; ended.",
    trials={Outcome.TIMEOUT: 1},
)


def tune_result(*devices: DeviceResult) -> TuneResult:
    return TuneResult("kws-20261121-065312", "/models/kws.onnx", "ab" * 32, devices, "runs/kws")


ROWS = (
    Result(
        "0123456789abcdef",
        "kws-20261121-065312",
        START,
        "kws",
        "cpu",
        "onnxruntime-cpu 1 thread int8 per-channel min-max (2 float)",
        "c0ffee",
        Phase.CONFIRM,
        Outcome.OK,
        "",
        measurement(Metric.LATENCY, 5.12e-5, 5.09e-5, 5.16e-5),
        measurement(Metric.PEAK_MEMORY, 3e6),
        measurement(Metric.ENERGY, 1.2e-3, method=Method.MODELLED),
        measurement(Metric.ACCURACY, 0.9251),
    ),
    Result(
        "fedcba9876543210",
        "kws-20261121-065312",
        START,
        "kws",
        "cpu",
        "openvino float16",
        "decade",
        Phase.SEARCH,
        Outcome.RUN_ERROR,
        'it said "no, never"\nand fell',
        None,
        None,
        None,
        None,
    ),
    Result(
        "aaaabbbbccccdddd",
        "kws-20261121-065312",
        START,
        "kws",
        "dsp",
        "a [bold]label[/bold]",
        "facade",
        Phase.SEARCH,
        None,
        "",
        measurement(Metric.LATENCY, 2.5e-3, method=Method.EMULATED),
        None,
        None,
        None,
    ),
)
