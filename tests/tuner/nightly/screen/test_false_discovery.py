from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from tuner.nightly.screen.false_discovery import adjusted

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array)


def test_the_example_of_benjamini_and_hochberg():
    # Benjamini and Hochberg 1995, section 4: of 15 hypotheses, 4 are rejected at 0.05.
    significant = [0.0001, 0.0004, 0.0019, 0.0095]
    others = [0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    p_values = np.array(significant + others)
    assert np.count_nonzero(adjusted(p_values) <= 0.05) == 4


@settings(max_examples=100, deadline=None, derandomize=True)
@given(probabilities)
def test_agrees_with_scipy(p_values):
    assert adjusted(p_values) == pytest.approx(false_discovery_control(p_values))


def test_no_series_no_rates():
    assert adjusted(np.array([])).size == 0


def test_probabilities_only():
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjusted(np.array([0.5, 1.5]))
