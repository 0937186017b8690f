"""The child process: loads one artifact, runs it and measures it, and nothing else.

Run as a script by the device profile's interpreter. It answers one request at a time (see
``workers.protocol``) on the pipe that was its standard output; whatever a library prints goes to
standard error. It ends when its parent does.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

_ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _ROOT)
from farm.host import own_modules  # noqa: E402

sys.path.remove(_ROOT)  # another interpreter: its own packages go first
own_modules.put_first()

from farm.session.spec import OpenVinoSpec, SessionSpec  # noqa: E402
from workers.answers import write_answers  # noqa: E402
from workers.child.feeds import apart, in_batches, read_feeds  # noqa: E402
from workers.engines.loading import session_factory  # noqa: E402
from workers.engines.session import (  # noqa: E402
    EngineError,
    Feeds,
    KilledError,
    Session,
    memory_ran_out,
)
from workers.meters import energy, latency, memory  # noqa: E402
from workers.meters.energy import CounterError, EnergyCounter  # noqa: E402
from workers.protocol import (  # noqa: E402
    Counted,
    DeviceReading,
    EnergyCount,
    Evaluated,
    Loaded,
    PartDescription,
    PipelineDescription,
    Split,
    Uncounted,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")
_PR_SET_PDEATHSIG = 1
_SLOW_SECONDS = 2.0  # of calibrating: one or two runs, which caches make no difference to


class Runner:
    """The commands of a child; each returns a reply value of ``workers.protocol``."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._feeds: list[Feeds] = []
        self._samples, self._batch = 0, 1
        self._growth = memory.Growth()
        self._is_slow = False
        self._sessions: Sequence[Session] = ()
        self._kept = ExitStack()

    @property
    def session(self) -> Session:
        """The loaded artifact."""
        if self._session is None:
            raise EngineError("no artifact is loaded.")
        return self._session

    def load(
        self, engine: str, spec: dict[str, Any], model: str, inputs: str, batch: int = 1
    ) -> Loaded:
        """Create the session, run it on the first sample or batch of ``inputs``, and verify it."""
        samples = list(read_feeds(Path(inputs))) if inputs else [{}]
        self._samples, self._batch = len(samples), batch
        self._feeds = samples if batch == 1 else in_batches(samples, batch)
        create = _session_factory(engine, spec, Path(model))
        self._growth = memory.Growth()
        start = time.perf_counter()
        self._session = create()
        self._session.set_feeds(self._feeds[0])
        created = time.perf_counter()
        self._session.run(self._feeds[0])
        run_seconds = time.perf_counter() - created
        with self._growth.left_out():
            self._session.verify()
        assigned = dict(self._session.assignment)
        return Loaded(created - start, run_seconds, assigned, len(self._feeds))

    def evaluate(self, outputs: str) -> Evaluated:
        """Run every sample and write the outputs, see ``workers.answers``."""
        runs = (self.session.run(feeds) for feeds in self._feeds)
        if self._batch == 1:
            answers = list(runs)
        else:  # what filled up the last batch is no sample
            answers = [each for run in runs for each in apart(run, self._batch)][: self._samples]
        write_answers(Path(outputs), answers)
        return Evaluated(samples=len(answers))

    def warm_up(self, target: float, cap: float) -> DataclassInstance:
        """Warm up with loops of about ``target`` seconds, at most ``cap`` seconds."""
        return latency.warm_up(self.session, latency.calibrate(self.session, target), cap)

    def calibrate(self, target: float) -> int:
        """Runs per sample of at least ``target`` seconds."""
        start = time.perf_counter()
        loops = latency.calibrate(self.session, target)
        self._is_slow = time.perf_counter() - start > _SLOW_SECONDS
        return loops

    def sample(self, loops: int, callers: int = 1) -> DataclassInstance:
        """One latency sample, of so many callers at the same time."""
        return latency.sample(self._kept_callers(callers), loops, rewarm=not self._is_slow)

    def single_runs(self, count: int, cap: float) -> list[float]:
        """Seconds of single runs."""
        return latency.single_runs(self.session, count, cap)

    def throughput(self, callers: int, seconds: float) -> float:
        """Runs per second with several callers."""
        with self._callers(callers) as sessions:
            return latency.throughput(sessions, seconds)

    def _kept_callers(self, count: int) -> Sequence[Session]:
        if len(self._sessions) < count:
            self._sessions = self._kept.enter_context(self._callers(count))
        return self._sessions[:count]

    @contextmanager
    def _callers(self, count: int) -> Iterator[Sequence[Session]]:
        """Sessions of so many callers that have all run: the first run may compile for seconds."""
        with self.session.callers(count) as sessions:
            for each in sessions:
                if each is not self.session:
                    each.timed(each.least_loops)
            yield sessions

    def peak_memory(self) -> int:
        """Peak resident bytes above what the process had before the artifact was loaded.

        Processes that the session started count whole; planned memory is not measured.
        """
        if self.session.planned_bytes:
            return self.session.planned_bytes
        sessions = (self.session, *self._sessions)
        processes = {process for session in sessions for process in session.processes}
        started = sum(memory.peak(process) for process in processes)
        return self._growth.peak() + started

    def device(self, loops: int, callers: int = 1) -> DeviceReading | None:
        """What only an artifact has that computes in the memory of a device of its own."""
        session = self.session
        if not session.on_device:
            kept_off = session.kept_off
            return DeviceReading(None, None, kept_off=kept_off) if kept_off else None
        sessions = self._kept_callers(callers)
        ratio = latency.transfer_ratio(sessions, loops, rewarm=not self._is_slow)
        if session.meter is None:
            return DeviceReading(ratio, None)
        used, is_growth = session.meter.memory() or (None, False)
        return DeviceReading(ratio, used, is_growth, session.meter.clock())

    def counted(self) -> Counted | None:
        """Packets of one run, None for engines that are timed."""
        from workers.engines.cpackage import EmulatedPackageSession  # noqa: PLC0415

        session = self.session
        return session.counted() if isinstance(session, EmulatedPackageSession) else None

    def split(self, count: int) -> Split:
        """What each part of a pipeline takes of a run, of so many runs."""
        from workers.engines.pipelines.pipeline import PipelineSession  # noqa: PLC0415

        session = self.session
        if not isinstance(session, PipelineSession):
            raise EngineError("what is loaded is no pipeline.")
        return session.split(count)

    def idle_power(self, seconds: float) -> float | Uncounted:
        """Watts while nothing runs here, by the counter of ``energy``."""
        return self._counted(lambda counter: energy.idle_watts(counter, seconds))

    def energy(self, seconds: float) -> EnergyCount | Uncounted:
        """Energy of runs by RAPL or the GPU's counter. See ``count_runs``."""
        session = self.session
        return self._counted(lambda counter: energy.count_session(session, counter, seconds))

    def _counted(self, told: Callable[[EnergyCounter], _T]) -> _T | Uncounted:
        """What the counter of what the artifact computes on tells, or why it does not."""
        meter, on_device = self.session.meter, self.session.on_device
        counter = (meter.energy_counter() if meter else None) if on_device else energy.find_rapl()
        try:
            return Uncounted(energy.NO_COUNTER) if counter is None else told(counter)
        except CounterError as error:
            return Uncounted(str(error))

    def profile(
        self,
        engine: str,
        spec: dict[str, Any],
        model: str,
        inputs: str,
        folder: str,
        seconds: float,
        batch: int = 1,
    ) -> DataclassInstance:
        """Time the kernels of a model for about so many seconds; see the engines' profiles.

        model: one that ``workers.child.profiling`` named, in ``folder``.
        """
        samples, path, place = read_feeds(Path(inputs)), Path(model), Path(folder)
        feeds = next(samples) if batch == 1 else in_batches(list(samples), batch)[0]
        if engine == "openvino":
            from workers.engines.openvino import profile as of_openvino  # noqa: PLC0415

            return of_openvino.profile(path, OpenVinoSpec(**spec), feeds, seconds)
        from workers.engines.onnxruntime import profile as of_onnxruntime  # noqa: PLC0415

        return of_onnxruntime.profile(path, SessionSpec(**spec), feeds, place, seconds)

    def save_optimised(self, spec: dict[str, Any], model: str, target: str) -> None:
        """Write a model as this interpreter's ONNX Runtime optimises it."""
        from workers.engines.onnxruntime import session  # noqa: PLC0415

        session.save_optimised(Path(model), SessionSpec(**spec), Path(target))

    def save_context(self, spec: dict[str, Any], model: str, target: str) -> None:
        """Write a model as a provider of this interpreter's ONNX Runtime compiles it."""
        from workers.engines.onnxruntime import session  # noqa: PLC0415

        session.save_context(Path(model), SessionSpec(**spec), Path(target))

    def compile(self, workload: str, candidate: str, folder: str) -> DataclassInstance:
        """Compile a candidate; only in the farm's own interpreter."""
        from workers.child import compiling  # noqa: PLC0415  (loads the compile passes)

        return compiling.compile_candidate(Path(workload), candidate, Path(folder))

    def quantizable(self, workload: str, candidate: str) -> dict[str, list[str]]:  # noqa: ARG002
        """Operators that each kind of quantisation applies to; in the farm's own interpreter."""
        from workers.child import compiling  # noqa: PLC0415  (as above)

        return compiling.quantizable_names(Path(workload))

    def package(
        self, workload: str, candidate: str, artifact: str, manifest: str, folder: str
    ) -> DataclassInstance:
        """Complete a compiled package; only in the farm's own interpreter."""
        from workers.child import compiling  # noqa: PLC0415  (as above)

        return compiling.complete_package(
            Path(workload), candidate, Path(artifact), manifest, Path(folder)
        )

    def named(self, workload: str, candidate: str, artifact: str, folder: str) -> dict[str, str]:  # noqa: ARG002
        """Write what an engine is to profile; only in the farm's own interpreter."""
        from workers.child import profiling  # noqa: PLC0415  (as above)

        return profiling.write_named(Path(artifact), Path(folder))

    def mapped(
        self,
        workload: str,
        candidate: str,  # noqa: ARG002
        artifact: str,
        folder: str,
        profile: str,
    ) -> list[dict[str, Any]]:
        """Kernels with the operators they stand for; only in the farm's own interpreter."""
        from workers.child import profiling  # noqa: PLC0415  (as above)

        return profiling.map_kernels(Path(workload), Path(artifact), Path(folder), profile)

    def package_profile(
        self, workload: str, candidate: str, folder: str, seconds: float
    ) -> list[dict[str, Any]]:
        """Steps of a package with the operators they stand for; as above."""
        from workers.child import compiling  # noqa: PLC0415  (as above)

        rows = compiling.profile_package(Path(workload), candidate, Path(folder), seconds)
        return [asdict(row) for row in rows]

    def sensitivity(self, workload: str, candidate: str) -> dict[str, Any]:
        """Damage of quantisation per operator; only in the farm's own interpreter."""
        from workers.child import compiling  # noqa: PLC0415  (as above)

        return asdict(compiling.rank_sensitivity(Path(workload), candidate))


