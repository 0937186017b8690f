"""The devices that a head's machines offer, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from farm.text import printable
from reports.rows import dump
from workers.cluster.offers import Offer, Use


def offers_table(rows: Sequence[tuple[Offer, Use | None]]) -> Table:
    """Devices, their machines, and who uses them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("device", "host", "address", "since", "used by"):
        table.add_column(name, overflow="fold")
    for offer, use in rows:
        shown = (offer.profile.name, offer.host, offer.address, offer.since, str(use or "nobody"))
        table.add_row(*(Text(printable(cell)) for cell in shown))
    return table


def offers_json(rows: Sequence[tuple[Offer, Use | None]]) -> str:
    """The list that ``farm worker list --json`` prints."""
    return dump(
        [
            {
                "device": offer.profile.name,
                "kind": str(offer.profile.kind),
                "host": offer.host,
                "address": offer.address,
                "since": offer.since,
                "used_by": asdict(use) if use else None,
            }
            for offer, use in rows
        ]
    )
