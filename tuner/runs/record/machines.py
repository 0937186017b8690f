"""Machines and their software, as the store has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from db import records
from db.records import Software

if TYPE_CHECKING:  # whoever only looks something up runs nothing
    from db.store import Store
    from workers.jobs import DeviceFacts


def add_machine(store: Store, facts: DeviceFacts) -> tuple[str, str]:
    """Enter a worker's machine and software; their ids."""
    machine = machine_of(facts)
    software = Software.identify(json.dumps(facts.software, sort_keys=True))
    store.add_machine(machine)
    store.add_software(software)
    return machine.id, software.id


def machine_of(facts: DeviceFacts) -> records.Machine:
    """A worker's machine as the store has it."""
    print_ = facts.machine
    details = {
        "isa": print_.isa,
        "caches": print_.caches,
        "system": print_.system,
        "governor": print_.governor,
    }
    return records.Machine.identify(
        print_.hostname,
        print_.cpu,
        print_.cores,
        print_.memory_bytes,
        json.dumps(details, sort_keys=True),
    )
