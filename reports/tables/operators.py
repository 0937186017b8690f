"""The kernels of one trial as ``farm results --operators`` shows them."""

from __future__ import annotations

from collections.abc import Iterator

from db.questions.operators.profiles import Share, TrialProfile
from farm.measurement import Method
from farm.units import counted, format_seconds
from reports.tables.cells import MISSING, value_cell
from reports.tables.layout import Column, Rows

_NAMES = 6  # operators of one kernel that a table names


def operators_table(profile: TrialProfile) -> Rows:
    """Kernels, the longest first."""
    packets = profile.method is not Method.MEASURED
    table = Rows(
        (
            Column("share", right=True),
            Column("time", right=True),
            *((Column("packets", right=True, below=2),) if packets else ()),
            Column("kernel", wraps=16, below=3),
            Column("operators", wraps=24),
            Column("precision", below=1),
        ),
        title=f"{profile.candidate} on {profile.device}",
    )
    for each in sorted(profile.shares, key=lambda each: -each.share):
        cells = [f"{each.share:.1%}", _seconds(each)]
        cells += [f"{each.kernel.packets or 0:,}"] if packets else []
        table.add(*cells, each.kernel.kind, _names(each), each.kernel.precision or MISSING)
    return table


def operators_lines(profile: TrialProfile) -> Iterator[str]:
    """What there is to say below the table."""
    yield (
        f"{profile.unmapped:.1%} of all that was profiled is in kernels that could not be mapped "
        "to operators."
    )
    what = {
        Method.MEASURED: "Kernels were timed with a profiler",
        Method.EMULATED: "Packets were counted by the emulator",
        Method.MODELLED: "Packets are modelled",
    }.get(profile.method, "Kernels were looked at")
    if profile.latency is None:
        yield f"{what}."
        return
    without = ", which was measured without one" if profile.method is Method.MEASURED else ""
    yield (
        f"{what}; times are shares of the trial's latency{without}: {value_cell(profile.latency)}."
    )


def _seconds(each: Share) -> str:
    return MISSING if each.seconds is None else format_seconds(each.seconds)


def _names(each: Share) -> str:
    names = each.kernel.operators
    more = len(names) - _NAMES
    shown = ", ".join(names[:_NAMES]) or "not mapped"
    return f"{shown} and {counted(more, 'more operator')}" if more > 0 else shown
