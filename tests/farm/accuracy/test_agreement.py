"""Agreement without labels: what it sees, what it cannot judge, and its invariances."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.accuracy.agreement import agreement
from farm.accuracy.concordance import channel_axes
from farm.accuracy.outputs import Reference
from farm.accuracy.result import AccuracyResult, Worst

SAMPLES = 40


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SAMPLES, *shape)).astype(np.float32)


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def judge(output: np.ndarray, truth: np.ndarray, **more: object) -> AccuracyResult:
    return agreement([output], Reference([truth], ("y",), **more))


def value_of(output: np.ndarray, truth: np.ndarray) -> float:
    value = judge(output, truth).value
    assert value is not None
    return value


class TestValues:
    def test_equal_values_agree_and_their_own_mean_is_worth_a_coin(self):
        truth = normal(1, 6, seed=1) + 1000
        assert value_of(truth, truth) == 1.0
        mean = np.broadcast_to(truth.mean(axis=0), truth.shape)
        assert value_of(mean, truth) == pytest.approx(0.5, abs=0.01)
        assert value_of(2 * truth.mean(axis=0) - truth, truth) < 0.01, "opposite"

    def test_noise_of_a_tenth_of_the_variance(self):
        truth, noise = normal(1, 2000), normal(1, 2000, seed=1)
        other = truth + np.float32(np.sqrt(0.1)) * noise
        result = judge(other.reshape(SAMPLES, 2000, 1, 1), truth.reshape(SAMPLES, 2000, 1, 1))
        # C = 1 - 0.1 / (1 + 1.1); the worst of 2,000 channels of 40 values is lower.
        assert result.value < (1 + 1 - 0.1 / 2.1) / 2
        pooled = judge(other.reshape(-1, 1), truth.reshape(-1, 1))
        assert pooled.value == pytest.approx((1 + 1 - 0.1 / 2.1) / 2, abs=1e-3)

    def test_a_regression_far_from_zero_that_lost_all_it_knows(self):
        truth = 1000 + 0.5 * normal(1, 1)
        lost = np.where(normal(1, 1, seed=1) > 0, 998.5, 1002.5).astype(np.float32)
        result = judge(lost, truth)
        assert result.value < 0.7
        assert result.worst == Worst("y", None, None, result.value, SAMPLES)

    def test_the_example_of_the_documentation(self):
        truth = np.array([999.0, 1000, 1001, 1002]).reshape(4, 1, 1)
        other = np.array([998.0, 1002, 1002, 1002]).reshape(4, 1, 1)
        assert judge(other, truth).value == pytest.approx((1 + 1 - 6 / 18) / 2)
        cosine = (other * truth).sum() / np.linalg.norm(other) / np.linalg.norm(truth)
        assert f"{cosine:.7f}" == "0.9999994"

    def test_what_does_not_depend_on_the_input_counts_for_nothing(self):
        anchors = 100 * np.random.default_rng(0).standard_normal((1, 500, 4))
        truth = (anchors + normal(1, 500, 4)).astype(np.float32)
        only_anchors = np.broadcast_to(truth.mean(axis=0), truth.shape)
        assert np.corrcoef(only_anchors.ravel(), truth.ravel())[0, 1] > 0.999
        assert value_of(only_anchors, truth) == pytest.approx(0.5, abs=0.02)

    def test_scores_beside_boxes_that_are_all_lost(self):
        truth = np.concatenate([640 * normal(1, 4, 64), softmax(normal(1, 4, 64), 2)], axis=2)
        lost = truth.copy()
        lost[:, :, 4:] = 0
        result = judge(lost, truth)
        assert result.value < 0.51
        assert (result.worst.output, result.worst.axis) == ("y", 1)
        assert result.worst.channel >= 4

    @pytest.mark.parametrize(
        "shape", [(1, 80, 32), (1, 32, 80), (1, 80), (80, 5, 7), (2, 80, 3, 9)]
    )
    @pytest.mark.parametrize("kind", ["zero", "noise", "constant"])
    def test_one_destroyed_channel_among_80_is_always_seen(self, shape, kind):
        scales = 10.0 ** np.random.default_rng(2).uniform(-3, 3, 80)
        axis = 1 + shape.index(80)
        scale = scales.reshape([80 if i == axis else 1 for i in range(1 + len(shape))])
        truth = normal(*shape) * scale + 3 * scale
        for channel in (0, 17, 79):
            broken = np.moveaxis(truth.copy(), axis, 0)
            size = broken[channel].shape
            fill = np.random.default_rng(3).standard_normal(size) * scales[channel]
            broken[channel] = {"zero": 0, "noise": fill, "constant": 3 * scales[channel]}[kind]
            result = judge(np.moveaxis(broken, 0, axis), truth)
            assert result.value < 0.75
            assert (result.worst.axis, result.worst.channel) == (axis - 1, channel)

    def test_a_constant_channel_may_not_become_another_one(self):
        truth = np.concatenate([8 * normal(1, 4, 64), np.ones((SAMPLES, 1, 1, 64))], axis=2)
        lost = truth.copy()
        lost[:, :, 4] = 0
        assert judge(lost, truth).worst == Worst("y", 1, 4, 0.5, SAMPLES)
        lost[:, :, 4] = 1.005
        assert value_of(lost, truth) > 0.999

    def test_a_channel_that_is_constant_but_for_rounding_is_no_channel(self):
        truth = normal(1, 5, 30)
        truth[:, :, 2] = 7 + 1e-7 * truth[:, :, 2]
        other = truth + 1e-3 * normal(1, 5, 30, seed=1)
        assert value_of(other, truth) > 0.999


class TestDecisions:
    def test_a_row_of_classes_is_judged_by_the_first(self):
        truth = softmax(3 * normal(1, 10))
        other = truth.copy()
        other[:2] = np.roll(other[:2], 1, axis=-1)
        result = judge(other, truth)
        assert result.value == 38 / 40
        assert result.worst == Worst("y", None, None, 0.95, SAMPLES)
        assert value_of(truth**0.5, truth) == 1.0, "the scores do not matter"

    def test_where_all_samples_have_the_same_class_the_values_count(self):
        truth = softmax(normal(1, 10) + 9 * np.eye(10)[3])
        assert value_of(truth, truth) == 1.0
        always = np.broadcast_to(truth.mean(axis=0), truth.shape)
        result = judge(always, truth)
        assert result.value < 0.51
        assert result.notes == (
            "Output 'y' has the same class in all 40 samples: its values count.",
        )

    def test_a_few_objects_among_much_background(self):
        truth = np.tile([0.98, 0.02], (SAMPLES, 1, 4420, 1)) + 0.0
        truth[:, :, ::1000] = [0.1, 0.9]
        none = np.tile([0.98, 0.02], (SAMPLES, 1, 4420, 1))
        result = judge(none, truth + 1e-3 * normal(1, 4420, 1) * [1, -1])
        assert result.value < 0.51, "though 99.9 % of the decisions are equal"

    def test_classes_of_places_each_counts(self):
        logits = (
            6
            * np.eye(4)[
                np.random.default_rng(0).choice(4, (SAMPLES, 64), p=[0.7, 0.2, 0.09, 0.01])
            ]
        )
        truth = softmax(logits + normal(64, 4))
        lost = truth.copy()
        lost[..., 3] = 0
        result = judge(lost, truth)
        assert (result.worst.axis, result.worst.channel) == (1, 3)
        assert result.value <= 0.5

    def test_classes_of_places_before_height_and_width(self):
        logits = 6 * np.eye(3)[np.random.default_rng(0).choice(3, (SAMPLES, 1, 8, 8))]
        truth = np.moveaxis(softmax(logits), -1, 2)  # [samples, 1, classes, height, width]
        assert value_of(softmax(0.3 * np.log(truth), 2), truth) == 1.0, "equal decisions"
        lost = truth.copy()
        lost[:, :, 1] = 0
        assert (judge(lost, truth).worst.axis, judge(lost, truth).worst.channel) == (1, 1)

    def test_a_map_of_classes_in_bytes_is_no_picture(self):
        truth = np.random.default_rng(0).integers(0, 20, (SAMPLES, 1, 9, 9), np.uint8)
        assert value_of(truth + 1, truth) == 0.0

    def test_a_score_column_is_judged_by_its_detections(self):
        rng = np.random.default_rng(0)
        detected = rng.random((SAMPLES, 1, 3, 200)) < [[[0.05], [0.1], [0.2]]]
        truth = np.where(detected, 0.9, 0.02) + 0.01 * rng.random(detected.shape)
        # Other values, equal decisions.
        assert value_of(np.where(detected, 0.55, 0.4), truth) == 1.0
        lost = truth.copy()
        lost[:, :, 1] = 0.02
        result = judge(lost, truth)
        assert (result.worst.axis, result.worst.channel) == (1, 1)
        assert result.value <= 0.5

    def test_always_the_same_answer_is_worth_a_coin_however_rare_the_others_are(self):
        rare = np.eye(2)[(np.arange(200) % 40 == 0).astype(int)].reshape(200, 1, 2) * 0.9 + 0.05
        always = np.broadcast_to([0.95, 0.05], rare.shape)
        assert agreement([always], Reference([rare])).value == 0.5
        truth = (np.arange(200) % 50 == 0).reshape(200, 1)
        assert agreement([np.zeros_like(truth)], Reference([truth])).value == 0.5
        scores = np.where(np.arange(200) % 20 == 0, 0.03, 0.97).reshape(200, 1)
        assert agreement([np.full_like(scores, 0.97)], Reference([scores])).value <= 0.5

    def test_small_sizes_beside_a_score_column_are_no_silent_scores(self):
        rng = np.random.default_rng(0)
        sizes = rng.uniform(0.005, 0.045, (SAMPLES, 20, 4))
        scores = np.where(rng.random((SAMPLES, 20, 1)) < 0.2, 0.9, 0.02)
        truth = np.concatenate([sizes, scores], axis=2)
        lost = truth.copy()
        lost[:, :, :4] = 0.02
        assert value_of(lost, truth) < 0.9

    def test_a_score_column_without_detections_is_named_and_left_out(self):
        rng = np.random.default_rng(0)
        truth = np.where(rng.random((SAMPLES, 1, 3, 200)) < 0.1, 0.9, 0.02)
        truth[:, :, 2] = 0.04 * rng.random((SAMPLES, 1, 200)) ** 4
        other = truth.copy()
        other[:, :, 2] = 0
        result = judge(other, truth)
        assert result.value == 1.0
        assert result.notes == ("Output 'y': 1 score column without a detection in any sample.",)
        other[:, :, 2, ::10] = 0.6  # what the baseline never sees is a false detection
        assert judge(other, truth).value < 0.51

    def test_what_passed_a_relu_is_no_score(self):
        truth = np.maximum(0.2 * normal(1, 80, 32), 0)
        truth[:, :, 1] *= 0.05
        lost = truth.copy()
        lost[:, :, 1] = 0
        result = judge(lost, truth)
        assert (result.worst.axis, result.worst.channel) == (1, 1)
        assert result.value == pytest.approx(0.5)

    def test_sigmoids_that_are_values_are_no_scores(self):
        truth = np.random.default_rng(0).random((SAMPLES, 1, 1))
        assert value_of(np.round(truth), truth) < 0.95, "though all lie on the same side of a half"

    def test_whole_numbers_are_equal_or_not(self):
        truth = np.arange(SAMPLES).reshape(SAMPLES, 1)
        other = truth.copy()
        other[3] = 99
        assert judge(other, truth).value == 39 / 40
        texts = np.array(["a", "b"] * 20).reshape(SAMPLES, 1)
        assert judge(texts, texts).value == 1.0


class TestWhatCannotBeJudged:
    def test_nan_in_all_samples(self):
        truth = np.full((SAMPLES, 1, 8), np.nan, np.float32)
        result = judge(truth, truth)
        assert result.value is None
        assert result.notes == ("Output 'y' has NaN or infinity in 40 of 40 samples.",)

    def test_one_output_that_is_never_a_number_among_others(self):
        lost, values = np.full((SAMPLES, 2), np.nan), normal(1, 3)
        result = agreement([lost, values], Reference([lost, values], ("n", "v")))
        assert result.value is None
        assert result.notes == ("Output 'n' has NaN or infinity in 40 of 40 samples.",)

    def test_nan_in_some_places_is_left_out_and_said(self):
        truth = normal(1, 8)
        truth[:5, 0, 0] = np.nan
        other = truth * 1.01
        result = judge(other, truth)
        assert 0.99 < result.value < 1.0
        assert result.notes == ("Output 'y' has NaN or infinity in 5 of 40 samples.",)

    def test_nan_in_one_sample_hides_nothing_in_the_others(self):
        truth = 1000 + normal(1, 1)
        truth[3] = np.nan
        lost = np.where(np.isnan(truth), np.nan, 1000.0)
        assert value_of(lost, truth) == pytest.approx(0.5, abs=0.02)

    def test_masks_are_no_values(self):
        mask = np.random.default_rng(0).random((SAMPLES, 1, 16)) < 0.5
        for lowest in (np.finfo(np.float32).min, -1e9):
            truth = np.where(mask, lowest, normal(1, 16))
            lost = np.where(mask, lowest, 0)
            assert value_of(lost, truth) < 0.6
            assert value_of(np.where(mask, lowest, truth + 0.01), truth) > 0.99
            assert value_of(np.where(mask, -30.0, truth), truth) > 0.99, "below all numbers"
            assert value_of(np.where(mask, 0.0, truth), truth) <= 0.5, "the mask is lost"

    def test_pixels_are_values(self):
        truth = np.random.default_rng(0).integers(0, 255, (SAMPLES, 1, 9, 9), np.uint8)
        assert value_of(truth + 1, truth) > 0.99

    def test_a_constant(self):
        truth = np.full((SAMPLES, 1, 8), 7.0, np.float32)
        result = judge(truth, truth)
        assert (result.value, result.worst) == (None, None)
        assert result.notes == ("Output 'y' is the same in all 40 samples.",)
        assert judge(truth * 1.2, truth).value == 0.5, "another constant is wrong all the same"

    def test_an_output_that_is_empty(self):
        empty = np.zeros((SAMPLES, 0, 4), np.float32)
        result = judge(empty, empty)
        assert (result.value, result.notes) == (None, ("Output 'y' is empty.",))

    def test_one_output_that_can_be_judged_is_enough(self):
        constant, values = np.zeros((SAMPLES, 2)), normal(1, 3)
        result = agreement([constant, values], Reference([constant, values], ("c", "v")))
        assert result.value == 1.0
        assert result.notes == ("Output 'c' is the same in all 40 samples.",)

    def test_a_model_that_answers_differently_is_judged_by_its_own_spread(self):
        signal = normal(1, 50)
        truth, again, ours = (signal + 0.1 * normal(1, 50, seed=s) for s in (1, 2, 3))
        random = ("RandomNormalLike",)
        result = judge(ours, truth, again=[again], random=random)
        assert result.value > 0.98, "as far from the baseline as the baseline from itself"
        (note,) = result.notes
        assert note.startswith("The model does not answer the same twice (RandomNormalLike), and")
        broken = judge(normal(1, 50, seed=5), truth, again=[again], random=random)
        assert broken.value < 0.6

    def test_a_model_that_answers_too_differently_cannot_be_judged(self):
        truth, again = normal(1, 16), normal(1, 16, seed=1)
        result = judge(truth, truth, again=[again], random=("RandomNormal", "Multinomial"))
        assert result.value is None
        assert "(RandomNormal, Multinomial)" in result.notes[-1]

    def test_shapes_that_vary_are_compared_sample_by_sample(self):
        truth = tuple(np.arange(3 * (i % 5)).reshape(-1, 3) for i in range(SAMPLES))
        ours = [*truth]
        ours[7] = np.zeros((9, 3), np.int64)  # another shape
        ours[8] = ours[8] + 1  # other values
        result = agreement([tuple(ours)], Reference([truth], ("sel",)))
        assert result.value == 30 / 32, "nothing is said by samples that are empty on both sides"
        assert result.notes == (
            "Output 'sel' has another shape in some samples: it is compared sample by sample.",
        )

    def test_scores_beside_pixels_whose_number_varies(self):
        rng = np.random.default_rng(0)
        boxes = [640 * rng.random((1 + i % 3, 4)) for i in range(SAMPLES)]
        truth = tuple(np.c_[each, rng.random(len(each))] for each in boxes)
        lost = tuple(np.c_[each, np.zeros(len(each))] for each in boxes)
        assert agreement([lost], Reference([truth])).value < 0.2

    @pytest.mark.parametrize("last", [False, True])
    @pytest.mark.parametrize("dtype", [np.float32, np.int64])
    def test_any_axis_may_vary(self, last, dtype):
        rng = np.random.default_rng(0)
        shapes = [(3, i % 4) if last else (i % 4, 3) for i in range(SAMPLES)]
        truth = tuple((9 * rng.random(shape)).astype(dtype) for shape in shapes)
        assert agreement([truth], Reference([truth])).value == 1.0
        other = tuple(each + np.asarray(9, dtype) for each in truth)
        assert agreement([other], Reference([truth])).value == 0.0

    def test_infinity_and_nan_whose_number_varies(self):
        truth = tuple(np.full((1 + i % 3, 2), np.inf) for i in range(SAMPLES))
        assert agreement([truth], Reference([truth])).value == 1.0
        nan = tuple(np.full((1 + i % 3, 2), np.nan) for i in range(SAMPLES))
        result = agreement([nan], Reference([nan], ("y",)))
        assert result.value is None
        assert "Most of output 'y' is NaN." in result.notes

    def test_floats_whose_shape_varies_have_to_be_near(self):
        rng = np.random.default_rng(0)
        truth = tuple(rng.standard_normal((1 + i % 3, 4)) for i in range(SAMPLES))
        near = tuple(each + 0.01 for each in truth)
        assert agreement([near], Reference([truth])).value == 1.0
        far = tuple(each + 0.2 for each in truth)
        assert agreement([far], Reference([truth])).value == 0.0


class TestInvariances:
    """Of an output of values; shapes are those of the model, after the samples."""

    SHAPES = st.sampled_from([(1, 1), (1, 6), (1, 4, 9), (3, 5, 5), (1, 8, 8, 2)])

    @settings(max_examples=60, deadline=None)
    @given(
        SHAPES,
        st.floats(0.01, 100.0),
        st.floats(-50.0, 50.0),
        st.integers(0, 1000),
        st.floats(0.01, 2.0),
    )
    def test_scale_offset_and_order_of_samples(self, shape, scale, offset, seed, noise):
        truth = normal(*shape, seed=seed).astype(np.float64)
        other = truth + noise * normal(*shape, seed=seed + 1)
        value = value_of(other, truth)
        moved = value_of(scale * (other + offset), scale * (truth + offset))
        assert moved == pytest.approx(value, abs=1e-6)
        order = np.random.default_rng(seed).permutation(SAMPLES)
        assert value_of(other[order], truth[order]) == pytest.approx(value, abs=1e-9)

    @settings(max_examples=60, deadline=None)
    @given(SHAPES, st.integers(0, 1000))
    def test_more_noise_is_never_better(self, shape, seed):
        truth = normal(*shape, seed=seed).astype(np.float64)
        noise = normal(*shape, seed=seed + 1).astype(np.float64)
        # Noise that knows nothing of the truth: chance would make a little of it helpful.
        centred = truth - truth.mean(axis=0)
        noise -= noise.mean(axis=0)
        noise -= centred * (noise * centred).sum(axis=0) / (centred**2).sum(axis=0)
        values = [value_of(truth + k * noise, truth) for k in (0, 0.05, 0.2, 0.5, 1, 2, 5)]
        assert values[0] == 1.0
        assert all(a > b for a, b in pairwise(values))
        assert values[-1] > 0.5 - 1e-9

    @settings(max_examples=60, deadline=None)
    @given(SHAPES, st.integers(0, 1000))
    def test_it_lies_between_zero_and_one(self, shape, seed):
        rng = np.random.default_rng(seed)
        truth, other = (
            10 ** rng.uniform(-3, 3) * normal(*shape, seed=s) for s in (seed, seed + 1)
        )
        assert 0.0 <= value_of(other, truth) <= 1.0

    def test_shares_of_decisions_do_not_depend_on_the_order_of_samples(self):
        truth, other = softmax(3 * normal(1, 5)), softmax(3 * normal(1, 5, seed=1))
        order = np.random.default_rng(0).permutation(SAMPLES)
        assert judge(other[order], truth[order]).value == judge(other, truth).value


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((9, 1), ()),
        ((9, 1, 12), (2,)),
        ((9, 5000), (1,)),
        ((9, 1, 84, 8400), (2,)),
        ((9, 1, 4420, 4), (3,)),
        ((9, 128, 256), (1, 2)),
        ((9, 1, 21, 64, 512), (2, 4)),
        ((9, 1, 21, 56, 56), (2,)),
        ((9, 1, 56, 56, 200), (4,)),
        ((9, 1, 3, 80, 80, 85), (2, 5)),
        ((9, 2, 256, 300, 300), (1, 2)),
    ],
)
def test_axes_of_channels(shape, axes):
    assert channel_axes(shape) == axes
