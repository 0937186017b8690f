"""``farm predict``: what candidates of a model are expected to take, without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from db.questions.learning import whole_trials
from db.reader import StoreReader
from db.records import utc_now
from farm.candidate import (
    Candidate,
    DynamicInt8,
    PackageEngine,
    Pipeline,
    Quantization,
    StaticInt8,
    WeightOnlyInt4,
    check_timed,
)
from farm.compile.operators import matrix_products, quantizable
from farm.devices.caveats import caveats
from farm.devices.profile import DeviceProfile, check_engine
from farm.errors import DeviceError
from farm.measurement import Outcome
from farm.model.formats import came_quantised, given_format
from farm.model.graph import Graph, build_graph
from farm.model.model import Model
from farm.model.shapes import fixed_sentence
from farm.prediction import Basis, Prediction
from farm.units import Seconds
from tuner.goals import Constraints, Objective
from tuner.learning.effort import effort_on, together
from tuner.learning.predictor import work_of
from tuner.learning.subjects import subject_of
from tuner.learning.values import CandidatePrediction, Subject
from tuner.learning.versions import Known, known_costs
from tuner.racing.objective import Scorer
from tuner.runs.history import Entry
from tuner.runs.record.machines import machine_of
from tuner.runs.record.operators import model_record
from tuner.search.expecting.first import first_prior
from tuner.search.expecting.from_store import Wanted
from tuner.search.package_room import PackageRoom
from tuner.search.prior import Expected
from tuner.search.proposing.pool import pool
from tuner.search.proposing.rank import rank
from tuner.search.regression.process import Rows
from tuner.search.space import Space, fitted, space_of
from workers.jobs import DeviceFacts


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected on one device.

    predictions: of the candidate that was asked for, or of several, in the order in which a search
    would try them. baseline: of the model as it was given. considered: of how many these
    are the first. version: of the cost models; "" where the roofline of the calibration is all
    there is. trials: seconds that trying all of them takes; None where too few trials were run.
    expected: of each of several, by a search before it tries any; nothing of a single one.
    was_tried: whether the store has trials of the device, learnt from or not.
    """

    device: str
    predictions: tuple[CandidatePrediction, ...]
    baseline: CandidatePrediction
    considered: int
    version: str
    notes: tuple[str, ...] = ()
    trials: Prediction | None = None
    expected: tuple[Expected, ...] = ()
    was_tried: bool = False

    @property
    def is_roofline_only(self) -> bool:
        """Whether nothing was learnt of the device, not even of kernels."""
        found = (self.baseline, *self.predictions)
        return not self.version and all(p.latency.basis is Basis.ROOFLINE for p in found)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is predicted, where, and by what."""

    store: StoreReader
    model: Model
    graph: Graph
    subject: Subject
    profile: DeviceProfile
    facts: DeviceFacts
    known: Known


def forecast(
    store: StoreReader,
    model: Model,
    profile: DeviceProfile,
    facts: DeviceFacts,
    candidate: Candidate | None = None,
    best: int = 0,
    known_profiles: Mapping[str, DeviceProfile] = MappingProxyType({}),
) -> Forecast:
    """Predict a candidate on a device, the baseline for None; or rank those of its space.

    best: so many of the ranked, 0 for no ranking. facts: of the device on this machine.
    known_profiles: by name, of devices that only parts of the candidate are at.

    Raises InputError: the device was never calibrated, or does not have the engine; shapes of the
    model stay dynamic. Raises StoreError.
    """
    if not facts.engines:
        raise DeviceError(f"None of the engines of {profile.name} can run here.")
    if candidate is not None and not isinstance(candidate.engine, Pipeline):
        check_engine(profile, candidate.engine.kind)
        check_timed(candidate)
    graph = build_graph(model)
    subject = subject_of(model, graph)
    machine = machine_of(facts).id
    known = known_costs(store, profile, machine, facts.cores)
    space = space_of(facts, given_format(model.proto))
    fixed = fixed_sentence(model.shapes)
    ranked: dict[Candidate, Expected] = {}
    said = caveats(profile, candidate or space.baseline(), known_profiles)
    notes, considered = [each for each in (*said, fixed) if each], 1
    if best:
        asked = _Asked(store, model, graph, subject, profile, facts, known)
        space, more = _unasked(space, model, graph)
        ranked, refused, considered = _ranked(asked, space, best)
        notes = [*more, *refused, *notes]
    chosen = list(ranked) or [candidate or space.baseline()]
    predicted = known.predictor.predict(subject, (space.baseline(), *chosen))
    baseline, *found = _planned(model, subject, predicted)
    effort = effort_on(store, profile.name, machine)
    trials = (effort.of(p.candidate, Seconds(p.latency.value)) for p in found) if effort else ()
    return Forecast(
        profile.name,
        tuple(found),
        baseline,
        considered,
        known.version,
        tuple(notes),
        together(trials),
        tuple(ranked.values()),
        bool(whole_trials(store, profile.name, machine, limit=1)),
    )


def _ranked(
    asked: _Asked, space: Space, best: int
) -> tuple[dict[Candidate, Expected], tuple[str, ...], int]:
    """What a search would try after the baseline; why some are left out; of how many these are.

    As ``farm tune`` expects it of latencies, without data.
    """
    baseline, profile = space.baseline(), asked.profile
    wanted = Wanted(
        model_record(asked.model, asked.graph),
        profile.name,
        machine_of(asked.facts),
        utc_now(),
        baseline,
        Scorer(Objective.LATENCY, Constraints(), work_of(asked.subject), profile.power),
    )
    prior = first_prior(asked.store, wanted, space, asked.subject, asked.known.predictor)
    measured = [Entry("", baseline, Outcome.OK, ratio=1.0)]
    room = PackageRoom(asked.model.proto, profile.package)
    offered = room.through([c for c in pool(space, measured) if c != baseline])
    found = rank(offered, prior, Rows.of(measured), best) if offered else ()
    return dict(found), tuple(room.notes()), len(offered)


def _planned(
    model: Model, subject: Subject, found: Sequence[CandidatePrediction]
) -> Iterator[CandidatePrediction]:
    """With the memory of packages as it is planned, weights included: that is exact."""
    if not any(isinstance(each.candidate.engine, PackageEngine) for each in found):
        yield from found
        return
    from tuner.learning.packages import PlannedPackages  # noqa: PLC0415  (slow to import)

    planned = PlannedPackages(model.sha256, model.proto)
    for each in found:
        size = planned(subject, each.candidate)
        if size is None:
            yield each
        else:
            exact = Prediction(size, size, size, "B", Basis.MEASURED, 0)
            yield replace(each, peak_memory=exact)


def _unasked(space: Space, model: Model, graph: Graph) -> tuple[Space, tuple[str, ...]]:
    """The space of a model whose graph is not prepared: that takes longer than all the rest.

    A pattern that only preparation brings to light is missed.
    """
    kinds: tuple[Quantization, ...] = (StaticInt8(), DynamicInt8(), WeightOnlyInt4())
    names: dict[str, tuple[str, ...]] = {}
    for kind in kinds:
        names[kind.kind] = tuple(op.name for op in quantizable(model.proto, kind))
    products = bool(matrix_products(model.proto))
    space = replace(space, quantizable=names, products=products)
    quantised = came_quantised(graph)
    return fitted(space, graph.macs, graph.weight_bytes, quantised=quantised)
