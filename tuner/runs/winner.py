"""Winners of runs that are in the store."""

from __future__ import annotations

from db.reader import StoreReader
from db.records import RunKind
from farm.candidate import Candidate, from_json
from farm.errors import OptionError
from tuner.runs.memory import Memory


def winner_of(store: StoreReader, run: str, device: str) -> Candidate:
    """The winner of a run on a device. Raises NotInStore, OptionError."""
    found = store.run_called(run, RunKind.TUNE)
    known = Memory.of(found).devices.get(device)
    if known is None or not known.candidate:
        raise OptionError(
            f"Run {found.name} has no winner on device {device}; `farm show {found.name}` says "
            "what became of it."
        )
    return from_json(store.candidate(known.candidate).json)
