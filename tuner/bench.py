"""Measuring without searching: one candidate, or two against each other, in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from db.reader import StoreReader
from db.records import Phase, RunStatus, Trial
from db.store import Store
from farm.accuracy.result import AccuracyResult
from farm.candidate import (
    Candidate,
    OnnxRuntimeGpu,
    Pipeline,
    check_timed,
    from_json,
    processor_threads,
    whole_engines,
)
from farm.devices.profile import Availability, DeviceProfile, check_engine, select_profiles
from farm.errors import DeviceError, InfrastructureError, OptionError, StoreError
from farm.measurement import Measurement, Metric
from farm.model.formats import given_format
from farm.prediction import Prediction
from farm.units import counted
from tuner.delivery.benched import deliver_benched
from tuner.events import DeviceStarted, Listener, StageStarted
from tuner.learning.expecting import expectations
from tuner.learning.versions import refit
from tuner.racing.measured import BY_BLOCK
from tuner.racing.objective import Scorer
from tuner.racing.recorded import MIN_COMMON_BLOCKS, pairs_of
from tuner.racing.statistics import Comparison, compare, compare_net
from tuner.racing.track import RaceTrack
from tuner.request import TuneRequest
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.life import living
from tuner.runs.record.details import split_in, split_sentence
from tuner.runs.record.journal import Journal
from tuner.runs.record.machines import machine_of
from tuner.runs.start import OpenRun, open_journal
from tuner.search.baseline import find_baseline
from tuner.search.confirm import measure_detail
from tuner.search.profiles import take_profiles, worth_profiling
from tuner.search.space import Space, space_of, threads_sentence
from workers.discovery import device_availability, engine_on
from workers.executor import Executor

BLOCKS = 15


class NotMeasured(InfrastructureError):
    """A candidate cannot be measured; the message says why."""

    def __init__(self, candidate: Candidate, message: str) -> None:
        super().__init__(message)
        self.candidate = candidate


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured of one candidate on one device.

    notes: sentences about the candidate. threads: the limit that was asked for, 0 for none.
    predicted: before it was measured. output: the folder that it was delivered to, if it was.
    """

    run: str
    device: str
    trial_id: str
    candidate: Candidate
    measurements: Mapping[Metric, Measurement]
    accuracy: AccuracyResult | None = None
    notes: tuple[str, ...] = ()
    threads: int = 0
    predicted: Mapping[Metric, Prediction] = field(default_factory=dict)
    output: str = ""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A trial of the store, with what is needed to run it again. model_sha256: of its model."""

    trial: Trial
    candidate: Candidate
    request: TuneRequest
    model_sha256: str


def recall(store: StoreReader, trial_id: str) -> Recalled:
    """Find a trial by its id or the beginning of it.

    Raises NotInStore, and OptionError when the beginning fits several trials.
    """
    trial = store.trial(trial_id)
    run = store.run(trial.run)
    candidate = from_json(store.candidate(trial.candidate_id).json)
    # Where something was delivered then, it stays as it is.
    request = replace(TuneRequest.from_json(run.request), output="")
    return Recalled(trial, candidate, request, run.model_sha256)


def check_threads(request: TuneRequest, candidates: Sequence[Candidate]) -> None:
    """Raise OptionError when a candidate may use more threads than the request allows."""
    engines = [engine for candidate in candidates for engine in whole_engines(candidate.engine)]
    for engine in engines:
        threads = processor_threads(engine)
        if request.threads and not 0 < threads <= request.threads:
            used = f"has {threads} threads" if threads else "has no limit of threads"
            option = "cpu_threads" if isinstance(engine, OnnxRuntimeGpu) else "threads"
            raise OptionError(
                f"The candidate's engine {engine.kind} {used}, and --threads allows "
                f"{request.threads}. Change its `{option}`, or leave out --threads."
            )
    for candidate in candidates:
        threads = _threads(candidate)
        if candidate.in_flight > 1 and 0 < request.threads < threads:
            raise OptionError(
                f"The candidate's overlapped parts have {counted(threads, 'thread')} together, "
                f"and --threads allows {request.threads}. Change their `threads`, or leave out "
                "--threads."
            )
        if candidate.callers > 1 and 0 < request.threads < candidate.callers * threads:
            raise OptionError(
                f"The candidate has {candidate.callers} callers with {counted(threads, 'thread')} "
                f"each, and --threads allows {request.threads}. Change its `callers`, or leave "
                "out --threads."
            )


def check_callers(candidates: Sequence[Candidate]) -> None:
    """Raise OptionError when a candidate has several callers, and nothing tells what they do."""
    for candidate in candidates:
        if candidate.is_untimed and candidate.callers > 1:
            raise OptionError(
                f"The candidate has {candidate.callers} callers, and {candidate.engine.kind} runs "
                "in an emulator, where nothing tells its throughput. Leave out its `callers`."
            )


def _threads(candidate: Candidate) -> int:
    """Threads of one caller that work at the same time; 0 where an engine has no limit."""
    found = [processor_threads(each) for each in whole_engines(candidate.engine)]
    return sum(found) if candidate.in_flight > 1 else max(found)


def check_device(
    profile: DeviceProfile,
    candidates: Sequence[Candidate],
    known: Mapping[str, DeviceProfile] = MappingProxyType({}),
) -> None:
    """Raise DeviceError when a device is not there or does not have a candidate's engine.

    known: profiles by name, of devices that parts of pipelines may be at. Beside a pipeline the
    whole model may run where one of its parts does: that is the baseline of a device that cannot.
    """
    profiles = {**known, profile.name: profile}
    engines = [candidate.engine for candidate in candidates]
    beside: dict[str, DeviceProfile] = {}
    for part in (p for each in engines if isinstance(each, Pipeline) for p in each.parts):
        (device,) = select_profiles((part.device,), profiles)
        check_engine(device, part.engine.kind, "a part of the candidate")
        _check_available(device)
        beside[device.name] = device
    for engine in engines:
        elsewhere = any(engine.kind in device.engines for device in beside.values())
        if not isinstance(engine, Pipeline) and not elsewhere:
            check_engine(profile, engine.kind)
    untimed = [candidate.engine.kind for candidate in candidates if candidate.is_untimed]
    for kind in untimed:
        _check_found(profile, engine_on(profile, kind))
    if len(untimed) < len(candidates) or not candidates:
        _check_available(profile)


def _check_available(profile: DeviceProfile) -> None:
    _check_found(profile, device_availability(profile))


def _check_found(profile: DeviceProfile, found: Availability) -> None:
    if not found.available:
        raise DeviceError(
            f"Device {profile.name} cannot be measured here: {found.reason}. "
            f"Remedy: {found.remedy}."
        )


def bench(
    store: Store,
    executor: Executor,
    opened: OpenRun,
    profile: DeviceProfile,
    candidates: Sequence[Candidate],
    listen: Listener,
    *,
    detailed: bool = True,
) -> tuple[Benchmark, ...]:
    """Measure candidates side by side in 15 blocks, each in fresh processes.

    Without candidates the baseline is measured, or what takes its place. Where the request names
    an output, what was measured is delivered there, as a winner is.
    detailed: also single runs, throughput, energy, and what each kernel takes.

    Raises NotMeasured when one of them cannot be measured, with the reason; ChildError
    and CompileError when it fails after that; InputError.
    """
    with living(store, opened) as life:
        budget = Budget(opened.request.budget_seconds)
        try:
            found = _bench(
                store, executor, opened, profile, candidates, budget, listen, detailed=detailed
            )
        finally:
            with suppress(StoreError):  # it would have said so before
                store.update_run(opened.name, active_seconds=budget.used)
        life.status = RunStatus.FINISHED
        more = refit(store, profile, machine_of(executor.describe(profile.name)).id)
    return tuple(replace(each, notes=(*each.notes, *more)) for each in found)


def _bench(  # noqa: PLR0913  (what bench has, and the budget that it watches)
    store: Store,
    executor: Executor,
    opened: OpenRun,
    profile: DeviceProfile,
    candidates: Sequence[Candidate],
    budget: Budget,
    listen: Listener,
    *,
    detailed: bool,
) -> tuple[Benchmark, ...]:
    executor.prepare(profile.name, opened.subject.workload)
    facts = executor.describe(profile.name)
    expects = expectations(store, profile, facts, opened)
    journal = open_journal(store, executor, opened, profile, facts, expects=expects)
    request = opened.request
    figures = (opened.subject.work, profile.power, journal.scope.energy_window)
    scorer = Scorer(request.objective, request.constraints, *figures)
    listen(DeviceStarted(profile.name, budget.total))
    notes: tuple[str, ...] = ()
    if candidates:
        entries = _trials(journal, candidates, listen)
    else:
        space = space_of(facts, given_format(opened.subject.model.proto), request.threads)
        entries, notes = _baseline(journal, space, listen)
    track = RaceTrack(journal, scorer, budget, request.seed)
    timed = [entry for entry in entries if not entry.candidate.is_untimed]
    if timed:
        _blocks(journal, track, timed, listen)
    for entry in timed if detailed else ():
        measure_detail(journal, executor, scorer, entry)
    if timed and detailed:
        chosen = worth_profiling(timed, ())
        notes = (*notes, *take_profiles(journal, chosen, budget, listen))
    notes = (*notes, *journal.doubts(entries), *executor.take_remarks(profile.name))
    splits = {e.trial_id: _split_notes(store, e) for e in entries}
    outputs = {e.trial_id: deliver_benched(store, executor, opened, journal, e) for e in entries}
    return tuple(
        Benchmark(
            opened.name,
            profile.name,
            e.trial_id,
            e.candidate,
            e.measurements,
            e.accuracy,
            (
                *splits[e.trial_id],
                *_unknown(e.candidate),
                *opened.checked.caveats(profile, e.candidate),
                *notes,
            ),
            request.threads,
            e.predicted,
            outputs[e.trial_id],
        )
        for e in entries
    )


def compare_measured(
    first: Benchmark, second: Benchmark, metric: Metric = Metric.LATENCY
) -> Comparison:
    """Compare two that were measured side by side; the ratio is first over second.

    metric: one that was measured by block.
    """
    ours = np.asarray(second.measurements[metric].samples)
    theirs = np.asarray(first.measurements[metric].samples)
    if metric is Metric.ENERGY:
        return compare_net(ours, theirs)
    return compare(1 / ours, 1 / theirs) if metric is Metric.THROUGHPUT else compare(ours, theirs)


def measured_by_block(measured: Benchmark) -> frozenset[Metric]:
    """Metrics that have one sample from each block."""
    blocks = len(measured.measurements[Metric.LATENCY].samples)
    found = {m for m in BY_BLOCK if m in measured.measurements}
    return frozenset(m for m in found if len(measured.measurements[m].samples) == blocks)


def check_pair(one: Recalled, other: Recalled) -> None:
    """Raise InputError for two trials that cannot be measured again side by side."""
    check_timed(one.candidate, other.candidate)
    if one.request.model != other.request.model or one.trial.device != other.trial.device:
        raise OptionError("Only trials of one model on one device can be compared.")
    if one.candidate == other.candidate:
        raise OptionError("Both trials have the same candidate: there is nothing to compare.")


def compare_recorded(store: StoreReader, first: Trial, second: Trial) -> Comparison:
    """Compare two trials by the blocks in which both ran; the ratio is first over second.

    Raises OptionError when they have fewer than 8 blocks in common. Raises CandidateError: the
    latency of one is unknown.
    """
    check_timed(*(recall(store, trial.id).candidate for trial in (first, second)))
    same = (first.run, first.device) == (second.run, second.device)
    blocks = store.blocks(first.run, first.device) if same else ()
    pairs = pairs_of(blocks, {first.id}, {second.id})
    if len(pairs) < MIN_COMMON_BLOCKS:
        raise OptionError(
            f"Trials {first.id} and {second.id} ran side by side in {len(pairs)} blocks, and "
            f"{MIN_COMMON_BLOCKS} are needed. Measure them again side by side with --measure."
        )
    return compare(pairs[:, 1], pairs[:, 0])


def _split_notes(store: Store, entry: Entry) -> tuple[str, ...]:
    """What each part of a pipeline takes, in a sentence; none of other candidates."""
    split = split_in(store.trial(entry.trial_id).details)
    return () if split is None else (split_sentence(split),)


def _unknown(candidate: Candidate) -> Iterator[str]:
    if candidate.is_untimed:
        yield (
            "Its latency, memory and energy are unknown: it ran in an emulator, and what that "
            "takes says nothing about the chip."
        )


def _trials(journal: Journal, candidates: Sequence[Candidate], listen: Listener) -> list[Entry]:
    listen(StageStarted(journal.scope.device, "load and check"))
    found = {e.candidate: e for e in journal.run_trials(list(candidates), Phase.BENCH)}
    for entry in found.values():
        if not entry.ok:
            raise NotMeasured(
                entry.candidate,
                f"{entry.candidate.label()} cannot be measured on {journal.scope.device} "
                f"({entry.outcome}): {entry.message}",
            )
    return [found[candidate] for candidate in candidates]


def _baseline(
    journal: Journal, space: Space, listen: Listener
) -> tuple[list[Entry], tuple[str, ...]]:
    """The baseline alone, in the model's own precision, and what there is to say of it."""
    listen(StageStarted(journal.scope.device, "load and check"))
    candidates = [c for c in space.baselines() if c.keeps_precision]
    found = find_baseline(
        candidates, lambda candidate: next(iter(journal.run_trials([candidate], Phase.BENCH)))
    )
    return [found.entry], (*found.notes(), *threads_sentence(space))


def _blocks(journal: Journal, track: RaceTrack, entries: list[Entry], listen: Listener) -> None:
    """Run the blocks and note each entry's latency over them."""
    listen(StageStarted(journal.scope.device, "blocks"))
    jobs = [journal.job(e.candidate, Phase.BENCH) for e in entries]
    for _ in track.rounds(entries, jobs, lambda done, _: done < BLOCKS):
        pass
    for entry in entries:
        if not entry.ok:
            raise NotMeasured(
                entry.candidate, f"{entry.candidate.label()} failed: {entry.message}"
            )
