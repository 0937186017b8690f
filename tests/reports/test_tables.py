"""Tables as people see them; `golden/` holds what they must look like.

After a wanted change, write them anew with: FARM_GOLDEN=write pytest tests/reports
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from farm.accuracy.result import Worst
from farm.candidate import Candidate
from farm.devices.profile import Availability, load_profiles
from farm.measurement import Estimate, Measurement, Method, Metric
from reports.machines.doctor import Finding
from reports.machines.tables import devices_table, findings_table
from reports.tables.benchmark import benchmark_table, comparison_lines
from reports.tables.cells import format_value
from reports.tables.rows import results_table, rows_table
from reports.tables.run import run_table, verdict_lines
from tests.reports.values import (
    BASELINE,
    FAILED,
    IMPROVED,
    MISSING,
    NO_GAIN,
    PACKAGED,
    PREDICTED,
    ROWS,
    WINNER,
    tune_result,
)
from tuner.bench import Benchmark
from tuner.goals import Objective
from tuner.racing.statistics import Comparison
from tuner.results import AccuracyComparison, Measured, Verdict

WIDTHS = (80, 100, 160)
GOLDEN = Path(__file__).with_name("golden")


def rendered(*parts: RenderableType, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    for part in parts:
        console.print(part, markup=False, highlight=False, soft_wrap=isinstance(part, str))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def check(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("FARM_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run(width: int) -> None:
    result = tune_result(IMPROVED, MISSING, FAILED)
    shown = rendered(run_table(result), *verdict_lines(result), width=width)
    check(f"run-{width}", shown)


def test_an_objective_has_columns_of_its_own() -> None:
    def with_cpu(side: Measured, seconds: float) -> Measured:
        found = Measurement(Metric.CPU_SECONDS, seconds, Method.MEASURED, seconds, 1.1 * seconds)
        return replace(side, measurements={**side.measurements, Metric.CPU_SECONDS: found})

    device = replace(
        IMPROVED,
        baseline=with_cpu(BASELINE, 3e-4),
        winner=with_cpu(WINNER, 1e-4),
        gain=Estimate(3.0, 2.9, 3.1),
    )
    result = replace(tune_result(device), objective=Objective.CPU)
    shown = rendered(run_table(result), *verdict_lines(result), width=200)
    heading, _, baseline, winner, *_ = (re.sub(" +", " ", line) for line in shown.splitlines()[1:])
    assert "candidate" in heading.split("CPU time [95 %]")[0]
    assert "300 µs [300, 330 µs] 1.00x 152 µs" in baseline
    assert "100 µs [100, 110 µs] 3.00x [2.90, 3.10] 51.2 µs" in winner
    assert (
        "cpu: 3.00 times less processor time than the baseline (95 % interval 2.90 to 3.10), "
        "2.97 times as fast as the baseline, confirmed" in shown
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_processor_time_stands_below_and_makes_no_table_wider(width: int) -> None:
    def without(side: Measured) -> Measured:
        found = {m: v for m, v in side.measurements.items() if m is not Metric.CPU_SECONDS}
        return replace(side, measurements=found)

    bare = replace(IMPROVED, baseline=without(BASELINE), winner=without(WINNER))
    shown, less = (
        rendered(run_table(tune_result(device)), width=width).splitlines()
        for device in (IMPROVED, bare)
    )
    assert max(map(len, shown)) == max(map(len, less))
    assert [line.strip() for line in shown if "CPU" in line] == [
        "CPU time: 289 µs",
        "CPU time: 97.3 µs",
    ]
    assert [line for line in shown if "CPU" not in line] == less


@pytest.mark.parametrize("width", WIDTHS)
def test_what_was_predicted_stands_beside_what_was_measured(width: int) -> None:
    device = replace(IMPROVED, winner=replace(WINNER, predicted=PREDICTED))
    check(f"predicted-{width}", rendered(run_table(tune_result(device)), width=width))


def test_results_have_what_was_predicted_where_anything_was() -> None:
    rows = [replace(ROWS[0], predicted=PREDICTED), *ROWS[1:]]
    shown = rendered(results_table(rows), width=200)
    assert "predicted [90 %]" in shown
    assert "48.0 µs [39.0, 61.0 µs]" in shown
    assert "predicted" not in rendered(results_table(ROWS), width=200)


def test_notes_say_what_a_failed_device_did_not_try() -> None:
    failed = replace(FAILED, notes=("664 candidates were not tried.",))
    assert "664 candidates were not tried." in verdict_lines(tune_result(failed))[0]


def test_a_packaged_winner() -> None:
    note, package, folder = verdict_lines(tune_result(PACKAGED))[2:]
    assert note == f"dsp: {PACKAGED.notes[0]}"
    assert package == (
        "dsp: 28,096 packets (emulated), arena and scratch 20.9 KiB (planned), weights and code "
        "40.5 KiB (planned)."
    )
    assert folder == "dsp: the package lies in runs/kws/dsp"


def test_a_run_without_gain() -> None:
    result = tune_result(NO_GAIN)
    check("no-gain", rendered(run_table(result), *verdict_lines(result)))


@pytest.mark.parametrize("width", WIDTHS)
def test_results(width: int) -> None:
    check(f"results-{width}", rendered(results_table(ROWS), width=width))


@pytest.mark.parametrize("width", WIDTHS)
def test_devices(width: int) -> None:
    profiles = load_profiles()
    missing = Availability(available=False, reason="there is none", remedy="buy one")
    rows = [
        (profiles["cpu"], Availability(available=True), ("onnxruntime-cpu", "openvino")),
        (profiles["gpu"], missing, ()),
    ]
    check(f"devices-{width}", rendered(devices_table(rows), width=width))


def test_findings() -> None:
    findings = [
        Finding("machine", "a [fast] one"),
        Finding("store", "none", "note", "pip install 'psycopg[binary]'"),
        Finding("python", "too old", "problem", "upgrade"),
    ]
    assert [finding.fatal for finding in findings] == [False, False, True]
    check("findings", rendered(findings_table(findings)))


def test_a_benchmark() -> None:
    measured = Benchmark("run", "cpu", "0123456789abcdef", Candidate(), WINNER.measurements)
    check("benchmark", rendered(benchmark_table(measured)))
    assert rendered(benchmark_table(measured), width=80) == rendered(benchmark_table(measured))


@pytest.mark.parametrize("width", [20, 40, 72, 80, 90, 100, 120, 160, 200])
def test_names_are_whole_and_nothing_is_lost_at_any_width(width: int) -> None:
    result = tune_result(IMPROVED, PACKAGED, MISSING)
    shown = rendered(run_table(result), results_table(ROWS), width=width)
    assert all(cell_len(line) <= width for line in shown.splitlines())
    lines = [re.split(r"\s+", line) for line in shown.splitlines()]
    words = {word.strip(";") for line in lines for word in line}
    for row in ROWS:
        assert {row.trial[:8], row.device} <= words
    assert {"cpu", "dsp", "gpu", "openvino", "bfloat16", "0.9251", "2.86"} <= words
    assert "…" not in shown


def test_rows_that_are_too_wide_become_lists() -> None:
    columns, row = [f"column {n}" for n in range(12)], [f"a value {n}" for n in range(12)]
    assert "column 0   " in rendered(rows_table(columns, [row]), width=200)
    lists = rendered(rows_table(columns, [row, row]), width=80).splitlines()
    assert lists[1:4] == ["column 0: a value 0", "column 1: a value 1", "column 2: a value 2"]
    assert lists.count("column 11: a value 11") == 2


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, None, "51.2 µs"),
        (5.09e-5, 5.16e-5, "51.2 µs [50.9, 51.6 µs]"),
        (9.9e-7, 1.2e-3, "51.2 µs [990 ns, 1.20 ms]"),
    ],
)
def test_latency(low: float | None, high: float | None, text: str) -> None:
    measurement = Measurement(Metric.LATENCY, 5.12e-5, Method.MEASURED, low, high)
    assert format_value(measurement) == text
    emulated = replace(measurement, method=Method.EMULATED)
    assert format_value(emulated) == f"{text} (emulated)"


@pytest.mark.parametrize(
    ("objective", "text"),
    [
        (Objective.LATENCY, "2.97 times as fast as the baseline (95 % interval 2.91 to 3.02)"),
        (Objective.MEMORY, "1.80 times less peak memory than the baseline (95 % interval 1.70"),
        (Objective.ENERGY, "1.80 times less modelled energy than the baseline (95 % interval"),
    ],
)
def test_the_verdict_names_the_objective(objective: Objective, text: str) -> None:
    device = replace(IMPROVED, gain=Estimate(1.8, 1.7, 1.9))
    (line, *_) = verdict_lines(replace(tune_result(device), objective=objective))
    assert text in line


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.IMPROVED])
def test_other_verdicts_are_said_in_words(verdict: Verdict) -> None:
    (line, *_) = verdict_lines(tune_result(replace(IMPROVED, verdict=verdict)))
    assert line.startswith(f"cpu: {verdict.words}.")
    assert "-" not in verdict.words


def test_why_nothing_was_compared_is_said_instead() -> None:
    device = replace(NO_GAIN, verdict=Verdict.NOTHING_TRIED, reason="nothing else: a reason")
    (line, *_) = verdict_lines(tune_result(device))
    assert line == "cpu: nothing else: a reason. 1 trial: 1 ok."


def test_a_winner_of_another_speed() -> None:
    device = replace(IMPROVED, winner=BASELINE, ratio=None)
    assert "the baseline" in rendered(run_table(tune_result(device)))


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Estimate(1.02, 0.99, 1.05), "no significant difference: latency A / B = 1.020"),
        (Estimate(2.0, 1.9, 2.1), "B is 2.000 times as fast as A: latency A / B = 2.000"),
    ],
)
def test_comparisons(ratio: Estimate, text: str) -> None:
    shown = comparison_lines(Comparison(ratio, 0.012, 20), ("one", "other"))
    assert shown[:2] == ["A: one", "B: other"]
    assert shown[2].startswith(text)
    assert shown[2].endswith("p = 0.012, 20 pairs.")


def test_the_worst_is_named_below_the_table() -> None:
    worst = Worst("boxes", 1, 3, 0.97314, 26)
    accuracy = AccuracyComparison(
        "agreement", 1.0, 1.0, 0.97314, 26, on_real_data=True, worst=worst
    )
    lines = verdict_lines(tune_result(replace(IMPROVED, accuracy=accuracy)))
    assert "cpu: accuracy is agreement on 26 samples." in lines
    assert "cpu: least alike is output 'boxes', channel 3 of axis 1: 0.9731." in lines


def test_accuracy_that_cannot_be_judged_is_said() -> None:
    notes = ("Output 'y' has NaN or infinity in 26 of 26 samples.",)
    accuracy = AccuracyComparison(
        "agreement", None, None, None, 26, on_real_data=True, notes=notes
    )
    result = tune_result(replace(IMPROVED, accuracy=accuracy))
    lines = verdict_lines(result)
    assert "cpu: Output 'y' has NaN or infinity in 26 of 26 samples." in lines
    assert (
        "cpu: accuracy cannot be judged: unless --allow-unjudged is given, only candidates of the "
        "model's own precision win."
    ) in lines
    assert "None" not in rendered(run_table(result))


@pytest.mark.parametrize(
    ("disturbed", "said"), [(1, "1 disturbed block was"), (1200, "1,200 disturbed blocks were")]
)
def test_how_quiet_the_machine_was(disturbed: int, said: str) -> None:
    device = replace(IMPROVED, disturbed=disturbed, tolerated=11)
    line = f"cpu: the machine was not quiet: {said} run again and 11 had to be kept."
    assert line in verdict_lines(tune_result(device))
