"""Archives of arrays, whole and damaged."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from tuner.learning.archives import archive_of, arrays_of

ARRAYS = {"numbers": np.arange(40.0), "names": np.array("some text")}


def test_what_was_put_in_comes_out_and_the_bytes_are_the_same() -> None:
    archive = archive_of(ARRAYS)
    found = arrays_of(archive)
    assert set(found) == set(ARRAYS)
    assert np.array_equal(found["numbers"], ARRAYS["numbers"])
    assert archive_of(found) == archive


def test_any_damage_is_a_value_error_or_changes_nothing_that_is_read() -> None:
    archive = archive_of(ARRAYS)
    random = np.random.default_rng(0)
    damages = 0
    for _ in range(400):
        damaged = bytearray(archive)
        for at in random.integers(0, len(damaged), 3):
            damaged[at] = random.integers(0, 256)
        with contextlib.suppress(ValueError):
            arrays_of(bytes(damaged))
            continue
        damages += 1
    assert damages > 200


@pytest.mark.parametrize("archive", [b"", b"PK", b"not one at all"])
def test_what_is_no_archive(archive: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        arrays_of(archive)
