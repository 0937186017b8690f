"""An executor that runs nothing and answers at once, and a search on it with a real store.

The fake device starts real processes, which takes seconds; here a whole search takes
milliseconds, and what each candidate does is written down beforehand.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from db.store import Store
from farm.accuracy.damage import Damage
from farm.candidate import Candidate, Fake
from farm.devices.energy import Work
from farm.devices.profile import PowerFigures
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.profile.kernels import OperatorProfile
from farm.units import Bytes
from tests.db.samples import MACHINE, MODEL, RUN, SOFTWARE
from tuner.events import Event
from tuner.goals import Constraints, Objective
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.record.details import Proposed
from tuner.runs.record.journal import Journal, Scope
from tuner.search.confirm import Confirmation, Confirmed
from tuner.search.proposing.propose import Proposal
from tuner.search.search import Found, Search
from tuner.search.stages import Stage
from workers.fingerprint import Fingerprint
from workers.jobs import (
    BlockJob,
    BlockReport,
    DetailJob,
    DetailReport,
    DeviceFacts,
    Failure,
    Limits,
    Part,
    ProfileJob,
    TrialJob,
    TrialReport,
    Workload,
)
from workers.protocol import EnergyReading, Sample
from workers.trials.process import ChildError

BASELINE = Candidate(Fake())
DEVICE = "fake"
SECONDS_PER_PACKET = 1e-9
POWER = PowerFigures(static_watts=1.0, joules_per_byte=0.0, joules_per_mac={}, source="invented")


@dataclass(frozen=True)
class Traits:
    """What a candidate does.

    cpu: processor seconds of one run; None: as long as it takes. longest: seconds of the longest
    of many single runs; None: as all. load: seconds to the first outputs.
    accuracy, confirmed: on the search part and on the confirmation part.
    outcome: of its trials. fails_in_block, fails_in_detail, fails_in_profile: crashes there,
    blocks from 0.
    message: what its trials say where they are not ok. A rejected one is measured all the same.
    quick: factor of the seconds that its trials' own samples take.
    joules: of one run, where a counter tells them. joules_noise: standard deviation of what idle
    power adds to them in each block, joules. quick_joules: of its trials' own window; None: alike.
    """

    seconds: float = 1e-3
    peak: int = 10 << 20
    accuracy: float | None = None
    confirmed: float | None = None
    outcome: Outcome = Outcome.OK
    message: str = "as imagined."
    fails_in_block: int | None = None
    fails_in_detail: bool = False
    fails_in_profile: bool = False
    quick: float = 1.0
    cpu: float | None = None
    longest: float | None = None
    load: float = 0.05
    joules: float = 1e-3
    joules_noise: float = 0.0
    quick_joules: float | None = None


class ImaginedExecutor:
    """Answers by ``traits``; who is not there has the seconds of its fake engine.

    pinned: traits of candidates in environments, which go first. environments: that are
    installed, see ``DeviceFacts``. unlike: what is pinned has noise of its own, too.

    energy_window: of the device's counter, see ``DeviceFacts``; counted: whether each block asked
    for energy.

    interrupt_at: raises KeyboardInterrupt instead of the call of this number. calls: what was
    asked, in order: ``trial LABEL``, ``block``, ``detail``.
    """

    def __init__(self, traits: Mapping[Candidate, Traits] | None = None) -> None:
        self.traits = dict(traits or {})
        self.calls: list[str] = []
        self.trials: list[tuple[Candidate, Part]] = []
        self.alive: set[str] = set()
        self.interrupt_at: int | None = None
        self.engines: tuple[str, ...] = ("fake",)
        self.prepared = ""
        self.remarks: tuple[str, ...] = ()
        self.closed = False
        self.machines: dict[str, str] = {}
        self.interrupted = False
        self.disturbed = ""
        self.lasts = False
        self.unlike = False
        self.pinned: dict[tuple[Candidate, str], Traits] = {}
        self.environments: dict[str, dict[str, str]] = {}
        self.software = {"python": "3"}
        self.damage = Damage()
        self.counted: list[bool] = []
        self.energy_window: float | None = None

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        for job in jobs:
            self._count(f"trial {job.candidate.id}")
            self.trials.append((job.candidate, job.part))
            yield self._report(job)

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        self._count("block")
        self.counted.append(job.counts_energy)
        energies: dict[str, EnergyReading] = {}
        failures, samples, peaks = {}, {}, {}
        longest: dict[str, float] = {}
        loads: dict[str, float] = {}
        for member in job.members:
            traits = self._traits(member)
            done = self._blocks_of(member)
            if traits.fails_in_block is not None and done >= traits.fails_in_block:
                failures[member.trial_id] = Failure(Outcome.OUT_OF_MEMORY, "it leaked.")
                continue
            seconds = traits.seconds
            if not member.candidate.is_counted:
                seconds *= self._noise(member, done)
            cpu = seconds if traits.cpu is None else traits.cpu * seconds / traits.seconds
            samples[member.trial_id] = Sample(seconds, 10, cpu, 0)
            peaks[member.trial_id] = traits.peak
            noise = self._noise(member, done)
            if job.single_runs:
                longest[member.trial_id] = noise * (traits.longest or traits.seconds)
            if job.counts_energy:
                joules = noise * traits.joules
                if traits.joules_noise:
                    joules += traits.joules_noise * self._idle_noise(member, done)
                energies[member.trial_id] = EnergyReading(joules, 5.0, 40.0)
            if job.restart:
                loads[member.trial_id] = noise * traits.load
        more = (longest, loads, energies, self.lasts)
        return BlockReport(1.7e9, samples, peaks, failures, 2e-3, self.disturbed, *more)

    def run_detail(self, device: str, job: DetailJob) -> DetailReport:
        self._count("detail")
        traits = self._traits(job.trial)
        if traits.fails_in_detail:
            raise ChildError(Outcome.RUN_ERROR, "it fell.")
        if job.trial.candidate.is_counted:
            rate = Measurement(Metric.THROUGHPUT, 1 / traits.seconds, Method.MODELLED)
            return DetailReport((rate,))
        singles = tuple(traits.seconds * self._noise(job.trial, i) for i in range(100))
        return DetailReport(
            (
                Measurement(Metric.LATENCY_P50, singles[0], Method.MEASURED, samples=singles),
                Measurement(Metric.THROUGHPUT, 1 / traits.seconds, Method.MEASURED),
            )
        )

    def run_profile(self, device: str, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        self._count("profile")
        traits = self._traits(job.trial)
        if traits.fails_in_profile:
            raise ChildError(Outcome.RUN_ERROR, "it cannot be watched.")
        seconds, method = traits.seconds, Method.MEASURED
        return (OperatorProfile("all", "Conv", ("conv",), "float32", seconds, None, method),)

    def release(self, device: str, trial_ids: Iterable[str]) -> None:
        self.alive.difference_update(trial_ids)

    def prepare(self, device: str, workload: Workload) -> None:
        self.prepared = workload.key

    def describe(self, device: str) -> DeviceFacts:
        machine = Fingerprint("id", "bench-1", "Xeon", 4, 1 << 40, (), "", "", "")
        return DeviceFacts(
            *(machine, self.software, self.engines),
            environments=self.environments,
            energy_window=self.energy_window,
        )

    def quantizable(self, device: str, job: TrialJob) -> dict[str, tuple[str, ...]]:
        return {}

    def machine(self, device: str) -> str:
        return self.machines.get(device, "")

    def interrupt(self) -> None:
        self.interrupted = True

    def rank_sensitivity(self, device: str, job: TrialJob) -> Damage:
        self._count("damage")
        return self.damage

    def artifact_files(self, device: str, job: TrialJob) -> dict[str, bytes]:
        return {"model.onnx": b"imagined"}

    def take_remarks(self, device: str) -> tuple[str, ...]:
        return self.remarks

    def cached_files(self, device: str, artifact: str) -> dict[str, bytes]:
        return {"model.onnx": b"imagined"}

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _report(self, job: TrialJob) -> TrialReport:
        traits = self._traits(job)
        if traits.outcome not in (Outcome.OK, Outcome.REJECTED):
            return TrialReport(job.trial_id, traits.outcome, traits.message)
        ok, counted = traits.outcome is Outcome.OK, job.candidate.is_counted
        method = Method.MODELLED if counted else Method.MEASURED
        self.alive.add(job.trial_id)
        accuracy = traits.confirmed if job.part is Part.CONFIRMATION else traits.accuracy
        measured = [
            Measurement(Metric.LATENCY, traits.seconds * traits.quick, method),
            Measurement(Metric.PEAK_MEMORY, float(traits.peak), Method.MEASURED),
        ]
        if not counted:
            measured.append(Measurement(Metric.FIRST_RESULT, traits.load, Method.MEASURED))
            cpu = traits.seconds if traits.cpu is None else traits.cpu
            measured.append(Measurement(Metric.CPU_SECONDS, cpu, Method.MEASURED))
        joules = traits.joules if traits.quick_joules is None else traits.quick_joules
        if job.counts_energy and joules > 0:
            measured.append(Measurement(Metric.ENERGY, joules, Method.MEASURED))
        if accuracy is not None:
            measured.append(Measurement(Metric.ACCURACY, accuracy, Method.MEASURED))
        if counted:
            packets = traits.seconds / SECONDS_PER_PACKET
            measured.append(Measurement(Metric.PACKETS, packets, Method.EMULATED))
        return TrialReport(
            job.trial_id,
            traits.outcome,
            "" if ok else traits.message,
            measurements=tuple(measured),
            assignment={"fake": 1},
        )

    def _traits(self, job: TrialJob) -> Traits:
        candidate, environment = job.candidate, job.pinned.environment
        if (candidate, environment) in self.pinned:
            return self.pinned[candidate, environment]
        if candidate in self.traits:
            return self.traits[candidate]
        engine = candidate.engine
        return Traits(seconds=engine.seconds if isinstance(engine, Fake) else 1e-3)

    def _blocks_of(self, job: TrialJob) -> int:
        return self.calls.count("block") - 1

    def _noise(self, job: TrialJob, number: int) -> float:
        """By what runs: the ids of trials hold the date, and with them luck would change."""
        pinned = f"{job.pinned.environment}{bool(job.pinned.artifact)}" if self.unlike else ""
        seed = zlib.crc32(f"{job.candidate.id}{pinned}".encode())
        return float(np.exp(np.random.default_rng([seed, number]).normal(0.0, 0.005)))

    def _idle_noise(self, job: TrialJob, number: int) -> float:
        seed = zlib.crc32(f"idle {job.candidate.id}".encode())
        return float(np.random.default_rng([seed, number]).normal())

    def _count(self, call: str) -> None:
        ends = self.interrupt_at is not None and len(self.calls) >= self.interrupt_at
        if ends or self.interrupted:
            raise KeyboardInterrupt
        self.calls.append(call)


class ListProposer:
    """Proposes what is on a list, in order, without what was tried."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = list(candidates)

    def propose(self, history: Sequence[Entry], count: int) -> Proposal:
        seen = {entry.candidate for entry in history}
        fresh = tuple(c for c in self.candidates if c not in seen)[:count]
        return Proposal(tuple((candidate, Proposed(Stage.ENGINES)) for candidate in fresh))


