"""``farm plan apply``: a plan meets the devices as they are, and states that make no sense."""

from __future__ import annotations

import json
from dataclasses import replace

import onnx
import pytest

from farm.candidate import Candidate, OnnxRuntimeCpu, Pipeline, read_candidate
from farm.compile.annotate import labels_of
from farm.model.model import load_model
from farm.plan.placement.record import plan_text
from tests.tools.command import Command
from tests.tools.placement_plans import CPU, DSP, split_plan
from tuner.search.options import SPIN_BESIDE_OTHERS


@pytest.fixture
def planned(farm: Command) -> Command:
    """The command, with a plan of its model in ``plan.json``."""
    model = load_model(farm.folder / "model.onnx")
    names = tuple(node.name for node in model.proto.graph.node)
    (farm.folder / "plan.json").write_text(plan_text(split_plan(model.sha256, names)))
    return farm


def state(farm: Command, **values: object) -> str:
    (farm.folder / "state.json").write_text(json.dumps(values))
    return "state.json"


def test_on_idle_devices_everything_stays(planned: Command) -> None:
    ended = planned("plan", "apply", "plan.json")
    assert ended.code == 0
    assert ended.out.startswith("Everything stays where the plan has it")


def test_a_busy_device_loses_its_operators_and_it_is_said_why(planned: Command) -> None:
    given = state(planned, utilisation={"dsp": 0.9})
    ended = planned("plan", "apply", "plan.json", "--state", given, "--explain")
    assert DSP in ended.out
    assert "utilisation" in ended.out
    ended = planned("plan", "apply", "plan.json", "--state", given, "--json")
    found = json.loads(ended.out)
    assert [part["place"] for part in found["parts"]] == [CPU]
    (move,) = found["moves"]
    assert (move["from"], move["to"], move["reasons"]) == (DSP, CPU, ["utilisation"])
    assert found["value"] < found["annotated"]
    assert found["seconds"] < 1.0


def test_wishes(planned: Command) -> None:
    for wish in (("--avoid", "dsp"), ("--avoid", DSP)):
        found = json.loads(planned("plan", "apply", "plan.json", *wish, "--json").out)
        assert [part["place"] for part in found["parts"]] == [CPU]
        assert found["moves"][0]["reasons"] == ["place to avoid"]
        assert found["state"]["avoided"] == [DSP]
    preferred = json.loads(planned("plan", "apply", "plan.json", "--prefer", "dsp", "--json").out)
    assert not preferred["moves"]
    frugal = planned("plan", "apply", "plan.json", "--power-budget", "0.1", "--json")
    assert not json.loads(frugal.out)["moves"], "the dsp takes the fewest joules, too"


def test_what_a_wish_costs_is_said(planned: Command) -> None:
    plan = json.loads((planned.folder / "plan.json").read_text())
    for step in plan["steps"]:
        if DSP in step["seconds"]:
            step["seconds"][CPU] = 5.0  # 5000 times as long
    (planned.folder / "plan.json").write_text(json.dumps(plan))
    ended = planned("plan", "apply", "plan.json", "--avoid", "dsp")
    moved = len(plan["steps"]) - 1
    ratio = (5.0 * moved + 1e-3) / (1e-3 * moved + 1e-3 + 1e-4)
    assert f"moved: {ratio:.2f} times as costly as planned" in ended.out
    assert "to be avoided" not in ended.out


def test_what_no_other_place_takes_stays_at_one_to_avoid(planned: Command) -> None:
    ended = planned("plan", "apply", "plan.json", "--avoid", "cpu")
    assert "Everything stays where the plan has it" in ended.out
    assert (
        f"1 operator runs at {CPU}, which is to be avoided: no place that is not can take what "
        "runs there."
    ) in " ".join(ended.out.split())


def test_a_place_goes_before_its_device(planned: Command) -> None:
    wishes = ("--avoid", "dsp", "--prefer", DSP)
    found = json.loads(planned("plan", "apply", "plan.json", *wishes, "--json").out)
    assert not found["moves"]
    assert (found["state"]["avoided"], found["state"]["weights"]) == ([], {DSP: 0.5})


