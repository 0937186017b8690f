"""What a calibration found out: tables, lines, an object for programs, and its progress."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from farm.costs.calibration import Calibration, CostPlace, constants_json, ends_json, links
from farm.costs.families import Family
from farm.costs.roofline import Level, Roof
from farm.plan.placement.problem import CALLER
from farm.text import printable
from farm.units import Bytes, counted, format_bytes, format_seconds
from reports.rows import dump
from reports.tables.cells import MISSING
from reports.tables.layout import Column, Rows
from tuner.calibrating.calibrate import Calibrated
from tuner.events import DeviceStarted, Event, StageStarted, Ticked

_COMPUTING = frozenset(
    {
        Family.CONVOLUTION,
        Family.POINTWISE,
        Family.DEPTHWISE,
        Family.PRODUCT,
        Family.RECURRENT,
        Family.POOL,
    }
)
_SHOWN_BYTES = Bytes(1 << 16)  # of the tensor whose way a table shows


def constants_table(calibration: Calibration) -> Rows:
    """One row for each family of kernels at each place."""
    table = Rows(
        [
            Column("place"),
            Column("kernels of", wraps=12),
            Column("measured", right=True, below=1),
            Column("each takes", right=True),
            Column("at most", right=True),
            Column("off by", right=True),
            Column("method", below=2),
        ],
        title=f"Kernels on {calibration.device}",
    )
    for constants in calibration.places:
        place = CostPlace(calibration.device, constants.engine, constants.precision)
        for family, roof in constants.roofline.roofs.items():
            table.add(
                str(place),
                str(family),
                str(roof.rows),
                format_seconds(roof.overhead),
                _speed(family, roof, constants.roofline.levels),
                f"{math.expm1(roof.spread):.0%}",
                str(constants.method),
            )
    return table


def borders_table(calibration: Calibration) -> Rows:
    """What a call takes at each place, and a tensor of 64 KiB on its way between two."""
    table = Rows(
        [
            Column("from", wraps=12),
            Column("to", wraps=12),
            Column("a call", right=True),
            Column("a tensor", right=True),
            Column("64 KiB", right=True),
        ],
        title=f"Borders on {calibration.device}, in float32",
    )
    device = calibration.device
    ends = {
        CostPlace(device, each.engine, each.precision): each
        for each in calibration.ends
        if each.precision == "float32"
    }
    launches = {place.name: each.launch for place, each in ends.items()}
    for (source, target), link in links(ends, calibration.crossings_by_name()).items():
        table.add(
            source or "caller",
            target or "caller",
            format_seconds(launches[target]) if target != CALLER else MISSING,
            format_seconds(link.latency),
            format_seconds(link.cost(_SHOWN_BYTES)),
        )
    return table


def calibration_lines(done: Calibrated) -> Iterator[str]:
    """What there is to say below the tables."""
    kernels = sum(len(place.points) for place in done.calibration.places)
    yield (
        f"{counted(kernels, 'kernel')} of {counted(len(done.calibration.places), 'place')} in "
        f"{format_seconds(done.record.seconds)}; stored as {done.record.id}."
    )
    yield from done.notes


def calibration_json(done: Calibrated) -> str:
    """The object that ``farm devices calibrate --json`` prints; see the table ``calibration``."""
    record = done.record
    return dump(
        {
            "calibration": record.id,
            "device": record.device,
            "threads": json.loads(record.details).get("threads", 0),
            "created_at": record.created_at.isoformat(),
            "seconds": record.seconds,
            "places": json.loads(constants_json(done.calibration)),
            "borders": json.loads(ends_json(done.calibration)),
            "notes": list(done.notes),
        }
    )


class CalibrationProgress:
    """Shows what is being measured: one line that changes on a terminal, all lines elsewhere.

    On a terminal its seconds go on while a step runs, which on a slow device may take a minute.

    console: on standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draws = console.is_terminal and not console.is_dumb_terminal
        self._status = console.status(self)
        self._device, self._stage, self._budget = "", "", 0.0
        self._used, self._at = 0.0, time.monotonic()

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._draws:
            self._status.start()
        return self

    def __rich__(self) -> Text:
        """The line as it is at this moment."""
        return Text(printable(self._line()), no_wrap=True, overflow="ellipsis")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._status.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case DeviceStarted(budget_seconds=seconds):
                self._budget = seconds
            case Ticked(used_seconds=used):
                self._used, self._at = used, time.monotonic()
            case StageStarted(device=device, stage=stage):
                self._device, self._stage = device, stage
                if not self._draws:
                    self._console.print(self, soft_wrap=True)

    def _line(self) -> str:
        used = self._used + time.monotonic() - self._at
        beyond = used - self._budget
        budget = (
            f"of {self._budget:.0f} s" if beyond < 1.0 else f"s, {beyond:.0f} s beyond the time"
        )
        # A narrow terminal cuts the end off.
        return f"{self._device}, {used:.0f} {budget}: {self._stage}" if self._stage else ""


def _speed(family: Family, roof: Roof, levels: tuple[Level, ...]) -> str:
    """Operations per second, or bytes where operations are few or count for nothing."""
    if roof.peak is not None and family in _COMPUTING:
        return f"{roof.peak / 1e9:.3g} GFLOP/s"
    if roof.per_byte <= 0.0:
        return MISSING
    slowest = min(level.bytes_per_second for level in levels) / roof.per_byte
    return f"{format_bytes(slowest)}/s"
