"""A child process of ``races/engines.py``: one engine with one model. JSON lines on its pipes.

Run by the interpreter that has the engine. Its timing loops are those of the farm's own children.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from benchmarks.races.other_engines.sessions import ENGINES
from farm.session.spec import OpenVinoSpec, SessionSpec
from workers.engines.session import EngineError, Feeds, Session
from workers.meters import latency

_WARMUP_SECONDS = 1.0
_WARMUP_LOOP_SECONDS = 1e-3


class Runner:
    """The commands of a child."""

    _session: Session
    _feeds: list[Feeds]

    def load(self, engine: str, spec: dict[str, Any], model: str, inputs: str) -> None:
        """Make the session. inputs: npz, one array per input with an axis of samples."""
        import numpy as np  # noqa: PLC0415  (its version is the environment's)

        with np.load(inputs) as archive:
            columns = {name: archive[name] for name in archive.files}
        count = len(next(iter(columns.values())))
        self._feeds = [
            {name: np.asarray(c[i]) for name, c in columns.items()} for i in range(count)
        ]
        self._session = _session(engine, spec, Path(model), self._feeds[0])
        self._session.set_feeds(self._feeds[0])

    def evaluate(self, outputs: str) -> None:
        """Run every sample; npz of each output's numbers, [samples, numbers]."""
        import numpy as np  # noqa: PLC0415

        answers = [self._session.run(feeds) for feeds in self._feeds]
        columns = [np.stack([each.ravel() for each in column]) for column in zip(*answers)]  # noqa: B905
        np.savez(outputs, *columns)

    def warm_up(self) -> None:
        """Run until it is steady."""
        loops = latency.calibrate(self._session, _WARMUP_LOOP_SECONDS)
        latency.warm_up(self._session, loops, _WARMUP_SECONDS)

    def calibrate(self, target: float) -> int:
        """Runs per sample."""
        return latency.calibrate(self._session, target)

    def sample(self, loops: int) -> tuple[float, float]:
        """Seconds of one run: by the clock, and of processor time."""
        sample = latency.sample([self._session], loops)
        return sample.seconds, sample.cpu_seconds


def _session(engine: str, spec: dict[str, Any], model: Path, inputs: Feeds) -> Session:
    if engine == "onnxruntime":
        from workers.engines.onnxruntime.session import OnnxRuntimeSession  # noqa: PLC0415

        return OnnxRuntimeSession(model, SessionSpec(**spec))
    if engine == "openvino":
        from workers.engines.openvino.session import OpenVinoSession  # noqa: PLC0415

        return OpenVinoSession(model, OpenVinoSpec(**spec))
    return ENGINES[engine](model, spec["threads"], inputs, spec["outputs"])


def main() -> None:
    """Answer requests until the pipe is closed."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # libraries that print must not break the protocol
    runner = Runner()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"ok": getattr(runner, request.pop("command"))(**request)}
        except EngineError as error:
            reply = {"error": str(error)}
        except Exception as error:  # noqa: BLE001  (every failure is told)
            reply = {"error": f"{type(error).__name__}: {_first_line(error)}"}
        print(json.dumps(reply), file=replies)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")


if __name__ == "__main__":
    main()
