"""Decides again, when a plan is applied, where its operators run: by the state of the devices.

A plan was made for idle devices. Here each operator's seconds and joules are weighed by what is
known at run time, and the operators, in the plan's order, are placed again by the shortest path
through the layers of operators and places, which takes milliseconds:

    t' = t / (1 - min(u, .95))^a      a = 0, 1, 2 for an application of high, normal, low priority
    weight = w_p [(1 - b) t' / T0 + b E / E0]
    b = clip((.3 - battery) / .3, 0, 1), and 1 when the power budget is exceeded

u is the utilisation of the place's device, w_p its weight, T0 and E0 the seconds and joules of the
whole plan as it was made. At a place to avoid only those operators run that no other can take,
whatever that costs. What the plan says stays where another placement would not gain 5 % of
what the plan costs on idle devices, so that nothing flaps, and on idle devices everything stays.
Where a plan did not believe in a gain that its figures have, no place is taken to run an operator
faster than the one where the plan has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby, pairwise
from math import inf

from farm.errors import PlanError
from farm.plan.state import IDLE, Priority, State, device_of, of_place
from farm.units import Bytes, Joules, Seconds

LEAST_GAIN = 0.05
_MOST_UTILISATION = 0.95
_ROUNDING = 1e-9  # of sums of the same figures in another order


class Reason(StrEnum):
    """What may move an operator away from where the plan has it."""

    UTILISATION = "utilisation"
    PRIORITY = "application priority"
    DEVICE_WEIGHT = "device weight"
    AVOIDED = "place to avoid"
    BATTERY = "battery"
    POWER_BUDGET = "power budget"


@dataclass(frozen=True, slots=True)
class Step:
    """One operator of a plan, in the plan's order.

    place: where the plan has it. seconds, joules: by place that can run it. crossing: bytes that
    go from what came before to it or beyond, which are transferred where the place changes.
    """

    operator: str
    place: str
    seconds: Mapping[str, Seconds]
    joules: Mapping[str, Joules]
    crossing: Bytes


@dataclass(frozen=True, slots=True)
class Border:
    """What a change from one place to another takes, launch included."""

    seconds: Seconds
    seconds_per_byte: float
    joules: Joules
    joules_per_byte: float


@dataclass(frozen=True, slots=True)
class Steps:
    """A plan, as far as it is decided again.

    borders: by source and destination; where there is none, nothing can go that way.

    Raises PlanError: a step twice, at a place that cannot run it, or where nothing can go to from
    the place of the step before it.
    """

    steps: tuple[Step, ...]
    borders: Mapping[tuple[str, str], Border]

    def __post_init__(self) -> None:
        for step in self.steps:
            if step.place not in step.seconds:
                raise PlanError(
                    f"The plan has operator '{step.operator}' at '{step.place}', which has no "
                    "figure for it."
                )
        names = [step.operator for step in self.steps]
        if again := next((name for name, count in Counter(names).items() if count > 1), None):
            raise PlanError(f"The plan has operator '{again}' more than once.")
        for before, step in pairwise(self.steps):
            if before.place != step.place and (before.place, step.place) not in self.borders:
                raise PlanError(
                    f"There is no link from {before.place} to {step.place}, and the plan goes "
                    f"from '{before.operator}' to '{step.operator}' that way."
                )

    @property
    def places(self) -> tuple[str, ...]:
        """Every place that the plan was made for, sorted."""
        able = {place for step in self.steps for place in step.seconds}
        return tuple(sorted(able.union(*self.borders)))


@dataclass(frozen=True, slots=True)
class Move:
    """Neighbouring operators that run elsewhere than the plan has them.

    reasons: each of which alone moves one of them, or all that hold together where none does.
    """

    operators: tuple[str, ...]
    source: str
    target: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where each operator runs now.

    value: what it costs in the state; annotated: what the plan as it was made costs then, 1.0 on
    idle devices. What is wished for, by weights and by places to avoid, is no part of either.
    """

    assignment: Mapping[str, str]
    value: float
    annotated: float
    moves: tuple[Move, ...]