def _session_factory(engine: str, spec: dict[str, Any], model: Path) -> Callable[[], Session]:
    """What loads an artifact; see ``workers.engines.loading``."""
    if engine != "pipeline":
        return session_factory(engine, spec, model)
    from workers.engines.pipelines.pipeline import pipeline_session  # noqa: PLC0415  (as there)

    parts = tuple(PartDescription(**part) for part in spec["parts"])
    for part in parts:
        if not part.is_remote:  # else its engine may not be here
            session_factory(part.engine, part.spec, Path(part.model))
    description = PipelineDescription(parts, spec["in_flight"])
    return lambda: pipeline_session(model, description)


def answer(runner: Runner, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request."""
    command = str(request.pop("command"))
    try:
        reply = getattr(runner, command.replace("-", "_"))(**request)
    except MemoryError:
        return _error("out-of-memory", "the process reached its memory limit.")
    except KilledError:
        os.kill(os.getpid(), signal.SIGKILL)  # share the fate: whoever waits knows that ending
        raise
    except Exception as error:  # noqa: BLE001  (a child reports every failure, and lives on)
        known = isinstance(error, EngineError)
        return _error(_outcome(error), str(error) if known else f"{type(error).__name__}: {error}")
    is_record = hasattr(reply, "__dataclass_fields__")
    return {"ok": asdict(reply) if is_record else reply}


def _outcome(error: Exception) -> str:
    """A full disk says nothing about the candidate, and engines word a lack of memory freely."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            return "infrastructure-error"
        cause = cause.__cause__
    return "out-of-memory" if memory_ran_out(error) else "run-error"


def _error(outcome: str, message: str) -> dict[str, Any]:
    return {"error": {"outcome": outcome, "message": message}}


def _die_with_parent(parent: int) -> None:
    """End with the parent, even when the parent was killed.

    The kernel sends SIGKILL when the parent's thread ends (Linux); elsewhere, and when the parent
    was gone before that was asked for, a thread notices that the process was adopted.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _stay_on(processors: str) -> None:
    """Run on these logical processors, where the system lets a process choose."""
    if processors and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, processors.split(",")))


def _limit_data_segment(limit: int) -> None:
    """A hard stop for one huge allocation between two looks of the parent's watchdog."""
    if limit and sys.platform == "linux":
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Answer requests until the parent closes the pipe."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--data-limit", type=int, default=0)
    parser.add_argument("--processors", default="")
    arguments = parser.parse_args()
    _die_with_parent(arguments.parent)
    _stay_on(arguments.processors)
    _limit_data_segment(arguments.data_limit)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # libraries that print must not break the protocol
    runner = Runner()
    print(json.dumps({"ok": os.getpid()}), file=replies)
    for line in sys.stdin:
        print(json.dumps(answer(runner, json.loads(line))), file=replies)


if __name__ == "__main__":
    main()
