"""The search on one device of a run: which space it has, and what is searched in place of it.

A device that cannot run the whole model is searched once more, for splits: what it can run of the
model runs there, the rest beside it.
"""

from __future__ import annotations

from dataclasses import replace

from db import records
from db.store import Store
from farm.candidate import Candidate
from farm.devices.profile import DeviceKind, DeviceProfile, load_profiles
from farm.errors import FarmError, InfrastructureError, StoreError
from farm.model.formats import came_quantised, given_format
from farm.units import Bytes
from tuner.events import Listener
from tuner.learning.subjects import subject_of
from tuner.learning.values import Predictor, Subject
from tuner.learning.versions import known_costs
from tuner.placing.spaces import only_splits, what_became, with_splits
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.runs.clock import Budget
from tuner.runs.record.journal import Journal
from tuner.runs.record.machines import machine_of
from tuner.runs.start import OpenRun
from tuner.search.baseline import BaselineFailed
from tuner.search.expecting.cold import ColdPrior
from tuner.search.expecting.first import first_prior
from tuner.search.expecting.from_store import Wanted
from tuner.search.memory_gate import MemoryGate
from tuner.search.package_room import PackageRoom
from tuner.search.prior import Prior
from tuner.search.proposing.propose import Proposer
from tuner.search.search import Found, Search
from tuner.search.space import Space, batched, fitted, space_of, threads_sentence
from workers.executor import Executor
from workers.jobs import DeviceFacts
from workers.trials.process import ChildError

_BESIDE = "cpu"  # the profile of the processor, where none was named


class DeviceSearch:
    """Searches on one device.

    search: the one that is under way, or was the last. scorer: of what it finds. notes: what its
    space lacks, and why.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        opened: OpenRun,
        profile: DeviceProfile,
        journal: Journal,
        scorer: Scorer,
        track: RaceTrack,
    ) -> None:
        self._store = store
        self._executor = executor
        self._opened = opened
        self._profile = profile
        self.journal = journal
        self.scorer = scorer
        self.track = track
        self.search: Search | None = None
        self.notes: tuple[str, ...] = ()

    def run(self, facts: DeviceFacts, budget: Budget, listen: Listener) -> Found:
        """Search; see the module.

        Raises InfrastructureError: no baseline can be measured, and no split is possible.
        """
        space, self.notes = self._space(facts)
        space, proposed = self._with_splits(space, facts)
        try:
            found = self._searched(space, facts, budget, listen)
        except BaselineFailed as error:
            subject, beside = self._opened.subject, self._beside()
            splits, more = only_splits(space, subject, self._profile, beside, str(error))
            self.notes += more
            self.scorer = replace(self.scorer, power=None)  # the device's, and not of both
            return self._searched(splits, facts, budget, listen)
        self.notes += (*proposed, *what_became(space.splits, found.entries))
        return found

    def _searched(
        self, space: Space, facts: DeviceFacts, budget: Budget, listen: Listener
    ) -> Found:
        request, prior = self._opened.request, self._prior(space, facts)
        gate = self._gate()
        room = PackageRoom(self._opened.subject.model.proto, self._profile.package)
        proposer = Proposer(space, self._sensitivity, request.seed, prior, gate=gate, room=room)
        self.search = Search(
            self.journal, self._executor, proposer, self.scorer, budget, self.track, listen
        )
        found = self.search.run(
            space.baselines(), request.max_trials, only_splits=space.only_splits
        )
        self.notes += (*gate.notes(), *room.notes())
        return found

    def _gate(self) -> MemoryGate:
        """What the memory limit that was asked for, or the device's own, keeps back."""
        asked, own = self._opened.request.constraints.max_memory, self._profile.memory_bytes
        if asked is not None and (not own or asked <= own):
            return MemoryGate(self.journal.expects, Bytes(asked), "--max-memory")
        if own:
            return MemoryGate(self.journal.expects, Bytes(own), f"{self._profile.name} has,")
        return MemoryGate()

    def _prior(self, space: Space, facts: DeviceFacts) -> Prior:
        """What is expected before anything is tried: by similar models, unless it is to be cold.

        By what the store had when the run began, so that a resumed run expects the same.
        """
        opened = self._opened
        if opened.request.cold or space.only_splits:
            return ColdPrior(space)
        wanted = Wanted(
            self._store.model(opened.subject.model.sha256),
            self._profile.name,
            machine_of(facts),
            opened.run.created_at,
            space.baseline(),
            self.scorer,
            labelled=bool(opened.request.metric) or opened.subject.dataset.labels is not None,
        )
        return first_prior(self._store, wanted, space, *self._known(facts))

    def _known(self, facts: DeviceFacts) -> tuple[Subject | None, Predictor | None]:
        """The model, and the cost models that there were when the run began; None without any."""
        opened, machine = self._opened, machine_of(facts).id
        until = opened.run.created_at
        try:
            subject = subject_of(opened.subject.model, opened.subject.graph)
            known = known_costs(self._store, self._profile, machine, facts.cores, until)
        except StoreError as error:
            self.notes += (f"The search began without cost models: {error}",)
        except FarmError:
            pass  # never calibrated, or shapes stay dynamic
        else:
            return subject, known.predictor
        return None, None

    def _space(self, facts: DeviceFacts) -> tuple[Space, tuple[str, ...]]:
        """The space of the device and this model, and what is left out of it."""
        profile, request, subject = self._profile, self._opened.request, self._opened.subject
        if not facts.engines:
            raise InfrastructureError(f"none of the engines of {profile.name} can run here.")
        given = given_format(subject.model.proto)
        space = space_of(facts, given, request.threads, request.objective)
        try:
            job = self.journal.job(space.baseline(), records.Phase.SEARCH)
            names = self._executor.quantizable(profile.name, job)
        except ChildError:
            names = {}  # the model cannot be prepared: quantised candidates will say why
        has = {name: bool(names.pop(name, ())) for name in ("rewritten", "products")}
        space = replace(
            space, quantizable=names, rewritable=has["rewritten"], products=has["products"]
        )
        graph = subject.graph
        space, notes = fitted(
            space, graph.macs, graph.weight_bytes, quantised=came_quantised(graph)
        )
        space, unbatched = batched(space, subject.model.proto, request.max_batch)
        return space, (*threads_sentence(space), *notes, *unbatched)

    def _with_splits(self, space: Space, facts: DeviceFacts) -> tuple[Space, tuple[str, ...]]:
        """Splits over this device and those named before it that are on the same machine."""
        own, named = self._profile, self._opened.profiles
        found, machine = self._opened.checked.found, self._executor.machine
        together = [
            p
            for p in named[: named.index(own) + 1]
            if found[p.name].available and machine(p.name) == machine(own.name)
        ]
        told = {p.name: facts if p == own else self._executor.describe(p.name) for p in together}
        request, subject = self._opened.request, self._opened.subject
        return with_splits(space, self._store, request, subject, together, told)

    def _beside(self) -> DeviceProfile:
        """The device that runs what this one cannot: the first processor that was named."""
        named = (p for p in self._opened.profiles if p.kind is DeviceKind.CPU)
        return next(named, load_profiles()[_BESIDE])

    def _sensitivity(self, candidate: Candidate) -> tuple[str, ...]:
        return self.journal.damage(candidate).operators
