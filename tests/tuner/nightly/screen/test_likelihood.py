"""The likelihood of a step against brute force and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from tests.tuner.nightly.screen.nights import autoregressive, quiet
from tuner.nightly.screen.likelihood import Evidence, likelihood
from tuner.nightly.screen.scores import noise, residuals

UNSURE = 0.002
SIZES = (1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 20.0)


def evidence(
    values: np.ndarray, shortest: int = 2, known: frozenset[int] = frozenset()
) -> Evidence:
    return likelihood(values, np.full(len(values), UNSURE), 20, shortest, known)


def test_is_the_sum_of_all_likelihood_ratios():
    values = autoregressive(64, 0.5, seed=3)
    values[58:] += 0.02
    before = 50
    distances = residuals(values, np.full(64, UNSURE), before)
    usual = noise(distances[:before])

    def density(new: float) -> float:
        core = float(student.pdf(new, before - 1, scale=usual.deviation))
        rare = 0.5 / 51
        return (1 - 2 * rare) * core + rare * 8 / (8 + abs(new)) ** 2

    def joint(step: float, first: int) -> float:
        off = distances - usual.mean - step * (np.arange(64) >= first)
        carried = np.where(np.abs(off) <= 4, usual.correlation * off, 0.0)
        return np.prod([density(off[night] - carried[night - 1]) for night in range(50, 64)])

    none = joint(0.0, 64)
    ratios = {
        first: float(np.mean([joint(size, first) / none for size in SIZES]))
        for first in range(50, 63)
    }
    seen = evidence(values).up
    assert seen.p_value == pytest.approx(1 / sum(ratios.values()))
    assert seen.age == 64 - max(ratios, key=lambda first: ratios[first])


@pytest.mark.parametrize("sign", [1, -1])
def test_five_deviations_are_seen_on_the_second_night(sign):
    values = quiet(102)
    values[100:] += sign * 0.05
    seen = evidence(values)
    step, other = (seen.up, seen.down) if sign > 0 else (seen.down, seen.up)
    assert step.p_value < 0.001
    assert step.age == 2
    assert other.p_value > 0.2


def test_one_night_counts_where_one_is_enough():
    values = quiet(101)
    values[100] += 0.05
    assert evidence(values, shortest=1).up.p_value < 0.02
    assert evidence(values, shortest=2).up.p_value > 0.1


def test_spikes_are_nothing_new_where_there_have_been_some():
    values = quiet(102)
    values[100:] += 0.1
    without = evidence(values).up.p_value
    values[5:100:10] += 0.1
    assert evidence(values).up.p_value > 10 * without


def test_a_spike_within_a_step_does_not_hide_it():
    values = quiet(103)
    values[3:100:20] += 0.1
    values[100:] -= 0.05
    values[101] += 0.15
    assert evidence(values).down.p_value < 0.004


def test_what_is_known_to_have_changed_makes_a_step_likelier():
    values = quiet(105)
    values[100:] += 0.02
    assert evidence(values, known=frozenset({5})).up.p_value < evidence(values).up.p_value
    assert evidence(values, known=frozenset({5})).up.age == 5
    assert evidence(values, known=frozenset({300})) == evidence(values)


def test_history_is_kept_free_of_steps():
    values = quiet(60)
    values[30:] += 0.05
    unsure = np.full(60, UNSURE)
    assert likelihood(values[:42], unsure[:42], 20, 2).up.p_value < 0.001
    assert likelihood(values[:42], unsure[:42], 40, 2).up.p_value > 0.02


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_p_values_are_rates_of_alarms(rho):
    seen = [evidence(autoregressive(100, rho, seed)) for seed in range(400)]
    smallest = [min(one.up.p_value, one.down.p_value) for one in seen]
    # Nights with an alarm come in clusters, of about three.
    assert np.mean(np.array(smallest) <= 0.02) <= 3 * 0.02
