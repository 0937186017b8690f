"""For tests that run something by Qualcomm's compiler and its emulator."""

from __future__ import annotations

import pytest

from farm.candidate import Candidate, FloatType, GivenFormat, OnnxRuntimeQnn, Precision, StaticInt8
from workers.discovery import engine_availability

QUANTISED = Candidate(OnnxRuntimeQnn(), Precision(FloatType.FLOAT16, StaticInt8()))
AS_GIVEN = Candidate(OnnxRuntimeQnn(), Precision(FloatType.FLOAT16, given=GivenFormat.QUANTISED))


def require_qnn() -> None:
    """Skip the test, and say why, where Qualcomm's package is not installed."""
    found = engine_availability(OnnxRuntimeQnn().kind)
    if not found.available:
        pytest.skip(found.reason)
