"""The data a model is calibrated, searched and confirmed on: from ``--data`` or made up."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.errors import DataError
from farm.model.model import Model, TensorSpec
from farm.units import Bytes, format_bytes

Array = NDArray[np.generic]
Feed = dict[str, Array]  # what one run of the model is given, by input name

LABEL_NAMES = ("label", "labels")
MIN_SAMPLES = 12  # 3 to calibrate, 4 to search, 5 to confirm
FEWEST_MADE_UP = 3  # one for each part
# Made-up data is held some times over: stacked, cut into parts, and in the children that run it.
MADE_UP_BYTES = Bytes(256 * 2**20)
MOST_MADE_UP_BYTES = Bytes(2 * MADE_UP_BYTES)  # for the fewest samples, where one is large
CALIBRATION_SHARE = 0.2
CALIBRATION_MAX = 100
# Made-up values of integer scalars by input name: others would send a model down a wrong branch.
SCALARS: Mapping[str, int] = {"sr": 16000, "sample_rate": 16000, "sampling_rate": 16000}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples for every input of a model.

    inputs: by input name, [samples, *input shape] in the input's type. labels: integers
    [samples], None where there are none. synthetic: made up, so accuracy on it says little.
    sha256: of names, types, shapes and values, labels included.
    """

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64] | None
    count: int
    synthetic: bool
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some samples of a data set. indices: of its samples, in the part's own order."""

    dataset: Dataset
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """Labels of the part's samples, in its order, None where the data has none."""
        return None if self.dataset.labels is None else self.dataset.labels[self.indices]

    def samples(self) -> Iterator[Feed]:
        """What to run the model on, sample by sample; the arrays are views."""
        for index in self.indices:
            yield {name: array[index, ...] for name, array in self.dataset.inputs.items()}


@dataclass(frozen=True, slots=True)
class Splits:
    """Three disjoint parts that together are the whole data set."""

    calibration: Part
    search: Part
    confirmation: Part


def load_dataset(path: Path, model: Model) -> Dataset:
    """Read a ``.npz`` file whose arrays are named like the model's inputs.

    Each array has the samples on its first axis and then the input's shape, with or without a
    leading batch axis of 1. An array ``label`` or ``labels`` holds one class per sample.

    Raises DataError: no such file, not a ``.npz``, pickled objects, names, shapes or types that
    do not fit, NaN or infinity, differing counts, fewer than ``MIN_SAMPLES`` samples.
    """
    arrays = _read(path)
    labels = _take_labels(arrays, path)
    inputs = {
        spec.name: _fit(array, name, spec, path)
        for spec, (name, array) in _match_names(arrays, model, path)
    }
    counts = {name: len(array) for name, array in inputs.items()}
    if labels is not None:
        counts["label"] = len(labels)
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} in '{name}'" for name, count in counts.items())
        raise DataError(f"The arrays in {path} differ in their number of samples: {found}.")
    count = min(counts.values())
    if count < MIN_SAMPLES:
        raise DataError(
            f"{path} has {count} samples, too few to calibrate, search and confirm on; give at "
            f"least {MIN_SAMPLES}."
        )
    return Dataset(inputs, labels, count, synthetic=False, sha256=_hash(inputs, labels))


def synthetic_dataset(model: Model, count: int, seed: int) -> Dataset:
    """Samples made up from the input shapes, the same for the same seed.

    Floats are standard normal, booleans true, integers 0 or 1 (valid as an index or a mask
    nearly everywhere), integer scalars 1 unless ``SCALARS`` has their name.

    count: fewer where their inputs or their outputs would take more than ``MADE_UP_BYTES``, but
    never fewer than ``FEWEST_MADE_UP``. Raises DataError: the inputs of these are more than
    ``MOST_MADE_UP_BYTES``.
    """
    if count < MIN_SAMPLES:
        raise DataError(f"A data set needs at least {MIN_SAMPLES} samples, not {count}.")
    count = _affordable(model, count)
    random = np.random.default_rng(seed)
    inputs = {spec.name: _made_up(spec, count, random) for spec in model.inputs}
    return Dataset(inputs, None, count, synthetic=True, sha256=_hash(inputs, None))


