"""For tests that need OpenVINO to run something: its plugin takes Intel's processors only."""

from __future__ import annotations

import pytest

from workers.discovery import engine_availability


def require_openvino() -> None:
    """Skip the test, and say why, where OpenVINO has no device."""
    found = engine_availability("openvino")
    if not found.available:
        pytest.skip(found.reason)
