"""A night with everything in it, made up and the same each time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from farm.measurement import Estimate, Metric
from tuner.nightly.report import CaseReport, ChangeReport, NightReport
from tuner.nightly.screen.series import Verdict

START = datetime(2026, 11, 29, 3, 0, 4, tzinfo=UTC)
SLOWER = CaseReport(
    case="detector",
    model="detector.onnx",
    device="cpu",
    metric=Metric.LATENCY,
    environment="",
    verdict=Verdict.REGRESSION,
    sentence="3.1 % slower than the last good state since night shop-floor-20261128-030000, "
    "confirmed by 40 pairs (95 % interval 2.4 to 3.8 %).",
    ratio=Estimate(1.031, 1.024, 1.038),
    value=1.093e-3,
    good_value=1.060e-3,
    p_value=2e-7,
    nights=31,
    change=ChangeReport(
        "3f9c2a",
        "shop-floor-20261128-030000",
        Estimate(1.031, 1.024, 1.038),
        40,
        ("software",),
        "confirmed",
    ),
    notes=("onnxruntime 1.31.1 came instead of 1.30.0 that night.",),
    run="shop-floor-20261129-030000-detector",
    candidate="onnxruntime-cpu 1 thread float32",
    seconds=58.4,
)
SAME = replace(
    SLOWER,
    case="keywords-cpu",
    model="kws.onnx",
    metric=Metric.PEAK_MEMORY,
    verdict=Verdict.NO_CHANGE,
    sentence="",
    ratio=Estimate(1.0, 1.0, 1.0),
    value=12_582_912.0,
    good_value=12_582_912.0,
    change=None,
    notes=(),
    seconds=12.0,
)
NEW = replace(
    SAME,
    metric=Metric.THROUGHPUT,
    verdict=Verdict.NOT_YET,
    sentence="5 of 22 nights so far.",
    ratio=Estimate(0.998, float("-inf"), float("inf")),
    value=1_204.0,
    good_value=1_201.6,
    nights=5,
)
LOST = replace(
    SAME,
    case="odd|case",
    device="gpu",
    metric=Metric.ENERGY,
    verdict=Verdict.NOT_MEASURED,
    sentence="no NVIDIA GPU was found <b>\x1b[31m here.",
    ratio=None,
    value=None,
    good_value=None,
    run="",
    seconds=0.0,
)
NEXT = replace(
    SLOWER,
    environment="next",
    verdict=Verdict.REGRESSION,
    sentence="with onnxruntime 1.32.0 it would be 15 % slower.",
    ratio=Estimate(1.15, 1.14, 1.16),
    value=1.219e-3,
    change=None,
    notes=(),
)
NIGHT = NightReport(
    "shop-floor",
    "shop-floor-20261129-030000",
    START,
    START + timedelta(seconds=140),
    "bench-1",
    (SLOWER, SAME, NEW, LOST, NEXT),
    ("2 nights were due and did not run: 2026-11-26, 2026-11-27.",),
)
FINE = replace(NIGHT, cases=(SAME, NEW), notes=())
CUT = replace(FINE, finished_at=None)
NO_NIGHT = (
    "There is no night of suite shop-floor in the store at farm.db; "
    "`farm nightly run suite.toml` measures one."
)
NONE = NightReport("shop-floor", "", None, None, "", (), (NO_NIGHT,))
