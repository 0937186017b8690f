"""Plans that are decided again for the state of the devices."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from farm.errors import PlanError
from farm.plan.override import (
    LEAST_GAIN,
    Border,
    Decision,
    Reason,
    Step,
    Steps,
    decide,
)
from farm.plan.state import IDLE, Priority, State
from farm.units import Bytes, Joules, Seconds

CPU, DSP, GPU = "cpu/onnxruntime-cpu", "dsp/cpackage-emulated", "gpu/onnxruntime-cuda"


def step(name: str, place: str, crossing: int = 0, **costs: tuple[float, float]) -> Step:
    """A step whose costs are (seconds, joules) by device."""
    names = {"cpu": CPU, "dsp": DSP, "gpu": GPU}
    seconds = {names[device]: Seconds(s) for device, (s, _) in costs.items()}
    joules = {names[device]: Joules(j) for device, (_, j) in costs.items()}
    return Step(name, place, seconds, joules, Bytes(crossing))


def borders(seconds: float = 0.0, per_byte: float = 0.0) -> dict[tuple[str, str], Border]:
    places = (CPU, DSP, GPU)
    pairs = ((a, b) for a, b in product(places, places) if a != b)
    return dict.fromkeys(pairs, Border(Seconds(seconds), per_byte, Joules(0.0), 0.0))


def random_plan(seed: int) -> Steps:
    """A plan that is the cheapest on idle devices, of random costs."""
    rng = random.Random(seed)
    steps = []
    for at in range(rng.randint(1, 12)):
        places = rng.sample((CPU, DSP, GPU), rng.randint(1, 3))
        seconds = {place: Seconds(rng.uniform(1e-4, 1e-2)) for place in places}
        joules = {place: Joules(rng.uniform(1e-4, 1e-2)) for place in places}
        steps.append(Step(f"op{at}", places[0], seconds, joules, Bytes(rng.randint(0, 10_000))))
    links = borders(rng.uniform(0.0, 5e-3), rng.uniform(0.0, 1e-7))
    best = decide_freely(steps, links)
    return Steps(
        tuple(
            Step(s.operator, p, s.seconds, s.joules, s.crossing)
            for s, p in zip(steps, best, strict=True)
        ),
        links,
    )


def decide_freely(steps: list[Step], links: dict[tuple[str, str], Border]) -> tuple[str, ...]:
    """The cheapest places by trying the shortest path the slow way: layer by layer, all pairs."""
    paths: dict[str, tuple[float, tuple[str, ...]]] = {}
    for at, one in enumerate(steps):
        reached: dict[str, tuple[float, tuple[str, ...]]] = {}
        for place, seconds in one.seconds.items():
            ways = (
                [(0.0, ())]
                if not at
                else [
                    (c + border_seconds(links, p[-1], place, one.crossing), p)
                    for c, p in paths.values()
                ]
            )
            cost, path = min(ways)
            reached[place] = cost + seconds, (*path, place)
        paths = reached
    return min(paths.values())[1]


def border_seconds(
    links: dict[tuple[str, str], Border], source: str, target: str, size: int
) -> float:
    if source == target:
        return 0.0
    return links[source, target].seconds + size * links[source, target].seconds_per_byte


def seconds_at(plan: Steps, decision: Decision, place: str) -> float:
    return sum(s.seconds[place] for s in plan.steps if decision.assignment[s.operator] == place)


@pytest.mark.parametrize("seed", range(200))
def test_on_idle_devices_the_plan_stays(seed: int) -> None:
    plan = random_plan(seed)
    decision = decide(plan, IDLE)
    assert decision.assignment == {s.operator: s.place for s in plan.steps}
    assert not decision.moves
    assert decision.value == decision.annotated == pytest.approx(1.0)


REFUSED = Steps(
    (
        step("conv", CPU, cpu=(1e-3, 4e-3), dsp=(2e-3, 1e-3)),
        step("pool", CPU, cpu=(1e-3, 4e-3), dsp=(2e-4, 1e-3)),
    ),
    borders(1e-5),
)
"""A plan that did not believe in what its figures say the dsp would gain."""


def test_a_gain_that_the_plan_did_not_believe_in_moves_nothing() -> None:
    for state in (IDLE, State({"dsp": 0.5}), State(weights={DSP: 3.0}), State(battery=0.9)):
        assert not decide(REFUSED, state).moves
    for state in (State({"cpu": 0.95}), State(weights={CPU: 9.0}), State(battery=0.0)):
        moves = decide(REFUSED, state).moves
        assert moves, state
        assert all(move.reasons for move in moves)


@pytest.mark.parametrize("seed", range(50))
def test_the_more_of_any_plan_too(seed: int) -> None:
    rng = random.Random(seed)
    plan = random_plan(seed)
    steps = tuple(replace(s, place=rng.choice(sorted(s.seconds))) for s in plan.steps)
    plan = Steps(steps, plan.borders)
    assert not decide(plan, IDLE).moves
    given = [
        seconds_at(plan, decide(plan, State({"dsp": used}, Priority.LOW)), DSP)
        for used in (0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
    ]
    assert given == sorted(given, reverse=True)


@pytest.mark.parametrize("seed", range(50))
def test_the_more_a_device_is_used_the_fewer_seconds_it_gets(seed: int) -> None:
    plan = random_plan(seed)
    given = [
        seconds_at(plan, decide(plan, State({"dsp": used}, Priority.LOW)), DSP)
        for used in (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
    ]
    assert given == sorted(given, reverse=True)


ONE = Steps((step("conv", DSP, dsp=(1e-3, 1e-3), cpu=(1.5e-3, 5e-3)),), borders())
FAST = Steps((step("conv", CPU, cpu=(1e-3, 5e-3), dsp=(1.5e-3, 1e-3)),), borders())


def cases() -> Iterator[tuple[Steps, State, Reason]]:
    yield ONE, State(utilisation={"dsp": 0.6}), Reason.UTILISATION
    yield ONE, State({"dsp": 0.3}, Priority.LOW), Reason.PRIORITY
    yield ONE, State(weights={DSP: 2.0}), Reason.DEVICE_WEIGHT
    yield ONE, State(avoided=("dsp",)), Reason.AVOIDED
    yield FAST, State(battery=0.05), Reason.BATTERY
    yield FAST, State(watts=5.0, power_budget=4.0), Reason.POWER_BUDGET


@pytest.mark.parametrize(
    ("plan", "state", "reason"), list(cases()), ids=[str(r) for *_, r in cases()]
)
def test_each_reason_alone_moves_an_operator_and_is_named(
    plan: Steps, state: State, reason: Reason
) -> None:
    (move,) = decide(plan, state).moves
    assert move.operators == ("conv",)
    assert move.source == plan.steps[0].place
    assert move.reasons == (reason,)


def test_a_budget_is_held_against_what_the_plan_draws_where_nobody_measures() -> None:
    assert decide(FAST, State(power_budget=4.9)).moves, "5 mJ in 1 ms are 5 W"
    assert not decide(FAST, State(power_budget=5.1)).moves


def test_where_two_reasons_hold_each_that_moves_it_alone_is_named() -> None:
    (move,) = decide(ONE, State({"dsp": 0.6}, weights={DSP: 2.0, CPU: 1.1})).moves
    assert move.reasons == (Reason.UTILISATION, Reason.DEVICE_WEIGHT)


def test_where_only_both_reasons_together_move_it_both_are_named() -> None:
    (move,) = decide(ONE, State({"dsp": 0.25}, weights={DSP: 1.3})).moves
    assert move.reasons == (Reason.UTILISATION, Reason.DEVICE_WEIGHT)


def test_an_urgent_application_does_not_care_what_others_use() -> None:
    assert not decide(ONE, State({"dsp": 0.95}, Priority.HIGH)).moves


def test_what_gains_too_little_stays() -> None:
    alike = Steps((step("conv", DSP, dsp=(1e-3, 1e-3), cpu=(1.001e-3, 1e-3)),), borders())
    decision = decide(alike, State({"dsp": 0.04}))
    assert decision.annotated - 1.001 < LEAST_GAIN
    assert not decision.moves


def test_a_border_that_costs_more_than_it_brings_is_not_crossed() -> None:
    steps = (
        step("first", CPU, cpu=(1e-3, 1e-3)),
        step("second", DSP, 1000, dsp=(1e-3, 1e-3), cpu=(3e-3, 1e-3)),
    )
    cheap, dear = Steps(steps, borders(1e-4, 1e-7)), Steps(steps, borders(1e-4, 4e-6))
    busy = State({"dsp": 0.5})
    assert not decide(cheap, busy).moves
    (move,) = decide(dear, busy).moves
    assert (move.source, move.target) == (DSP, CPU)


def test_neighbours_that_go_the_same_way_move_as_one() -> None:
    steps = tuple(step(name, DSP, dsp=(1e-3, 0), cpu=(1.2e-3, 0)) for name in "abc")
    (move,) = decide(Steps(steps, borders()), State({DSP: 0.5})).moves
    assert move.operators == ("a", "b", "c")


@pytest.mark.parametrize("seed", range(50))
def test_at_places_to_avoid_runs_only_what_no_other_takes(seed: int) -> None:
    plan = random_plan(seed)
    slow = random.Random(seed).choice((1.0, 1e6))
    steps = tuple(
        replace(
            s, seconds={p: Seconds(t * (1 if p == CPU else slow)) for p, t in s.seconds.items()}
        )
        for s in plan.steps
    )
    decision = decide(Steps(steps, plan.borders), State(avoided=("cpu",)))
    for each in steps:
        assert (decision.assignment[each.operator] == CPU) == (set(each.seconds) == {CPU})


def test_a_place_to_avoid_is_gone_through_where_there_is_no_other_way() -> None:
    ms = (1e-3, 1e-3)
    steps = (
        step("first", DSP, dsp=ms),
        step("second", DSP, cpu=ms, dsp=ms),
        step("third", CPU, cpu=ms),
        step("last", GPU, gpu=ms),
    )
    links = {pair: border for pair, border in borders().items() if set(pair) != {DSP, GPU}}
    decision = decide(Steps(steps, links), State(avoided=(CPU, "dsp")))
    assert [decision.assignment[s.operator] for s in steps] == [DSP, DSP, CPU, GPU]
    both = step("third", CPU, cpu=ms, gpu=ms)
    ways = Steps((*steps[:2], both, steps[3]), links)
    assert decide(ways, State(avoided=(CPU,))).assignment["third"] == CPU
    assert decide(Steps(ways.steps, borders()), State(avoided=(CPU,))).assignment["third"] == GPU


def test_what_is_wished_for_is_no_gain() -> None:
    moved = decide(ONE, State(weights={CPU: 0.01}))
    assert (moved.annotated, moved.value) == pytest.approx((1.0, 1.5))
    busy = decide(ONE, State({"dsp": 0.5}, avoided=("dsp",)))
    assert (busy.annotated, busy.value) == pytest.approx((2.0, 1.5))
    (move,) = busy.moves
    assert move.reasons == (Reason.UTILISATION, Reason.AVOIDED)


def test_a_state_of_another_machine() -> None:
    with pytest.raises(PlanError, match="The state names 'npu', and the plan has no such device"):
        decide(ONE, State({"npu": 0.5}))


def test_a_state_out_of_range() -> None:
    with pytest.raises(PlanError, match=r"the utilisation of 'dsp' is 1.5; it is a share from 0"):
        State({"dsp": 1.5})
    with pytest.raises(PlanError, match=r"the battery is -0.1; it is a share"):
        State(battery=-0.1)
    with pytest.raises(PlanError, match=r"power_budget is 0; it must be above 0"):
        State(power_budget=0.0)


def test_a_plan_without_joules_cannot_be_weighed_by_them() -> None:
    plan = Steps((Step("conv", DSP, {DSP: Seconds(1.0)}, {}, Bytes(0)),), {})
    with pytest.raises(PlanError, match="the plan has no joules"):
        decide(plan, State(battery=0.1))


def test_a_plan_with_an_operator_where_it_cannot_run() -> None:
    one = step("conv", CPU, cpu=(1e-3, 1e-3))
    with pytest.raises(PlanError, match="operator 'conv' more than once"):
        Steps((one, one), borders())
    with pytest.raises(PlanError, match=f"There is no link from {CPU} to {DSP}, and the plan"):
        Steps((one, step("pool", DSP, dsp=(1e-3, 1e-3))), {})
    with pytest.raises(PlanError, match="The plan has operator 'conv' at"):
        Steps((Step("conv", CPU, {DSP: Seconds(1.0)}, {}, Bytes(0)),), {})
