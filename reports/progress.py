"""Progress of a run on a terminal; a few plain lines where there is none."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

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
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._trials = 0
        self._stage = ""
        self._device = ""

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._bar.stop()

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
        shown = escape(printable(device))
        self._task = self._bar.add_task(shown, total=seconds, best="")

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
        if self._task is not None:
            self._bar.update(self._task, best=escape(printable(text)))
        self._plain(f"{self._device}: {text} ({self._trials} trials)")

    def _describe(self) -> None:
        if self._task is not None:
            text = f"{self._device} {self._stage} ({self._trials} trials)"
            self._bar.update(self._task, description=escape(printable(text)))

    def _plain(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(escape(printable(text)), highlight=False, soft_wrap=True)
