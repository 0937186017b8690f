"""``farm predict``: what candidates of a model are expected to take, without running anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from db.reader import StoreReader
from farm.candidate import (
    Candidate,
    DynamicInt8,
    PackageEngine,
    Quantization,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.compile.operators import matrix_products, quantizable
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError
from farm.model.formats import came_quantised, given_format
from farm.model.graph import Graph, build_graph
from farm.model.model import Model
from farm.model.shapes import fixed_sentence
from farm.prediction import Basis, Prediction
from farm.units import Seconds
from tuner.learning.effort import effort_on, together
from tuner.learning.subjects import subject_of
from tuner.learning.values import CandidatePrediction, Subject
from tuner.learning.versions import known_costs
from tuner.runs.machines import machine_of
from tuner.search.proposing.pool import MOST, every_candidate
from tuner.search.proposing.surrogate import CAUTION
from tuner.search.space import Space, fitted, space_of
from workers.jobs import DeviceFacts

_LEAST_HOPE = 1e-3  # of what fails for certain


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected on one device.

    predictions: of the candidate that was asked for, or of several, in the order in which a search
    would try them. baseline:
    of the model as it was given. considered: how many candidates were predicted. version: of the
    cost models; "" where the roofline of the calibration is all there is. trials: seconds that
    trying all of them takes; None where too few trials were run.
    """

    device: str
    predictions: tuple[CandidatePrediction, ...]
    baseline: CandidatePrediction
    considered: int
    version: str
    notes: tuple[str, ...] = ()
    trials: Prediction | None = None

    @property
    def is_roofline_only(self) -> bool:
        """Whether nothing was learnt of the device, not even of kernels."""
        found = (self.baseline, *self.predictions)
        return not self.version and all(p.latency.basis is Basis.ROOFLINE for p in found)


def forecast(
    store: StoreReader,
    model: Model,
    profile: DeviceProfile,
    facts: DeviceFacts,
    candidate: Candidate | None = None,
    best: int = 0,
) -> Forecast:
    """Predict a candidate on a device, the baseline for None; or rank those of its space.

    best: so many of the ranked, 0 for no ranking. facts: of the device on this machine.

    Raises InputError: the device was never calibrated, or has none of the engines; shapes of the
    model stay dynamic. Raises StoreError.
    """
    if not facts.engines:
        raise DeviceError(f"None of the engines of {profile.name} can run here.")
    graph = build_graph(model)
    subject = subject_of(model, graph)
    machine = machine_of(facts).id
    known = known_costs(store, profile, machine, facts.cores)
    space = space_of(facts, given_format(model.proto))
    fixed = fixed_sentence(model.shapes)
    chosen, notes = [candidate or space.baseline()], [fixed] if fixed else []
    if best:
        space, more = _unasked(space, model, graph)
        chosen, notes = list(islice(every_candidate(space), MOST)), [*more, *notes]
    baseline, *found = known.predictor.predict(subject, (space.baseline(), *chosen))
    if best:
        found = sorted(found, key=_first)[:best]
    baseline, *found = _planned(model, subject, [baseline, *found])
    effort = effort_on(store, profile.name, machine)
    trials = (effort.of(p.candidate, Seconds(p.latency.value)) for p in found) if effort else ()
    return Forecast(
        profile.name,
        tuple(found),
        baseline,
        len(chosen),
        known.version,
        tuple(notes),
        together(trials),
    )


def _first(found: CandidatePrediction) -> float:
    """What a search chooses by: the lower bound of the latency, which failing makes longer."""
    latency, most = found.latency, 1.0 - _LEAST_HOPE
    bound = math.log(latency.value) - CAUTION * latency.spread
    return bound - math.log1p(-min(found.failure, most))


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
