"""Tensors that 8 bits are too few for: what the rules find, and what static int8 makes of it."""

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod, StaticInt8
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import Range, calibrate
from farm.compile.quantization.quantize import QuantizeStatic, tensors_to_calibrate
from farm.compile.quantization.resolution import FEWEST_STEPS, Link, lost_in_8_bits, shared_ranges
from farm.errors import CompileError
from tests.farm.compile.graphs import (
    causal_mask,
    detector_head,
    feeds,
    masked_attention,
    regression_far_from_zero,
    residual_net,
    run,
)
from tests.models import build, value, weights

UNIT = Range(0.0, 1.0)


def joined(op_type: str, *inputs, whole: Range, part: Range = UNIT) -> dict[str, str]:
    """What is lost where values of a range and others are joined to y."""
    link = Link("join", op_type, inputs, ("y",))
    ranges = {"part": part, "other": whole, "y": whole}
    return lost_in_8_bits([link], ranges, shared=True)


class TestRules:
    def test_a_range_knows_what_lies_between_its_values_and_zero(self):
        assert Range.of(998.0, 1002.0) == Range(0.0, 1002.0, 998.0)
        assert Range.of(-5.0, -4.0) == Range(-5.0, 0.0, 4.0)
        assert Range.of(998.0, 1002.0).spread == 4
        assert Range.of(1.0, 2.0) | Range.of(3.0, 4.0) == Range(0.0, 4.0, 1.0)
        assert Range.of(1.0, 2.0) | Range.of(-2.0, -1.0) == Range(-2.0, 2.0, 0.0)

    @pytest.mark.parametrize("lowest", [998.0, -1002.0])
    def test_values_far_from_zero_are_lost(self, lowest: float):
        lost = lost_in_8_bits([], {"y": Range.of(lowest, lowest + 4)}, shared=True)

        end = f"between {lowest:.6g} and {lowest + 4:.6g}, in 1 of the 255 steps that 8 bits have"
        assert end in lost["y"]

    @pytest.mark.parametrize("found", [Range.of(3.0, 4.0), Range.of(7.0, 7.0), Range.of(0, 0)])
    def test_values_near_zero_and_single_ones_are_not(self, found: Range):
        assert not lost_in_8_bits([], {"y": found}, shared=True)

    @pytest.mark.parametrize(
        ("op_type", "inputs"),
        [
            ("Concat", ("part", "other")),
            ("Concat", ("other", np.array([0.0, 0.5, 1.0], np.float32))),
            ("Where", ("condition", "other", "part")),
            ("ScatterND", ("other", None, "part")),
            ("Max", ("part", "other")),
            ("Pad", ("part", None, np.array(640, np.float32))),
        ],
    )
    @pytest.mark.parametrize("highest", [255 / FEWEST_STEPS - 0.1, 255 / FEWEST_STEPS + 0.1])
    def test_what_is_joined_with_much_wider_values_is_lost(self, op_type, inputs, highest):
        lost = joined(op_type, *inputs, whole=Range(0.0, highest))

        assert set(lost) == ({"y"} if highest > 255 / FEWEST_STEPS else set())

    @pytest.mark.parametrize(
        ("op_type", "inputs"),
        [
            ("Add", ("part", "other")),
            ("Max", ("other", np.array(1e-6, np.float32))),
            ("Concat", ("other", np.array([0.0], np.float32))),
            ("Slice", ("other", None)),
        ],
    )
    def test_other_operators_lose_nothing(self, op_type: str, inputs: tuple):
        assert not joined(op_type, *inputs, whole=Range(0.0, 640.0))

    def test_what_moves_joined_values_is_lost_until_a_part_is_cut_out_again(self):
        links = [
            Link("join", "Concat", ("a", "b"), ("j",)),
            Link("shape", "Reshape", ("j", None), ("r",)),
            Link("cut", "Slice", ("r", None, None), ("s",)),
            Link("turn", "Transpose", ("s",), ("t",)),
        ]
        wide = Range(0.0, 640.0)
        ranges = {"a": UNIT, "b": wide, "j": wide, "r": wide, "s": UNIT, "t": UNIT}

        lost = lost_in_8_bits(links, ranges, shared=True)

        assert lost == {
            "j": "in 8 bits for all that it joins, 'a' would have 0.4 of 255 steps",
            "r": "",
        }
        kept = {name: found for name, found in ranges.items() if name not in lost}
        assert shared_ranges(links, kept) == kept

    def test_a_part_of_a_part_counts(self):
        links = [
            Link("inner", "Concat", ("a", "b"), ("j",)),
            Link("outer", "Concat", ("j", "c"), ("k",)),
        ]
        ten, hundred = Range(0.0, 10.0), Range(0.0, 100.0)
        ranges = {"a": UNIT, "b": ten, "j": ten, "c": hundred, "k": hundred}

        assert set(lost_in_8_bits(links, ranges, shared=True)) == {"j", "k"}


