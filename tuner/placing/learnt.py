"""Terms of borders that pipelines taught which ran on this machine, whatever their models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from db.questions.operators.costs import ProfiledTrial, profiled_trials
from db.questions.operators.splits import SplitTrial, split_trials
from db.reader import StoreReader
from farm.candidate import Candidate, OnnxRuntimeCpu, Pipeline, PipelinePart, from_json
from farm.costs.calibration import Calibration, CostPlace
from farm.costs.in_place import MANY, Observed, PartWork, corrected
from farm.costs.kernels import KernelGroup, Wired, in_seconds, kernel_groups, seconds_within
from farm.costs.model import MeasuredThenRoofline
from farm.costs.operators import CostedOperator
from farm.devices.profile import DeviceProfile
from farm.plan.placement.problem import CALLER
from farm.units import Seconds
from tuner.placing.costs import place_of
from tuner.runs.record.details import split_in
from tuner.runs.record.operators import costed_in, operators_in

Kernels = Mapping[tuple[str, CostPlace], Sequence[KernelGroup]]


def taught(
    store: StoreReader,
    profiles: Sequence[DeviceProfile],
    machine_id: str,
    costs: MeasuredThenRoofline,
) -> MeasuredThenRoofline:
    """Costs whose borders suit the pipelines in a store, too. Raises StoreError."""
    pipelines = split_trials(store, machine_id)
    if not pipelines:
        return costs
    profiled = profiled_trials(store, [profile.name for profile in profiles], machine_id)
    found = learnt(costs.calibrations, pipelines, profiled, profiles)
    return replace(costs, calibrations=found)


def learnt(
    calibrations: Mapping[str, Calibration],
    pipelines: Sequence[SplitTrial],
    profiled: Sequence[ProfiledTrial],
    profiles: Sequence[DeviceProfile],
) -> dict[str, Calibration]:
    """Calibrations, by device, whose terms suit pipelines that ran, too.

    Only parts count whose model was profiled as a whole at the part's place, in float32.
    """
    kernels = kernels_of_models(profiled, profiles, calibrations)
    found = [each for trial in pipelines for each in _observed(trial, calibrations, kernels)]
    return {
        device: corrected(each, [seen for of, seen in found if of == device], MANY)
        for device, each in calibrations.items()
    }


def kernels_of_models(
    profiled: Sequence[ProfiledTrial],
    profiles: Sequence[DeviceProfile],
    calibrations: Mapping[str, Calibration],
) -> dict[tuple[str, CostPlace], tuple[KernelGroup, ...]]:
    """The kernels of the newest profile of each model at each place, in seconds."""
    by_name = {profile.name: profile for profile in profiles}
    found: dict[tuple[str, CostPlace], tuple[KernelGroup, ...]] = {}
    for trial in profiled:
        place = place_of(trial.device, from_json(trial.candidate), calibrations)
        if place is None or trial.device not in by_name or (trial.model_sha256, place) in found:
            continue
        own = operators_in(trial.model_details)
        wiring = {name: Wired(op.op_type, op.after) for name, op in own.items()}
        rows = in_seconds(trial.kernels, by_name[trial.device])
        found[trial.model_sha256, place] = kernel_groups(rows, wiring)
    return found


@dataclass(frozen=True, slots=True)
class _Ends:
    """Bytes that a part takes from before it and that leave it."""

    taken: int
    given: int


def _observed(
    trial: SplitTrial, calibrations: Mapping[str, Calibration], kernels: Kernels
) -> Iterator[tuple[str, Observed]]:
    """The parts of a pipeline that were measured, by device."""
    candidate, split = from_json(trial.candidate), split_in(trial.details)
    pipeline, operators = candidate.engine, costed_in(trial.model_details)
    if split is None or not operators or not isinstance(pipeline, Pipeline):
        return
    if pipeline.overlapped:
        return
    told = zip(pipeline.parts, split.parts, _ends(pipeline.parts, operators), strict=True)
    last = pipeline.parts[-1]  # runs before the first one does again
    for at, (part, seconds, ends) in enumerate(told):
        before = pipeline.parts[at - 1] if at else last
        place = place_of(part.device, _alone(candidate, part), calibrations)
        groups = kernels.get((trial.model_sha256, place)) if place else None
        if place is None or groups is None or place.precision != "float32":
            continue
        if seconds.method != "measured" or before.device != part.device:
            continue
        if not at and last.engine.kind != part.engine.kind:
            continue
        known = seconds_within(groups, part.operators)
        following = pipeline.parts[at + 1 : at + 2]
        work = PartWork(
            part.engine.kind,
            known,
            before.engine.kind if at else CALLER,
            following[0].engine.kind if following else CALLER,
            ends.taken,
            ends.given,
        )
        yield part.device, Observed(Seconds(seconds.seconds), (work,))


def _alone(candidate: Candidate, part: PipelinePart) -> Candidate:
    """The candidate that the part's place was calibrated with, but for its threads' spinning."""
    engine = part.engine
    if isinstance(engine, OnnxRuntimeCpu):
        engine = replace(engine, spin_microseconds=OnnxRuntimeCpu().spin_microseconds)
    return replace(candidate, engine=engine)


def _ends(parts: Sequence[PipelinePart], operators: Sequence[CostedOperator]) -> Iterator[_Ends]:
    """Of each part in turn: tensors that go from one part to another, or to the caller."""
    owner = {name: at for at, part in enumerate(parts) for name in part.operators}
    sizes = {o.name: o.size for op in operators for o in (*op.reads, *op.writes)}
    writer = {o.name: owner[op.name] for op in operators if op.name in owner for o in op.writes}
    readers: dict[str, set[int]] = {}
    for op in operators:
        for operand in op.reads:
            if not operand.stored and op.name in owner:
                readers.setdefault(operand.name, set()).add(owner[op.name])
    for at in range(len(parts)):
        taken = (n for n, who in readers.items() if at in who and writer.get(n) != at)
        given = (n for n, who in writer.items() if who == at and readers.get(n) != {at})
        yield _Ends(sum(map(sizes.__getitem__, taken)), sum(map(sizes.__getitem__, given)))
