"""One subject, taken through everything that needs no compiler of many packages."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from benchmarks.packages.graphs.arena import overwritten
from benchmarks.packages.graphs.cases import (
    Case,
    Outputs,
    expected_outputs,
    has_halves,
    hides_loss,
    invalid_plan,
    loosely_checked,
    make_case,
    unlike_model,
    unlike_prepared,
)
from benchmarks.packages.graphs.commands import package_faults, tune_faults
from benchmarks.packages.graphs.sentences import unclean
from benchmarks.packages.graphs.subjects import Feeds, Subject
from farm.errors import FarmError, ModelError
from farm.model.formats import has_qdq
from farm.model.model import Model, load_model

_INVALID = "is not valid ONNX"


class Fault(StrEnum):
    """What may be found."""

    CRASHED = "something ends in an exception, or warns"
    SENTENCE = "a refusal is no clean sentence"
    OVERLAPS = "a memory plan is not valid"
    UNLIKE_MODEL = "numpy is not near ONNX Runtime"
    HIDDEN = "accuracy hides a loss"
    LOOSE = "integers are not checked bit for bit"
    PACKAGE = "farm package is wrong"
    TUNE = "farm tune is wrong"
    NOT_RUN = "C does not compile or run"
    FAULTY = "C breaks a rule of packages"
    UNLIKE_NUMPY = "C is not numpy"
    UNLIKE_OTHERS = "C has other bits than on the first target"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong with one subject."""

    fault: Fault
    seed: int
    name: str
    detail: str


@dataclass(slots=True)
class Examined:
    """What came of a subject. case: None if no code was generated; then refusal says why.

    invalid: ONNX Runtime does not take the model, so that nothing is expected of the farm either.
    """

    subject: Subject
    case: Case | None = None
    refusal: str = ""
    invalid: bool = False
    findings: list[Finding] = field(default_factory=list)

    def add(self, fault: Fault, detail: str) -> None:
        """Note what is wrong; nothing for an empty detail."""
        if detail:
            found = Finding(fault, self.subject.seed, self.subject.name, detail)
            if found not in self.findings:
                self.findings.append(found)


@dataclass(frozen=True, slots=True)
class Commands:
    """Which whole commands are run on a subject."""

    package: bool = False
    tune: bool = False


def examine(subject: Subject, folder: Path, commands: Commands) -> Examined:
    """Everything that one subject shows alone. folder: for its files."""
    done = Examined(subject)
    path, samples = subject.save(folder)
    feeds = subject.feeds()
    with _watched(done):
        expected = _expected(done, feeds)
        with _refusals(done):
            model = _loaded(done, path)
            with _refusals(done):
                done.add(Fault.OVERLAPS, overwritten(model, feeds[0]) if expected else "")
            if expected:
                _generate(done, model, feeds)
    # What ONNX Runtime cannot be fed is in no data file, either.
    data = None if done.invalid else samples
    if commands.package or done.case is None:
        with _watched(done):
            for lack in package_faults(subject, path, data, expected):
                done.add(Fault.PACKAGE, lack)
    if commands.tune:
        with _watched(done):
            for lack in tune_faults(subject, path, data, expected):
                done.add(Fault.TUNE, lack)
    return done


def _expected(done: Examined, feeds: Sequence[Feeds]) -> Outputs:
    """What ONNX Runtime gives; nothing where it takes the model not."""
    try:
        return expected_outputs(done.subject.model, feeds)
    except Exception:  # noqa: BLE001 (ONNX Runtime's exceptions have no common base)
        done.invalid = True
        return []


def _loaded(done: Examined, path: Path) -> Model:
    """The model as the farm loads it; what ONNX Runtime takes, it may not call invalid."""
    try:
        return load_model(path, done.subject.sizes)
    except ModelError as error:
        if not done.invalid and _INVALID in str(error):
            done.add(Fault.SENTENCE, f"ONNX Runtime takes it: {error}")
        raise


def _generate(done: Examined, model: Model, feeds: Sequence[Feeds]) -> None:
    """Generate code, and compare what its steps compute with the model."""
    comparable = not done.subject.random_operators and not has_halves(model.proto)
    if comparable and not has_qdq(model.proto):
        done.add(Fault.UNLIKE_MODEL, unlike_prepared(model.proto, feeds[:2]))
    case = make_case(done.subject, model.proto, feeds)
    done.case = case
    done.add(Fault.OVERLAPS, invalid_plan(case))
    references = case.references()
    done.add(Fault.UNLIKE_MODEL, unlike_model(case, references))
    done.add(Fault.HIDDEN, hides_loss(case, references))
    done.add(Fault.LOOSE, loosely_checked(case))


@contextmanager
def _watched(done: Examined) -> Iterator[None]:
    """Note exceptions and warnings as findings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", RuntimeWarning)
        try:
            yield
        except Exception as error:  # noqa: BLE001 (whatever comes is what is looked for)
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            done.add(Fault.CRASHED, f"{type(error).__name__}: {error} at {place}")
    for each in seen:
        if issubclass(each.category, RuntimeWarning):
            place = f"{Path(each.filename).name}:{each.lineno}"
            done.add(Fault.CRASHED, f"{each.category.__name__}: {each.message} at {place}")


@contextmanager
def _refusals(done: Examined) -> Iterator[None]:
    """Note what the farm refuses, and how it says so."""
    try:
        yield
    except FarmError as error:
        done.refusal = str(error)
        lack = unclean(str(error), is_dynamic=done.subject.is_dynamic)
        done.add(Fault.SENTENCE, f"{lack}: {error}" if lack else "")
