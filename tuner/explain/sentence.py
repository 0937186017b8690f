"""The one sentence: how fast it is beside the other, and which operators make the difference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from farm.measurement import Estimate, Measurement, Method
from farm.units import counted, format_seconds
from tuner.explain.explanation import Conversion, Fallback, OperatorRow, Side, Unfused
from tuner.explain.rows import first_kind, kinds_in
from tuner.racing.statistics import Comparison

_ALIKE = 0.01  # a difference that does not matter
_A_LITTLE = 1.1  # up to here a difference is told in per cent
_EXPLAINS, _MOST_PARTS = 0.8, 2  # so much of the difference is enough, in so many parts
_LEAST_PART = 0.15  # of the difference, to be named
_IN_KERNELS = 0.3  # of the difference must be in the kernels, or they do not explain it
_WORTH_TELLING = 0.05  # of the time
_INSIDE = 0.5  # of the time is in kernels, or that is said
_NAMED = 3  # operators of a part that are named
_KINDS, _OFTEN = 4, 0.3  # kernels of a part that are named, and in how many of its rows they are


@dataclass(frozen=True, slots=True)
class Found:
    """What the kernels of a trial show."""

    operators: Sequence[OperatorRow]
    conversions: Sequence[Conversion] = ()
    unfused: Sequence[Unfused] = ()
    fallbacks: Sequence[Fallback] = ()


def sentence(
    trial: Side,
    against: Side | None,
    name: str,
    comparison: Comparison | None,
    found: Found,
    confirmed: Estimate | None = None,
) -> str:
    """Why a trial is as fast as it is, as far as it is known.

    name: what the other side is called. comparison: of blocks in which both ran. confirmed: the
    ratio that is known without these.
    """
    if trial.latency is None:
        state = f" ({trial.outcome}): {trial.message.rstrip('.')}" if trial.outcome else ""
        return f"{trial.label} was not measured{state or ', its trial is pending'}."
    takes = _latency(trial.latency)
    if against is None or against.latency is None:
        return f"{trial.label} takes {takes}{_clauses(_leading(trial, found), found)}."
    ratio = comparison.ratio if comparison else confirmed
    factor = _factor(trial, against, ratio)
    alike = _are_alike(factor, ratio)
    told = _as_fast(comparison) if alike else _difference(factor)
    both = f"{name} ({takes} against {_latency(against.latency)})"
    if alike or not (trial.kernels and against.kernels):
        return f"{trial.label} {told} {both}{_clauses(_leading(trial, found), found)}."
    why = _why(trial, against, name, found, slower=factor > 1.0)
    return f"{trial.label} {told} {both}{_clauses(why, found)}."


def together(rows: Sequence[OperatorRow]) -> str:
    """``32 Conv operators (a, b, c and 29 more)``; ``Softmax share``."""
    names = [row.name for row in rows if row.name]
    if not names:
        return "what could not be mapped to operators"
    kind = rows[0].op_type
    if len(names) == 1:
        return f"{kind} {names[0]}".strip()
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    what = f"{kind} operator".strip()
    return f"{counted(len(names), what)} ({', '.join(names[:_NAMED])}{more})"


def _latency(found: Measurement) -> str:
    """With the method, if it is not measured."""
    method = "" if found.method is Method.MEASURED else f" {found.method}"
    return f"{format_seconds(found.value)}{method}"


def _factor(trial: Side, against: Side, ratio: Estimate | None) -> float:
    """How many times as long the trial takes."""
    if ratio is not None:
        return 1.0 / ratio.value
    assert trial.latency is not None
    assert against.latency is not None
    return trial.latency.value / against.latency.value


def _are_alike(factor: float, ratio: Estimate | None) -> bool:
    if ratio is not None:
        return ratio.low <= 1.0 <= ratio.high
    return abs(factor - 1.0) <= _ALIKE


def _as_fast(comparison: Comparison | None) -> str:
    if comparison is None:
        return f"is within {_ALIKE:.0%} as fast as"
    return f"is, as far as {counted(comparison.pairs, 'block')} show, as fast as"


def _difference(factor: float) -> str:
    """``takes 2.31 times as long as``, ``is 3.1 % faster than``."""
    if factor > _A_LITTLE:
        return f"takes {factor:.2f} times as long as"
    if factor > 1.0:
        return f"takes {factor - 1:.1%} longer than"
    if factor * _A_LITTLE > 1.0:
        return f"is {1 / factor - 1:.1%} faster than"
    return f"is {1 / factor:.2f} times as fast as"


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one type of operator that the trial runs by one kind of kernel."""

    rows: tuple[OperatorRow, ...]

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows)

    @property
    def share(self) -> float:
        return sum(row.share for row in self.rows)

    @property
    def against_seconds(self) -> float:
        return sum(row.against_seconds or 0.0 for row in self.rows)

    @property
    def loss(self) -> float:
        """Seconds that the trial takes more."""
        return self.seconds - self.against_seconds

    def told(self, whole: str = "its time") -> str:
        """``32 Conv operators (a, b) take 9.8 ms, 80 % of its time, as ConvInteger and Cast``."""
        take = "takes" if len(self.rows) == 1 else "take"
        text = f"{together(self.rows)} {take} {format_seconds(self.seconds)}"
        text += f", {self.share:.0%} of {whole}"
        kinds = _kinds([row.kernel for row in self.rows])
        return f"{text}, as {kinds}" if kinds else text

    def told_beside(self, name: str) -> str:
        """The same, and what the other side takes."""
        kinds = _kinds([row.against_kernel for row in self.rows])
        other = f"{format_seconds(self.against_seconds)} as {kinds}" if kinds else "nothing"
        return f"{self.told()}, and {other} in {name}"