class CountedBudget(Budget):
    """Time that passes with each call of the executor: so many seconds."""

    def __init__(self, total: float, executor: ImaginedExecutor, used: float = 0.0) -> None:
        super().__init__(total)
        self._executor, self._before = executor, used

    @property
    def used(self) -> float:
        return self._before + len(self._executor.calls)


@dataclass
class Imagined:
    """A search on one device with a store that was filled by ``tests.db.samples``."""

    store: Store
    executor: ImaginedExecutor
    candidates: Sequence[Candidate] = ()
    objective: Objective = Objective.LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    budget: Budget = field(default_factory=lambda: Budget(1e6))
    max_trials: int = 0
    only_splits: bool = False
    baselines: Sequence[Candidate] = (BASELINE,)
    energy_window: float | None = None
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = (RUN.name, DEVICE, MODEL.sha256, "key", MACHINE.id, SOFTWARE.id)
        scope = Scope(*ids, Limits(), energy_window=self.energy_window)
        self.journal = Journal(self.store, self.executor, scope)  # type: ignore[arg-type]
        work = Work(0, Bytes(0), Bytes(0))
        self.scorer = Scorer(self.objective, self.constraints, work, POWER, self.energy_window)
        self.track = RaceTrack(self.journal, self.scorer, self.budget, seed=3)

    def search(self) -> Found:
        search = Search(
            self.journal,
            self.executor,  # type: ignore[arg-type]
            ListProposer(self.candidates),  # type: ignore[arg-type]
            self.scorer,
            self.budget,
            self.track,
            self.events.append,
        )
        return search.run(self.baselines, self.max_trials, only_splits=self.only_splits)

    def confirm(self, found: Found, champion: str = "") -> Confirmed:
        confirmation = Confirmation(
            self.journal,
            self.executor,  # type: ignore[arg-type]
            self.scorer,
            self.track,
            self.budget,
            self.events.append,
        )
        return confirmation.run(found, champion)

    def run(self, champion: str = "") -> tuple[Found, Confirmed]:
        found = self.search()
        return found, self.confirm(found, champion)


def fakes(*milliseconds: float) -> list[Candidate]:
    """Candidates of these latencies."""
    return [Candidate(Fake(seconds=ms / 1e3, serial=i)) for i, ms in enumerate(milliseconds)]