def split(dataset: Dataset, seed: int) -> Splits:
    """Shuffle and cut a data set: calibration, then search and confirmation in equal halves.

    Calibration gets a fifth of the samples, at most 100; confirmation gets the odd one out.
    With labels, every stretch of the shuffled order has the classes in their overall shares, as
    far as whole samples allow.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(dataset.count)
    if dataset.labels is not None:
        order = _interleave(order, dataset.labels, random)
    first = min(CALIBRATION_MAX, math.ceil(CALIBRATION_SHARE * dataset.count))
    second = first + (dataset.count - first) // 2
    calibration, search, confirmation = np.split(order, [first, second])
    return Splits(Part(dataset, calibration), Part(dataset, search), Part(dataset, confirmation))


def _read(path: Path) -> dict[str, Array]:
    if not path.exists():
        raise DataError(f"There is no data file {path}.")
    if path.is_dir() or not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a complete .npz file; write one with numpy.savez.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise DataError(
                f"{path} holds pickled objects, which are refused because loading them runs "
                "code; save plain arrays of numbers with numpy.savez."
            ) from None
        raise DataError(f"{path} cannot be read: {error}.") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path} is damaged and cannot be read: {error}.") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise DataError(f"'{name}' in {path} is not an array; write it with numpy.savez.")
    return arrays


def _take_labels(arrays: dict[str, Array], path: Path) -> NDArray[np.int64] | None:
    """Remove the labels from the arrays and check them."""
    names = [name for name in LABEL_NAMES if name in arrays]
    if not names:
        return None
    if len(names) > 1:
        raise DataError(f"{path} has both 'label' and 'labels'; keep one of them.")
    name = names[0]
    labels = arrays.pop(name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"'{name}' in {path} must be one integer class per sample, shape [samples]; found "
            f"{_described(labels)}."
        )
    classes = labels.astype(np.int64)
    if (classes < 0).any():
        first = int(np.argmax(classes < 0))
        raise DataError(f"'{name}' in {path} has a negative class at index {first}.")
    return classes


_Matched = list[tuple[TensorSpec, tuple[str, Array]]]


def _match_names(arrays: Mapping[str, Array], model: Model, path: Path) -> _Matched:
    """Pair every input with the array that holds its samples, and that array's name."""
    expected = [spec.name for spec in model.inputs]
    if sorted(arrays) != sorted(expected):
        raise DataError(
            f"The arrays in {path} must be named like the model's inputs: expected "
            f"{_listed(expected)} (and 'label', if there are labels), found {_listed(arrays)}."
        )
    return [(spec, (spec.name, arrays[spec.name])) for spec in model.inputs]


def _fit(array: Array, name: str, spec: TensorSpec, path: Path) -> Array:
    """The array as [samples, *input shape] in the input's type."""
    if not _fits_type(array.dtype, spec.dtype):
        raise DataError(
            f"'{name}' in {path} has type {array.dtype}; input '{spec.name}' of the model needs "
            f"{spec.dtype}."
        )
    shape = _with_batch_axis(array, spec)
    if shape is None:
        sizes = _bracketed(("samples", *spec.shape))
        raise DataError(
            f"'{name}' in {path} has shape {_bracketed(array.shape)}; input '{spec.name}' of the "
            f"model needs {sizes}."
        )
    if _is_float(array.dtype) and not np.isfinite(array).all():
        first = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(array)))
        raise DataError(
            f"'{name}' in {path} has {array[first]} at index {list(first)}; every value must be "
            "a finite number."
        )
    return _cast(array.reshape(shape), name, spec, path)


