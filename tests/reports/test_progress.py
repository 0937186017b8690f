"""Progress on a terminal and without one."""

from __future__ import annotations

import io

from rich.console import Console

from farm.measurement import Outcome
from reports.progress import TuneProgress
from tuner.events import BestChanged, DeviceStarted, StageStarted, Ticked, TrialFinished

EVENTS = (
    DeviceStarted("cpu", 60.0),
    StageStarted("cpu", "baseline"),
    TrialFinished("cpu", "onnxruntime-cpu float32", Outcome.OK, ""),
    StageStarted("cpu", "engines"),
    TrialFinished("cpu", "openvino float32", Outcome.RUN_ERROR, "it refused [all] of it"),
    BestChanged("cpu", "onnxruntime-cpu 1 thread float32", 1.25),
    Ticked("cpu", 12.0),
)


def shown(*, terminal: bool, verbose: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    with TuneProgress(console, verbose=verbose) as progress:
        for event in EVENTS:
            progress(event)
    return file.getvalue()


def test_without_a_terminal_there_are_a_few_plain_lines() -> None:
    assert shown(terminal=False).splitlines() == [
        "cpu: baseline",
        "cpu: engines",
        "cpu: best 1.25x onnxruntime-cpu 1 thread float32 (2 trials)",
    ]


def test_verbose_shows_failed_trials() -> None:
    assert "cpu: openvino float32: run-error: it refused [all] of it" in shown(
        terminal=False, verbose=True
    )


def test_on_a_terminal_a_bar_shows_the_best() -> None:
    text = shown(terminal=True)
    assert "cpu engines (2 trials)" in text
    assert "best 1.25x onnxruntime-cpu 1 thread float32" in text
    assert "\x1b[" in text


def test_a_second_device_starts_anew() -> None:
    file = io.StringIO()
    with TuneProgress(Console(file=file, width=120)) as progress:
        for event in EVENTS:
            progress(event)
        progress(DeviceStarted("gpu", 60.0))
        progress(BestChanged("gpu", "it", 2.0))
    assert file.getvalue().splitlines()[-1] == "gpu: best 2.00x it (0 trials)"


def test_names_are_no_markup_and_no_escape_sequences() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, color_system=None)
    name = "dev[/x]\x1b[5m\u202e"
    with TuneProgress(console) as progress:
        progress(DeviceStarted(name, 60.0))
        progress(StageStarted(name, "[bold]stage"))
        progress(BestChanged(name, "label[/y]", 2.0))
    shown = file.getvalue()
    assert r"dev[/x]\x1b[5m\u202e [bold]stage" in shown
    assert "label[/y]" in shown
    assert "\x1b[5m" not in shown
