"""A winner as it is delivered: its model, its session, and a program that runs both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from farm.delivery.files import MODEL_FILE, RECORD_FILE, SCRIPT_FILE, SESSION_FILE, write_files
from farm.model.model import TensorSpec
from farm.model.shapes import fixed_sentence
from farm.session.spec import OpenVinoSpec, SessionSpec
from farm.text import printable

UNCONFIRMED_FILE = "NOT-CONFIRMED.txt"

_TEMPLATES = resources.files("farm.delivery") / "templates"
# What trials are judged by and told with; run.py has them in its text, since it runs without the
# farm.
_INCLUDED = {
    "# PRECISION\n": resources.files("farm.session") / "openvino_precision.py",
    "# MESSAGES\n": resources.files("farm") / "tool_messages.py",
}
_FUTURE = "from __future__ import annotations\n"  # may stand at the top of a file only
_ON_DEVICE = "session_on_device.py"  # takes the place of what runs it in the host's memory
_SESSIONS = {SessionSpec: "session_onnxruntime.py", OpenVinoSpec: "session_openvino.py"}
UNCONFIRMED = (
    "This is the best that a search had found when it was interrupted. It was not confirmed:\n"
    "neither its speed in fresh processes nor its accuracy on data the search never saw.\n"
)


def write_delivery(  # noqa: PLR0913  (each part of what was measured)
    folder: Path,
    model: bytes,
    session: SessionSpec | OpenVinoSpec,
    inputs: Sequence[TensorSpec],
    provenance: str,
    shapes: Mapping[str, int] = MappingProxyType({}),
    *,
    confirmed: bool = True,
    callers: int = 1,
    batch: int = 1,
    variables: Mapping[str, str] = MappingProxyType({}),
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write the folder beside its place and move it there: it is whole or it is not there.

    shapes: the size given to each dynamic dimension of the model, by name.
    confirmed: false for the best of a search that was interrupted, which a file says then.
    callers: how many called it at the same time where it was measured, which ``run.py`` says.
    batch: how many samples one run takes.
    variables: of the environment in which it was measured, which ``run.py`` sets.
    beside: further files by name, like one that the model names.

    An earlier delivery in its place is replaced.

    Raises OSError: the place cannot be written, the disk is full, something else is there.
    """
    files = {
        **beside,
        MODEL_FILE: model,
        SESSION_FILE: session.to_json().encode(),
        SCRIPT_FILE: run_script(
            session_text(session), batched(inputs, batch), shapes, callers, variables
        ).encode(),
        RECORD_FILE: provenance.encode(),
    }
    if not confirmed:
        files[UNCONFIRMED_FILE] = UNCONFIRMED.encode()
    write_files(folder, files)


def batched(inputs: Sequence[TensorSpec], size: int) -> list[TensorSpec]:
    """Inputs as one run takes them; in a batch all begin with its dimension."""
    if size == 1:
        return list(inputs)
    return [replace(i, shape=(size * i.shape[0], *i.shape[1:])) for i in inputs]


def session_text(session: SessionSpec | OpenVinoSpec) -> str:
    """The text that loads ``model.onnx`` in ``folder`` as ``spec`` says, and has ``run``."""
    loading = template(_SESSIONS[type(session)])
    for mark, module in _INCLUDED.items():
        included = module.read_text(encoding="utf-8").replace(_FUTURE, "")
        loading = loading.replace(mark, f"{included}\n")
    if isinstance(session, SessionSpec) and session.memory:
        loading += template(_ON_DEVICE)
    return loading


def template(name: str) -> str:
    """The text of a template."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def run_script(
    loading: str,
    inputs: Sequence[TensorSpec],
    shapes: Mapping[str, int],
    callers: int = 1,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The text of ``run.py``. loading: see ``session_text``."""
    described = [(spec.name, tuple(spec.shape), str(spec.dtype)) for spec in inputs]
    text = template("run.py").replace("# SESSION\n", f"\n{loading}\n")
    text = text.replace("INPUTS = []", f"INPUTS = {described}")
    text = text.replace("CALLERS = 1", f"CALLERS = {callers}")
    text = text.replace("VARIABLES = {}", f"VARIABLES = {dict(variables)}")
    return text.replace('FIXED = ""', f"FIXED = {printable(fixed_sentence(shapes))!r}")
