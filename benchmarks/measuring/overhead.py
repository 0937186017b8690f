"""What the farm costs: per trial, and per measured latency.

Three figures on the CPU with one thread, the first two of the example model:

- overhead per trial: 60 trials whose artifacts are in the cache already, one after the other
  through journal, store and Ray, from handing the trial over until it is committed, minus what
  its child process took. Targets: p50 at most 20 ms, p95 at most 50 ms.
- latency: samples by the farm's meter and by a bare loop around ``InferenceSession.run``, in one
  interpreter, in turn. Target: the Hodges-Lehmann estimate of their ratio within 1 %.
- what a call costs that computes next to nothing: a Relu of one element, by ONNX Runtime as the
  farm calls it, and as a compiled package. No target; it is in every latency that is compared.
"""

from __future__ import annotations

import workers  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.common import ONE_THREAD, Report, Unit, digits_request, options
from db.records import Phase
from db.store import Store
from farm.artifact.compiler import compile_candidate
from farm.candidate import Candidate, CPackage, GraphLevel, OnnxRuntimeCpu
from farm.codegen.package.record import RUNNER_FILE
from farm.devices.profile import load_profiles
from farm.errors import InfrastructureError
from farm.session.of_candidate import onnxruntime_spec
from tuner.racing.statistics import compare
from tuner.runs.record.journal import Journal
from tuner.runs.start import check_request, open_journal, start_run
from tuner.runs.subject import Subject, load_subject
from tuner.search.options.onnxruntime import OPTIONAL_OPTIMIZERS
from workers.child.feeds import read_feeds
from workers.cluster.pool import RayExecutor
from workers.engines.cpackage import CPackageSession
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.session import Feeds, Session
from workers.jobs import Part
from workers.meters.latency import calibrate, sample, warm_up

TRIALS, QUICK_TRIALS = 60, 8
SESSIONS, PAIRS_EACH = 16, 16
QUICK_SESSIONS = 2
SAMPLE_SECONDS = 0.01
_TURN_NS = 2_000_000  # what the farm's meter runs uncounted before each sample

FloatArray = NDArray[np.float64]


def main() -> int:
    """Print all figures; 1 when a target is missed."""
    parser = options(__doc__)
    quick = f"{QUICK_TRIALS} trials, {QUICK_SESSIONS * PAIRS_EACH} pairs"
    parser.add_argument("--quick", action="store_true", help=quick)
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    with tempfile.TemporaryDirectory(prefix="farm-overhead-") as name:
        per_trial(report, Path(name), QUICK_TRIALS if arguments.quick else TRIALS)
        per_latency(report, Path(name), QUICK_SESSIONS if arguments.quick else SESSIONS)
        per_call(report, Path(name))
    return report.close()


def per_trial(report: Report, folder: Path, trials: int) -> None:
    """The farm's overhead over trials that differ, but whose artifact does not."""
    request = digits_request("cpu")
    with Store.open(str(folder / "farm.db")) as store:
        opened = start_run(store, check_request(request, load_profiles()))
        (profile,) = opened.profiles
        with RayExecutor([profile], folder / "cache") as executor:
            executor.prepare(profile.name, opened.subject.workload)
            facts = executor.describe(profile.name)
            journal = open_journal(store, executor, opened, profile, facts)
            chosen = list(islice(candidates(), trials))
            # All have the same artifact and reference outputs, which the first trial makes.
            seconds_of(store, journal, executor, ONE_THREAD)
            pairs = [seconds_of(store, journal, executor, c) for c in chosen]
    seconds = np.array(pairs)
    overhead = seconds[:, 0] - seconds[:, 1]
    name = f"overhead per trial, {trials} trials"
    for quantile, target in ((0.50, 0.020), (0.95, 0.050)):
        value = float(np.quantile(overhead, quantile))
        report.at_most(f"{name}, p{quantile * 100:.0f}", value, target, Unit.SECONDS)
    report.show(
        "the child's part of a trial, median", float(np.median(seconds[:, 1])), Unit.SECONDS
    )
    report.show("ending a trial's child, median", float(np.median(seconds[:, 2])), Unit.SECONDS)


def seconds_of(
    store: Store, journal: Journal, executor: RayExecutor, candidate: Candidate
) -> tuple[float, float, float]:
    """Seconds of a whole trial, its child's part of them, and of ending its child afterwards."""
    started = time.perf_counter()
    (entry,) = journal.run_trials([candidate], Phase.SEARCH)
    committed = time.perf_counter()
    executor.release(journal.scope.device, [entry.trial_id])
    released = time.perf_counter()
    if not entry.ok:
        raise InfrastructureError(f"{candidate.label()} is {entry.outcome}: {entry.message}")
    child = json.loads(store.trial(entry.trial_id).details)["child_seconds"]
    return committed - started, float(child), released - committed


