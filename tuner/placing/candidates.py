"""Splits of a model over places as candidates that are tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from db.reader import StoreReader
from farm.candidate import (
    Candidate,
    Engine,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    PackageEngine,
    Pipeline,
    PipelinePart,
    Precision,
    processor_threads,
)
from farm.costs.operators import costed_operators
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError, PlanError
from farm.model.graph import Graph, TensorKind
from farm.model.model import Model
from farm.plan.placement.problem import (
    CALLER,
    Link,
    Place,
    PlacedOperator,
    Problem,
)
from farm.plan.placement.record import PlacementPlan
from farm.plan.placement.solution import Solution
from farm.plan.placement.solve import place
from farm.plan.state import device_of
from farm.text import listed
from farm.units import Bytes
from tuner.calibrating.crossings import part_beside
from tuner.placing.plans import Situation, look, plan_placement
from tuner.placing.support import package_obstacles
from tuner.search.options import SPIN_BESIDE_OTHERS
from workers.jobs import DeviceFacts

_PLANNING_SECONDS = 5.0
_BORDER = 0.25  # of an operator's weight: what is alone between two others goes with them
_FLOAT_BYTES = 4  # of a value, for one of int8


@dataclass(frozen=True, slots=True)
class Splits:
    """What is tried of splits. notes: for people, why nothing is, or what it rests on.

    planned: whether enough is known for a plan.
    """

    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()
    planned: bool = True


def worthwhile(
    store: StoreReader,
    facts: Mapping[str, DeviceFacts],
    model: Model,
    graph: Graph,
    profiles: Sequence[DeviceProfile],
    threads: int = 0,
) -> Splits:
    """The split that a plan proposes over the places of these devices, of one machine.

    Nothing is tried where no split is predicted to gain more than its uncertainty. threads: see
    ``look``.
    """
    over = listed([profile.name for profile in profiles])
    try:
        situation = look(store, facts, model, graph, profiles, threads)
        if len(situation.places) < 2:
            return Splits()
        plan = plan_placement(situation, seconds=_PLANNING_SECONDS)
    except (DeviceError, PlanError) as error:
        note = f"No split over {over} was planned: {error}"
        return Splits(notes=(note if note.endswith(".") else f"{note}.",), planned=False)
    if len({part.place for part in plan.parts}) == 1:
        return Splits(notes=(_refused(plan, over),))
    candidate = candidate_of(plan, situation)
    gain = plan.best_single.predicted.value / plan.predicted.value if plan.best_single else None
    why = f"is predicted to be {gain:.2f} times as fast as the best single place"
    why = why if gain else "runs what no place runs alone"
    shared = in_one_session(candidate, profiles[-1].name)
    notes = (f"A split over {over} was proposed: it {why}.",)
    return Splits((candidate, *([shared] if shared else ())), notes)


def candidate_of(plan: PlacementPlan, situation: Situation) -> Candidate:
    """What runs as a plan says: parts with the engines of their places, or one engine alone.

    Operators that are folded are in no part: every part that needs what they give has them.
    """
    folded = {op.name for op in situation.graph.operators if op.folded}
    parts = [(p.place, [n for n in p.operators if n not in folded]) for p in plan.parts]
    engines = {name: each.engine for name, each in situation.candidates.items()}
    return candidate_at(parts, engines)


def candidate_at(
    parts: Sequence[tuple[str, Sequence[str]]], engines: Mapping[str, Engine]
) -> Candidate:
    """What runs operators at places, part after part. engines: of the whole model at each."""
    if len(parts) == 1:
        return Candidate(engines[parts[0][0]])
    return Candidate(Pipeline(tuple(_part(at, engines[at], names) for at, names in parts)))


def in_one_session(split: Candidate, device: str) -> Candidate | None:
    """The same split in one session of ONNX Runtime on a device; None where there is none.

    Its WebGPU provider runs what is at the device, and its CPU provider all the rest: of that
    installation, with the most threads of those parts. There are no calls between both, and no
    copies but those to the GPU's memory and back.
    """
    if not isinstance(split.engine, Pipeline) or split.precision.quantization is not None:
        return None
    parts = split.engine.parts
    on_gpu = {p.engine for p in parts if p.device == device}
    if len(on_gpu) != 1 or not isinstance(engine := on_gpu.pop(), OnnxRuntimeWebGpu):
        return None
    beside = [part for part in parts if part.device != device]
    if not beside or not all(isinstance(part.engine, OnnxRuntimeCpu) for part in beside):
        return None
    names = (name for part in beside for name in part.operators)
    threads = {processor_threads(part.engine) for part in beside}
    most = 0 if 0 in threads else max(threads)
    return replace(split, engine=replace(engine, on_cpu=tuple(names), cpu_threads=most))


def unavoidable(
    model: Model,
    graph: Graph,
    profile: DeviceProfile,
    engine: PackageEngine,
    beside: DeviceProfile,
    precisions: Iterable[Precision],
) -> Splits:
    """Splits for a device that cannot run the whole model, with what it can run of it.

    The rest runs beside it on ONNX Runtime's own CPU provider. First as much as the device can
    run, then only what multiplies: fewer borders.

    engine: of the device. precisions: of the whole, the most promising first.
    """
    names = [op.name for op in graph.operators if not op.folded]
    refused = package_obstacles(model.proto, names)
    ends = f"{profile.name}/{engine.kind}", f"{beside.name}/{OnnxRuntimeCpu().kind}"
    engines: dict[str, Engine] = dict(zip(ends, (engine, _beside()), strict=True))
    weights = (dict.fromkeys(names, 1.0), _shares_of_work(graph))
    pipelines = []
    for weight in weights:
        for smaller in (1, _FLOAT_BYTES):
            problem = _leaning(model, graph, ends, refused, weight, profile, smaller)
            solution = place(problem, seconds=_PLANNING_SECONDS)
            if ends[0] in solution.places:
                pipelines.append((smaller, _of_solution(solution, engines)))
    candidates = (
        Candidate(each, precision)
        for precision in precisions
        for smaller, each in pipelines
        if smaller == (1 if precision.quantization is None else _FLOAT_BYTES)
    )
    return Splits(tuple(dict.fromkeys(candidates)), tuple(_why(refused, profile)))


def _why(refused: Mapping[str, str], profile: DeviceProfile) -> Iterator[str]:
    if refused:
        first = next(iter(refused.values()))
        yield (
            f"{profile.name} cannot run the whole model, so parts of it run beside it: "
            f"{first.rstrip('.')}."
        )


def _refused(plan: PlacementPlan, over: str) -> str:
    only = plan.parts[0].place
    if plan.refused is None:
        return (
            f"No split over {over} was proposed: none is predicted to cost less than {only} alone."
        )
    gain = plan.predicted.value / plan.refused.predicted.value
    return (
        f"No split over {over} was proposed: the best one is predicted to be {gain:.2f} times as "
        f"fast as {only} alone, which is within the uncertainty of the costs."
    )


def _beside() -> OnnxRuntimeCpu:
    return OnnxRuntimeCpu(threads=1, spin_microseconds=SPIN_BESIDE_OTHERS)


def _part(name: str, engine: Engine, operators: Sequence[str]) -> PipelinePart:
    return part_beside(device_of(name), engine, operators)


def _of_solution(solution: Solution, engines: Mapping[str, Engine]) -> Pipeline:
    return Pipeline(
        tuple(_part(part.place, engines[part.place], part.operators) for part in solution.parts)
    )


def _shares_of_work(graph: Graph) -> dict[str, float]:
    """How much of the multiplying each operator does, as multiples of the mean."""
    running = [op for op in graph.operators if not op.folded]
    mean = sum(op.macs for op in running) / max(1, len(running)) or 1.0
    return {op.name: op.macs / mean for op in running}


def _leaning(
    model: Model,
    graph: Graph,
    ends: tuple[str, str],
    refused: Mapping[str, str],
    weight: Mapping[str, float],
    profile: DeviceProfile,
    smaller: int,
) -> Problem:
    """The problem whose best solution gives the device all that is worth a border.

    smaller: how many times smaller than in the model the tensors are.
    """
    device, beside = ends
    operators = []
    for op in costed_operators(model.proto, graph):
        costs = {beside: weight[op.name]}
        if op.name not in refused:
            costs[device] = 0.0
        reads = [operand.name for operand in op.reads if not operand.stored]
        writes = [operand.name for operand in op.writes]
        operators.append(PlacedOperator(op.name, tuple(reads), tuple(writes), costs))
    border = Link(_BORDER)
    sizes = {
        name: Bytes(-(-t.bytes // smaller))
        for name, t in graph.tensors.items()
        if t.kind is not TensorKind.WEIGHT
    }
    free = dict.fromkeys([(CALLER, device), (CALLER, beside), (device, CALLER)], Link())
    return Problem(
        tuple(operators),
        (Place(device, _BORDER, _arena(profile)), Place(beside, _BORDER)),
        {**free, (beside, CALLER): Link(), (device, beside): border, (beside, device): border},
        sizes,
        graph.inputs,
        tuple(dict.fromkeys(name for name in graph.outputs if name in sizes)),
    )


def _arena(profile: DeviceProfile) -> Bytes | None:
    """What the arena of a part may have; whether weights and code fit shows when it is built."""
    figures = profile.package
    return Bytes(figures.arena_bytes) if figures is not None and figures.arena_bytes else None
