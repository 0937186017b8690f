"""For tests that need OpenVINO to run something.

Its plug-in takes Intel's processors only, its own package those of AMD and ARM, too.
"""

from __future__ import annotations

import pytest

from workers.discovery import engine_availability


def require_openvino(engine: str = "openvino") -> None:
    """Skip the test, and say why, where this way to OpenVINO has no device."""
    found = engine_availability(engine)
    if not found.available:
        pytest.skip(found.reason)
