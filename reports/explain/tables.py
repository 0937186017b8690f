"""What ``farm explain`` shows: operators side by side, and sentences below them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from farm.measurement import Method
from farm.units import counted, format_seconds
from reports.tables.cells import MISSING, value_cell
from reports.tables.layout import Column, Rows
from tuner.explain.explanation import Explanation, Fallback, OperatorRow, Side
from tuner.explain.rows import kinds_in

_MOST_ROWS = 20  # the longest ones, which people read; JSON has all
_NAMED = 6  # operators of a row or a sentence that are named
_KINDS = 1  # kernels of a row that are named


def explanation_table(found: Explanation) -> Rows:
    """The operators that take longest on either side, the longest first."""
    against = found.operators[0].against_seconds is not None if found.operators else False
    table = Rows(
        (
            Column("share", right=True),
            Column("time", right=True),
            *((Column("other time", right=True), Column("times", right=True)) if against else ()),
            Column("operator", wraps=24),
            Column("type", below=2),
            Column("kernel", wraps=16, below=3),
            *((Column("other kernel", wraps=16, below=1),) if against else ()),
        ),
        title=_title(found),
    )
    rows = sorted(found.operators, key=lambda row: -max(row.seconds, row.against_seconds or 0.0))
    for row in rows[:_MOST_ROWS]:
        table.add(*_cells(row, against=against))
    if rest := rows[_MOST_ROWS:]:
        table.add(*_rest(rest, against=against))
    return table


def explanation_lines(found: Explanation) -> Iterator[str]:
    """What there is to say below the table."""
    if found.trial.kernels:
        yield from _times(found.trial, "Its kernels")
    if found.against and found.against.kernels:
        yield from _times(found.against, "The other's kernels")
    yield from _conversions(found)
    yield from _unfused(found)
    yield from map(_fallback, found.fallbacks)
    for decision in found.decisions:
        why = _without(decision.why, decision.what)
        yield f"{decision.what}: {why}." if why else f"{decision.what}."
    yield from found.notes


def _title(found: Explanation) -> str:
    title = f"{found.trial.label} on {found.trial.place}"
    against = found.against
    return f"{title}, other: {against.label} on {against.place}" if against else title


def _cells(row: OperatorRow, *, against: bool) -> list[str]:
    cells = [f"{row.share:.1%}", format_seconds(row.seconds) if row.kernel else MISSING]
    other = row.against_seconds
    if against:
        cells += [format_seconds(other) if row.against_kernel and other is not None else MISSING]
        cells += [f"{row.seconds / other:.2f}" if other and row.seconds else MISSING]
    cells += [_names(row), row.op_type or MISSING, _kinds(row.kernel)]
    return [*cells, _kinds(row.against_kernel)] if against else cells


def _rest(rows: Sequence[OperatorRow], *, against: bool) -> list[str]:
    seconds, other = (
        sum(row.seconds for row in rows),
        sum(row.against_seconds or 0.0 for row in rows),
    )
    cells = [f"{sum(row.share for row in rows):.1%}", format_seconds(seconds)]
    if against:
        cells += [format_seconds(other), f"{seconds / other:.2f}" if other else MISSING]
    return [*cells, f"{counted(len(rows), 'more row')} (--json has all)"]


def _kinds(kernel: str) -> str:
    """The kinds that take longest."""
    kinds = kinds_in(kernel)
    more = [f"{len(kinds) - _KINDS} more"] if len(kinds) > _KINDS else []
    return " + ".join([*kinds[:_KINDS], *more]) or MISSING


def _names(row: OperatorRow) -> str:
    if not row.name:
        return "not mapped"
    names = (row.name, *row.fused)
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {counted(more, 'more operator')}" if more > 0 else shown


def _times(side: Side, what: str) -> Iterator[str]:
    """What kernels take together, and the latency that was measured without a profiler."""
    if side.latency is None:
        return
    if side.method is not Method.MEASURED:
        yield f"{what} have their shares of packets in {value_cell(side.latency)}."
        return
    share = side.seconds / side.latency.value
    yield (
        f"{what} take {format_seconds(side.seconds)} together, the profiler's own time "
        f"subtracted: {share:.1%} of the latency of trial {side.measured[:8]}, which was measured "
        f"without it: {value_cell(side.latency)}."
    )


def _conversions(found: Explanation) -> Iterator[str]:
    if not found.conversions:
        return
    kinds: dict[str, list[float]] = defaultdict(list)
    for each in found.conversions:
        kinds[each.kind].append(each.share)
    told = ", ".join(
        f"{kind} {sum(shares):.1%} ({len(shares)})"
        for kind, shares in sorted(kinds.items(), key=lambda item: -sum(item[1]))
    )
    whole = sum(each.share for each in found.conversions)
    kernels = counted(len(found.conversions), "kernel")
    yield f"Conversions take {whole:.1%} of the time, in {kernels}: {told}."


def _unfused(found: Explanation) -> Iterator[str]:
    if not found.unfused:
        return
    names = ", ".join(each.name for each in found.unfused[:_NAMED])
    more = len(found.unfused) - _NAMED
    names += f" and {counted(more, 'more operator')}" if more > 0 else ""
    chain = " -> ".join(found.unfused[0].kernels)
    share = sum(each.share for each in found.unfused)
    yield f"Unfused, with {share:.1%} of the time: {names} ({chain})."


def _fallback(each: Fallback) -> str:
    what = each.name or counted(each.operators, "operator")
    share = "" if each.share is None else f", {each.share:.1%} of the time"
    why = f": {each.reason}" if each.reason else ""
    return f"{what}: planned {each.planned}, computed {each.computed}{share}{why}."


def _without(why: str, what: str) -> str:
    """A sentence without the words that it begins with: ``not raced, and its first ...``."""
    return why.removeprefix(what).removeprefix(", and").strip()
