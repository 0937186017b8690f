"""From a model and costs to a problem of placement, and the interval of a plan's total."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from farm.costs.calibration import Calibration, CostPlace
from farm.costs.fused import Wiring, occurrences
from farm.costs.operators import CostedOperator, costed_operators
from farm.devices.profile import DeviceProfile, LinkFigures, PackageFigures, load_profiles
from farm.errors import DeviceError, PlanError
from farm.model.graph import Graph, build_graph
from farm.model.model import Model, load_model
from farm.plan.placement.evaluate import evaluate
from farm.plan.placement.problem import CALLER, Problem
from farm.plan.placement.registry import known_registry
from farm.plan.placement.solution import Solution
from farm.plan.solution import Status
from farm.prediction import Basis, Prediction
from farm.units import Seconds
from tests.farm.costs.test_calibration import CONSTANTS, ends
from tests.models import build, conv_net, save, value, weights
from tuner.placing.problem import PricedProblem, border_costs, build_problem
from tuner.placing.support import Alone, DevicePlace, obstacles, package_obstacles

CPU, DSP = load_profiles()["cpu"], load_profiles()["dsp"]
ONE = DevicePlace(CostPlace("cpu", "onnxruntime-cpu"), CPU)
TWO = DevicePlace(CostPlace("dsp", "cpackage-emulated", "int8"), DSP)
CALIBRATIONS = {
    "cpu": Calibration("cpu", (CONSTANTS,), (ends(ONE.place),)),
    "dsp": Calibration("dsp", (), (ends(TWO.place, 10.0),)),
}


@dataclass(frozen=True)
class Told:
    """Every operator costs a millisecond, and what is in ``kernels`` as much as that says."""

    kernels: Mapping[tuple[str, ...], float] = field(default_factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()

    def cost(self, operators: Sequence[CostedOperator], place: CostPlace) -> Prediction:
        seconds = self.kernels.get(tuple(op.op_type for op in operators), 1e-3 * len(operators))
        basis = Basis.MEASURED if len(operators) > 1 else Basis.ROOFLINE
        return Prediction(seconds, seconds / 2, seconds * 2, "s", basis, 1)

    def groups_at(self, place: CostPlace) -> tuple[tuple[str, ...], ...]:
        return self.groups


def loaded(proto: ModelProto, folder: Path) -> tuple[Model, Graph]:
    save(proto, folder)
    model = load_model(folder / "model.onnx")
    return model, build_graph(model)


@pytest.fixture
def net(tmp_path: Path) -> tuple[Model, Graph]:
    return loaded(conv_net(), tmp_path)


def priced(net: tuple[Model, Graph], costs: Told | None = None, **more) -> PricedProblem:
    given = {"obstacles": {}, **more}
    return build_problem(*net, [ONE, TWO], costs or Told(), CALIBRATIONS, **given)


def plan(problem: Problem, places: Sequence[str]) -> Solution:
    names = tuple(op.name for op in problem.operators)
    return Solution(
        dict(zip(names, places, strict=True)), names, 0.0, 0.0, Status.FEASIBLE, Seconds(0.0)
    )


def test_a_problem_has_every_operator_with_what_it_reads_and_writes(net) -> None:
    problem = priced(net).problem
    assert len(problem.operators) == 8
    conv, relu, *_ = problem.operators
    assert (conv.inputs, conv.outputs, conv.weights) == (("image",), ("c1",), ("w1", "b1"))
    assert (relu.inputs, relu.outputs, relu.weights) == (("c1",), ("r1",), ())
    assert conv.costs == {"cpu/onnxruntime-cpu": 1e-3, "dsp/cpackage-emulated": 1e-3}
    assert (problem.inputs, problem.outputs) == (("image",), ("scores",))
    assert problem.sizes["image"] == 4 * 3 * 16 * 16
    assert problem.weight_sizes["w1"] == 4 * 8 * 3 * 3 * 3


def test_launches_and_links_are_those_of_the_calibrations(net) -> None:
    problem = priced(net).problem
    assert {place.name: place.launch for place in problem.places} == pytest.approx(
        {"cpu/onnxruntime-cpu": 10e-6, "dsp/cpackage-emulated": 100e-6}
    )
    assert set(problem.links) == {
        (a, b)
        for a in ("cpu/onnxruntime-cpu", "dsp/cpackage-emulated", CALLER)
        for b in ("cpu/onnxruntime-cpu", "dsp/cpackage-emulated", CALLER)
        if a != b
    }


def test_devices_that_are_linked_directly_do_not_go_through_the_caller(net) -> None:
    wire = LinkFigures(1e-3, 7e-6, 2e9, "a data sheet")
    linked = replace(TWO, profile=replace(DSP, links={"cpu": wire}))
    problem = build_problem(*net, [ONE, linked], Told(), CALIBRATIONS, {}).problem
    there = problem.links["cpu/onnxruntime-cpu", "dsp/cpackage-emulated"]
    back = problem.links["dsp/cpackage-emulated", "cpu/onnxruntime-cpu"]
    assert there == back
    assert (there.latency, there.per_byte) == (7e-6, 0.5e-9)
    assert problem.links[CALLER, "cpu/onnxruntime-cpu"].latency == 1e-6


def test_folded_operators_cost_nothing_and_what_they_give_is_a_weight(tmp_path: Path) -> None:
    nodes = [
        make_node("Neg", ["w"], ["n"], name="folded"),
        make_node("Add", ["x", "n"], ["y"], name="add"),
    ]
    proto = build(nodes, [value("x", [4])], [value("y", [4])], weights(w=(4,)))
    problem = priced(loaded(proto, tmp_path)).problem
    (add,) = problem.operators
    assert (add.name, add.inputs, add.weights) == ("add", ("x",), ("n",))
    assert problem.weight_sizes == {"n": 16}


def test_a_group_that_an_engine_fuses_saves_what_its_members_cost_more(net) -> None:
    found = priced(net, Told({("Conv", "Relu"): 1.2e-3}))
    (first, second) = [g for g in found.problem.groups if g.place == "cpu/onnxruntime-cpu"]
    names = [op.name for op in found.problem.operators]
    assert first.operators == frozenset(names[:2])
    assert second.operators == frozenset(names[2:4])
    assert first.saving == pytest.approx(0.8e-3)
    assert all(prediction.basis is Basis.MEASURED for prediction in found.groups)


def test_groups_of_profiles_go_before_those_of_the_calibration(net) -> None:
    model, graph = net
    operators = priced(net).problem.operators
    whole = _signatures(model, graph)[:4]
    found = priced(net, Told(groups=(tuple(whole),)))
    groups = [g for g in found.problem.groups if g.place == "cpu/onnxruntime-cpu"]
    assert [g.operators for g in groups] == [frozenset(op.name for op in operators[:4])]


def _signatures(model: Model, graph: Graph) -> list[str]:
    return [op.signature for op in costed_operators(model.proto, graph)]


def test_what_somebody_else_reads_is_not_fused(tmp_path: Path) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], name="c"),
        make_node("Relu", ["c"], ["r"], name="r"),
        make_node("Add", ["c", "r"], ["y"], name="a"),
    ]
    proto = build(nodes, [value("x", [1, 1, 4, 4])], [value("y", None)], weights(w=(1, 1, 1, 1)))
    model, graph = loaded(proto, tmp_path)
    wiring = Wiring(costed_operators(model.proto, graph), graph.outputs)
    patterns = [("Conv", "Relu"), ("Conv", "Relu", "Add")]
    (found,) = occurrences(wiring, lambda op: op.op_type, patterns)
    assert [op.name for op in found] == ["c", "r", "a"]
    assert occurrences(wiring, lambda op: op.op_type, patterns[:1]) == ()


def test_the_total_of_a_plan_has_fused_groups_borders_and_an_interval(net) -> None:
    found = priced(net, Told({("Conv", "Relu"): 1.2e-3}))
    one = plan(found.problem, ["cpu/onnxruntime-cpu"] * 8)
    whole = found.total(one)
    border = 10e-6 + 2 * 1e-6 + 1e-10 * 4 * 3 * 16 * 16 + 2e-10 * 16
    kernels = 2 * 1.2e-3 + 4 * 1e-3
    assert whole.value == pytest.approx(kernels + border)
    assert whole.low == pytest.approx(kernels / 2 + border)
    assert whole.high == pytest.approx(kernels * 2 + border)
    assert whole.basis is Basis.ROOFLINE


def test_a_border_in_a_group_takes_its_saving(net) -> None:
    found = priced(net, Told({("Conv", "Relu"): 1.2e-3}))
    cut = ["cpu/onnxruntime-cpu"] + ["dsp/cpackage-emulated"] * 7
    apart = found.total(plan(found.problem, cut))
    assert apart.value > 8e-3


def test_a_kernel_that_takes_more_than_its_operators_raises_them_to_it(net) -> None:
    found = priced(net, Told({("Conv", "Relu"): 3e-3}))
    whole = plan(found.problem, ["cpu/onnxruntime-cpu"] * 8)
    groups = [g for g in found.problem.groups if g.place == "cpu/onnxruntime-cpu"]
    assert [g.saving for g in groups] == [0.0, 0.0]
    assert [op.costs["cpu/onnxruntime-cpu"] for op in found.problem.operators[:5]] == [
        *[pytest.approx(1.5e-3)] * 4,
        pytest.approx(1e-3),
    ]
    breakdown = evaluate(found.problem, whole.assignment, whole.order)
    assert found.total(whole).value == pytest.approx(breakdown.value)


def test_what_is_left_of_a_kernel_without_its_cheapest_operator_costs_no_more(net) -> None:
    costs = Told({("Conv",): 5e-3, ("Conv", "Relu"): 3e-3})
    found = priced(net, costs)
    conv, relu, *_ = (op.costs["cpu/onnxruntime-cpu"] for op in found.problem.operators)
    assert (conv, relu) == (pytest.approx(3e-3), pytest.approx(1e-3)), "another kernel"
    groups = [g for g in found.problem.groups if g.place == "cpu/onnxruntime-cpu"]
    assert [g.saving for g in groups] == [pytest.approx(1e-3)] * 2


def test_where_there_is_no_link_a_plan_has_no_cost(net) -> None:
    found = priced(net)
    lonely = replace(found.problem, links={})
    with pytest.raises(PlanError, match=r"Tensor '.*' cannot go from .*: there is no link"):
        list(border_costs(lonely, plan(lonely, ["cpu/onnxruntime-cpu"] * 8)))
    with pytest.raises(PlanError, match="without an assignment"):
        found.total(Solution({}, (), 0.0, 0.0, Status.INFEASIBLE, Seconds(0.0)))


def test_a_place_that_was_never_calibrated(net) -> None:
    with pytest.raises(DeviceError) as caught:
        build_problem(*net, [TWO], Told(), {}, {})
    assert str(caught.value) == (
        "What it takes to call dsp/cpackage-emulated in int8 is not known on this machine: "
        "farm devices calibrate dsp"
    )


def test_an_operator_that_cannot_run_somewhere_has_no_cost_there(net) -> None:
    name = priced(net).problem.operators[0].name
    why = {(name, "dsp/cpackage-emulated"): "Conv cannot run on dsp: it is too hot."}
    found = priced(net, obstacles=why)
    assert set(found.problem.operators[0].costs) == {"cpu/onnxruntime-cpu"}
    assert found.obstacles == why
    with pytest.raises(PlanError, match=f"No place can run operator {name}: Conv cannot run on"):
        build_problem(*net, [TWO], Told(), CALIBRATIONS, why)


def figures(arena: int, weight: int) -> DeviceProfile:
    return replace(
        DSP, package=PackageFigures("hexagon-v67", "", arena_bytes=arena, weight_bytes=weight)
    )


@pytest.mark.parametrize(
    ("profile", "precision", "capacity"),
    [
        (CPU, "float32", None),
        (replace(CPU, memory_bytes=1000), "float32", 1000),
        (figures(100, 50), "float32", 150),
        (figures(100, 50), "int8", 600),
    ],
)
def test_capacities_are_in_the_models_own_format(
    profile: DeviceProfile, precision: str, capacity: int | None, net
) -> None:
    where = DevicePlace(CostPlace("cpu", "onnxruntime-cpu", precision), profile)
    calibrations = {"cpu": Calibration("cpu", (CONSTANTS,), (ends(where.place),))}
    found = build_problem(*net, [where], Told(), calibrations, {})
    assert found.problem.places[0].capacity == capacity


def test_weights_without_a_limit_do_not_use_up_the_arenas(net) -> None:
    where = DevicePlace(TWO.place, figures(100, 0))
    found = build_problem(*net, [where], Told(), CALIBRATIONS, {}).problem
    assert found.places[0].capacity == 400 + sum(found.weight_sizes.values())


def test_the_generator_says_itself_what_it_cannot_make(tmp_path: Path) -> None:
    nodes = [
        make_node("Relu", ["x"], ["r"], name="relu"),
        make_node("Det", ["r"], ["y"], name="det"),
    ]
    model, graph = loaded(build(nodes, [value("x", [3, 3])], [value("y", None)], {}), tmp_path)
    found = obstacles(model.proto, graph, [ONE, TWO], known_registry())
    assert set(found) == {("det", "dsp/cpackage-emulated")}
    assert found["det", "dsp/cpackage-emulated"] == (
        "Det det cannot run on dsp with cpackage-emulated: The code generator does not support "
        "operator 'det' (Det): it has no code for Det."
    )


def test_every_operator_alone_is_what_the_generator_is_asked(net) -> None:
    model, graph = net
    assert package_obstacles(model.proto, [op.name for op in graph.operators]) == {}
    gemm = next(node for node in model.proto.graph.node if node.op_type == "Gemm")
    lone = Alone(model.proto).of(gemm)
    assert [v.name for v in lone.graph.input] == ["f"]
    assert [t.name for t in lone.graph.initializer] == ["w3", "b3"]


def test_constants_come_with_the_operator_that_reads_them(tmp_path: Path) -> None:
    shape = from_array(np.array([4, 1], dtype=np.int64), "shape")
    nodes = [
        make_node("Constant", [], ["s"], name="constant", value=shape),
        make_node("Reshape", ["x", "s"], ["y"], name="reshape"),
    ]
    model, _ = loaded(build(nodes, [value("x", [2, 2])], [value("y", None)], {}), tmp_path)
    assert package_obstacles(model.proto, ["reshape"]) == {}
