"""Accuracy: which metric is chosen, what it gives, and what broken outputs are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from farm.accuracy import (
    AccuracyMetric,
    MetricKind,
    accuracy,
    choose_metric,
    load_metric,
    sqnr_db,
    wilson,
)
from farm.errors import DataError, OptionError

COSINE = AccuracyMetric(MetricKind.COSINE, "cosine")
TOP1 = AccuracyMetric(MetricKind.TOP1, "top1")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


# --- the choice


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        ([softmax(3 * normal(50, 1, 10))], MetricKind.AGREEMENT),
        ([softmax(3 * normal(50, 1, 1, 10))], MetricKind.AGREEMENT),
        ([normal(50, 1, 10)], MetricKind.COSINE),  # may be logits, may be an embedding
        ([np.full((50, 1, 1000), 1e-3, np.float32)], MetricKind.COSINE),  # nothing leads
        ([np.tile(softmax(np.arange(4.0)), (50, 1, 1))], MetricKind.COSINE),  # always the same
        ([softmax(normal(50, 4420, 2)), normal(50, 4420, 4)], MetricKind.COSINE),
        ([softmax(normal(50, 30, 2))], MetricKind.COSINE),  # a row per place, not per sample
        ([np.ones((50, 1, 1), np.float32)], MetricKind.COSINE),
        ([np.arange(50)], MetricKind.EXACT),
    ],
)
def test_without_labels(outputs, kind):
    metric = choose_metric(outputs, None)
    assert (metric.kind, metric.name) == (kind, str(kind))


def test_with_labels_the_first_output_with_scores_counts():
    labels = np.arange(30) % 5
    metric = choose_metric([normal(30, 7, 4), normal(30, 1, 5), normal(30, 1, 9)], labels)
    assert (metric.kind, metric.output) == (MetricKind.TOP1, 1)
    assert choose_metric([labels.reshape(30, 1)], labels).output == 0


def test_labels_that_no_output_can_answer():
    with pytest.raises(DataError) as caught:
        choose_metric([normal(30, 1, 5), normal(30, 8, 8)], np.full(30, 5))
    assert str(caught.value) == (
        "The data has labels up to 5, and no output of the model has one score per class (their "
        "shapes: [1, 5], [8, 8]); give a metric with --metric module:function, or leave the "
        "labels out."
    )


# --- values


def test_top1_with_its_interval():
    scores = np.eye(4, dtype=np.float32)[np.arange(40) % 4].reshape(40, 1, 4)
    labels = np.arange(40) % 4
    labels[:10] = (labels[:10] + 1) % 4
    result = accuracy(TOP1, [scores], [scores], labels)
    assert (result.metric, result.value, result.samples) == ("top1", 0.75, 40)
    assert result.low == pytest.approx(0.5981, abs=1e-4)
    assert result.high == pytest.approx(0.8581, abs=1e-4)
    assert result.sqnr_db is None, "equal outputs have no noise"
    assert result.note == ""


def test_top1_without_labels_is_an_error():
    scores = normal(12, 1, 4)
    with pytest.raises(DataError, match="needs labels"):
        accuracy(TOP1, [scores], [scores], None)


def test_agreement_is_with_the_baseline():
    reference = softmax(3 * normal(50, 1, 10))
    other = reference.copy()
    other[:5] = np.roll(other[:5], 1, axis=-1)
    metric = choose_metric([reference], None)
    assert accuracy(metric, [reference], [reference], None).value == 1.0
    result = accuracy(metric, [other], [reference], None)
    assert result.value == 0.9
    assert result.sqnr_db is not None


def test_cosine_takes_the_worst_output():
    first, second = normal(20, 1, 100), normal(20, 3, 3)
    noisy = second + 0.3 * normal(20, 3, 3, seed=1)
    result = accuracy(COSINE, [first, noisy], [first, second], None)
    flat, other = second.reshape(20, -1), noisy.reshape(20, -1)
    cosine = (flat * other).sum(1) / np.linalg.norm(flat, axis=1) / np.linalg.norm(other, axis=1)
    assert result.value == pytest.approx(cosine.mean(), abs=1e-6)
    assert (result.low, result.high) == (None, None)


def test_one_number_per_sample_is_compared_over_the_samples():
    reference = softmax(normal(50, 2))[:, :1].reshape(50, 1, 1)
    shuffled = reference[::-1].copy()
    assert accuracy(COSINE, [reference], [reference], None).value == pytest.approx(1)
    assert accuracy(COSINE, [shuffled], [reference], None).value < 0.95


def test_zero_outputs():
    zero, one = np.zeros((5, 4), np.float32), np.ones((5, 4), np.float32)
    assert accuracy(COSINE, [zero], [zero], None).value == 1
    assert accuracy(COSINE, [one], [zero], None).value == 0
    assert accuracy(COSINE, [zero], [one], None).value == 0


def test_outputs_that_are_empty_are_equal():
    empty = [normal(20, 0, 4)]
    metric = choose_metric(empty, None)
    assert (metric.kind, accuracy(metric, empty, empty, None).value) == (MetricKind.COSINE, 1.0)


def test_exact_match_of_integers():
    reference = [np.arange(10).reshape(10, 1), np.zeros((10, 2), np.int64)]
    other = [reference[0].copy(), reference[1].copy()]
    other[0][3] = 99
    other[1][7, 1] = 1
    metric = choose_metric(reference, None)
    assert accuracy(metric, other, reference, None).value == 0.8


def test_sqnr():
    reference = np.full((4, 10), 2.0, np.float32)
    assert sqnr_db([reference + np.float32(0.02)], [reference]) == pytest.approx(40, abs=1e-3)
    assert sqnr_db([reference], [reference]) is None
    assert sqnr_db([np.arange(4)], [np.arange(4)]) is None


# --- broken outputs


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("metric", [TOP1, COSINE])
def test_outputs_that_are_no_numbers_are_worth_nothing(metric, value):
    reference = normal(12, 1, 4)
    broken = reference.copy()
    broken[3, 0, 1] = broken[7, 0, 0] = value
    result = accuracy(metric, [broken], [reference], np.zeros(12, np.int64))
    assert (result.value, result.samples) == (0.0, 12)
    assert result.note == "output 0 has NaN or infinity in 2 samples"


def test_infinity_where_the_baseline_has_it_is_no_fault():
    reference = normal(12, 1, 8)
    reference[:, :, 0] = -np.inf
    result = accuracy(COSINE, [reference * 1.01], [reference], None)
    assert result.value == pytest.approx(1)
    assert result.note == ""


def test_outputs_of_another_shape_or_number():
    reference = [normal(12, 1, 4)]
    result = accuracy(COSINE, [normal(12, 1, 5)], reference, None)
    assert result.value == 0
    assert result.note == "output 0 has shape [1, 5], the baseline's has [1, 4]"
    assert "the run gave 2 outputs" in accuracy(COSINE, reference * 2, reference, None).note


# --- the user's metric


def test_a_metric_from_a_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "def score(outputs, labels):\n    return (outputs[0][:, 0] > 0).mean() + len(labels)\n"
    )
    metric = load_metric("mine:score")
    outputs = [np.array([[1.0], [-1.0]])]
    result = accuracy(metric, outputs, outputs, np.array([0, 1]))
    assert (metric.name, result.metric, result.value) == ("mine:score", "mine:score", 2.5)


def test_a_metric_from_an_installed_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_metric("farm.accuracy:sqnr_db").function is sqnr_db


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", "Metric 'mine' must have the form module:function."),
        (":score", "Metric ':score' must have the form module:function."),
        (
            "nowhere_at_all:score",
            (
                "Metric 'nowhere_at_all:score' needs the module 'nowhere_at_all', which Python "
                "does not find; install it or run the command in its folder."
            ),
        ),
        ("math:score", "Metric 'math:score': module 'math' has no such function."),
        (
            "broken:score",
            (
                "Metric 'broken:score' cannot be used: loading 'broken' raised "
                "ZeroDivisionError('division by zero')."
            ),
        ),
    ],
)
def test_metrics_that_cannot_be_loaded(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(OptionError) as caught:
        load_metric(name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda outputs, labels: labels[0], "raised TypeError"),
        (lambda outputs, labels: math.nan, "gave nan, which is not a finite number"),
        (lambda outputs, labels: "high", "raised ValueError"),
    ],
)
def test_metrics_that_fail(function, message):
    metric = AccuracyMetric(MetricKind.USER, "m:f", function=function)
    with pytest.raises(OptionError, match=message):
        accuracy(metric, [normal(3, 1)], [normal(3, 1)], None)


# --- properties

FLOATS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.floats(-1e3, 1e3, width=32),
)


@settings(max_examples=60, deadline=None)
@given(FLOATS)
def test_equal_outputs_are_worth_one(outputs):
    metric = choose_metric([outputs], None)
    assert accuracy(metric, [outputs], [outputs], None).value == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(FLOATS, st.integers(0, 1000))
def test_cosine_is_between_zero_and_one(outputs, seed):
    noise = np.random.default_rng(seed).standard_normal(outputs.shape).astype(np.float32)
    assert 0 <= accuracy(COSINE, [outputs + noise], [outputs], None).value <= 1


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_interval_holds_the_share(data):
    samples = data.draw(st.integers(1, 2000))
    hits = data.draw(st.integers(0, samples))
    low, high = wilson(hits, samples)
    assert 0 <= low <= hits / samples + 1e-12
    assert hits / samples - 1e-12 <= high <= 1
    mirrored = wilson(samples - hits, samples)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))
