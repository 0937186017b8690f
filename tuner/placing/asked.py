"""Asks an engine that is here which operators of a model it cannot run: by letting it run them."""

from __future__ import annotations

from onnx import ModelProto

from farm.costs.operators import costed_operators
from farm.errors import CompileError
from farm.model.graph import Graph
from tuner.calibrating.places import MeasuredPlace
from tuner.calibrating.workloads import Probed, probed
from tuner.placing.support import Alone, Obstacles
from workers.executor import Executor
from workers.jobs import ProfileJob, TrialJob
from workers.trials.process import ChildError

_SECONDS = 0.05  # of a run whose times do not matter


def engine_obstacles(
    executor: Executor, place: MeasuredPlace, model: ModelProto, graph: Graph
) -> Obstacles:
    """Why operators cannot run at a place, in the engine's own words.

    The whole model is tried first: where its engine takes all of it, as it mostly does, that is
    the answer. Otherwise each kind of operator is tried alone. An engine that would hand an
    operator over to another one (``workers.engines``) does not take it.

    model: with all shapes fixed and inferred. graph: the view of it.

    Raises InfrastructureError.
    """
    if not _refuses(executor, place, probed("the whole model", model, seconds=_SECONDS)):
        return {}
    nodes = {node.name: node for node in model.graph.node}
    cut = Alone(model)
    said: dict[str, str] = {}
    found: dict[tuple[str, str], str] = {}
    for op in costed_operators(model, graph):
        if op.signature not in said:
            lone = probed(op.name, cut.of(nodes[op.name]), seconds=_SECONDS)
            said[op.signature] = _refuses(executor, place, lone)
        if why := said[op.signature]:
            what = f"{op.op_type} {op.name} cannot run on {place.place.device}"
            found[op.name, place.place.name] = f"{what} with {place.place.engine}: {why}"
    return found


def _refuses(executor: Executor, place: MeasuredPlace, probe: Probed) -> str:
    """What an engine has against a model; empty for nothing."""
    device = place.place.device
    executor.prepare(device, probe.workload)
    trial_id = f"asked-{place.candidate.id}-{probe.workload.key[:12]}"
    trial = TrialJob(trial_id, probe.workload.key, place.candidate)
    try:
        executor.run_profile(device, ProfileJob(trial, probe.seconds))
    except (ChildError, CompileError) as error:
        return str(error)
    return ""
