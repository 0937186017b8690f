"""Data files: what fits a model, what is refused in which words, and how data is split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.helper import make_node

from farm.dataset import Dataset, Part, load_dataset, split, synthetic_dataset
from farm.errors import DataError
from farm.model.model import Model, load_model
from tests import models


@pytest.fixture
def model(tmp_path) -> Model:
    return load_model(models.save(models.mlp(), tmp_path))


@pytest.fixture
def three_inputs(tmp_path) -> Model:
    """Inputs like a speech model's: float [1, 8], int64 scalar, bool [1, 2]."""
    nodes = [
        make_node("Cast", ["rate"], ["r"], to=TensorProto.FLOAT),
        make_node("Mul", ["sound", "r"], ["y"]),
        make_node("Not", ["mask"], ["m"]),
    ]
    inputs = [
        models.value("sound", ["batch", 8]),
        models.value("rate", [], TensorProto.INT64),
        models.value("mask", [1, 2], TensorProto.BOOL),
    ]
    outputs = [models.value("y", [1, 8]), models.value("m", [1, 2], TensorProto.BOOL)]
    return load_model(models.save(models.build(nodes, inputs, outputs, {}), tmp_path))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def write(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


def refusal(path, model) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(path, model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what fits


def test_samples_are_batches_of_one(tmp_path, model):
    x = normal(20, 32)
    dataset = load_dataset(write(tmp_path, x=x, label=np.arange(20) % 3), model)
    assert (dataset.count, dataset.synthetic) == (20, False)
    part = Part(dataset, np.array([3, 1]))
    feeds = list(part.samples())
    assert len(part) == 2
    assert [list(feed) for feed in feeds] == [["x"], ["x"]]
    np.testing.assert_array_equal(feeds[0]["x"], x[3:4])
    np.testing.assert_array_equal(part.labels, [0, 1])


@pytest.mark.parametrize("shape", [(20, 32), (20, 1, 32)])
def test_a_batch_axis_may_be_there_or_not(tmp_path, model, shape):
    dataset = load_dataset(write(tmp_path, x=normal(*shape)), model)
    assert dataset.inputs["x"].shape == (20, 1, 32)
    assert dataset.labels is None


def test_scalars_and_several_inputs(tmp_path, three_inputs):
    path = write(
        tmp_path,
        sound=normal(12, 8),
        rate=np.full(12, 16000, np.int32),
        mask=np.ones((12, 1, 2), bool),
    )
    feed = next(Part(load_dataset(path, three_inputs), np.array([5])).samples())
    assert {n: (a.shape, str(a.dtype)) for n, a in feed.items()} == {
        "sound": ((1, 8), "float32"),
        "rate": ((), "int64"),
        "mask": ((1, 2), "bool"),
    }
    assert feed["rate"] == 16000
    assert all(isinstance(array, np.ndarray) for array in feed.values()), "scalars are arrays too"


def test_one_array_for_one_input_needs_its_name_too(tmp_path, model):
    path = write(tmp_path, features=normal(20, 32))
    assert "expected 'x' (and 'label', if there are labels), found 'features'" in refusal(
        path, model
    )


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "bool"])
def test_types_that_lose_nothing_are_cast(tmp_path, model, dtype):
    path = write(tmp_path, x=np.ones((12, 32), dtype))
    assert load_dataset(path, model).inputs["x"].dtype == np.float32


@pytest.mark.parametrize("shape", [(20, 1, 0, 16), (20, 0, 16)])
def test_an_input_may_be_empty(tmp_path, shape):
    model = load_model(models.save(models.cache_net(), tmp_path), {"past_len": 0})
    path = write(tmp_path, x=normal(20, 1, 1, 16), past=np.zeros(shape))
    loaded = load_dataset(path, model)
    assert loaded.inputs["past"].shape == (20, 1, 0, 16)
    assert loaded.inputs["past"].dtype == np.float32
    made_up = synthetic_dataset(model, 20, seed=0)
    assert made_up.inputs["past"].shape == (20, 1, 0, 16)
    assert len(split(made_up, seed=0).search) == 8


def test_the_hash_is_of_the_content(tmp_path, model):
    x, label = normal(12, 32), np.arange(12)
    first = load_dataset(write(tmp_path, x=x, label=label), model)
    again = load_dataset(write(tmp_path, x=x.astype(np.float64), label=label), model)
    other = load_dataset(write(tmp_path, x=x, label=label[::-1]), model)
    assert first.sha256 == again.sha256 != other.sha256


# --- what does not


def test_a_missing_file(tmp_path, model):
    assert refusal(tmp_path / "no.npz", model) == f"There is no data file {tmp_path / 'no.npz'}."


def test_not_an_npz(tmp_path, model):
    path = tmp_path / "data.npz"
    path.write_text("hello")
    message = f"{path} is not a complete .npz file; write one with numpy.savez."
    assert refusal(path, model) == message
    np.save(tmp_path / "x.npy", normal(12, 32))
    assert "not a complete .npz" in refusal(tmp_path / "x.npy", model)
    assert "not a complete .npz" in refusal(tmp_path, model)


