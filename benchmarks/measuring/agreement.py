"""The measure of accuracy without labels, beside the one that it replaced and beside decisions.

For each model and kind of quantisation, on data that nothing was calibrated on:

- ``cosine``: what the farm said before: uncentred, over all values of an output, the worst
  output's mean over the samples;
- ``agreement``: what it says now, see ``farm.accuracy.agreement``, and where it is worst;
- ``decisions``: the share of equal decisions by a rule that suits the model: the first class (kws,
  ic, resnet50), the 50 likeliest places of an image (ultraface), speech or not, relative to the
  baseline's median (silero);
- ``labels``: by how much the share of right classes falls, where the data has labels (kws).

Target: what decides alike in at least 99 % is within the limit (``farm tune``'s default without
labels), and what is made up to have lost all that it knows is not: a detector's scores beside
boxes in pixels, a regression far from zero. Files that are not there are skipped with a note.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.common import Report, Unit, options
from benchmarks.inputs.models import random_images
from benchmarks.inputs.resnet import resnet50, smooth_images
from farm.accuracy.agreement import agreement
from farm.accuracy.metric import UNLABELLED_LIMIT
from farm.accuracy.outputs import Output, Reference, rows, stacked
from farm.artifact.compiler import Compiler
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    DynamicInt8,
    Precision,
    Quantization,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.compile.passes import cpu_session
from farm.dataset import Dataset, Feed, load_dataset, split
from farm.errors import CompileError
from farm.model.model import Model, load_model

Array = NDArray[np.float64]
Alike = Callable[[Array, Array], float]

KINDS: tuple[Quantization, ...] = (
    StaticInt8(),
    StaticInt8(per_channel=False),
    StaticInt8(calibration=CalibrationMethod.ENTROPY),
    StaticInt8(calibration=CalibrationMethod.PERCENTILE),
    StaticInt8(bias_correction=True),
    StaticInt8(calibration=CalibrationMethod.PERCENTILE, bias_correction=True),
    DynamicInt8(),
    WeightOnlyInt4(),
)
ALIKE = 0.99
LIKELIEST = 50


@dataclass(frozen=True, slots=True)
class Case:
    """A model with its data. alike: share of equal decisions of two first outputs."""

    name: str
    model: Model
    dataset: Dataset
    alike: Alike


def main() -> int:
    """Print the table and judge it."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="ONNX files")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="kws_600.npz")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    with tempfile.TemporaryDirectory(prefix="farm-agreement-") as name:
        for case in _cases(report, arguments.models, arguments.data, Path(name)):
            _judge(report, case)
    _lost_scores(report)
    _lost_regression(report)
    return report.close()


def _cases(report: Report, models: Path, data: Path, folder: Path) -> Iterator[Case]:
    images = smooth_images(np.random.default_rng(0), 120)
    small = 255 * (images[:, :, ::7, ::7] - images.min()) / np.ptp(images)
    wide = np.pad(images[:48], ((0, 0), (0, 0), (8, 8), (48, 48)), mode="reflect")
    random = np.random.default_rng(0)
    speech = {
        "input": _voices(random, 120),
        "state": (0.3 * random.standard_normal((120, 2, 1, 128))).astype(np.float32),
        "sr": np.full(120, 16000),
    }
    files = {
        "kws": ("mlperf_tiny_kws_dscnn.onnx", None, {}, _first),
        "ic": ("mlperf_tiny_ic_resnet8.onnx", {"input_1": _last(small)}, {}, _first),
        "ultraface": ("ultraface_rfb320.onnx", {"input": wide / 3}, {}, _likeliest),
        "silero": ("silero_vad_16k.onnx", speech, {"sequence": 512}, _above_median),
    }
    for name, (file, arrays, shapes, alike) in files.items():
        path = models / file
        if not path.is_file():
            report.say(f"{name}: there is no {path}; skipped")
            continue
        model = load_model(path, shapes)
        known = data / "kws_600.npz" if arrays is None else _saved(folder, arrays)
        yield Case(name, model, load_dataset(known, model), alike)
    path = folder / "resnet50.onnx"
    onnx.save(resnet50(), path)
    model = load_model(path, {})
    dataset = load_dataset(_saved(folder, {"image": random_images(96)[:, None]}), model)
    yield Case("resnet50", model, dataset, _first)


def _saved(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]  # keywords are array names
    return path


def _judge(report: Report, case: Case) -> None:
    parts = split(case.dataset, 0)
    compiler = Compiler(case.model.proto, list(parts.calibration.samples()))
    feeds = [*parts.confirmation.samples(), *parts.search.samples()]
    found = [each.labels for each in (parts.confirmation, parts.search) if each.labels is not None]
    labels = np.concatenate(found) if found else None
    truth = _outputs(case.model.proto, feeds)
    names = tuple(output.name for output in case.model.proto.graph.output)
    for kind in KINDS:
        label = f"{case.name}, {Precision(quantization=kind).label()}"
        try:
            graph = compiler.graph(Candidate(precision=Precision(quantization=kind)))
        except CompileError as error:
            report.say(f"{label}: {error}")
            continue
        _line(report, label, _outputs(graph.model, feeds), Reference(truth, names), case, labels)


