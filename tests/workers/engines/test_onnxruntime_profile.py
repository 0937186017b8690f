"""What is told of kernels while others use the machine."""

from __future__ import annotations

import pytest

from workers.engines.onnxruntime_profile import undisturbed


def test_a_run_in_which_the_processor_was_taken_away_does_not_count() -> None:
    assert undisturbed([3e-6, 4e-6, 3e-6, 2.7e-3]) == pytest.approx(3.375e-6)


def test_ticks_of_the_clock_are_not_taken_for_disturbances() -> None:
    assert undisturbed([0.0, 0.0, 0.0, 1e-6]) == pytest.approx(0.25e-6)


def test_what_varies_stays() -> None:
    assert undisturbed([10e-6, 12e-6, 17e-6]) == pytest.approx(13e-6)
