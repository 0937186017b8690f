"""The baseline, or what takes its place where the model as it was given cannot be run.

A smaller package takes the place of one that does not fit its device. Where an engine fails, the
same model at a lower graph level takes its place: an optimisation that fails is switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from farm.candidate import Candidate
from farm.errors import InfrastructureError
from farm.measurement import Outcome
from tuner.runs.history import Entry

_MAKES_ROOM = frozenset({Outcome.REJECTED, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY})


class BaselineFailed(InfrastructureError):
    """Neither the baseline nor what may take its place can be measured."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The trials until one was ok, which is the last.

    original: the model as the user gave it: the baseline, unless that does not fit the device.
    """

    tried: tuple[Entry, ...]

    @property
    def entry(self) -> Entry:
        """What everything is compared with."""
        return self.tried[-1]

    @property
    def original(self) -> Entry:
        """See the class."""
        return next((e for e in self.tried if e.outcome in _MAKES_ROOM), self.entry)

    def notes(self) -> Iterator[str]:
        """Why the baseline does not run as its device's default is."""
        first = self.tried[0]
        if first is not self.original:
            yield (
                f"{first.candidate.label()} cannot be run, and "
                f"{self.original.candidate.label()} takes its place: {first.message.rstrip('.')}."
            )


def find_baseline(candidates: Sequence[Candidate], run: Callable[[Candidate], Entry]) -> Baseline:
    """Run the first of the candidates, or those that may take its place, until one is ok.

    Raises BaselineFailed when none is.
    """
    tried: list[Entry] = []
    for candidate in candidates:
        if tried and not _takes_place(candidate, tried[-1]):
            continue
        tried.append(run(candidate))
        if tried[-1].ok:
            return Baseline(tuple(tried))
    # Of one precision, the default level says best what is wrong.
    last = tried[-1].candidate.precision
    told = next(entry for entry in tried if entry.candidate.precision == last)
    raise BaselineFailed(f"the baseline cannot be measured ({told.outcome}): {told.message}")


def _takes_place(candidate: Candidate, failed: Entry) -> bool:
    """Whether a candidate is another one in that which the last one failed for."""
    if candidate.precision == failed.candidate.precision:
        return failed.outcome is Outcome.RUN_ERROR
    return failed.outcome in _MAKES_ROOM
