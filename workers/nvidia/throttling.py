"""How long a GPU was held below its clock, and whether a block can be used in spite of it.

The rule is fixed beforehand and never looks at the latencies, as that of the whole machine's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from workers.nvidia.nvml import VISIBLE_REASONS, Gpu, Nvml

MAX_SLOWED = 0.05
"""Share of wall time for each reason."""
_WORDS = {
    "power": "its power limit",
    "heat": "heat",
    "reliability": "a limit of its voltage",
}
_LOOK_SECONDS = 0.02  # about as often as the driver looks at clocks itself


class ThrottleWatch:
    """How long a GPU was held below its clock, by reason, to be asked while it is entered.

    Reasons that the driver does not count are looked at meanwhile, from a thread of its own: once
    the GPU is idle they are gone. Of a limit of its voltage only some drivers tell, by counting.
    """

    def __init__(self, nvml: Nvml, gpu: Gpu) -> None:
        self.gpu = gpu
        self._nvml = nvml
        self._seen = dict.fromkeys(VISIBLE_REASONS - nvml.slowed_seconds(gpu).keys(), 0.0)
        self._looked_at = time.monotonic()
        self._one_at_a_time, self._is_over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        if self._seen:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._is_over.set()
        if self._seen:
            self._thread.join()

    def seconds(self) -> dict[str, float]:
        """By reason, since some instant before it was entered."""
        if self._seen:
            self._look()
        return self._seen | self._nvml.slowed_seconds(self.gpu)

    def _keep_looking(self) -> None:
        while not self._is_over.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        """What holds now has held since the last look."""
        with self._one_at_a_time:
            reasons, now = self._nvml.slowed_now(self.gpu), time.monotonic()
            since, self._looked_at = now - self._looked_at, now
            self._seen = {
                reason: seconds + (since if reason in reasons else 0.0)
                for reason, seconds in self._seen.items()
            }


@contextmanager
def watched(gpus: Sequence[tuple[Nvml, Gpu]]) -> Iterator[tuple[ThrottleWatch, ...]]:
    """Watch these GPUs, each with the library that tells of it."""
    with ExitStack() as stack:
        yield tuple(stack.enter_context(ThrottleWatch(*each)) for each in gpus)


@dataclass(frozen=True, slots=True)
class Slowed:
    """A GPU was held below its clock for too long. gpu: its id. share: of wall time."""

    gpu: str
    reason: str
    share: float

    @property
    def cause(self) -> tuple[str, str]:
        """The same in block after block."""
        return self.gpu, self.reason

    def __str__(self) -> str:
        words = _WORDS[self.reason]
        return f"the GPU was slowed down by {words} {self.share:.0%} of the time"


@dataclass(frozen=True, slots=True)
class ThrottleReading:
    """What a watch says at one instant. gpu: its id. seconds: that it was slowed, by reason."""

    gpu: str
    at: float
    seconds: Mapping[str, float]

    @classmethod
    def now(cls, watch: ThrottleWatch) -> ThrottleReading:
        """Read it."""
        return cls(watch.gpu.uuid, time.monotonic(), watch.seconds())

    def slowed_since(self, before: ThrottleReading) -> tuple[Slowed, ...]:
        """What held the GPU back for too long between two readings."""
        seconds = max(1e-9, self.at - before.at)
        known = [
            reason for reason in _WORDS if reason in self.seconds and reason in before.seconds
        ]
        shares = ((each, (self.seconds[each] - before.seconds[each]) / seconds) for each in known)
        return tuple(Slowed(self.gpu, *each) for each in shares if each[1] > MAX_SLOWED)


class SlowedBefore:
    """What slowed GPUs down in the block before: once it is the same again, it is how they run.

    So a GPU that is always at its power limit costs one block, and not every one.
    """

    def __init__(self) -> None:
        self._causes: frozenset[tuple[str, str]] = frozenset()
        self._told: dict[str, bool] = {}

    def lasts(self, slowed: Sequence[Slowed]) -> bool:
        """Whether GPUs were slowed down in a block by nothing but what did so before it, too."""
        causes, before = frozenset(each.cause for each in slowed), self._causes
        self._causes = causes
        found = bool(causes) and causes <= before
        for each in slowed if found else ():
            self._told.setdefault(each.reason, False)
        return found

    def take_remarks(self) -> tuple[str, ...]:
        """What was found to last and was not told yet, one sentence each."""
        new = [reason for reason, told in self._told.items() if not told]
        self._told |= dict.fromkeys(new, True)
        return tuple(
            f"The GPU was slowed down by {_WORDS[reason]} in one block after the other: that is "
            "how it runs here, and such blocks were kept."
            for reason in new
        )
