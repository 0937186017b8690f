"""Which metric is chosen, top-1 on labels, the user's own, and what broken outputs are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.accuracy.evaluate import accuracy, wilson
from farm.accuracy.metric import (
    AccuracyMetric,
    MetricKind,
    choose_metric,
    default_limit,
    load_metric,
    metric_source,
)
from farm.accuracy.outputs import Reference
from farm.errors import DataError, OptionError

TOP1 = AccuracyMetric(MetricKind.TOP1, "top1")
AGREEMENT = AccuracyMetric(MetricKind.AGREEMENT, "agreement")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# --- the choice


def test_without_labels_it_is_agreement_with_a_limit_of_its_own():
    metric = choose_metric(Reference([normal(50, 1, 10)]), None)
    assert (metric.kind, metric.name) == (MetricKind.AGREEMENT, "agreement")
    assert default_limit(metric.name) == 0.05
    assert default_limit("top1") == default_limit("mine:score") == 0.01


def test_with_labels_the_first_output_with_scores_counts():
    labels = np.arange(30) % 5
    ragged = tuple(normal(n, 3) for n in range(30))
    outputs = [ragged, normal(30, 7, 4), normal(30, 1, 5), normal(30, 1, 9)]
    metric = choose_metric(Reference(outputs), labels)
    assert (metric.kind, metric.output) == (MetricKind.TOP1, 2)
    assert choose_metric(Reference([labels.reshape(30, 1)]), labels).output == 0


def test_labels_that_no_output_can_answer():
    ragged = tuple(normal(n, 3) for n in range(30))
    with pytest.raises(DataError) as caught:
        choose_metric(Reference([normal(30, 1, 5), ragged]), np.full(30, 5))
    assert str(caught.value) == (
        "The data has labels up to 5, and no output of the model has one score per class (their "
        "shapes: [1, 5], one that varies); give a metric with --metric module:function, or leave "
        "the labels out."
    )


# --- values


def test_top1_with_its_interval():
    scores = np.eye(4, dtype=np.float32)[np.arange(40) % 4].reshape(40, 1, 4)
    labels = np.arange(40) % 4
    labels[:10] = (labels[:10] + 1) % 4
    result = accuracy(TOP1, [scores], Reference([scores]), labels)
    assert (result.metric, result.value, result.samples) == ("top1", 0.75, 40)
    assert result.low == pytest.approx(0.5981, abs=1e-4)
    assert result.high == pytest.approx(0.8581, abs=1e-4)
    assert result.notes == ()


def test_top1_counts_scores_that_are_not_finite_as_wrong():
    scores = np.eye(4, dtype=np.float32)[np.arange(40) % 4].reshape(40, 1, 4)
    scores[:4, 0, 0] = np.nan
    result = accuracy(TOP1, [scores], Reference([scores], ("p",)), np.arange(40) % 4)
    assert result.value == 0.9
    assert result.notes == ("Output 'p' has NaN or infinity in 4 of 40 samples.",)


def test_top1_of_nothing_but_nan_cannot_be_judged():
    scores = np.full((12, 1, 4), np.nan, np.float32)
    result = accuracy(TOP1, [scores], Reference([scores], ("p",)), np.zeros(12, np.int64))
    assert result.value is None
    assert result.notes == ("Output 'p' has NaN or infinity in 12 of 12 samples.",)


def test_top1_without_labels_is_an_error():
    scores = normal(12, 1, 4)
    with pytest.raises(DataError, match="needs labels"):
        accuracy(TOP1, [scores], Reference([scores]), None)


# --- broken outputs


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("metric", [TOP1, AGREEMENT])
def test_outputs_that_are_no_numbers_are_worth_nothing(metric, value):
    reference = normal(12, 1, 4)
    broken = reference.copy()
    broken[3, 0, 1] = broken[7, 0, 0] = value
    result = accuracy(metric, [broken], Reference([reference]), np.zeros(12, np.int64))
    assert (result.value, result.samples) == (0.0, 12)
    assert result.notes == ("Output 'output 0' has NaN or infinity in 2 samples.",)


def test_outputs_of_another_shape_or_number():
    reference = Reference([normal(12, 1, 4)], ("y",))
    result = accuracy(AGREEMENT, [normal(12, 1, 5)], reference, None)
    assert result.value == 0
    assert result.notes == ("Output 'y' has shape [1, 5], the baseline's has [1, 4].",)
    two = accuracy(AGREEMENT, [normal(12, 1, 4)] * 2, reference, None)
    assert two.notes == ("The run gave 2 outputs, the baseline 1.",)
    ragged = tuple(normal(n, 4) for n in range(12))
    varies = accuracy(AGREEMENT, [ragged], reference, None)
    assert varies.value == 0
    assert varies.notes == (
        "Output 'y' has another shape in some samples, the baseline's has not.",
    )


# --- the user's metric


def test_a_metric_from_a_file_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "def score(outputs, labels):\n    return (outputs[0][:, 0] > 0).mean() + len(labels)\n"
    )
    source = metric_source("mine:score")
    monkeypatch.chdir("/")  # as a worker has it
    metric = load_metric("mine:score", source)
    outputs = [np.array([[1.0], [-1.0]])]
    result = accuracy(metric, outputs, Reference(outputs), np.array([0, 1]))
    assert (metric.name, result.metric, result.value) == ("mine:score", "mine:score", 2.5)


def test_a_metric_from_an_installed_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_metric("farm.accuracy.evaluate:wilson").function is wilson


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
        load_metric(name, metric_source(name))
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
        accuracy(metric, [normal(3, 1)], Reference([normal(3, 1)]), None)


# --- properties


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
