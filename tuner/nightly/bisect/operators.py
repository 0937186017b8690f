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
    good_kernels, bad_kernels: kinds of the kernels that run them. good_seconds, bad_seconds: of
    one run of the model.
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

    good, bad: profiles, taken in turns; of each group the median share counts. good_seconds,
    bad_seconds: latencies of both, measured side by side without a profiler, that the shares are
    of.
    """
    groups = _groups([*good, *bad])
    before = {key: good_seconds * share for key, share in _shares(good, groups).items()}
    after = {key: bad_seconds * share for key, share in _shares(bad, groups).items()}
    changes = (
        OperatorChange(
            key,
            _kernels(good, groups, key),
            _kernels(bad, groups, key),
            before.get(key, 0.0),
            after.get(key, 0.0),
        )
        for key in dict.fromkeys(groups.values())
    )
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


def _shares(
    profiles: Sequence[Profile], groups: dict[tuple[str, ...], tuple[str, ...]]
) -> dict[tuple[str, ...], float]:
    """The share of each group in a run, the median over the profiles."""
    found: dict[tuple[str, ...], list[float]] = {}
    for profile in profiles:
        whole = sum(row.cost for row in profile) or 1.0
        sums: dict[tuple[str, ...], float] = {}
        for row in profile:
            key = groups[row.operators]
            sums[key] = sums.get(key, 0.0) + row.cost / whole
        for key, share in sums.items():
            found.setdefault(key, []).append(share)
    return {key: median(shares) for key, shares in found.items()}


def _kernels(
    profiles: Sequence[Profile],
    groups: dict[tuple[str, ...], tuple[str, ...]],
    key: tuple[str, ...],
) -> tuple[str, ...]:
    rows = (row for profile in profiles for row in profile)
    return tuple(dict.fromkeys(row.kind for row in rows if groups[row.operators] == key))