def decide(plan: Steps, state: State) -> Decision:
    """Place the operators of a plan for a state. Raises PlanError: the state names no place."""
    _refuse_unknown(plan, state)
    plan = _as_believed(plan)
    chosen = _decided(plan, state)
    given = [step.place for step in plan.steps]
    real = _Weights(plan, replace(state, weights={}))
    value, annotated = real.path(chosen), real.path(given)
    assignment = {step.operator: place for step, place in zip(plan.steps, chosen, strict=True)}
    return Decision(assignment, value, annotated, tuple(_moves(plan, state, chosen)))


def _decided(plan: Steps, state: State) -> Sequence[str]:
    """The places chosen."""
    weigh = _Weights(plan, state)
    given = [step.place for step in plan.steps]
    best = weigh.shortest()
    if sum(map(state.avoids, best)) < sum(map(state.avoids, given)):
        return best
    gains = weigh.path(given) - weigh.path(best) >= LEAST_GAIN
    return best if gains and any(_reasons(state, weigh.watts)) else given


def _as_believed(plan: Steps) -> Steps:
    """The plan, with nobody faster than it has it where figures alone would move something.

    It may have refused a split as uncertain, or be of another objective than seconds.
    """
    weigh = _Weights(plan, IDLE)
    given = [step.place for step in plan.steps]
    if weigh.path(weigh.shortest()) > (1.0 - _ROUNDING) * weigh.path(given):
        return plan
    return Steps(tuple(_none_faster(step) for step in plan.steps), plan.borders)


def _none_faster(step: Step) -> Step:
    least = step.seconds[step.place]
    seconds = {place: max(taken, least) for place, taken in step.seconds.items()}
    return replace(step, seconds=seconds)


class _Weights:
    """Costs of steps and borders in a state, as shares of the whole plan's."""

    def __init__(self, plan: Steps, state: State) -> None:
        self._plan = plan
        self._places = plan.places
        self._seconds, self._joules = _whole(plan)
        self._energy = 1.0 if state.exceeds_budget(self.watts) else state.battery_share
        if not self._joules and self._energy:
            raise PlanError(
                "The state weighs energy, and the plan has no joules: its devices have no [power] "
                "figures."
            )
        time, energy = 1.0 - self._energy, self._energy
        weights = {place: of_place(state.weights, place, 1.0) for place in self._places}
        self._per_second = {
            place: weight * time * _slower(place, state) / (self._seconds or 1.0)
            for place, weight in weights.items()
        }
        self._per_joule = {
            place: weight * energy / (self._joules or 1.0) for place, weight in weights.items()
        }
        self._avoided = {place: state.avoids(place) for place in self._places}

    @property
    def watts(self) -> float:
        """What the plan draws as it was made; 0 where that is not known."""
        return self._joules / self._seconds if self._seconds else 0.0

    def path(self, places: Sequence[str]) -> float:
        """What it costs to run each step at the place that is given for it."""
        cost, before = 0.0, ""
        for step, place in zip(self._plan.steps, places, strict=True):
            cost += self._step(step, place)
            if before and before != place:
                fixed, per_byte = self._border(before, place)
                cost += fixed + step.crossing * per_byte
            before = place
        return cost

    def shortest(self) -> list[str]:
        """The cheapest places; of equal ones those that do not change.

        Of steps at places to avoid there are as few as can be. This is what a decision waits for:
        borders are weighed once, and places are numbers.
        """
        names = self._places
        borders = [[self._border(a, b) if a != b else (0.0, 0.0) for a in names] for b in names]
        most = self._most() if any(self._avoided.values()) else 0.0
        extra = {name: most * self._avoided[name] for name in names}
        costs: list[float] = []
        came_from: list[list[int]] = []
        for at, step in enumerate(self._plan.steps):
            reached, origin, size = [inf] * len(names), [0] * len(names), step.crossing
            for place, name in enumerate(names):
                if name not in step.seconds:
                    continue
                best, chosen = (costs[place], place) if at else (0.0, place)
                for before, (fixed, per_byte) in enumerate(borders[place] if at else ()):
                    way = costs[before] + fixed + size * per_byte
                    if way < best:
                        best, chosen = way, before
                reached[place] = best + self._step(step, name) + extra[name]
                origin[place] = chosen
            costs = reached
            came_from.append(origin)
        return self._traced(costs, came_from)

    def _most(self) -> float:
        """More than any path costs."""
        known = [self._border(source, target) for source, target in self._plan.borders]
        return 1.0 + sum(
            max(self._step(step, place) for place in step.seconds)
            + max((fixed + step.crossing * each for fixed, each in known), default=0.0)
            for step in self._plan.steps
        )

    def _traced(self, costs: Sequence[float], came_from: Sequence[Sequence[int]]) -> list[str]:
        if not came_from:
            return []
        last = self._places.index(self._plan.steps[-1].place)
        place = min(range(len(costs)), key=lambda each: (costs[each], each != last))
        found = [place]
        for origin in reversed(came_from[1:]):
            place = origin[place]
            found.append(place)
        return [self._places[each] for each in reversed(found)]

    def _step(self, step: Step, place: str) -> float:
        return self._weighed(place, step.seconds[place], step.joules.get(place, 0.0))

    def _border(self, source: str, target: str) -> tuple[float, float]:
        """What a change of place costs, and each byte that crosses it."""
        border = self._plan.borders.get((source, target))
        if border is None:
            return inf, 0.0
        fixed = self._weighed(target, border.seconds, border.joules)
        per_byte = self._weighed(target, border.seconds_per_byte, border.joules_per_byte)
        return fixed, per_byte

    def _weighed(self, place: str, seconds: float, joules: float) -> float:
        return seconds * self._per_second[place] + joules * self._per_joule[place]