def _line(
    report: Report,
    label: str,
    outputs: list[Output],
    reference: Reference,
    case: Case,
    labels: NDArray[np.int64] | None,
) -> None:
    """One line of the table; a figure where the target says what has to come out."""
    judged = agreement(outputs, reference)
    ours, theirs = (_floats(each[0]) for each in (outputs, reference.outputs))
    alike = case.alike(ours, theirs)
    text = f"cosine {_cosine(outputs, reference.outputs):.4f}, decisions {alike:.4f}"
    if labels is not None:
        right = [float(np.mean(rows(each).argmax(axis=1) == labels)) for each in (theirs, ours)]
        text += f", labels {right[0] - right[1]:+.4f}"
    if judged.worst is not None:
        text += f"; {judged.worst}"
    if judged.value is None:
        report.say(f"{label}: cannot be judged ({' '.join(judged.notes)})")
    elif alike >= ALIKE:
        report.at_least(label, judged.value, 1 - UNLABELLED_LIMIT, Unit.TIMES, text)
    else:
        report.show(label, judged.value, Unit.TIMES, text)


def _lost_scores(report: Report) -> None:
    """Boxes in pixels beside scores, rounded to the one scale that a byte gives both."""
    random = np.random.default_rng(0)
    boxes = random.uniform(0, 640, (64, 1, 4, 256))
    scores = np.where(random.random((64, 1, 4, 256)) < 0.05, 0.9, 0.03)
    truth = np.concatenate([boxes, scores], axis=2)
    lost = np.round(truth / (640 / 255)) * (640 / 255)
    _lost(report, "scores in 0..1 beside boxes in pixels, in one byte", lost, truth)


def _lost_regression(report: Report) -> None:
    """Ages of a thousand and some, on the grid of a byte that has to include zero."""
    truth = 1000 + 0.5 * np.random.default_rng(0).standard_normal((256, 1, 1))
    lost = np.round(truth / (1002 / 255)) * (1002 / 255)
    _lost(report, "a regression near 1,000, in one byte", lost, truth)


def _lost(report: Report, name: str, lost: Array, truth: Array) -> None:
    value = agreement([lost], Reference([truth])).value
    assert value is not None
    text = f"cosine {_cosine([lost], [truth]):.4f}"
    report.at_most(name, value, 1 - UNLABELLED_LIMIT, Unit.TIMES, text)


def _outputs(model: onnx.ModelProto, feeds: Sequence[Feed]) -> list[Output]:
    session = cpu_session(model)
    answers = [session.run(None, dict(feed)) for feed in feeds]
    return [stacked(column) for column in zip(*answers, strict=True)]


def _cosine(outputs: Sequence[Output], reference: Sequence[Output]) -> float:
    """The measure that was replaced: uncentred, the worst output's mean over the samples."""
    means = []
    for output, truth in zip(outputs, reference, strict=True):
        ours, theirs = (_floats(each).reshape(len(each), -1) for each in (output, truth))
        if theirs.shape[1] == 1:
            ours, theirs = ours.T, theirs.T
        length = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        products = (ours * theirs).sum(axis=1)
        means.append(float(np.mean(products / np.where(length > 0, length, 1.0))))
    return min(means)


def _first(ours: Array, theirs: Array) -> float:
    """Share of samples with the same first class."""
    return float(np.mean(rows(ours).argmax(axis=1) == rows(theirs).argmax(axis=1)))


def _likeliest(ours: Array, theirs: Array) -> float:
    """Share of the places with the highest scores that are the same, of each image."""
    best = [
        np.argsort(-each.reshape(len(each), -1, 2)[..., 1], axis=1)[:, :LIKELIEST]
        for each in (ours, theirs)
    ]
    both = [len(set(a) & set(b)) for a, b in zip(*(each.tolist() for each in best), strict=True)]
    return float(np.mean(both)) / LIKELIEST


def _above_median(ours: Array, theirs: Array) -> float:
    """Share of samples on the same side of the baseline's median."""
    median = np.median(theirs)
    return float(np.mean((ours > median) == (theirs > median)))


def _voices(random: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Harmonics of a voice's pitch, soft or loud, with noise: [count, 1, 512] at 16 kHz."""
    time = np.arange(512) / 16000
    pitch = random.uniform(80, 300, (count, 1, 1))
    loud = random.choice([0.01, 0.3, 1.0], (count, 1))
    harmonic = np.arange(1, 6)[:, None]
    phase, part = random.uniform(0, 6, (count, 5, 1)), random.uniform(0, 0.3, (count, 5, 1))
    waves = (part * np.sin(2 * np.pi * pitch * harmonic * time + phase)).sum(axis=1)
    noise = 0.02 * random.standard_normal((count, 512))
    voices: NDArray[np.float32] = (loud * waves + noise).astype(np.float32)[:, None]
    return voices


def _last(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Channels last, with the batch of one that a sample has."""
    last: NDArray[np.float32] = np.ascontiguousarray(images.transpose(0, 2, 3, 1)[:, None])
    return last


def _floats(output: Output) -> Array:
    assert not isinstance(output, tuple), "none of these models has outputs whose shape varies"
    return output.astype(np.float64)


if __name__ == "__main__":
    sys.exit(main())
