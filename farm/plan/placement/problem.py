"""Placement problems: operators that run at one of several places each, and what that costs.

The model of cost, in full. An assignment gives each operator a place that can run it; an order is
a topological order of the operators. A *part* is a maximal run of operators in that order that
are at one place. Costs are in the unit of the objective, seconds or joules:

- compute: of each operator at its place; a fused group whose operators are all in one part at the
  group's place costs ``saving`` less. Groups of one place have no operator in common.
- transfer: once for each tensor and each place, other than its source, where an operator reads it.
  The source of an input of the model is the caller, as is the destination of an output, which is
  transferred to it once, too, even if no operator reads it there.
- launch: of each part, that of its place.

Limits: a place that has a capacity holds the weights that its operators read, each once, and the
arena of its share: what the memory planner needs for all tensors that its operators read or write,
alive at the place from the step in which they are written there (step 0 for what is transferred
from the caller, the step of the producer for what comes from another place) to the last step in
which an operator of the place reads them, or in which they leave it: for each other place the step
of the first reader there, and the end for the caller. Steps are those of the order.

Objectives: ``latency`` and ``energy`` add up all costs. ``throughput`` is the largest sum of one
place: its operators, its launches, and the transfers to it, and for the caller's outputs, from it.
``peak-memory`` is the sum over all places of weights and arenas, in bytes, without other costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from farm.errors import PlanError
from farm.units import Bytes

CALLER = ""
"""Where the model's inputs come from and its outputs go: a name in links that no place has."""

_ROUNDING = 1e-9  # of a saving that is the difference of two sums


class PlacementObjective(StrEnum):
    """What a placement makes small."""

    LATENCY = "latency"
    ENERGY = "energy"
    PEAK_MEMORY = "peak-memory"
    THROUGHPUT = "throughput"


@dataclass(frozen=True, slots=True)
class Place:
    """A device together with an engine.

    name: as ``cpu/onnxruntime-cpu``. launch: cost of each part. capacity: None for no limit.
    """

    name: str
    launch: float = 0.0
    capacity: Bytes | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """What a tensor costs on its way from one place to another, or from or to the caller.

    latency: of each tensor, wake-ups included. per_byte: copying. convert_per_byte: another layout
    or number format at the destination.
    """

    latency: float = 0.0
    per_byte: float = 0.0
    convert_per_byte: float = 0.0

    def cost(self, size: Bytes) -> float:
        """Of one tensor."""
        copying = (self.per_byte + self.convert_per_byte) * size if size else 0.0
        return self.latency + copying  # nothing times infinity would not be a number


@dataclass(frozen=True, slots=True)
class PlacedOperator:
    """One operator of a problem.

    inputs, outputs: names of activations, inputs and outputs of the model included. weights: names
    of what it reads that is stored. costs: by the name of a place; where there is none, the place
    cannot run it.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    costs: Mapping[str, float]
    weights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FusedGroup:
    """Operators that cost less than their sum where one place runs all of them in one part.

    saving: of costs, 0 or more, and at most their sum. A place that cannot run all of them never
    saves it.
    """

    operators: frozenset[str]
    place: str
    saving: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Operators in a topological order that are to be placed.

    sizes: bytes of every activation, input and output, by name. weight_sizes: likewise.
    links: by source and destination; where there is none, nothing can go that way. From a place to
    itself nothing is transferred.

    Raises PlanError: no place, one without a name or twice, a name twice, a tensor that is read
    before it is written or written twice, an unknown name, a size that is missing or negative, a
    negative cost, an operator in two groups of one place, a group that saves more than its
    operators cost.
    """

    operators: tuple[PlacedOperator, ...]
    places: tuple[Place, ...]
    links: Mapping[tuple[str, str], Link]
    sizes: Mapping[str, Bytes]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weight_sizes: Mapping[str, Bytes] = field(default_factory=dict)
    groups: tuple[FusedGroup, ...] = ()
    objective: PlacementObjective = PlacementObjective.LATENCY

    def __post_init__(self) -> None:
        if not self.places:
            raise PlanError("There is no place that operators could run at.")
        _refuse_repeated((place.name for place in self.places), "place")
        _refuse_repeated((op.name for op in self.operators), "operator")
        _refuse_repeated(self.inputs, "input")
        if any(place.name == CALLER for place in self.places):
            raise PlanError("A place has no name; that is how links name the caller.")
        _refuse_broken_order(self)
        _refuse_unknown(self)
        _refuse_negative(self)
        _refuse_broken_groups(self)


