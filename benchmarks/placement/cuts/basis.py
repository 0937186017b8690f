"""What predictions of cuts rest on: the calibration of a device, and the kernels of the model.

Kernels are those of the whole model at each place with one thread, and those of the prepared
graph, which plans with a package are cut from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce

import onnx

from benchmarks.placement.cuts.pieces import Subject, graphs
from benchmarks.placement.cuts.plans import running
from benchmarks.search.recorded import Basis, KernelRow, Kernels
from db.questions.operators.costs import newest_calibrations
from db.reader import StoreReader
from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, OpenVinoRuntime, PartEngine
from farm.costs.calibration import CostPlace
from farm.costs.kernels import kernel_groups, wired
from farm.costs.operators import costed_operators
from farm.devices.profile import DeviceProfile
from farm.errors import InfrastructureError
from tuner.calibrating.measure import Bench, least
from tuner.calibrating.places import MeasuredPlace, places_of
from tuner.calibrating.workloads import probed
from tuner.runs.clock import Budget
from tuner.runs.record.machines import machine_of
from workers.executor import LocalExecutor
from workers.jobs import DeviceFacts

THREADS = 1  # of every engine
_PASSES = 3  # profiles of every place, of whose kernels the least counts
_PATIENCE = 600.0  # seconds for all profiles


def one_thread(profile: DeviceProfile, facts: DeviceFacts) -> Iterator[tuple[str, PartEngine]]:
    """The engines of a device that can run pieces in this process, by their places' names."""
    for each in places_of(profile.name, facts, THREADS):
        engine = each.candidate.engine
        if each.place.precision != "float32":
            continue
        if isinstance(engine, OnnxRuntimeCpu | OpenVinoRuntime | CPackage):
            yield each.place.name, engine


def basis_of(
    executor: LocalExecutor, subject: Subject, facts: DeviceFacts, store: str | None
) -> Basis | None:
    """The calibration of the device, and the kernels of the model at each place in one thread.

    None without a calibration with as many threads. Raises StoreError, InfrastructureError.
    """
    name = subject.profile.name
    with StoreReader.open(store) as reader:
        record = newest_calibrations(reader, [name], machine_of(facts).id, THREADS).get(name)
    if record is None:
        return None
    given = kernels_of(executor, subject, subject.model.proto, subject.engines)
    prepared = graphs(subject).get(True)
    if prepared is None:
        return Basis(name, record.constants, record.borders, given, {})
    packages = {p for p, engine in subject.engines.items() if isinstance(engine, CPackage)}
    others = {p: engine for p, engine in subject.engines.items() if p not in packages}
    same = {place: given[place] for place in packages}  # they are prepared always
    kernels = {**kernels_of(executor, subject, prepared, others), **same}
    return Basis(name, record.constants, record.borders, given, kernels)


def kernels_of(
    executor: LocalExecutor,
    subject: Subject,
    graph: onnx.ModelProto,
    engines: Mapping[str, PartEngine],
) -> Kernels:
    """The kernels of a graph at places, each as fast as it was in any of some profiles.

    Raises InfrastructureError: there is no profile of a place.
    """
    name = subject.profile.name
    bench = Bench(executor, subject.profile, Budget(_PATIENCE), lambda _: None)
    probe = probed(subject.model.name, graph)
    executor.prepare(name, probe.workload)
    operators = costed_operators(subject.model.proto, subject.graph)
    wiring, names = wired(operators), own_names(subject, graph)
    kernels = {}
    for place, engine in engines.items():
        measured_place = MeasuredPlace(CostPlace(name, engine.kind), Candidate(engine))
        profiles = [bench.profiled(measured_place, probe) for _ in range(_PASSES)]
        shown = [rows for rows in profiles if rows is not None]
        if not shown:
            raise InfrastructureError(f"There is no profile of {place}: {bench.notes[-1]}")
        told = (
            replace(row, operators=tuple(names.get(op, op) for op in row.operators))
            for row in reduce(least, shown)
        )
        groups = kernel_groups(tuple(told), wiring)
        kernels[place] = tuple(KernelRow(group.operators, group.cost) for group in groups)
    return kernels


def own_names(subject: Subject, graph: onnx.ModelProto) -> dict[str, str]:
    """Operators of a prepared graph, and those of the model that write the same tensors."""
    writers = {tensor: op.name for op in running(subject.graph) for tensor in op.outputs}
    nodes = graph.graph.node
    return {node.name: writers[t] for node in nodes for t in node.output if t in writers}