@pytest.mark.parametrize(("at", "value"), [(10, 99), (8, 1), (6, 240)], ids=str)
def test_an_npz_that_says_of_itself_what_nobody_can_read(tmp_path, model, at, value):
    """Compressed in a way of its own, encrypted, of a later version: damage may say that."""
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((8, 3, 8, 8), np.float32))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + at] = value
    path.write_bytes(content)
    assert refusal(path, model).startswith(f"{path} is damaged and cannot be read: ")


def test_a_truncated_or_damaged_npz(tmp_path, model):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=normal(20, 32))
    content = path.read_bytes()
    path.write_bytes(content[:300])
    assert "not a complete .npz" in refusal(path, model)
    path.write_bytes(content[:200] + b"\xff" * 200 + content[400:])
    assert "is damaged" in refusal(path, model)


def test_pickles_are_refused_unopened(tmp_path, model):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([{"a": 1}] * 12, dtype=object))
    assert refusal(path, model) == (
        f"{path} holds pickled objects, which are refused because loading them runs code; save "
        "plain arrays of numbers with numpy.savez."
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers(tmp_path, model, value):
    x = normal(12, 32)
    x[4, 7] = x[9, 0] = value
    path = write(tmp_path, x=x)
    assert refusal(path, model) == (
        f"'x' in {path} has {value} at index [4, 7]; every value must be a finite number."
    )


def test_names_that_do_not_fit(tmp_path, model, three_inputs):
    path = write(tmp_path, a=normal(12, 32), b=normal(12, 32))
    assert refusal(path, model) == (
        f"The arrays in {path} must be named like the model's inputs: expected 'x' (and 'label', "
        "if there are labels), found 'a', 'b'."
    )
    path = write(tmp_path, sound=normal(12, 8))
    assert "expected 'sound', 'rate', 'mask'" in refusal(path, three_inputs)
    path = write(tmp_path, label=np.zeros(12, int))
    assert "found none." in refusal(path, model)


@pytest.mark.parametrize("shape", [(12, 31), (12, 2, 32), (12, 32, 1), (12,), ()])
def test_shapes_that_do_not_fit(tmp_path, model, shape):
    path = write(tmp_path, x=np.ones(shape, np.float32))
    assert refusal(path, model) == (
        f"'x' in {path} has shape {list(shape)}; input 'x' of the model needs [samples, 1, 32]."
    )


@pytest.mark.parametrize("dtype", ["int64", "complex64", "U3"])
def test_types_that_do_not_fit(tmp_path, model, dtype):
    path = write(tmp_path, x=np.ones((12, 32)).astype(dtype))
    assert f"has type {np.dtype(dtype)}; input 'x' of the model needs float32" in refusal(
        path, model
    )


def test_floats_are_not_cut_to_integers(tmp_path, three_inputs):
    path = write(tmp_path, sound=normal(12, 8), rate=np.full(12, 0.5), mask=np.ones((12, 2), bool))
    assert "'rate'" in refusal(path, three_inputs)
    assert "has type float64" in refusal(path, three_inputs)


def test_values_too_large_for_the_type(tmp_path, model):
    path = write(tmp_path, x=np.full((12, 32), 1e300))
    assert "values that do not fit into float32" in refusal(path, model)


def test_counts_that_differ(tmp_path, model):
    path = write(tmp_path, x=normal(12, 32), label=np.zeros(13, int))
    assert refusal(path, model) == (
        f"The arrays in {path} differ in their number of samples: 12 in 'x', 13 in 'label'."
    )


def test_too_few_samples(tmp_path, model):
    path = write(tmp_path, x=normal(11, 32))
    assert refusal(path, model) == (
        f"{path} has 11 samples, too few to calibrate, search and confirm on; give at least 12."
    )


@pytest.mark.parametrize(
    "labels", [np.zeros((12, 3), int), np.zeros(12), np.array(3), np.array(["a"] * 12)]
)
def test_labels_that_are_no_classes(tmp_path, model, labels):
    path = write(tmp_path, x=normal(12, 32), label=labels)
    assert f"'label' in {path} must be one integer class per sample" in refusal(path, model)


def test_negative_labels_and_two_kinds_of_labels(tmp_path, model):
    labels = np.arange(12) - 2
    path = write(tmp_path, x=normal(12, 32), labels=labels)
    assert refusal(path, model) == f"'labels' in {path} has a negative class at index 0."
    path = write(tmp_path, x=normal(12, 32), labels=labels, label=labels)
    assert "has both 'label' and 'labels'" in refusal(path, model)


# --- data that is made up


def test_synthetic_data_fits_the_model_and_the_seed(three_inputs):
    dataset = synthetic_dataset(three_inputs, 50, seed=3)
    again = synthetic_dataset(three_inputs, 50, seed=3)
    assert dataset.synthetic
    assert dataset.labels is None
    assert dataset.sha256 == again.sha256 != synthetic_dataset(three_inputs, 50, seed=4).sha256
    feed = next(Part(dataset, np.array([0])).samples())
    assert {n: (a.shape, a.dtype.name) for n, a in feed.items()} == {
        "sound": ((1, 8), "float32"),
        "rate": ((), "int64"),
        "mask": ((1, 2), "bool"),
    }
    assert feed["rate"] == 1
    assert abs(float(dataset.inputs["sound"].std()) - 1) < 0.1


def test_a_sample_rate_is_not_one(tmp_path):
    nodes = [make_node("Identity", ["sr"], ["y"])]
    rate = models.value("sr", [], TensorProto.INT64)
    proto = models.build(nodes, [rate], [models.value("y", [], TensorProto.INT64)], {})
    dataset = synthetic_dataset(load_model(models.save(proto, tmp_path)), 12, seed=0)
    assert dataset.inputs["sr"].tolist() == [16000] * 12


def wide(tmp_path, *sizes):
    """A model whose inputs have so many float32 values."""
    nodes = [make_node("Relu", [f"x{i}"], [f"y{i}"]) for i in range(len(sizes))]
    inputs = [models.value(f"x{i}", [1, size]) for i, size in enumerate(sizes)]
    outputs = [models.value(f"y{i}", [1, size]) for i, size in enumerate(sizes)]
    return load_model(models.save(models.build(nodes, inputs, outputs, {}), tmp_path))


@pytest.mark.parametrize(
    ("limit", "sizes", "count"),
    [(4096, [16], 48), (4096, [64], 16), (4096, [32, 32], 16), (4096, [1000], 3)],
)
def test_fewer_samples_are_made_up_of_large_inputs(tmp_path, monkeypatch, limit, sizes, count):
    monkeypatch.setattr("farm.dataset.MADE_UP_BYTES", limit)

    dataset = synthetic_dataset(wide(tmp_path, *sizes), 48, seed=0)

    assert dataset.count == count
    parts = split(dataset, seed=0)
    assert min(map(len, (parts.calibration, parts.search, parts.confirmation))) >= 1


def test_fewer_samples_are_made_up_where_answers_are_large(tmp_path, monkeypatch):
    monkeypatch.setattr("farm.dataset.MADE_UP_BYTES", 4096)
    nodes = [make_node("Expand", ["x", "size"], ["y"])]
    inputs, outputs = [models.value("x", [1])], [models.value("y", [100])]
    proto = models.build(nodes, inputs, outputs, {"size": np.array([100])})

    dataset = synthetic_dataset(load_model(models.save(proto, tmp_path)), 48, seed=0)

    assert dataset.count == 10  # of 400 bytes each


def test_no_samples_are_made_up_of_inputs_that_are_too_large(tmp_path):
    model = wide(tmp_path, 8, 2**27)
    with pytest.raises(DataError) as caught:
        synthetic_dataset(model, 48, seed=0)
    assert str(caught.value) == (
        f"One sample of model {model.path} takes 512 MiB, most of it 'x1', and the farm makes up "
        "at most 512 MiB for 3 samples; give --shape smaller sizes or export the model with "
        "smaller inputs."
    )


# --- splitting


def make(count: int, labels: np.ndarray | None = None) -> Dataset:
    return Dataset({"x": np.arange(count)}, labels, count, synthetic=False, sha256="")


@settings(max_examples=50, deadline=None)
@given(count=st.integers(12, 900), classes=st.integers(0, 12), seed=st.integers(0, 2**32 - 1))
def test_parts_are_disjoint_and_complete(count, classes, seed):
    labels = np.random.default_rng(seed).integers(0, classes, count) if classes else None
    parts = split(make(count, labels), seed)
    three = [parts.calibration, parts.search, parts.confirmation]
    assert sorted(np.concatenate([p.indices for p in three])) == list(range(count))
    sizes = [len(part) for part in three]
    assert sizes[0] == min(100, -(-count // 5))
    assert 0 <= sizes[2] - sizes[1] <= 1
    for part in three:
        if labels is not None:
            expected = np.bincount(labels, minlength=classes) * len(part) / count
            assert (
                np.abs(np.bincount(part.labels, minlength=classes) - expected).max() < 1 + classes
            )


def test_the_seed_decides_the_split():
    dataset = make(40)
    one, same, other = (split(dataset, seed).search.indices.tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_a_rare_class_is_in_every_part():
    labels = np.array([0] * 90 + [1] * 10)
    for seed in range(20):
        parts = split(make(100, labels), seed)
        shares = [
            (p.labels == 1).sum() for p in (parts.calibration, parts.search, parts.confirmation)
        ]
        assert min(shares) >= 1
        assert shares[1] in (3, 4, 5)