def producers(problem: Problem) -> dict[str, str]:
    """The operator that writes each tensor; inputs of the model have none."""
    return {name: op.name for op in problem.operators for name in op.outputs}


def readers(problem: Problem) -> dict[str, tuple[str, ...]]:
    """The operators that read each tensor, in the problem's order, each once."""
    found: dict[str, list[str]] = {name: [] for name in problem.sizes}
    for op in problem.operators:
        for name in dict.fromkeys(op.inputs):
            found[name].append(op.name)
    return {name: tuple(ops) for name, ops in found.items()}


def _refuse_repeated(names: Iterable[str], what: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise PlanError(f"There are {count} {what}s '{name}'; each may be there once.")


def _refuse_broken_order(problem: Problem) -> None:
    written = set(problem.inputs)
    for op in problem.operators:
        for name in op.inputs:
            if name not in written:
                raise PlanError(
                    f"Operator '{op.name}' reads '{name}' before anything writes it; operators "
                    "come in a topological order."
                )
        for name in op.outputs:
            if name in written:
                raise PlanError(f"Tensor '{name}' is written twice, again by '{op.name}'.")
            written.add(name)
    for name in problem.outputs:
        if name not in written:
            raise PlanError(f"Nothing writes the output '{name}'.")
    for name in sorted(written):
        if name not in problem.sizes:
            raise PlanError(f"Tensor '{name}' has no size.")


def _refuse_unknown(problem: Problem) -> None:
    places = {place.name for place in problem.places}
    operators = {op.name for op in problem.operators}
    named = [(name, f"operator '{op.name}'") for op in problem.operators for name in op.costs]
    named += [(group.place, "a fused group") for group in problem.groups]
    named += [(name, "a link") for pair in problem.links for name in pair if name != CALLER]
    for name, who in named:
        if name not in places:
            known = ", ".join(sorted(places))
            raise PlanError(f"There is no place '{name}', which {who} names; there are: {known}.")
    for group in problem.groups:
        if unknown := sorted(group.operators - operators):
            raise PlanError(f"A fused group names '{unknown[0]}', and there is no such operator.")
    for op in problem.operators:
        for name in op.weights:
            if name not in problem.weight_sizes:
                raise PlanError(f"The weight '{name}' of operator '{op.name}' has no size.")


def _refuse_negative(problem: Problem) -> None:
    costs = [
        (f"operator '{op.name}' at '{place}'", cost)
        for op in problem.operators
        for place, cost in op.costs.items()
    ]
    costs += [(f"a launch at '{place.name}'", place.launch) for place in problem.places]
    for (source, target), link in problem.links.items():
        parts = (link.latency, link.per_byte, link.convert_per_byte)
        costs.append((f"the link from '{source}' to '{target}'", min(parts)))
    costs += [(f"the saving of a group at '{g.place}'", g.saving) for g in problem.groups]
    for name, size in (*problem.sizes.items(), *problem.weight_sizes.items()):
        if size < 0:
            raise PlanError(f"The size of '{name}' is {size}; it must be 0 or more.")
    for what, cost in costs:
        if not cost >= 0.0:  # NaN is not either
            raise PlanError(f"The cost of {what} is {cost}; it must be 0 or more.")


def _refuse_broken_groups(problem: Problem) -> None:
    """Their savings add up, and what an operator costs never falls below 0."""
    members = Counter((group.place, name) for group in problem.groups for name in group.operators)
    for (place, name), count in members.items():
        if count > 1:
            raise PlanError(
                f"Operator '{name}' is in {count} fused groups of '{place}'; it may be in one."
            )
    costs = {op.name: op.costs for op in problem.operators}
    for group in problem.groups:
        found = [costs[name].get(group.place, inf) for name in group.operators]
        if group.saving > sum(found) * (1.0 + _ROUNDING):
            named = ", ".join(sorted(group.operators))
            raise PlanError(
                f"The fused group of {named} saves {group.saving} at '{group.place}', more than "
                f"the {sum(found)} that these operators cost there."
            )
