"""The farm's commands on a saved model, as a user would give them, and what their answers lack."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from benchmarks.packages.graphs.cases import Outputs
from benchmarks.packages.graphs.operators.proposal import Array
from benchmarks.packages.graphs.sentences import unclean
from benchmarks.packages.graphs.subjects import Kind, Subject
from commands.shared.options.common import known_profiles
from farm.devices.profile import select_profiles
from farm.errors import FarmError
from farm.model.formats import has_qdq
from tuner.package import PackagePrecision, PackageRequest, make_package

_SAME = 0.999  # accuracy of what computes the same
_ROOT = Path(__file__).resolve().parents[3]
_BUDGET = "1s"


def package_faults(
    subject: Subject, model: Path, data: Path | None, expected: Outputs
) -> list[str]:
    """``farm package`` for the host: what is wrong with a refusal, or with the package.

    data: None for made-up inputs. expected: what the model gives, by sample; empty where nobody
    knows.
    """
    precision = PackagePrecision.FLOAT32 if subject.kind is Kind.FLOAT else PackagePrecision.INT8
    with tempfile.TemporaryDirectory() as folder:
        request = PackageRequest(
            model,
            Path(folder) / "package",
            data,
            shapes=subject.sizes,
            precision=None if has_qdq(subject.model) else precision,
        )
        try:
            manifest = make_package(request, *select_profiles(("cpu",), known_profiles(None)))
        except FarmError as error:
            lack = unclean(str(error), is_dynamic=subject.is_dynamic)
            return [f"{lack}: {error}"] if lack else []
    found = []
    names = [value.name for value in subject.model.graph.output]
    given = [port.name for port in manifest.outputs]
    if names != given:
        found.append(f"its outputs are {given}, and the model's {names}")
    accuracy = manifest.accuracy
    finite = all(np.isfinite(array).all() for outputs in expected for array in outputs)
    value = accuracy.value if accuracy else None
    if precision is PackagePrecision.FLOAT32 and finite and value is not None and value < _SAME:
        found.append(f"its accuracy is {value:.4f} in float32")
    return found


def tune_faults(subject: Subject, model: Path, data: Path | None, expected: Outputs) -> list[str]:
    """``farm tune`` with the shortest budget: what is wrong with what it says.

    data, expected: see ``package_faults``.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cli", "tune", str(model)]
        command += ["--data", str(data)] if data else []
        command += ["--devices", "cpu", "--budget", _BUDGET, "--local", "--json"]
        command += ["--store", f"{folder}/farm.db", "--output", f"{folder}/output"]
        for name, size in subject.sizes.items():
            command += ["--shape", f"{name}={size}"]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        said = " ".join(done.stderr.split()).removeprefix("farm: ")
        lack = unclean(said, is_dynamic=subject.is_dynamic)
        return [f"{lack}: {said}"] if lack else []
    device = _Tuned.model_validate_json(done.stdout).devices[0]
    if device.status != "tuned":
        lack = unclean(device.reason, is_dynamic=subject.is_dynamic)
        return [f"{lack}: {device.reason}"] if lack else []
    return list(_judged(subject, done.stdout + done.stderr, device, expected))


class _Accuracy(BaseModel):
    """Of the baseline, against its own outputs."""

    baseline: float | None


class _Device(BaseModel):
    """What is read of one device in the JSON of ``farm tune``."""

    status: str
    reason: str
    verdict: str | None
    accuracy: _Accuracy | None
    trials: dict[str, int]


class _Tuned(BaseModel):
    """The JSON of ``farm tune``."""

    devices: list[_Device]


def _judged(subject: Subject, text: str, device: _Device, expected: Outputs) -> Iterator[str]:
    """What is said without reason. text: all that was printed."""
    accuracy = device.accuracy.baseline if device.accuracy else None
    random = subject.random_operators
    if random and accuracy != 1 and not any(kind in text for kind in random):
        yield f"{random[0]} is not named, and the accuracy is {accuracy}"
    never = any(map(_never_a_number, zip(*expected, strict=True)))
    if never and accuracy is not None and accuracy > _SAME:
        yield f"an output is never a number, and the accuracy is {accuracy:.4f}"
    if sum(device.trials.values()) == 1 and "no significant" in str(device.verdict):
        yield "nothing but the baseline was tried, and there is no significant gain"


def _never_a_number(outputs: Iterable[Array]) -> bool:
    return all(array.dtype.kind == "f" and np.isnan(array).all() for array in outputs)
