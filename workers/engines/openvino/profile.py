"""What OpenVINO counts of its kernels.

It keeps the mean over all runs of a compiled model, in whole microseconds. The first runs, which
are the slowest, are subtracted, and of several models compiled anew the one counts that nothing
else on the machine disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from farm.profile.kernels import EngineProfile, Kernel
from farm.session.openvino_precision import Kernel as RuntimeKernel
from farm.session.spec import OpenVinoSpec
from workers.engines.openvino.session import OpenVinoSession
from workers.engines.session import Feeds

_WARMUP_RUNS = 2
_LEAST_RUNS, _MOST_RUNS = 5, 200
_ROUND_SECONDS = 0.2
_MOST_ROUNDS = 8
_PRECISIONS = {
    "f32": "float32",
    "f64": "float64",
    "bf16": "bfloat16",
    "f16": "float16",
    "i8": "int8",
    "u8": "int8",
}


@dataclass(frozen=True, slots=True)
class _Round:
    """One compiled model.

    kernels: what it runs. counted: seconds per run of each by name. latency: of runs that are not
    counted, before the others.
    """

    kernels: Sequence[RuntimeKernel]
    counted: Mapping[str, float]
    latency: float

    @property
    def seconds(self) -> float:
        """Of all kernels."""
        return sum(self.counted.values())


def profile(model: Path, spec: OpenVinoSpec, feeds: Feeds, seconds: float) -> EngineProfile:
    """Profile a model for about so many seconds, and once at least.

    Kernels are all nodes of the runtime model, constants and what was left out included.

    Raises EngineError: it cannot be compiled or run.
    """
    counting = replace(spec, config={**spec.config, "PERF_COUNT": "YES"})
    plain = OpenVinoSession(model, spec, stays=False)
    plain.run(feeds)
    plain.set_feeds(feeds)
    begin = time.perf_counter()
    rounds: list[_Round] = []
    while len(rounds) < _MOST_ROUNDS and (not rounds or time.perf_counter() - begin < seconds):
        counted = OpenVinoSession(model, counting, stays=False)
        rounds.append(_round(counted, plain, feeds))
    best = min(rounds, key=lambda each: each.seconds)
    latency = min(each.latency for each in rounds)
    return EngineProfile(tuple(_kernels(best)), latency)


def _round(counting: OpenVinoSession, plain: OpenVinoSession, feeds: Feeds) -> _Round:
    counting.run(feeds)
    counting.set_feeds(feeds)
    for session in (plain, counting):
        first = session.timed(_WARMUP_RUNS)
    before, earlier = counting.counted(), 1 + _WARMUP_RUNS
    wanted = int(_ROUND_SECONDS * _WARMUP_RUNS / (2e-9 * first))
    runs = min(_MOST_RUNS, max(_LEAST_RUNS, wanted))
    # Not in turns: each would find the other's threads on the processor.
    plain_seconds = sorted(plain.timed(1) * 1e-9 for _ in range(runs))[: max(3, runs // 4)]
    counting.timed(runs)
    after = counting.counted()
    counted = {
        name: max(0.0, _total(mean, earlier + runs) - _total(before[name], earlier)) / runs
        for name, mean in after.items()
    }
    return _Round(counting.kernels, counted, sum(plain_seconds) / len(plain_seconds))


def _total(mean: float, runs: int) -> float:
    """Seconds of all runs. What is below a microsecond is cut off, half of one on average."""
    return (mean + 0.5e-6) * runs if mean else 0.0


def _kernels(counted: _Round) -> Iterator[Kernel]:
    for kernel in counted.kernels:
        yield Kernel(
            kernel.name,
            kernel.layer_type,
            _PRECISIONS.get(kernel.precision, kernel.precision),
            counted.counted.get(kernel.name, 0.0),
            kernel.reads,
            kernel.operators,
        )
