"""A process that runs one part of a pipeline: it takes a slot, runs on it, and passes it on.

Run as a script by the interpreter of the part's engine; see ``workers.engines.pipelines.stages``.
It ends when nobody sends slots any more.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

_ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _ROOT)
from farm.host import own_modules  # noqa: E402

sys.path.remove(_ROOT)  # another interpreter: its own packages go first
own_modules.put_first()

from farm.session.pipeline import TensorRecord  # noqa: E402
from workers.engines.loading import session_factory  # noqa: E402
from workers.engines.pipelines.slots import Layout, opened_block  # noqa: E402
from workers.engines.pipelines.stages import FAILED, Passed, read_exactly  # noqa: E402
from workers.engines.session import EngineError, NotAsPlannedError, Session  # noqa: E402
from workers.protocol import PartDescription  # noqa: E402


def main() -> None:
    """Load what standard input describes, then run on the slots that come."""
    slots_in, slots_out = (int(argument) for argument in sys.argv[1:3])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # libraries that print must not break the protocol
    told = json.loads(sys.stdin.readline())
    part = PartDescription(**told["part"])
    try:
        session = _loaded(part)
        session.verify()
        stage = _Stage(session, part, told, replies)
    except Exception as error:  # noqa: BLE001  (it is reported, whatever it is)
        kind = "not-as-planned" if isinstance(error, NotAsPlannedError) else "error"
        print(json.dumps({"error": _told(error), "kind": kind}), file=replies)
        return
    print(json.dumps({"ok": dict(session.assignment)}), file=replies)
    stage.serve(slots_in, slots_out)


def _loaded(part: PartDescription) -> Session:
    if part.processors:
        try:
            os.sched_setaffinity(0, part.processors)
        except (AttributeError, OSError):
            raise NotAsPlannedError(
                f"its process cannot stay on logical processor {part.processors[0]} here."
            ) from None
    return session_factory(part.engine, part.spec, Path(part.model))()


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"


class _Stage:
    """A session that is bound to every slot. replies: told why a run failed."""

    def __init__(
        self, session: Session, part: PartDescription, told: dict[str, Any], replies: TextIO
    ) -> None:
        self._replies = replies
        tensors = [TensorRecord(t["name"], t["dtype"], tuple(t["shape"])) for t in told["tensors"]]
        layout, block = Layout.of(tensors), opened_block(Path(told["memory"]))
        self._index, self._size = told["index"], Passed.size(told["stages"])
        self._runs = []
        for slot in range(told["slots"]):
            arrays = layout.arrays(block, slot)
            inputs = {name: arrays[name] for name in part.inputs}
            self._runs.append(session.bound(inputs, [arrays[name] for name in part.outputs]))

    def serve(self, slots_in: int, slots_out: int) -> None:
        """Run on each slot that comes, until none can come or go any more."""
        with suppress(BrokenPipeError):
            while len(message := read_exactly(slots_in, self._size)) == self._size:
                os.write(slots_out, self._passed(Passed.parse(message)).message())

    def _passed(self, given: Passed) -> Passed:
        if given.slot == FAILED:
            return given
        start = time.perf_counter_ns()
        try:
            self._runs[given.slot]()
        except Exception as error:  # noqa: BLE001  (the pipeline's process tells of it)
            print(json.dumps({"error": _told(error)}), file=self._replies)
            return Passed(FAILED, (self._index,) * len(given.nanoseconds))
        taken = list(given.nanoseconds)
        taken[self._index] = time.perf_counter_ns() - start
        return Passed(given.slot, tuple(taken))


if __name__ == "__main__":
    main()
