"""What people and programs see of a calibration."""

from __future__ import annotations

import io
import json

from rich.console import Console

from db.records import CalibrationRecord
from reports.machines.calibration import (
    CalibrationProgress,
    borders_table,
    calibration_json,
    calibration_lines,
    constants_table,
)
from tests.db.samples import CALIBRATION as RECORD
from tests.farm.costs.test_calibration import CALIBRATION
from tuner.calibrating.calibrate import Calibrated
from tuner.events import DeviceStarted, StageStarted, Ticked

DONE = Calibrated(RECORD, CALIBRATION, ("Something is missing.",))


def test_a_row_for_each_family_at_each_place() -> None:
    (row,) = constants_table(CALIBRATION).texts
    assert row == [
        "cpu/onnxruntime-cpu in float32",
        "convolution",
        "9",
        "2.00 µs",
        "100 GFLOP/s",
        "22%",
        "measured",
    ]


def test_borders_are_from_and_to_the_caller_and_between_places() -> None:
    rows = borders_table(CALIBRATION).texts
    assert rows == [
        ["caller", "cpu/onnxruntime-cpu", "10.0 µs", "1.00 µs", "7.55 µs"],
        ["cpu/onnxruntime-cpu", "caller", "-", "1.00 µs", "14.1 µs"],
    ]


def test_lines_say_what_is_missing() -> None:
    assert list(calibration_lines(DONE)) == [
        "1 kernel of 1 place in 150 s; stored as 0123456789abcdef.",
        "Something is missing.",
    ]


def test_json_has_what_the_store_has() -> None:
    found = json.loads(calibration_json(DONE))
    assert isinstance(RECORD, CalibrationRecord)
    assert (found["calibration"], found["device"], found["seconds"]) == (RECORD.id, "cpu", 150.0)
    assert found["places"][0]["families"]["convolution"]["kernels"] == 9
    assert found["borders"][1]["precision"] == "int8"
    assert found["notes"] == ["Something is missing."]


def test_progress_without_a_terminal_is_a_line_for_each_stage() -> None:
    text = io.StringIO()
    with CalibrationProgress(Console(file=text)) as progress:
        progress(DeviceStarted("cpu", 180.0))
        progress(Ticked("cpu", 12.3))
        progress(StageStarted("cpu", "small kernels"))
        progress(Ticked("cpu", 190.3))
        progress(StageStarted("cpu", "kernels"))
    assert text.getvalue() == (
        "cpu, 12 of 180 s: small kernels\ncpu, 190 s, 10 s beyond the time: kernels\n"
    )


def test_progress_on_a_terminal_is_one_line_with_the_seconds_of_this_moment() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=40)
    with CalibrationProgress(console) as progress:
        progress(DeviceStarted("cpu", 180.0))
        progress(StageStarted("cpu", "large kernels, cpu/onnxruntime-cpu"))
        progress(Ticked("cpu", 12.3))
        line = progress.__rich__()
    assert line.plain == "cpu, 12 of 180 s: large kernels, cpu/onnxruntime-cpu"
    assert (line.no_wrap, line.overflow) == (True, "ellipsis"), "on a narrow terminal"
