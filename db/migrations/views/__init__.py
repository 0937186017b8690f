"""The views of each schema that changed them, as SQL."""

from __future__ import annotations

from collections.abc import Iterator

from db.migrations.views import schema_0006, schema_0008, schema_0009


def views(dialect: str) -> Iterator[str]:
    """What makes the views of the newest schema where there are none; a migration adds its own.

    dialect: ``sqlite`` or ``postgresql``.
    """
    yield from schema_0006.statements(dialect)
    yield from schema_0008.statements()
    yield from schema_0009.statements(dialect)