def quantised(model: onnx.ModelProto, samples: list) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    ready = prepare(onnx.shape_inference.infer_shapes(model)).model
    names = tensors_to_calibrate(ready)
    ranges = calibrate(ready, names, samples, CalibrationMethod.MIN_MAX)
    result = QuantizeStatic(StaticInt8(), ranges)(ready)
    return result.model, result.notes


def explained(wanted: list[np.ndarray], found: list[np.ndarray]) -> float:
    """R2: the share of the variance of what is wanted that is found."""
    error = np.stack(wanted) - np.stack(found)
    return float(1 - (error**2).mean() / np.stack(wanted).var())


class TestStaticInt8:
    def test_an_input_that_is_an_output_stays_as_it_is(self):
        model = residual_net()
        model.graph.output.insert(0, model.graph.input[0])
        samples = feeds(model)

        written, _ = quantised(model, samples)

        assert "QuantizeLinear" in {node.op_type for node in written.graph.node}
        assert [output.name for output in written.graph.output] == ["image", "y"]
        assert np.array_equal(run(written, samples[0]), samples[0]["image"])

    def test_scores_beside_boxes_are_kept(self):
        model, samples = detector_head(), feeds(detector_head())

        written, notes = quantised(model, samples)

        wanted, found = ([run(m, s)[..., 4:] for s in samples] for m in (model, written))
        assert explained(wanted, found) > 0.98
        assert any(
            note.startswith("Operator join stays in float: in 8 bits for all that it joins, 's3'")
            for note in notes
        )
        assert "3 of 3 operators quantised (static-int8)." in notes

    def test_results_far_from_zero_are_kept(self):
        model, samples = regression_far_from_zero(), feeds(regression_far_from_zero(), 64)

        written, notes = quantised(model, samples)

        wanted, found = ([run(m, s) for s in samples] for m in (model, written))
        assert explained(wanted, found) > 0.98
        assert any(note.startswith("Operator last stays in float: its results") for note in notes)
        assert "1 of 2 operators quantised (static-int8)." in notes

    @pytest.mark.parametrize("lowest", [float(np.finfo(np.float32).min), -1e9, -1e4, -100.0])
    def test_a_mask_is_added_in_float(self, lowest: float):
        model = masked_attention(causal_mask(lowest))
        samples = feeds(model)

        written, notes = quantised(model, samples)

        wanted, found = ([run(m, s) for s in samples] for m in (model, written))
        assert explained(wanted, found) > 0.98
        assert any(n.startswith("Operator mask stays in float: it adds the mask") for n in notes)

    def test_parts_that_were_joined_in_float_are_seen_by_the_product_that_reads_them(self):
        nodes = [
            make_node("Mul", ["x", "small"], ["a"], name="down"),
            make_node("Concat", ["x", "a"], ["j"], name="join", axis=1),
            make_node("Flatten", ["j"], ["f"], name="flat"),
            make_node("Gemm", ["f", "w"], ["y"], name="product"),
            make_node("Gemm", ["x", "w1"], ["z"], name="beside"),
        ]
        stored = weights(w=(16, 4), w1=(8, 4)) | {"small": np.array(1e-3, np.float32)}
        outputs = [value("y", [1, 4]), value("z", [1, 4])]
        model = build(nodes, [value("x", [1, 8])], outputs, stored)

        _, notes = quantised(model, feeds(model))

        told = [note for note in notes if "stays in float" in note]
        assert told == ["Operator product stays in float: its input 'f' does."]

    def test_a_model_with_nothing_left_is_refused_with_the_reasons(self):
        node = make_node("Gemm", ["x", "w", "b"], ["y"], name="only")
        stored = weights(w=(16, 2)) | {"b": np.full(2, 1e4, np.float32)}
        model = build([node], [value("x", [1, 16])], [value("y", [1, 2])], stored)

        with pytest.raises(CompileError, match=r"No operator is left.*Operator only stays in fl"):
            quantised(model, feeds(model))

    def test_other_models_have_no_such_note(self):
        _, notes = quantised(residual_net(), feeds(residual_net()))

        assert not any("stays in float" in note for note in notes)