def _fits_type(given: np.dtype[np.generic], wanted: np.dtype[np.generic]) -> bool:
    """Floats to floats and integers to integers; from one to the other only without loss."""
    if _is_float(given) and _is_float(wanted):
        return True
    if np.issubdtype(given, np.integer) and np.issubdtype(wanted, np.integer):
        return True
    return np.can_cast(given, wanted, "safe")


def _is_float(dtype: np.dtype[np.generic]) -> bool:
    # numpy does not count bfloat16 and the 8-bit floats of ml_dtypes as its own floats.
    return "float" in dtype.name


def _with_batch_axis(array: Array, spec: TensorSpec) -> tuple[int, ...] | None:
    """[samples, *input shape] if the array has that shape, with or without a batch axis of 1."""
    if array.ndim == 0:
        return None
    whole = (len(array), *spec.shape)
    batchless = (len(array), *spec.shape[1:]) if spec.shape[:1] == (1,) else whole
    return whole if array.shape in (whole, batchless) else None


def _cast(array: Array, name: str, spec: TensorSpec, path: Path) -> Array:
    """The array in the input's type, refusing integers and floats that it cannot hold."""
    with np.errstate(over="ignore"):
        cast = array.astype(spec.dtype)
    kept = np.isfinite(cast).all() if _is_float(spec.dtype) else np.array_equal(cast, array)
    if not kept:
        raise DataError(
            f"'{name}' in {path} has values that do not fit into {spec.dtype}, the type of input "
            f"'{spec.name}'; they reach from {array.min()} to {array.max()}."
        )
    return cast


def _affordable(model: Model, count: int) -> int:
    """How many of so many samples are made up. Raises DataError."""
    sizes = {s.name: math.prod(s.shape) * max(s.dtype.itemsize, 4) for s in model.inputs}
    sample = sum(sizes.values())  # numbers are drawn in four bytes at least
    if FEWEST_MADE_UP * sample > MOST_MADE_UP_BYTES:
        largest = max(sizes, key=sizes.__getitem__)
        raise DataError(
            f"One sample of model {model.path} takes {format_bytes(Bytes(sample))}, most of it "
            f"'{largest}', and the farm makes up at most {format_bytes(MOST_MADE_UP_BYTES)} for "
            f"{FEWEST_MADE_UP} samples; give --shape smaller sizes or export the model with "
            "smaller inputs."
        )
    # The answers to all samples are held as well, and may be much larger than what is asked.
    answer = sum(math.prod(o.shape) * o.dtype.itemsize for o in model.outputs if o.shape)
    return max(FEWEST_MADE_UP, min(count, MADE_UP_BYTES // max(sample, answer, 1)))


def _made_up(spec: TensorSpec, count: int, random: np.random.Generator) -> Array:
    shape = (count, *spec.shape)
    if spec.dtype == np.bool_:
        return np.ones(shape, dtype=np.bool_)
    if not np.issubdtype(spec.dtype, np.integer):
        return random.standard_normal(shape, dtype=np.float32).astype(spec.dtype)
    if not spec.shape:
        return np.full(shape, SCALARS.get(spec.name.lower(), 1), dtype=spec.dtype)
    return random.integers(0, 2, shape).astype(spec.dtype)


def _interleave(
    order: NDArray[np.int64], labels: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Spread each class evenly over the order, from a random start, keeping its own order."""
    place = np.empty(len(order))
    shuffled = labels[order]
    for label in np.unique(shuffled):
        of_label = np.flatnonzero(shuffled == label)
        place[of_label] = (np.arange(len(of_label)) + random.random()) / len(of_label)
    return order[np.argsort(place, kind="stable")]


def _hash(inputs: Mapping[str, Array], labels: NDArray[np.int64] | None) -> str:
    digest = hashlib.sha256()
    arrays = inputs if labels is None else {**inputs, "labels": labels}
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _described(array: Array) -> str:
    return f"{array.dtype} {_bracketed(array.shape)}"


def _bracketed(sizes: tuple[int | str, ...]) -> str:
    return f"[{', '.join(str(size) for size in sizes)}]"


def _listed(names: Mapping[str, Array] | list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"
