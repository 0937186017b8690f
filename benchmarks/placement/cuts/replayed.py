"""A recorded table of cuts, with what the farm predicts of each of its plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.placement.cuts.observed import observed, solution_of
from benchmarks.placement.cuts.plans import Plan, plan_of
from benchmarks.placement.cuts.terms import Features, Vector, border_features
from benchmarks.search.recorded import (
    Basis,
    Kernels,
    Matrix,
    Table,
    TableError,
    steady,
)
from farm.artifact.graphs import needs_preparation
from farm.candidate import Candidate, Pipeline
from farm.costs.calibration import Calibration, CostPlace, calibration_of
from farm.costs.in_place import Observed
from farm.costs.kernels import run_factor
from farm.costs.model import MeasuredThenRoofline, ProfiledKernels
from farm.costs.operators import costed_operators, group_signature
from farm.devices.profile import load_profiles
from farm.model.graph import Graph, build_graph
from farm.model.model import Model, load_model
from farm.units import Seconds
from tuner.placing.from_store import problem_at
from tuner.placing.problem import PricedProblem
from tuner.placing.support import DevicePlace


@dataclass(frozen=True, slots=True)
class Replayed:
    """A table with predictions.

    priced: by whether plans are cut from the prepared graph: those with a package are. seconds:
    without drift, [plans, blocks]. predicted: by the calibrated borders alone. observed: plans as
    the farm learns from them. borders: features of the plans, see ``cut_terms``.
    """

    table: Table
    model: Model
    graph: Graph
    calibration: Calibration
    priced: Mapping[bool, PricedProblem]
    plans: tuple[Plan, ...]
    seconds: Matrix
    predicted: Vector
    observed: tuple[Observed, ...]
    borders: tuple[Features, ...]

    @property
    def name(self) -> str:
        """Of the model."""
        return self.table.model

    @property
    def split(self) -> NDArray[np.bool_]:
        """Whether each plan has several pieces."""
        return np.array([len(plan) > 1 for plan in self.plans])

    @property
    def medians(self) -> Vector:
        """Of the seconds of each plan."""
        found: Vector = np.median(self.seconds, axis=1)
        return found


def replayed(table: Table, folders: Sequence[Path]) -> Replayed:
    """A table with the predictions of its plans. Raises FarmError."""
    if table.basis is None:
        raise TableError(
            f"The table of {table.model} has nothing that predictions rest on: calibrate the "
            "device, and record it again with --store."
        )
    model = _model(table, folders)
    graph = build_graph(model)
    calibration = calibration_of(table.basis.device, table.basis.constants, table.basis.borders)
    plans = tuple(_plan(row.candidate, graph) for row in table.ok)
    basis = in_a_run(table.basis, calibration, wholes(plans, steady(table.seconds())))
    table = replace(table, basis=basis)
    priced = both(basis, model, graph, calibration)
    prepared = [needs_preparation(pipeline_of(row.candidate)) for row in table.ok]
    pairs = list(zip(plans, prepared, strict=True))
    seconds = steady(table.seconds())
    medians = np.median(seconds, axis=1)
    return Replayed(
        table,
        model,
        graph,
        calibration,
        priced,
        plans,
        seconds,
        np.array([predicted(priced[kind], graph, plan) for plan, kind in pairs]),
        tuple(
            observed(priced[kind], graph, plan, float(median))
            for (plan, kind), median in zip(pairs, medians, strict=True)
        ),
        tuple(border_features(plan) for plan in plans),
    )


def wholes(plans: Sequence[Plan], seconds: Matrix) -> dict[str, float]:
    """What a run takes at each place that runs all, in the blocks by which the best is chosen."""
    return {
        plan[0].place: float(np.median(row[::2]))
        for plan, row in zip(plans, seconds, strict=True)
        if len(plan) == 1
    }


def in_a_run(basis: Basis, calibration: Calibration, whole: Mapping[str, float]) -> Basis:
    """A basis whose kernels have the seconds that they have in a run without the profiler.

    A package runs the prepared graph, where there is one, and other engines the given one.
    """
    calls = {f"{basis.device}/{e.engine}": e.launch for e in calibration.ends}
    factors = {}
    for name, rows in basis.kernels.items():
        ran = basis.prepared.get(name, rows) if name.endswith("/cpackage") else rows
        told = sum(row.seconds for row in ran)
        factors[name] = run_factor(told, whole.get(name), calls.get(name, 0.0))

    def scaled(kernels: Kernels) -> Kernels:
        return {
            name: tuple(replace(row, seconds=factors.get(name, 1.0) * row.seconds) for row in rows)
            for name, rows in kernels.items()
        }

    return replace(basis, kernels=scaled(basis.kernels), prepared=scaled(basis.prepared))


def both(
    basis: Basis, model: Model, graph: Graph, calibration: Calibration
) -> dict[bool, PricedProblem]:
    """The problem of placing a model, by whether it is cut from the prepared graph.

    Raises DeviceError, PlanError.
    """
    given = priced_by(basis, basis.kernels, model, graph, calibration)
    prepared = priced_by(basis, basis.prepared or basis.kernels, model, graph, calibration)
    return {False: given, True: prepared}


def priced_by(
    basis: Basis, kernels: Kernels, model: Model, graph: Graph, calibration: Calibration
) -> PricedProblem:
    """The problem of placing a model, by what a table keeps. Raises DeviceError, PlanError."""
    operators = costed_operators(model.proto, graph)
    signatures = {op.name: op.signature for op in operators}
    found: dict[CostPlace, dict[str, tuple[Seconds, ...]]] = {}
    for name, shown in kernels.items():
        seconds = found.setdefault(CostPlace(basis.device, name.partition("/")[2]), {})
        for row in shown:
            if all(op in signatures for op in row.operators):
                of = group_signature([signatures[op] for op in row.operators])
                seconds[of] = (*seconds.get(of, ()), Seconds(row.seconds))
    profile = load_profiles()[basis.device]
    places = tuple(DevicePlace(each, profile) for each in found)
    costs = MeasuredThenRoofline({basis.device: calibration}, ProfiledKernels(found))
    return problem_at(model, graph, places, costs)


def predicted(priced: PricedProblem, graph: Graph, plan: Plan) -> float:
    """Seconds of a plan."""
    return priced.total(solution_of(graph, plan)).value


def _model(table: Table, folders: Sequence[Path]) -> Model:
    for folder in folders:
        path = folder / f"{table.model}.onnx"
        if path.is_file() and (model := load_model(path)).sha256 == table.sha256:
            return model
    raise TableError(
        f"None of the folders has the model {table.model}.onnx that was recorded (SHA-256 "
        f"{table.sha256[:12]}...)."
    )


def pipeline_of(candidate: Candidate) -> Pipeline:
    """The engine of a recorded plan. Raises TableError."""
    if not isinstance(candidate.engine, Pipeline):
        raise TableError(f"A table of cuts has a row that is no pipeline: {candidate.label()}.")
    return candidate.engine


def _plan(candidate: Candidate, graph: Graph) -> Plan:
    return plan_of([(p.place, p.operators) for p in pipeline_of(candidate).parts], graph)