def test_a_preference_halves_the_weight_that_a_state_has(planned: Command) -> None:
    given = state(planned, weights={"dsp": 9.0, CPU: 2.0}, avoided=[DSP])
    asked = ("plan", "apply", "plan.json", "--state", given, "--json")
    found = json.loads(planned(*asked, "--prefer", "cpu", "--prefer", "dsp").out)
    assert found["state"]["weights"] == {"dsp": 9.0, DSP: 4.5, CPU: 1.0}
    assert found["state"]["avoided"] == [DSP]
    planned.refused(*asked, "--prefer", "dsp", "--avoid", "dsp")
    told = state(planned, **found["state"])
    again = json.loads(planned("plan", "apply", "plan.json", "--state", told, "--json").out)
    assert again["parts"] == found["parts"]


def test_observing_looks_at_this_machine(planned: Command) -> None:
    ended = planned("plan", "apply", "plan.json", "--observe", "--json")
    found = json.loads(ended.out)
    assert list(found["state"]["utilisation"]) == ["cpu"]
    assert "How busy dsp is cannot be seen here" in found["notes"][0]


def test_the_model_with_the_decided_places(planned: Command) -> None:
    given = state(planned, utilisation={"dsp": 0.9})
    wanted = ("--model", "model.onnx", "--annotated", "placed.onnx")
    assert planned("plan", "apply", "plan.json", "--state", given, *wanted).code == 0
    model = onnx.load(planned.folder / "placed.onnx")
    assert set(labels_of(model).values()) == {"cpu_onnxruntime-cpu"}
    assert len(labels_of(model)) == len(model.graph.node)


def test_the_candidate_that_runs_as_was_decided(planned: Command) -> None:
    written = ("--candidate", "c.json")
    assert planned("plan", "apply", "plan.json", *written).code == 0
    split = read_candidate(planned.folder / "c.json").engine
    assert isinstance(split, Pipeline)
    assert [part.place for part in split.parts] == [DSP, CPU]
    # Beside another engine idle threads do not spin; the limit of threads is the plan's.
    own = OnnxRuntimeCpu(threads=1, spin_microseconds=SPIN_BESIDE_OTHERS)
    assert split.parts[1].engine == own
    assert planned("plan", "apply", "plan.json", "--avoid", "dsp", *written).code == 0
    whole = Candidate(OnnxRuntimeCpu(threads=1))
    assert read_candidate(planned.folder / "c.json") == whole
    assert planned("bench", "model.onnx", "--device", "cpu", *written).code == 0


def test_a_plan_of_an_older_farm_gives_no_candidate(planned: Command) -> None:
    path = planned.folder / "plan.json"
    plan = json.loads(path.read_text())
    del plan["engines"]
    path.write_text(json.dumps(plan))
    assert planned("plan", "apply", "plan.json").code == 0
    assert planned.refused("plan", "apply", "plan.json", "--candidate", "c.json") == (
        f"The plan does not say with which options {DSP} runs, as those of older farms: make it "
        "again with `farm plan placement`."
    )
    assert not (planned.folder / "c.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--state", "s.json", "--observe"], "--state and --observe contradict each other"),
        (["--state", "nowhere.json"], "Cannot read state nowhere.json: No such file"),
        (["--prefer", "npu"], f"--prefer npu: the plan has no such place; it has {CPU}, {DSP}."),
        (["--avoid", "npu"], "--avoid npu: the plan has no such place"),
        (["--prefer", "dsp", "--avoid", "dsp"], "dsp cannot be preferred and avoided at once"),
        (["--annotated", "x.onnx"], "--model and --annotated need each other"),
        (["--power-budget", "-1"], "power_budget is -1; it must be above 0"),
    ],
)
def test_what_makes_no_sense(planned: Command, arguments: list[str], message: str) -> None:
    ended = planned("plan", "apply", "plan.json", *arguments)
    assert ended.code == 2
    assert message in ended.err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"utilisation": {"gpu": 0.5}}, "The state names 'gpu', and the plan has no such device"),
        (
            {"utilisation": {"dsp": 1.5}},
            "state.json is no state: at utilisation.dsp: Input should",
        ),
        ({"weights": {"dsp": 0.0}}, "state.json is no state: at weights.dsp: Input should be"),
        ({"priority": "urgent"}, "state.json is no state: at priority: Input should be 'high'"),
        ({"utilization": {}}, "state.json is no state: at utilization: Unexpected keyword"),
        ({"utilisation": {"dsp": True}}, "at utilisation.dsp: Input should be a valid number"),
        ({"battery": "0.5"}, "state.json is no state: at battery: Input should be a valid number"),
    ],
)
def test_states_that_make_no_sense(
    planned: Command, values: dict[str, object], message: str
) -> None:
    ended = planned("plan", "apply", "plan.json", "--state", state(planned, **values))
    assert ended.code == 2
    assert message in ended.err


