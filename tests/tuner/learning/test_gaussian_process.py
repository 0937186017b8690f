"""Gaussian processes: known values, gradients, folds that are left out, states."""

import json

import numpy as np
import pytest
from scipy.optimize import check_grad

from tuner.learning.statistics.covariance import Columns, Distances, Smoothness
from tuner.learning.statistics.gaussian_process import (
    GaussianProcess,
    Posterior,
    _Likelihood,
)

MIXED = Columns((0, 0, 1, 2), (False, False, False, True))


def rows(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs = np.column_stack([random.uniform(-2, 2, (count, 3)), random.integers(0, 3, count)])
    targets = np.sin(2 * inputs[:, 0]) + 0.3 * inputs[:, 2] + 0.5 * (inputs[:, 3] == 1)
    return inputs, targets + 0.01 * random.normal(size=count)


def test_posterior_of_one_row_is_the_textbooks() -> None:
    """With one row at 0 and y = 1: mean k y / (k0 + noise), variance k0 + n - k^2 / (k0 + n)."""
    process = GaussianProcess.fit(
        np.array([[0.0]]), np.array([1.0]), Columns.numeric([0]), steps=0
    )
    level, _, numbers, names, both = np.exp(2 * process.logs[:5])
    noise, far = np.exp(2 * process.logs[-1]), np.sqrt(5.0) * 2.0 / np.exp(process.logs[7])
    across = level + names + (numbers + both) * (1 + far + far**2 / 3) * np.exp(-far)
    found = process.predict(np.array([[2.0]]))
    own = level + numbers + names + both + noise
    trend = np.exp(2 * process.logs[1]) * 4.0
    assert found.mean[0] == pytest.approx(across / own, rel=1e-6)
    assert found.variance[0] == pytest.approx(own + trend - across**2 / own, rel=1e-6)


@pytest.mark.parametrize("clusters", [1, 5], ids=["alone", "clustered"])
@pytest.mark.parametrize("smoothness", Smoothness)
def test_gradient_is_that_of_differences(smoothness: Smoothness, clusters: int) -> None:
    inputs, targets = rows(30)
    noise = np.linspace(0.0, 0.2, 30)
    of = np.arange(30) % clusters - float(clusters == 1)
    distances = Distances.of(inputs, inputs, MIXED, of, of)
    problem = _Likelihood(distances, targets, noise, smoothness)
    expected = np.zeros(11)
    at = np.array([-0.3, -1.0, 0.2, -0.4, -0.1, -0.3, -0.6, 0.4, 0.1, -0.2, -1.5])
    off = check_grad(
        lambda logs: problem.cost(logs, expected)[0],
        lambda logs: problem.cost(logs, expected)[1],
        at,
    )
    assert off < 1e-4


def test_it_finds_a_function_of_numbers_and_names() -> None:
    inputs, targets = rows(120)
    others, truth = rows(60, seed=2)
    process = GaussianProcess.fit(inputs, targets, MIXED)
    found = process.predict(others)
    assert np.median(np.abs(found.mean - truth)) < 0.05
    inside = np.abs(found.mean - truth) <= 1.645 * np.sqrt(found.variance)
    assert inside.mean() > 0.8


def test_left_out_folds_are_as_if_fitted_without_them() -> None:
    inputs, targets = rows(40)
    noise = np.full(40, 0.01)
    process = GaussianProcess.fit(inputs, targets, MIXED, noise=noise)
    folds = [index % 4 for index in range(40)]
    out = np.array(folds) == 1
    found = process.left_out(folds)
    without = GaussianProcess(
        process.columns,
        process.smoothness,
        inputs[~out],
        process.clusters[~out],
        process.residuals[~out],
        process.noise[~out],
        process.unit,
        process.logs,
        process.centre,
        process.scale,
    ).predict(inputs[out])
    assert found.mean[out] == pytest.approx(without.mean, rel=1e-4, abs=1e-6)
    assert found.variance[out] == pytest.approx(without.variance, rel=1e-3)


def clustered(clusters: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Rows whose clusters differ by 0.5 and have one size each, of which nothing depends."""
    random = np.random.default_rng(seed)
    sizes = np.repeat(random.uniform(-2, 2, clusters), each)
    kinds = np.tile(np.arange(each) % 3, clusters).astype(float)
    own = np.repeat(0.5 * random.normal(size=clusters), each)
    targets = 0.4 * kinds + own + 0.02 * random.normal(size=len(sizes))
    return np.column_stack([sizes, kinds]), targets, [f"m{i // each}" for i in range(len(sizes))]


def likelihood(told: Posterior, truth: np.ndarray) -> float:
    """The mean logarithm of it, of single rows."""
    return float(
        np.mean(-0.5 * np.log(told.variance) - (told.mean - truth) ** 2 / told.variance / 2)
    )


def test_what_a_cluster_shares_is_not_taken_for_what_its_size_does() -> None:
    inputs, targets, clusters = clustered(20, 9, seed=1)
    columns = Columns((0, 1), (False, True))
    found = GaussianProcess.fit(inputs, targets, columns, clusters=clusters)
    others, truth, names = clustered(40, 9, seed=2)
    told = found.predict(others)
    inside = np.abs(told.mean - truth) <= 1.645 * np.sqrt(told.variance)
    assert 0.8 <= inside.mean() <= 0.97
    assert np.sqrt(np.median(told.variance)) == pytest.approx(0.5, rel=0.3)
    naive = GaussianProcess.fit(inputs, targets, columns).predict(others)
    assert likelihood(told, truth) > likelihood(naive, truth) + 0.1
    left_out = found.left_out(clusters)
    assert np.std(targets - left_out.mean) == pytest.approx(0.5, rel=0.5)
    assert len(set(names)) == 40


def test_prior_is_what_far_rows_return_to() -> None:
    inputs, targets = rows(50)
    prior = np.full(50, 3.0)
    process = GaussianProcess.fit(inputs, targets + 3.0, MIXED, prior=prior)
    same = GaussianProcess.fit(inputs, targets, MIXED)
    given = inputs[:5]
    assert process.predict(given, prior[:5]).mean == pytest.approx(same.predict(given).mean + 3.0)


def test_row_with_more_noise_counts_less() -> None:
    inputs = np.array([[0.0], [0.0]])
    process = GaussianProcess.fit(
        inputs,
        np.array([0.0, 1.0]),
        Columns.numeric([0]),
        noise=np.array([0.0, 100.0]),
        steps=0,
    )
    assert process.predict(np.array([[0.0]])).mean[0] < 0.05


def test_state_is_plain_numbers_and_gives_the_same_process() -> None:
    inputs, targets = rows(30)
    process = GaussianProcess.fit(inputs, targets, MIXED)
    text = json.dumps({name: array.tolist() for name, array in process.state().items()})
    read = {name: np.array(values) for name, values in json.loads(text).items()}
    again = GaussianProcess.of_state(read)
    others, _ = rows(10, seed=3)
    assert np.array_equal(again.predict(others).mean, process.predict(others).mean)
    assert np.array_equal(again.predict(others).variance, process.predict(others).variance)


def test_same_rows_give_the_same_process() -> None:
    inputs, targets = rows(30)
    one, two = (GaussianProcess.fit(inputs, targets, MIXED) for _ in range(2))
    assert np.array_equal(one.logs, two.logs)
