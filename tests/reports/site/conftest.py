"""Places for stores whose pages are served: a file, and a throw-away PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.db.conftest import new_database, postgres_server

__all__ = ["new_database", "postgres_server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store can be made."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("new_database")())
    return str(tmp_path / "farm.db")
