"""Progress of a run on a terminal; a few plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from farm.measurement import Outcome
from farm.text import printable
from farm.units import counted
from reports.tables.cells import prediction_cell
from tuner.events import (
    BestChanged,
    DeviceEnded,
    DeviceStarted,
    Event,
    StageStarted,
    Ticked,
    TimeForeseen,
    TrialFinished,
)


class TuneProgress:
    """Listens to a run's events and shows stage, trials, best candidate and remaining time.

    console: on standard error, so that standard output carries results only.
    verbose: also show every trial that failed, with its message.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._draws = console.is_terminal and not console.is_dumb_terminal
        self._bar = _WithBest(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            console=console,
            disable=not self._draws,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._streams = ExitStack()
        self._devices: dict[str, _Device] = {}  # that are being tuned

    def __enter__(self) -> Self:
        """Start drawing; what anything else prints meanwhile stands above it."""
        self._bar.start()
        if self._draws:
            for redirect, file in (
                (redirect_stdout, sys.stdout),
                (redirect_stderr, sys.stderr),
            ):
                above = _Above(self._console, file)
                self._streams.callback(above.stop)
                self._streams.enter_context(redirect(cast("TextIO", above)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._bar.stop()
        self._streams.close()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case DeviceStarted(device=device, budget_seconds=seconds):
                task = self._bar.add_task(escape(printable(device)), total=seconds)
                self._devices[device] = _Device(device, task)
            case DeviceEnded(device=device):
                self._bar.remove_task(self._devices.pop(device).task)
                self._bar.best.pop(device, None)
            case StageStarted(device=device, stage=stage):
                self._devices[device].stage = stage
                self._describe(self._devices[device])
                self._plain(f"{device}: {stage}")
            case TimeForeseen(device=device, trial=trial, enough_for=count):
                text = (
                    f"{device}: a trial is expected to take {prediction_cell(trial)}, by "
                    f"{counted(trial.rows, 'trial')}: there is time for about {count:,}"
                )
                self._console.print(escape(printable(text)), highlight=False, soft_wrap=True)
            case TrialFinished() as trial:
                self._finish_trial(trial)
            case BestChanged(device=device, label=label, speedup=speedup):
                text = f"best {speedup:.2f}x {label}"
                several = f"{device}: " if len(self._devices) > 1 else ""
                self._bar.best[device] = printable(several + text)
                self._plain(f"{device}: {text} ({self._devices[device].trials} trials)")
            case Ticked(device=device, used_seconds=used):
                self._bar.update(self._devices[device].task, completed=used)

    def _finish_trial(self, trial: TrialFinished) -> None:
        self._devices[trial.device].trials += 1
        self._describe(self._devices[trial.device])
        if self._verbose and trial.outcome is not Outcome.OK:
            text = f"{trial.device}: {trial.label}: {trial.outcome}: {trial.message}"
            self._console.print(
                escape(printable(text)), style="dim", highlight=False, soft_wrap=True
            )

    def _describe(self, device: _Device) -> None:
        text = f"{device.name} {device.stage} ({device.trials} trials)"
        self._bar.update(device.task, description=escape(printable(text)))

    def _plain(self, text: str) -> None:
        if not self._draws:
            self._console.print(escape(printable(text)), highlight=False, soft_wrap=True)


@dataclass(slots=True)
class _Device:
    """What is shown of a device. task: its bar."""

    name: str
    task: TaskID
    stage: str = ""
    trials: int = 0


class _WithBest(Progress):
    """The bars, and below them the best candidates, whose names are whole at any width."""

    def __init__(self, *columns: ProgressColumn, **settings: Any) -> None:  # noqa: ANN401
        self.best: dict[str, str] = {}  # by device
        super().__init__(*columns, **settings)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for best in tuple(self.best.values()):
            yield Text(f"  {best}", overflow="fold")


class _Above:
    """A stream that prints lines above what is drawn, and is the file itself from then on.

    Rich's own stream goes on printing text. A library that kept it (Ray's resets the terminal's
    style when the program ends) would then print its escape sequence as letters.
    """

    def __init__(self, console: Console, file: TextIO) -> None:
        self._console = console
        self._line: str | None = ""  # what has no end yet; None once nothing is drawn
        self.rich_proxied_file = file  # the console itself writes here

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever a file has)
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        if self._line is None:
            return self.rich_proxied_file.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._console.print(Text.from_ansi(line), soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        if self._line is None:
            self.rich_proxied_file.flush()

    def stop(self) -> None:
        rest, self._line = self._line, None
        self.write(rest or "")