def candidates() -> Iterator[Candidate]:
    """Different candidates that load the very same artifact: they differ in session options."""
    choices = product(GraphLevel, (True, False), (True, False), (1, 2), OPTIONAL_OPTIMIZERS)
    for level, spinning, pattern, threads, optimizer in choices:
        yield Candidate(
            OnnxRuntimeCpu(
                threads=threads,
                spinning=spinning,
                memory_pattern=pattern,
                graph_level=level,
                disabled_optimizers=(optimizer,),
            )
        )


def per_latency(report: Report, folder: Path, sessions: int) -> None:
    """The farm's latency over that of a bare loop; several sessions, each with its own layout."""
    subject = load_subject(digits_request("cpu"))
    model = folder / "model.onnx"
    model.write_bytes(subject.workload.model)
    feeds = _first_feeds(subject, folder)
    pairs = [pair for i in range(sessions) for pair in _alternate(model, feeds, i)]
    farm, bare = np.array(pairs).T
    comparison = compare(bare, farm)
    ratio = comparison.ratio
    name = f"farm latency over the bare loop's, off by ({comparison.pairs} pairs)"
    note = f"ratio {ratio.value:.4f}, 95 % interval {ratio.low:.4f} to {ratio.high:.4f}"
    report.at_most(name, abs(ratio.value - 1), 0.01, Unit.SHARE, note)
    report.show("latency by the bare loop, median", float(np.median(bare)), Unit.SECONDS)


def _alternate(model: Path, feeds: Feeds, number: int) -> Sequence[tuple[float, float]]:
    """Pairs of seconds per run: by the farm's meter and by a bare loop, first one, then other."""
    bare = _bare_session(model) if number % 2 else None
    farm = OnnxRuntimeSession(model, onnxruntime_spec(OnnxRuntimeCpu(threads=1)))
    farm.set_feeds(feeds)
    bare = bare or _bare_session(model)
    loops = calibrate(farm, SAMPLE_SECONDS)
    warm_up(farm, max(1, loops // 10), 1.0)
    _bare_loop(bare, feeds, loops)
    pairs = []
    for turn in range(PAIRS_EACH):
        if turn % 2:
            by_bare, by_farm = _bare_loop(bare, feeds, loops), sample([farm], loops).seconds
        else:
            by_farm, by_bare = sample([farm], loops).seconds, _bare_loop(bare, feeds, loops)
        pairs.append((by_farm, by_bare))
    return pairs


def per_call(report: Report, folder: Path) -> None:
    """The latency of a model that computes next to nothing."""
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> nothing (float[1] x) => (float[1] y) '
        "{ y = Relu(x) }"
    )
    feeds = {"x": np.ones(1, np.float32)}
    package, model = folder / "nothing", folder / "nothing.onnx"
    package.mkdir()
    compile_candidate(proto, Candidate(CPackage()), [feeds], package)
    onnx.save(proto, model)
    sessions: dict[str, Session] = {
        "by ONNX Runtime": OnnxRuntimeSession(model, onnxruntime_spec(OnnxRuntimeCpu(threads=1))),
        "as a package": CPackageSession(package / RUNNER_FILE),
    }
    for name, session in sessions.items():
        session.set_feeds(feeds)
        loops = calibrate(session, SAMPLE_SECONDS)
        seconds = [sample([session], loops).seconds for _ in range(PAIRS_EACH)]
        report.show(
            f"a call that computes nothing, {name}", float(np.median(seconds)), Unit.SECONDS
        )


def _bare_session(model: Path) -> ort.InferenceSession:
    plain = ort.SessionOptions()
    plain.intra_op_num_threads = 1
    return ort.InferenceSession(str(model), plain, providers=["CPUExecutionProvider"])


def _bare_loop(session: ort.InferenceSession, feeds: Feeds, loops: int) -> float:
    """Seconds per run, after as much warming up as the farm's meter does."""
    ready = time.perf_counter_ns() + _TURN_NS
    while time.perf_counter_ns() < ready:
        session.run(None, feeds)
    start = time.perf_counter_ns()
    for _ in range(loops):
        session.run(None, feeds)
    return (time.perf_counter_ns() - start) / 1e9 / loops


def _first_feeds(subject: Subject, folder: Path) -> Feeds:
    inputs = folder / "inputs.npz"
    inputs.write_bytes(subject.workload.parts[Part.SEARCH])
    return next(read_feeds(inputs))


if __name__ == "__main__":
    sys.exit(main())
