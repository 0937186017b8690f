"""Progress on a terminal and without one."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from farm.measurement import Outcome
from farm.prediction import Basis, Prediction
from reports.progress import TuneProgress
from tuner.events import (
    BestChanged,
    DeviceStarted,
    StageStarted,
    Ticked,
    TimeForeseen,
    TrialFinished,
)

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


def test_the_best_is_named_whole_on_a_narrow_terminal() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, color_system=None)
    with TuneProgress(console) as progress:
        for event in EVENTS:
            progress(event)
    assert "  best 1.25x onnxruntime-cpu 1 thread float32\n" in file.getvalue()


def test_a_terminal_that_cannot_draw_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    text = shown(terminal=True)
    assert text == shown(terminal=False)
    assert "\x1b" not in text


def test_what_others_print_stands_above_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(stderr=True, force_terminal=True, width=80, color_system=None)
    with TuneProgress(console) as progress:
        kept = sys.stdout
        progress(DeviceStarted("cpu", 60.0))
        kept.write("a \x1b[31mred\x1b[0m line\n")
        kept.write("unfinished")
        kept.flush()
    before = capsys.readouterr()
    assert "a red line\n" in before.err
    assert before.out == "unfinished"
    kept.write("\x1b[0m")
    kept.flush()
    assert capsys.readouterr() == ("\x1b[0m", ""), "as it is, once nothing is drawn"
    assert kept.isatty() is sys.stdout.isatty() is False


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


def test_what_a_trial_will_take_is_said_before_it_begins() -> None:
    file = io.StringIO()
    with TuneProgress(Console(file=file, force_terminal=False, width=40)) as progress:
        progress(DeviceStarted("cpu", 60.0))
        progress(TimeForeseen("cpu", Prediction(1.3, 0.8, 2.1, "s", Basis.LEARNED, 460), 46))
    assert file.getvalue() == (
        "cpu: a trial is expected to take 1.30 s [800 ms, 2.10 s], by 460 trials: there is time "
        "for about 46\n"
    )
