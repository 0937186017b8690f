"""Progress of a run on a terminal; a few plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from farm.measurement import Outcome
from farm.text import printable
from tuner.events import (
    BestChanged,
    DeviceStarted,
    Event,
    StageStarted,
    Ticked,
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
        self._task: TaskID | None = None
        self._trials = 0
        self._stage = ""
        self._device = ""

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
                self._start(device, seconds)
            case StageStarted(stage=stage):
                self._stage = stage
                self._describe()
                self._plain(f"{self._device}: {stage}")
            case TrialFinished() as trial:
                self._finish_trial(trial)
            case BestChanged(label=label, speedup=speedup):
                self._show_best(label, speedup)
            case Ticked(used_seconds=used):
                if self._task is not None:
                    self._bar.update(self._task, completed=used)

    def _start(self, device: str, seconds: float) -> None:
        self._device, self._trials = device, 0
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._bar.best = ""
        self._task = self._bar.add_task(escape(printable(device)), total=seconds)

    def _finish_trial(self, trial: TrialFinished) -> None:
        self._trials += 1
        self._describe()
        if self._verbose and trial.outcome is not Outcome.OK:
            text = f"{trial.device}: {trial.label}: {trial.outcome}: {trial.message}"
            self._console.print(
                escape(printable(text)), style="dim", highlight=False, soft_wrap=True
            )

    def _show_best(self, label: str, speedup: float) -> None:
        text = f"best {speedup:.2f}x {label}"
        self._bar.best = printable(text)
        self._plain(f"{self._device}: {text} ({self._trials} trials)")

    def _describe(self) -> None:
        if self._task is not None:
            text = f"{self._device} {self._stage} ({self._trials} trials)"
            self._bar.update(self._task, description=escape(printable(text)))

    def _plain(self, text: str) -> None:
        if not self._draws:
            self._console.print(escape(printable(text)), highlight=False, soft_wrap=True)


class _WithBest(Progress):
    """The bar, and below it the best candidate, whose name is whole on the narrowest terminal."""

    best = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.best:
            yield Text(f"  {self.best}", overflow="fold")


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
