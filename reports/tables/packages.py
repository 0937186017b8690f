"""Packages and plans of memory."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from farm.codegen.package.manifest import Manifest, Port
from farm.plan.memory.portions import PortionSolution
from farm.plan.solution import Status
from farm.units import counted, format_bytes, format_seconds
from reports.tables.cells import add, is_visible, share_cell
from tuner.planning.memory import Planned


def package_table(manifest: Manifest) -> Table:
    """What a package needs and reaches."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for name, value in _package_rows(manifest):
        add(table, name, value)
    return table


def plan_lines(planned: Planned) -> list[str]:
    """What a plan of memory found."""
    solution = planned.solution
    count = len(planned.problem.buffers)
    buffers = counted(count, "buffer")
    if not planned.fits:
        return [f"{buffers} {'does' if count == 1 else 'do'} not fit: {solution.binding}"]
    bound = (
        "which is proven to be the least"
        if solution.status is Status.OPTIMAL
        else f"{solution.gap:.2%} above the bound of {solution.lower_bound:,}"
    )
    where = "arena"
    if isinstance(solution, PortionSolution):
        where = counted(len(solution.sizes), "portion")
    found = f"{buffers} in {counted(solution.height, 'byte')} ({where}), {bound}"
    return [f"{found}; planned in {format_seconds(solution.seconds)}."]


def _port(port: Port) -> str:
    """``image: uint8 [1, 3, 16, 16]``."""
    return f"{port.name}: {port.dtype} {list(port.shape)}"


def _package_rows(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield "device", f"{manifest.profile} ({manifest.target})"
    yield "precision", manifest.precision
    for what, ports in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        yield what, ", ".join(map(_port, ports))
    if manifest.packets is not None:
        yield "packets of one run", f"{manifest.packets:,} (emulated)"
    for name, size in (
        ("arena", manifest.arena_bytes),
        ("scratch memory", manifest.scratch_bytes),
        ("weights", manifest.weight_bytes),
        ("code", manifest.code_bytes),
    ):
        yield name, f"{format_bytes(size)} ({size:,} B)"
    if found := manifest.accuracy:
        itself = f"of the model itself {share_cell(found.float_value)}, on {found.samples} samples"
        yield f"accuracy ({found.metric})", f"{share_cell(found.value)}, {itself}"
        if is_visible(found.worst):
            yield "least alike", f"output {found.worst}"
        yield from (("accuracy", note) for note in found.notes)
    yield "test vectors", f"{manifest.vectors}, agree bit for bit"
    yield "compiler", manifest.compiler
    yield from (("note", note) for note in manifest.notes)
