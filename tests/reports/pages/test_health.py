"""Machine health: a page says as loudly as the terminal that a machine was not quiet."""

from __future__ import annotations

from dataclasses import replace

from db.records import Block
from reports.pages.section import Section
from reports.pages.sections.health import health
from tests.db.samples import MACHINE, RUN, block

WAITED = "threads waited for a processor {} of the time"


def blocks(*disturbed: tuple[str, bool], quiet: int = 0) -> list[Block]:
    """disturbed: reason, and whether the block was kept all the same."""
    found = [
        replace(block(n, "trial-0"), kept=kept, reason=reason)
        for n, (reason, kept) in enumerate(disturbed)
    ]
    return [*found, *(block(len(found) + n, "trial-0") for n in range(quiet))]


def shown(*disturbed: tuple[str, bool], quiet: int = 0) -> Section:
    return health(RUN.name, "gpu-0", MACHINE, blocks(*disturbed, quiet=quiet))


def test_what_was_kept_although_disturbed_is_not_called_quiet() -> None:
    loud = shown((WAITED.format("100%"), False), *[(WAITED.format("91%"), True)] * 11)
    assert (
        "Of 12 blocks 1 was rejected, and 11 disturbed but kept, because the machine was not "
        "quiet."
    ) in loud.summary
    assert loud.chart is not None
    drawn = {trace["name"]: len(trace["x"]) for trace in loud.chart.traces}
    assert drawn == {"quiet": 0, "disturbed but kept": 11, "rejected": 1}


def test_reasons_that_differ_in_their_figures_are_one_row() -> None:
    stolen = "the hypervisor took 3% of the processor time"
    waited = [(WAITED.format(f"{share}%"), share != 95) for share in (99, 91, 95, 100)]
    found = shown(*waited, (stolen, False), ("", False), quiet=3).table
    assert found is not None
    assert found.rows == (
        (WAITED.format("91 to 100%"), "1", "3"),
        (stolen, "1", "0"),
        ("no reason was kept", "1", "0"),
    )


def test_a_quiet_machine_has_no_table() -> None:
    found = shown(quiet=8)
    assert "Nothing disturbed its 8 blocks." in found.summary
    assert found.table is None


def test_the_command_asks_for_the_blocks_that_are_shown() -> None:
    assert f"WHERE run = '{RUN.name}' AND device = 'gpu-0'" in shown(quiet=1).commands[0]
