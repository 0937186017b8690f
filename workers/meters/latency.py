"""Timing loops: calibration of the inner loop, warm-up to steadiness, samples, distribution."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np

from workers.engines.session import Session
from workers.protocol import Sample, Warmup

_WARMUP_MINIMUM = 1  # after the run of loading and that of calibrating
STEADY_VALUES = 20
"""Of a warm-up: of fewer nobody can say whether they are steady."""

TRANSFER_PAIRS = 9
"""Of samples, from which it is known what transfers take."""

_STEADY_MEANS = 0.1
_REWARM_NS = 2_000_000
_SETTLE_CAP = 0.25
_SETTLE_STEP = 0.004
_IDLE_SHARE = 0.1
_CALL_SECONDS = 1e-3  # of one call for the throughput: long against the asking
_INTERRUPTED_SECONDS = 0.25  # that something else may have the processor for, at most


def calibrate(session: Session, target_seconds: float) -> int:
    """Runs per sample, so that one sample lasts at least ``target_seconds``."""
    loops = session.least_loops
    while True:
        elapsed = session.timed(loops) / 1e9
        if 0.0 <= elapsed - target_seconds < _INTERRUPTED_SECONDS:  # once more: it may have been
            elapsed = min(elapsed, session.timed(loops) / 1e9)
        if elapsed >= target_seconds:
            settle()
            return loops
        # Aim a little above the target, and never trust one short sample by more than 10 times.
        growth = min(10.0, 1.1 * target_seconds / max(elapsed, 1e-9))
        loops = max(loops + 1, int(loops * growth))


def warm_up(session: Session, loops: int, cap_seconds: float) -> Warmup:
    """Run until the last 20 values and the clock are steady, or until the cap; once at least.

    Returns the number of values that were thrown away and whether steadiness was reached.
    """
    deadline = time.monotonic() + cap_seconds
    values: list[float] = []
    at_pace = False
    while time.monotonic() < deadline or len(values) < _WARMUP_MINIMUM:
        values.append(session.timed(loops) / loops)
        at_pace = session.is_at_pace()  # asked each time: it looks back over what it was told
        if at_pace and is_steady(values):
            return Warmup(values=len(values), steady=True)
    return Warmup(values=len(values), steady=False, at_pace=at_pace)


def is_steady(values: Sequence[float]) -> bool:
    """Whether the last 20 of ``values`` show no more warm-up; False when there are fewer.

    Their halves' means lie within 10 %, and the first is no outlier: at most Q3 + 1.5 IQR.
    """
    if len(values) < STEADY_VALUES:
        return False
    last = np.asarray(values[-STEADY_VALUES:])
    first_half, second_half = last.reshape(2, -1).mean(axis=1)
    lower, upper = np.quantile(last, (0.25, 0.75))
    levels_agree = abs(first_half - second_half) <= _STEADY_MEANS * second_half
    return bool(levels_agree and last[0] <= upper + 1.5 * (upper - lower))


def transfer_ratio(sessions: Sequence[Session], loops: int, *, rewarm: bool = True) -> float:
    """How many times as long runs take from and to the host's memory.

    The median of a few pairs of samples, whose order turns each time: they are of one moment, and
    times of several moments say nothing of each other. Arguments: as ``sample`` takes them.
    """
    ways, ratios = [_from_and_to_host, _in_place], []
    for _ in range(TRANSFER_PAIRS):
        ways.reverse()
        taken = {way: sample(sessions, loops, rewarm=rewarm, way=way).seconds for way in ways}
        ratios.append(taken[_from_and_to_host] / taken[_in_place])
    return median(ratios)


def _in_place(session: Session, loops: int) -> int:
    return session.timed(loops)


def _from_and_to_host(session: Session, loops: int) -> int:
    return session.with_transfers(loops)


def sample(
    sessions: Sequence[Session],
    loops: int,
    *,
    rewarm: bool = True,
    way: Callable[[Session, int], int] = _in_place,
) -> Sample:
    """One sample: ``loops`` runs by each caller, after a short re-warm-up that is not counted.

    sessions: one per caller, the same one where it takes concurrent calls. They begin together,
    and the one that takes longest says how long a run takes while all of them call. rewarm: what
    takes seconds does not need it. way: runs a session so many times, and says nanoseconds.

    A child sleeps while the other candidates of a block run; the first runs after that find cold
    caches and sleeping threads, which belong to the interleaving and not to the candidate.
    """
    switches, cpu, nanoseconds = 0, 0.0, 0

    def begin() -> None:
        nonlocal switches, cpu
        switches, cpu = _involuntary_switches(sessions), _cpu_seconds(sessions)

    together = threading.Barrier(len(sessions), action=begin)

    def call(session: Session) -> int:
        started = time.perf_counter_ns()
        while rewarm and time.perf_counter_ns() - started < _REWARM_NS:
            way(session, 1)
        together.wait()
        return way(session, loops)

    if len(sessions) == 1:
        nanoseconds = call(sessions[0])
    else:
        with ThreadPoolExecutor(len(sessions)) as pool:
            nanoseconds = max(pool.map(call, sessions))
    runs = loops + sessions[0].untimed_runs
    measured = Sample(
        seconds=nanoseconds / 1e9 / loops,
        loops=loops,
        cpu_seconds=(_cpu_seconds(sessions) - cpu) / runs / len(sessions),
        involuntary_switches=_involuntary_switches(sessions) - switches,
    )
    settle()
    return measured


def settle() -> None:
    """Wait until this process is idle, at most a quarter of a second.

    ONNX Runtime's threads go on spinning for some 25 ms after the last run, unless a candidate
    says otherwise: whoever runs next in a block would be measured against them.
    """
    deadline = time.perf_counter() + _SETTLE_CAP
    busy = True
    while busy and time.perf_counter() < deadline:
        start = time.process_time()
        time.sleep(_SETTLE_STEP)
        # A thread that spins is seen also while others have its processor, where there is Linux.
        busy = time.process_time() - start > _IDLE_SHARE * _SETTLE_STEP or _others_run()


def _others_run() -> bool:
    """Whether another thread of this process runs, or would if it had a processor."""
    tasks = Path("/proc/self/task")
    own = threading.get_native_id()
    for task in tasks.iterdir() if tasks.exists() else ():
        with suppress(OSError):  # it ended meanwhile
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
            if state == "R" and int(task.name) != own:
                return True
    return False


def single_runs(session: Session, count: int, cap_seconds: float) -> list[float]:
    """Seconds of single runs, for quantiles: at most ``count``, at most ``cap_seconds`` long."""
    deadline = time.monotonic() + cap_seconds
    values: list[float] = []
    while len(values) < count and time.monotonic() < deadline:
        values.append(session.timed(1) / 1e9)
    settle()
    return values


def throughput(sessions: Sequence[Session], seconds: float) -> float:
    """Runs per second with one thread per session that calls it without pause.

    sessions: one per caller, the same one where it takes concurrent calls.
    """
    loops = calibrate(sessions[0], _CALL_SECONDS)
    start = time.perf_counter()
    deadline = start + seconds

    def call(session: Session) -> int:
        runs = 0
        while time.perf_counter() < deadline:
            session.timed(loops)
            runs += loops
        return runs

    with ThreadPoolExecutor(len(sessions)) as pool:
        runs = sum(pool.map(call, sessions))
    return runs / (time.perf_counter() - start)


def _processes(sessions: Sequence[Session]) -> set[int]:
    return {process for session in sessions for process in session.processes}


def _cpu_seconds(sessions: Sequence[Session]) -> float:
    """Processor time of this process and of those that the sessions started."""
    return time.process_time() + sum(map(_scheduled_seconds, _processes(sessions)))


def _scheduled_seconds(process: int) -> float:
    """Time that the threads of a process spent on processors; 0 where it is not counted."""
    total = 0
    for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with suppress(OSError):  # it ended meanwhile
            total += int(path.read_text().split()[0])
    return total / 1e9


def _involuntary_switches(sessions: Sequence[Session]) -> int:
    """Of this whole process and those that the sessions started; 0 where they are not counted."""
    if os.name != "posix":
        return 0
    import resource  # noqa: PLC0415  (does not exist elsewhere)

    switches: int = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    for process in _processes(sessions):
        switches += _switches_of(process)
    return switches


def _switches_of(process: int) -> int:
    """Involuntary switches of a process of one thread; 0 where they are not counted."""
    path = Path(f"/proc/{process}/status")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("nonvoluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0