def test_plans_that_are_none(planned: Command) -> None:
    assert "Cannot read plan other.json" in planned("plan", "apply", "other.json").err
    (planned.folder / "plan.json").write_text("{}")
    ended = planned("plan", "apply", "plan.json")
    assert ended.code == 2
    assert "plan.json is no placement plan: at model: Field required." in ended.err


def test_a_plan_of_another_model(planned: Command) -> None:
    (planned.folder / "plan.json").write_text(plan_text(split_plan("0" * 64)))
    wanted = ("--model", "model.onnx", "--annotated", "placed.onnx")
    ended = planned("plan", "apply", "plan.json", *wanted)
    assert ended.code == 2
    assert "The plan is of model (000000000000), and model.onnx is another model" in ended.err
    assert not (planned.folder / "placed.onnx").exists()


def test_another_model_with_other_dimensions(planned: Command) -> None:
    plan = json.loads((planned.folder / "plan.json").read_text())
    change(planned, model=plan["model"] | {"sha256": "0" * 64, "shapes": {"tokens": 3}})
    wanted = ("--model", "model.onnx", "--annotated", "placed.onnx")
    assert "is another model" in planned.refused("plan", "apply", "plan.json", *wanted)


def test_a_plan_that_contradicts_itself(planned: Command) -> None:
    plan = split_plan()
    steps = (replace(plan.steps[0], place="nowhere"), *plan.steps[1:])
    (planned.folder / "plan.json").write_text(plan_text(replace(plan, steps=steps)))
    ended = planned("plan", "apply", "plan.json")
    assert ended.code == 2
    assert (
        "The plan contradicts itself: operator 'a' is a step at nowhere, and of its parts at "
        "dsp/cpackage-emulated." in ended.err
    )


def change(farm: Command, **values: object) -> None:
    """Change what the plan's file has."""
    plan = json.loads((farm.folder / "plan.json").read_text())
    (farm.folder / "plan.json").write_text(json.dumps(plan | values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"parts": []}, f"operator 'Conv_0' is a step at {DSP}, and of its parts in none"),
        ({"steps": []}, f"no operator of its part at {DSP} is a step"),
        ({"places": [CPU]}, f"operator 'Conv_0' names {DSP}, which is none of its places"),
        ({"borders": []}, f"There is no link from {DSP} to {CPU}, and the plan goes from"),
    ],
)
def test_plans_that_contradict_themselves(
    planned: Command, values: dict[str, object], message: str
) -> None:
    change(planned, **values)
    assert message in planned.refused("plan", "apply", "plan.json")


def test_what_depends_on_weights_alone_goes_with_what_needs_it(planned: Command) -> None:
    plan = json.loads((planned.folder / "plan.json").read_text())
    first = plan["parts"][0]["operators"][0]
    plan["steps"] = [step for step in plan["steps"] if step["operator"] != first]
    (planned.folder / "plan.json").write_text(json.dumps(plan))
    given = state(planned, utilisation={"dsp": 0.9})
    found = json.loads(planned("plan", "apply", "plan.json", "--state", given, "--json").out)
    (part,), (move,) = found["parts"], found["moves"]
    assert part["operators"] == [name for each in plan["parts"] for name in each["operators"]]
    assert move["operators"][0] == first
    wanted = ("--model", "model.onnx", "--annotated", "placed.onnx")
    assert planned("plan", "apply", "plan.json", *wanted).code == 0
    model = onnx.load(planned.folder / "placed.onnx")
    assert len(labels_of(model)) == len(model.graph.node)
