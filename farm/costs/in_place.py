"""What calls and borders take in place: terms that are fitted to parts of models that ran so.

A part of a pipeline is taken to need what is predicted of its kernels, a *launch* of its engine, a
*border* from the engine before or a *tensor* of the caller's, and something for each byte that it
*takes* from there or *gives* on. None of these is below zero. What kernels are predicted wrong by
in the mean is in the launch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long
from numpy.typing import NDArray

from farm.costs.calibration import Calibration, Crossing, Ends
from farm.plan.placement.problem import CALLER
from farm.units import Seconds

FEW, MANY = 0.1, 3.0
"""How many observations of a term what was known of it before counts for: little, and much."""

_ROUNDS = 8  # of fits in which parts that are far off count less
_FAR_OFF = 0.1  # of what was measured
_LARGE = 1 << 16  # bytes: what fewer seem to take says little of more
_BYTES = frozenset({"take", "give"})
_FLOAT32 = "float32"

Terms = Mapping[Hashable, float]
_Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PartWork:
    """A part as far as its cost goes.

    known: seconds that are predicted of its kernels. before, after: the engine whose results it
    takes, and the one that runs next; ``CALLER`` at the ends of the model. taken, given: bytes
    that come from there, and that leave it.
    """

    engine: str
    known: Seconds
    before: str
    after: str
    taken: int
    given: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Parts that ran one after the other, or one of them, and what they took together."""

    seconds: Seconds
    parts: tuple[PartWork, ...]

    @property
    def known(self) -> float:
        """Seconds that are predicted of all kernels."""
        return sum(part.known for part in self.parts)


def corrected(
    calibration: Calibration, observed: Sequence[Observed], prior: float = MANY
) -> Calibration:
    """A calibration whose terms suit what was observed.

    Weighted least squares of the error's share of what was measured; parts that are far off count
    less, as others that ran on the machine make them. A term that nothing tells stays as it was.

    observed: parts of engines that the calibration knows in float32; others are left out. prior:
    observations that what the calibration says of a term counts for.
    """
    before = terms_of(calibration)
    rows = [each for each in observed if _is_known(each, before) and each.seconds > 0.0]
    if not rows:
        return calibration
    return _with_terms(calibration, fitted(rows, before, prior))


def predicted(observed: Observed, terms: Terms) -> float:
    """Seconds of parts by terms."""
    added = sum(n * terms.get(name, 0.0) for name, n in features(observed).items())
    return observed.known + added


def terms_of(calibration: Calibration) -> dict[Hashable, float]:
    """The terms of a calibration, in seconds; those of borders that it never saw are of ends."""
    ends = {each.engine: each for each in calibration.ends if each.precision == _FLOAT32}
    crossings = {(each.source, each.target): each for each in calibration.crossings}
    found: dict[Hashable, float] = {}
    for engine, end in ends.items():
        found["launch", engine] = end.launch
        found["give", engine] = end.give_per_byte
        found["tensor", engine] = end.per_tensor
        found["take", CALLER, engine] = end.take_per_byte
    for source, target in permutations(ends, 2):
        giving, taking = ends[source], ends[target]
        seen = crossings.get((source, target)) or Crossing(
            source,
            target,
            Seconds(giving.per_tensor + taking.per_tensor),
            taking.take_per_byte + giving.convert_per_byte + taking.convert_per_byte,
        )
        found["border", source, target] = seen.seconds
        found["take", source, target] = seen.take_per_byte
    return found


def features(observed: Observed) -> dict[Hashable, float]:
    """How often each term counts in parts."""
    found: dict[Hashable, float] = {}
    for part in observed.parts:
        for name, amount in _features(part):
            found[name] = found.get(name, 0.0) + amount
    return found


def _features(part: PartWork) -> Iterator[tuple[Hashable, float]]:
    yield ("launch", part.engine), 1.0
    if part.before != CALLER:
        yield ("border", part.before, part.engine), 1.0
    yield ("tensor", part.engine), float((part.before, part.after).count(CALLER))
    yield ("take", part.before, part.engine), float(part.taken)
    yield ("give", part.engine), float(part.given)


def fitted(observed: Sequence[Observed], before: Terms, prior: float) -> Terms:
    """Terms of zero or more. before: what is known of them."""
    seconds = np.array([each.seconds for each in observed])
    rows = [features(each) for each in observed]
    fixed = {name for row in rows for name in row if CALLER in _engines(name)}
    names = [n for n in dict.fromkeys(n for row in rows for n in row) if n not in fixed]
    constant = [sum(row.get(n, 0.0) * before.get(n, 0.0) for n in fixed) for row in rows]
    known = np.array([each.known for each in observed]) + np.array(constant)
    amounts = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    matrix = amounts / seconds[:, None]
    wanted = 1.0 - known / seconds
    guess = np.array([before.get(name, 0.0) for name in names])
    size = _sizes(matrix) * [
        _reach(name, most) for name, most in zip(names, amounts.max(axis=0), strict=True)
    ]
    weights = np.ones(len(rows))
    found = guess
    for _ in range(_ROUNDS):
        found = _solved(matrix * weights[:, None], wanted * weights, size * prior**0.5, guess)
        off = np.abs(matrix @ found - wanted)
        weights = np.sqrt(_FAR_OFF / np.maximum(off, _FAR_OFF))
    return {**before, **dict(zip(names, map(float, found), strict=True))}


def _kind(name: Hashable) -> str:
    assert isinstance(name, tuple)
    return str(name[0])


def _engines(name: Hashable) -> tuple[str, ...]:
    assert isinstance(name, tuple)
    return name[1:]


def _reach(name: Hashable, most: float) -> float:
    """How many times more than was seen a term is to hold for. most: that was seen."""
    return max(1.0, _LARGE / most) if _kind(name) in _BYTES and most else 1.0


def _sizes(matrix: _Vector) -> _Vector:
    """Of each column, what it usually is where it is anything."""
    counts = np.maximum(1, np.count_nonzero(matrix, axis=0))
    found: _Vector = np.sqrt((matrix**2).sum(axis=0) / counts)
    return found


def _solved(matrix: _Vector, wanted: _Vector, ridge: _Vector, guess: _Vector) -> _Vector:
    """The least squares of zero or more, near a guess."""
    scale = np.where(ridge > 0.0, ridge, 1.0)  # bytes and seconds differ by ten orders
    both = np.concatenate([matrix / scale, np.diag(ridge / scale)])
    solution, _ = scipy.optimize.nnls(both, np.concatenate([wanted, ridge * guess]))
    found: _Vector = solution / scale
    return found


def _is_known(observed: Observed, terms: Terms) -> bool:
    return all(name in terms for name in features(observed))


def _with_terms(calibration: Calibration, terms: Terms) -> Calibration:
    engines = [each.engine for each in calibration.ends if each.precision == _FLOAT32]
    crossings = (
        Crossing(s, t, Seconds(terms["border", s, t]), terms["take", s, t])
        for s, t in permutations(engines, 2)
    )
    ends = (_ends_with(each, terms) for each in calibration.ends)
    return replace(calibration, ends=tuple(ends), crossings=tuple(crossings))


def _ends_with(ends: Ends, terms: Terms) -> Ends:
    """They are called in float32 in every precision."""
    name = ends.engine
    if ("launch", name) not in terms:
        return ends
    launch, tensor = Seconds(terms["launch", name]), Seconds(terms["tensor", name])
    return replace(ends, launch=launch, per_tensor=tensor, give_per_byte=terms["give", name])
