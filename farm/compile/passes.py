"""The contract of a compile pass, and how the failures of the tools below become one sentence.

A pass takes an ``onnx.ModelProto`` and returns another one; it never changes its argument.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError, EncodeError
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from onnxruntime.quantization.onnx_model import ONNXModel

from farm.errors import CompileError
from farm.tool_messages import without_sources

# What onnx and onnxruntime raise when they meet a graph they cannot handle. Their quantiser
# indexes, asserts and looks up without checking first, hence the built-in ones.
TOOL_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    DecodeError,
    EncodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
_LONGEST_REASON = 240  # characters of the underlying error that are shown


@dataclass(frozen=True, slots=True)
class PassResult:
    """What a pass made.

    changed: False when the model was already as the pass ensures.
    notes: sentences for the artifact's record, about what was done or left out.
    """

    model: onnx.ModelProto
    changed: bool
    notes: tuple[str, ...] = ()


class Pass(Protocol):
    """One step of compilation.

    name: its name in records and messages.
    requires: what must hold for the model it is given.
    ensures: what holds for the model it returns.
    """

    name: ClassVar[str]
    requires: ClassVar[str]
    ensures: ClassVar[str]

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass to a model that it leaves alone. Raises CompileError."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model after several passes: the names of those that changed it, and all their notes."""

    model: onnx.ModelProto
    passes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def then(self, *passes: Pass) -> Compiled:
        """Apply more passes in order. Raises CompileError of the first that fails."""
        done = self
        for step in passes:
            result = step(done.model)
            ran = (step.name,) if result.changed else ()
            done = Compiled(result.model, (*done.passes, *ran), (*done.notes, *result.notes))
        return done


@contextlib.contextmanager
def reported_as(name: str, operator: str | None = None) -> Iterator[None]:
    """Turn a tool's error inside the block into a CompileError that names the pass.

    operator: name of the operator at work, where it is known.
    """
    try:
        yield
    except TOOL_ERRORS as error:
        place = f" at operator {operator!r}" if operator else ""
        raise CompileError(f"Pass {name} failed{place}: {reason(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep a tool's prints and log lines off the terminal, and the root logger as it was."""
    root, level = logging.getLogger(), logging.root.manager.disable
    handlers = list(root.handlers)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)
        root.handlers[:] = handlers


def reason(error: BaseException) -> str:
    """The first line of an error in plain words, shortened, ending in a full stop.

    Codes, paths of source files, C++ signatures and conditions that did not hold are left out.
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    first = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", first)
    first = _RUNNING.sub(r"operator '\2' (\1): ", _LABELS.sub("", first))
    first = _without_source(" ".join(first.split()))
    if not first or isinstance(error, KeyError):
        first = f"{type(error).__name__} {first}".strip()
    if len(first) > _LONGEST_REASON:
        first = first[:_LONGEST_REASON].rstrip() + " ..."
    return first if first.endswith((".", "!", "?")) else first + "."


_RUNNING = re.compile(
    r"Non-zero status code returned while running (\w+) node\. Name:'([^']*)' Status Message: "
)
_LABELS = re.compile(r"\[\w+Error\] |Exception during initialization: ")
_ASSERTION = re.compile(r"[\w:<>~()]+: Assertion `.*` failed: ")
_CONDITION = re.compile(r"\S.* was (?:false|true)\.(?: |$)")


def _without_source(text: str) -> str:
    """A tool's message without the place in its source that raised it, and the check there."""
    plain = without_sources(_ASSERTION.sub("", text, count=1))
    if plain == text:
        return text
    return _CONDITION.sub("", plain, count=1).strip() or "an internal check failed"


def sort_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a fresh model's operators into topological order, in place, and return it."""
    ONNXModel(model).topological_sort()
    return model


def session_options() -> ort.SessionOptions:
    """Options of every session that compilation starts: one thread, nothing printed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, too, and told in one sentence
    return options


def cpu_session(
    model: onnx.ModelProto,
    options: ort.SessionOptions | None = None,
    disabled_optimizers: Sequence[str] = (),
) -> ort.InferenceSession:
    """A session of the CPU provider on a model in memory."""
    return ort.InferenceSession(
        model.SerializeToString(),
        options or session_options(),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(disabled_optimizers) or None,
    )
