"""Which operators a slower state spends its time in, from profiles of both states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from farm.profile.kernels import OperatorProfile

Profile = Sequence[OperatorProfile]


@dataclass(frozen=True, slots=True)
class OperatorChange:
    """Operators of the model that one of the states, or both, run together.

    operators: names, in the order in which they ran; empty for kernels that could not be mapped.
    good_kernels, bad_kernels: kinds of the kernels that run them; both empty for what is spent
    outside of all kernels. good_seconds, bad_seconds: of one run of the model.
    """

    operators: tuple[str, ...]
    good_kernels: tuple[str, ...]
    bad_kernels: tuple[str, ...]
    good_seconds: float
    bad_seconds: float

    @property
    def increase(self) -> float:
        """Seconds of one run that are new."""
        return self.bad_seconds - self.good_seconds


def changed_operators(
    good: Sequence[Profile], bad: Sequence[Profile], good_seconds: float, bad_seconds: float
) -> tuple[OperatorChange, ...]:
    """Operators with the seconds they take in both states, those first that take most more.

    Kernels of the two states are compared by the operators that they stand for: all that share one
    belong together, because the states may fuse differently.

    good, bad: profiles, taken in turns; of each group the median counts. good_seconds,
    bad_seconds: latencies of both, measured side by side without a profiler. What is left of them
    is spent outside of the kernels.
    """
    groups = _groups([*good, *bad])
    before, after = _medians(good, groups, good_seconds), _medians(bad, groups, bad_seconds)
    changes = [
        OperatorChange(
            key,
            _kernels(good, groups, key),
            _kernels(bad, groups, key),
            before.get(key, 0.0),
            after.get(key, 0.0),
        )
        for key in dict.fromkeys(groups.values())
    ]
    left = [
        max(0.0, seconds - sum(spent.values()))
        for seconds, spent in ((good_seconds, before), (bad_seconds, after))
    ]
    changes.append(OperatorChange((), (), (), *left))
    return tuple(sorted(changes, key=lambda change: -change.increase))


def _groups(profiles: Iterable[Profile]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """By the operators of a kernel, all operators that belong together with them."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    kernels = dict.fromkeys(row.operators for profile in profiles for row in profile)
    for names in kernels:
        for name in names[1:]:
            leader[find(name)] = find(names[0])
    members: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for names in kernels for name in names):
        members.setdefault(find(name), []).append(name)
    return {names: tuple(members[find(names[0])]) if names else () for names in kernels}


def _medians(
    profiles: Sequence[Profile],
    groups: dict[tuple[str, ...], tuple[str, ...]],
    latency: float,
) -> dict[tuple[str, ...], float]:
    """Seconds of each group in a run, the median over the profiles.

    Where packets were counted, of which a run consists, they are shares of its latency.
    """
    found: dict[tuple[str, ...], list[float]] = {}
    for profile in profiles:
        counted = any(row.seconds is None for row in profile)
        scale = latency / sum(row.cost for row in profile) if counted else 1.0
        sums: dict[tuple[str, ...], float] = {}
        for row in profile:
            key = groups[row.operators]
            sums[key] = sums.get(key, 0.0) + row.cost * scale
        for key, seconds in sums.items():
            found.setdefault(key, []).append(seconds)
    return {key: median(seconds) for key, seconds in found.items()}


def _kernels(
    profiles: Sequence[Profile],
    groups: dict[tuple[str, ...], tuple[str, ...]],
    key: tuple[str, ...],
) -> tuple[str, ...]:
    rows = (row for profile in profiles for row in profile)
    return tuple(dict.fromkeys(row.kind for row in rows if groups[row.operators] == key))
