"""A store that holds what a run's trials point to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from db.store import Store
from tests.db.samples import fill


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(":memory:") as opened:
        yield fill(opened)
