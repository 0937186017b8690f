"""Records a store to learn from: many models, each in about 16 candidates, with their kernels.

Of each model there is a run. Candidates are ONNX Runtime and OpenVINO with one and two threads in
float32 and int8, some of their options, and compiled packages of small models. Those that are ok
run together in 10 of the farm's own blocks, with its sentinel; then they are profiled. What is
there from an earlier time is not run again.

    python -m benchmarks.inputs.corpus FOLDER
    python -m benchmarks.learning.record_corpus --store corpus.db FOLDER/*.onnx [MODEL.onnx ...]

Calibrate the device into the same store first: farm devices calibrate cpu --store corpus.db
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.common import Report, Unit, options
from benchmarks.measuring.aa import Bench
from db.records import Phase
from db.store import Store
from farm.candidate import (
    Candidate,
    CPackage,
    DynamicInt8,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
)
from farm.errors import FarmError
from farm.model.graph import build_graph
from farm.model.model import load_model
from tuner.racing.race import RaceRules
from tuner.request import TuneRequest
from tuner.search.space import MOST_WEIGHTS, SMALL_MACS, Space
from workers.trials.process import ChildError

BLOCKS = 10
_PROFILED_SECONDS = 0.4
_PATIENCE = 5.0  # seconds after which disturbed blocks are kept
_INT8 = Precision(quantization=StaticInt8(bias_correction=True))


def main() -> int:
    """Record; the exit code."""
    parser = options(__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--device", default="cpu", help="a profile")
    parser.add_argument("--store", required=True)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    given = parser.parse_args()
    report = Report(__file__, given.json)
    known = recorded_models(given.store)
    for path in given.models:
        if path.stem in known:
            continue
        began = time.perf_counter()
        request = TuneRequest(str(path.absolute()), (given.device,))
        try:
            ok, failed, profiled = recorded(request, given.store, given.blocks)
        except FarmError as error:
            report.say(f"{path.stem}: {error}")
            continue
        took = time.perf_counter() - began
        note = f"{failed} failed, {profiled} profiled, {took:.0f} s"
        report.show(f"{path.stem}: candidates", ok, Unit.COUNT, note)
    return report.close()


def recorded_models(store: str) -> frozenset[str]:
    """Names of models that the store has."""
    with Store.open(store) as opened:
        return frozenset(opened.model(run.model_sha256).name for run in opened.runs())


def recorded(request: TuneRequest, store: str, blocks: int) -> tuple[int, int, int]:
    """Record a model: how many candidates were ok, failed, and were profiled. Raises FarmError."""
    model = load_model(Path(request.model))
    with ExitStack() as stack:
        bench = Bench(stack, request, _PATIENCE, store)
        graph = build_graph(model)
        small = graph.macs <= SMALL_MACS and graph.weight_bytes <= 4 * MOST_WEIGHTS
        packages = bench.facts.packages if small else ()
        space = replace(bench.space(), packages=packages)
        entries = list(bench.journal.run_trials(list(candidates(space)), Phase.SEARCH))
        together = [entry for entry in entries if entry.ok]
        jobs = [bench.journal.job(entry.candidate, Phase.SEARCH) for entry in together]
        # So small an alpha that no look can decide, and nothing is hopeless.
        rules = RaceRules(alpha=1e-300, hopeless_ratio=1e300, max_blocks=blocks)
        bench.track.race(together, jobs, rules, together[0], lambda: True)
        profiled = 0
        for entry in together:
            if entry.ok and is_profiled(entry.candidate):
                try:
                    bench.journal.profile(entry, _PROFILED_SECONDS)
                    profiled += 1
                except (ChildError, FarmError) as error:
                    print(f"      {entry.candidate.label()}: {error}", flush=True)
    ok = sum(entry.ok for entry in together)
    return ok, len(entries) - ok, profiled


def is_profiled(candidate: Candidate) -> bool:
    """Whether its kernels are timed, too; threads that sleep between them change none."""
    engine = candidate.engine
    return not isinstance(engine, OnnxRuntimeCpu) or engine.spinning


def candidates(space: Space) -> Iterator[Candidate]:
    """About 16, the default first."""
    one, two = OnnxRuntimeCpu(threads=1), OnnxRuntimeCpu(threads=space.cores)
    yield Candidate(one)
    yield Candidate(two)
    yield Candidate(replace(two, spinning=False))
    yield Candidate(replace(one, graph_level=GraphLevel.EXTENDED))
    yield Candidate(replace(one, graph_level=GraphLevel.NONE))
    yield Candidate(replace(one, saved_graph=True))
    is_int8 = bool(space.quantizable.get("static-int8"))
    if is_int8:
        yield Candidate(one, _INT8)
        yield Candidate(two, _INT8)
        yield Candidate(one, Precision(quantization=StaticInt8(per_channel=False)))
    if space.quantizable.get("dynamic-int8"):
        yield Candidate(one, Precision(quantization=DynamicInt8()))
    if "openvino-runtime" in space.engines:
        yield from _openvino(space, is_int8=is_int8)
    for engine in space.packages[:2]:
        if is_int8:
            yield Candidate(engine, _INT8)
        yield Candidate(engine)
    generic = [e for e in space.packages if isinstance(e, CPackage) and e.target == "portable"]
    if generic and is_int8:
        yield Candidate(generic[0], _INT8)


def _openvino(space: Space, *, is_int8: bool) -> Iterator[Candidate]:
    for threads in (1, space.cores):
        engine = OpenVinoRuntime(threads=threads)
        yield Candidate(engine)
        if FloatType.BFLOAT16 in space.openvino_float_types:
            yield Candidate(engine, Precision(FloatType.BFLOAT16))
        if is_int8:
            yield Candidate(engine, _INT8)


if __name__ == "__main__":
    sys.exit(main())