def _parts(rows: Sequence[OperatorRow]) -> list[_Part]:
    groups: dict[tuple[str, str], list[OperatorRow]] = defaultdict(list)
    for row in rows:
        groups[row.op_type, first_kind(row.kernel or row.against_kernel)].append(row)
    return [_Part(tuple(group)) for group in groups.values()]


def _kinds(kernels: Sequence[str]) -> str:
    """``ConvInteger, Cast and Mul``: what most rows have as their longest kernel, then others.

    A kernel that few of the rows have is not named.
    """
    longest = Counter(first_kind(kernel) for kernel in kernels if kernel)
    if not longest:
        return ""
    every = Counter(kind for kernel in kernels for kind in kinds_in(kernel))
    first = longest.most_common(1)[0][0]
    often = [kind for kind, n in every.most_common() if n >= _OFTEN * longest.total()]
    kinds = [first, *(kind for kind in often if kind != first)][:_KINDS]
    return " and ".join([", ".join(kinds[:-1]), kinds[-1]]) if len(kinds) > 1 else first


def _why(trial: Side, against: Side, name: str, found: Found, *, slower: bool) -> str:
    """The parts that make the most of the difference, or that the kernels do not show it."""
    assert trial.latency is not None
    assert against.latency is not None
    sign = 1.0 if slower else -1.0
    difference = sign * (trial.latency.value - against.latency.value)
    in_kernels = sign * (trial.seconds - against.seconds)
    if difference > 0 and in_kernels < _IN_KERNELS * difference:
        return (
            f"; the difference is not in their kernels, which take "
            f"{format_seconds(trial.seconds)} and {format_seconds(against.seconds)} together"
        )
    parts = sorted(_parts(found.operators), key=lambda part: -sign * part.loss)
    told, explained = [], 0.0
    for part in parts[:_MOST_PARTS]:
        gained = sign * part.loss
        if gained <= _LEAST_PART * in_kernels or explained >= _EXPLAINS * in_kernels:
            break
        told.append(part.told_beside(name))
        explained += gained
    return f": {'; '.join(told)}" if told else _most(found)


def _leading(trial: Side, found: Found) -> str:
    """What takes the most time; first, where most of it is in no kernel, that.

    Shares of kernels are of what all kernels take together.
    """
    assert trial.latency is not None
    share = trial.seconds / trial.latency.value if trial.kernels and trial.latency.value else 1.0
    if share >= _INSIDE:
        return _most(found)
    most = _most(found, "the kernels' time")
    return f"; its kernels take {share:.0%} of that{most}"


def _most(found: Found, whole: str = "its time") -> str:
    """What takes the most time. whole: what shares are of."""
    parts = sorted(_parts(found.operators), key=lambda part: -part.seconds)
    return f": {parts[0].told(whole)}" if parts and parts[0].seconds else ""


def _clauses(why: str, found: Found) -> str:
    return "; ".join([why, *_more(found)])


def _more(found: Found) -> Iterator[str]:
    """What else is worth a clause."""
    share = sum(each.share for each in found.conversions)
    if share >= _WORTH_TELLING:
        by_kind: Mapping[str, float] = _shares(found.conversions)
        kinds = ", ".join(sorted(by_kind, key=lambda kind: -by_kind[kind])[:_KINDS])
        yield f"conversions ({kinds}) take {share:.0%} of its time"
    if found.unfused:
        share = sum(each.share for each in found.unfused)
        what = counted(len(found.unfused), "operator")
        yield f"{what} between integers computed in float, in {share:.0%} of its time"
    floats = [each for each in found.fallbacks if each.name]
    if floats:
        each = floats[0]
        names = ", ".join(f.name for f in floats[:_NAMED])
        more = f" and {len(floats) - _NAMED} more" if len(floats) > _NAMED else ""
        yield f"{names}{more} computed in {each.computed}, planned in {each.planned}"


def _shares(conversions: Sequence[Conversion]) -> Mapping[str, float]:
    shares: dict[str, float] = defaultdict(float)
    for each in conversions:
        shares[each.kind] += each.share
    return shares