def _slower(place: str, state: State) -> float:
    """By what factor the utilisation of a place's device makes it slower."""
    used = min(of_place(state.utilisation, place, 0.0), _MOST_UTILISATION)
    return float((1.0 - used) ** -state.priority.exponent)


def _whole(plan: Steps) -> tuple[float, float]:
    """Seconds and joules of the plan as it was made, its borders included."""
    seconds: float = sum(step.seconds[step.place] for step in plan.steps)
    joules: float = sum(step.joules.get(step.place, 0.0) for step in plan.steps)
    for before, step in pairwise(plan.steps):
        if before.place != step.place:
            border = plan.borders[before.place, step.place]
            seconds += border.seconds + step.crossing * border.seconds_per_byte
            joules += border.joules + step.crossing * border.joules_per_byte
    return seconds, joules


def _moves(plan: Steps, state: State, chosen: Sequence[str]) -> Iterator[Move]:
    """Neighbours that move the same way are one move."""
    pairs = [(step, place) for step, place in zip(plan.steps, chosen, strict=True)]
    alone: dict[Reason, Sequence[str]] = {}
    if any(step.place != place for step, place in pairs):
        watts = _Weights(plan, IDLE).watts
        alone = {reason: _decided(plan, one) for reason, one in _reasons(state, watts)}
    at = 0
    for (source, target), found in groupby(pairs, key=lambda pair: (pair[0].place, pair[1])):
        count = len(list(found))
        if source != target:
            names = tuple(step.operator for step in plan.steps[at : at + count])
            moved = [
                r for r, p in alone.items() if any(p[i] != source for i in range(at, at + count))
            ]
            yield Move(names, source, target, tuple(moved or alone))
        at += count


def _reasons(state: State, planned_watts: float) -> Iterator[tuple[Reason, State]]:
    """Each reason that holds, with a state in which nothing else does."""
    if any(state.utilisation.values()) and state.priority.exponent:
        normal = replace(IDLE, utilisation=state.utilisation)
        yield Reason.UTILISATION, normal
        if state.priority is not Priority.NORMAL:
            yield Reason.PRIORITY, replace(normal, priority=state.priority)
    if any(weight != 1.0 for weight in state.weights.values()):
        yield Reason.DEVICE_WEIGHT, replace(IDLE, weights=state.weights)
    if state.avoided:
        yield Reason.AVOIDED, replace(IDLE, avoided=state.avoided)
    if state.exceeds_budget(planned_watts):
        yield (
            Reason.POWER_BUDGET,
            replace(IDLE, watts=state.watts, power_budget=state.power_budget),
        )
    if state.battery_share:
        yield Reason.BATTERY, replace(IDLE, battery=state.battery)


def _refuse_unknown(plan: Steps, state: State) -> None:
    known = {name for place in plan.places for name in (place, device_of(place))}
    for name in (*state.utilisation, *state.weights, *state.avoided):
        if name not in known:
            raise PlanError(
                f"The state names '{name}', and the plan has no such device or place; it has "
                f"{', '.join(plan.places)}."
            )
