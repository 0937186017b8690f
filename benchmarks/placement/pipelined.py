"""What overlapped parts are worth: a model in two halves beside two copies of it.

Two processes, each on a core of its own. In one kind of block they are the halves of a pipeline,
cut where the slower one is fastest, and work on successive samples; in the other kind each runs
the whole model. All by ONNX Runtime's CPU provider with one thread, in turns, in one run.

What a pipeline gives away is where its halves are not equal, and the waking of the other process
for each sample. Target: 85 % of the samples per second of the two copies.

    python -m benchmarks.placement.pipelined MODEL.onnx
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import multiprocessing as mp
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.common import Report, Unit, options
from benchmarks.placement.split_runs import Case, case, loaded
from farm.artifact.folder import MODEL_FILE
from farm.candidate import Candidate, OnnxRuntimeCpu, Pipeline, PipelinePart
from farm.errors import CompileError
from farm.model.graph import build_graph
from farm.session.of_candidate import onnxruntime_spec
from tuner.racing.statistics import compare
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.pipelines.pipeline import PipelineSession
from workers.engines.session import Feeds

ENGINE = OnnxRuntimeCpu(threads=1, pinning=True)
_BLOCK_SECONDS = 0.5
_TRIED, _RUNS = 12, 15  # cuts that are timed, and runs of each
_PROCESSORS = 2


def main() -> int:
    """Print all figures; 1 when the target is missed."""
    parser = options(__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL", help="ONNX file")
    parser.add_argument("--blocks", type=int, default=20, help="of each kind")
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < _PROCESSORS:
        parser.error("two processors are needed")
    report = Report(__file__, arguments.json)
    given = case(arguments.model.stem, arguments.model, 8)
    with tempfile.TemporaryDirectory() as place:
        engine = balanced(report, given, Path(place))
        overlapped = _folder(place, "overlapped")
        pipeline = loaded(given.compiler, Candidate(replace(engine, overlapped=True)), overlapped)
        whole = _folder(place, "whole")
        given.compiler.compile(Candidate(ENGINE), whole)
        copies = Copies(whole / MODEL_FILE, given.samples[0])
        try:
            pipeline.set_feeds(given.samples[0])
            measure(report, given.name, pipeline, copies, arguments.blocks)
        finally:
            pipeline.close()
            copies.close()
    return report.close()


def balanced(report: Report, given: Case, place: Path) -> Pipeline:
    """The model in two parts, cut where the one that takes longer takes least."""
    found: list[tuple[float, tuple[float, float], Pipeline]] = []
    for number, engine in enumerate(_cuts(given)):
        try:
            session = loaded(given.compiler, Candidate(engine), _folder(place, str(number)))
        except CompileError:  # what would have to be handed on there has no fixed shape
            continue
        session.set_feeds(given.samples[0])
        one, two = (part.seconds for part in session.split(_RUNS).parts)
        found.append((max(one, two), (one, two), engine))
        session.close()
    _, (one, two), engine = min(found, key=lambda each: each[0])
    sizes = "+".join(str(len(part.operators)) for part in engine.parts)
    report.show(f"{given.name}: first half of {sizes} operators, alone", one, Unit.SECONDS)
    report.show(f"{given.name}: second half, alone", two, Unit.SECONDS)
    return engine


def _cuts(given: Case) -> Iterator[Pipeline]:
    """Pipelines of two parts, cut around the middle of all multiplications."""
    operators = [op for op in build_graph(given.model).operators if not op.folded]
    done = np.cumsum([op.macs for op in operators])
    nearest = np.argsort(np.abs(done[:-1] / done[-1] - 0.5), kind="stable")[:_TRIED]
    names = [op.name for op in operators]
    for end in sorted(int(index) + 1 for index in nearest):
        halves = (names[:end], names[end:])
        yield Pipeline(tuple(PipelinePart("cpu", ENGINE, tuple(half)) for half in halves))


def measure(
    report: Report, name: str, pipeline: PipelineSession, copies: Copies, blocks: int
) -> None:
    """Samples per second of both, block by block, in turns."""
    meters = (lambda: _rate_of(pipeline), copies.rate)
    rates = []
    for block in range(blocks + 1):  # the first one warms up
        order = (0, 1) if block % 2 else (1, 0)
        found = {index: meters[index]() for index in order}
        rates.append((found[0], found[1]))
    ours, theirs = np.array(rates[1:]).T
    ratio = compare(theirs, ours).ratio
    report.show(f"{name}: samples per second of two copies", float(np.median(theirs)), Unit.COUNT)
    report.show(f"{name}: samples per second in two halves", float(np.median(ours)), Unit.COUNT)
    note = f"{blocks} blocks, 95 % interval {ratio.low:.3f} to {ratio.high:.3f}"
    report.at_least(f"{name}: halves over copies", ratio.value, 0.85, Unit.TIMES, note)


def _rate_of(pipeline: PipelineSession) -> float:
    """Samples per second of an overlapped pipeline."""
    in_flight = len(pipeline.processes) + 1
    loops, taken = 8, 0.0
    while taken < _BLOCK_SECONDS:
        loops *= 2
        taken = pipeline.timed(loops) * 1e-9 / in_flight
    return loops / taken


class Copies:
    """The whole model in two processes, each on a processor of its own."""

    def __init__(self, model: Path, feeds: Feeds) -> None:
        context = mp.get_context("spawn")
        self._ends: list[Connection] = []
        self._processes = []
        for processor in range(_PROCESSORS):
            ours, theirs = context.Pipe()
            arguments = (theirs, model, dict(feeds), processor)
            process = context.Process(target=_run_whole, args=arguments, daemon=True)
            process.start()
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            end.recv()

    def rate(self) -> float:
        """Samples per second of both at the same time."""
        for end in self._ends:
            end.send(_BLOCK_SECONDS)
        return float(sum(end.recv() for end in self._ends))

    def close(self) -> None:
        """End the processes."""
        for end, process in zip(self._ends, self._processes, strict=True):
            end.send(None)
            process.join()


def _run_whole(end: Connection, model: Path, feeds: Feeds, processor: int) -> None:
    """Run the model for as long as is asked for; samples per second."""
    os.sched_setaffinity(0, {processor})
    session = OnnxRuntimeSession(model, onnxruntime_spec(ENGINE))
    session.set_feeds(feeds)
    session.timed(5)
    end.send(0.0)
    while (seconds := end.recv()) is not None:
        runs, start = 0, time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds:
            session.timed(1)
            runs += 1
        end.send(runs / taken)


def _folder(place: str | Path, name: str) -> Path:
    folder = Path(place) / name
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main())
