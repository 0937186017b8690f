"""A pipeline as it is delivered: its parts, their sessions, and a program that runs them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import indent
from types import MappingProxyType

from farm.candidate import Candidate, PackageEngine, Pipeline
from farm.delivery.files import RECORD_FILE, SCRIPT_FILE, SESSION_FILE, write_files
from farm.delivery.winner import (
    UNCONFIRMED,
    UNCONFIRMED_FILE,
    run_script,
    session_text,
    template,
)
from farm.model.model import TensorSpec
from farm.session.of_candidate import on_gpu, part_session
from farm.session.pipeline import parse_pipeline
from farm.session.spec import OpenVinoSpec, SessionSpec

_PACKAGE, _ON_DEVICE = "package", "onnxruntime_on_device"
_ENGINES = {SessionSpec: "onnxruntime", OpenVinoSpec: "openvino"}


@dataclass(frozen=True, slots=True)
class PipelineSessions:
    """How a pipeline's parts are loaded, in their order; None for a compiled package."""

    parts: tuple[SessionSpec | OpenVinoSpec | None, ...]
    overlapped: bool

    def to_json(self) -> str:
        """The content of ``session.json``."""
        parts = [{"engine": _engine(s), "spec": asdict(s) if s else {}} for s in self.parts]
        plain = {"overlapped": self.overlapped, "parts": parts}
        return json.dumps(plain, indent=2, sort_keys=True) + "\n"


def sessions_of(
    candidate: Candidate, pipeline: bytes, gpus: Mapping[str, int] = MappingProxyType({})
) -> PipelineSessions:
    """The sessions of a candidate's parts. pipeline: the content of ``pipeline.json``.

    gpus: numbers of devices that are GPUs, as the process counts them.

    Raises CompileError: a part can have none.
    """
    engine, records = candidate.engine, parse_pipeline(pipeline).parts
    assert isinstance(engine, Pipeline)
    sessions = (
        None
        if isinstance(part.engine, PackageEngine)
        else on_gpu(
            part_session(candidate, part, quantised=record.quantised), gpus.get(part.device, 0)
        )
        for part, record in zip(engine.parts, records, strict=True)
    )
    return PipelineSessions(tuple(sessions), engine.overlapped)


def write_pipeline(  # noqa: PLR0913  (as of a winner)
    folder: Path,
    artifact: Mapping[str, bytes],
    sessions: PipelineSessions,
    inputs: Sequence[TensorSpec],
    provenance: str,
    shapes: Mapping[str, int],
    *,
    confirmed: bool,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write the folder beside its place and move it there: it is whole or it is not there.

    artifact: the files of the compiled pipeline by their paths in it. shapes, confirmed,
    variables: see ``write_delivery``. Raises OSError as that does.
    """
    text = run_script(_loading(sessions), inputs, shapes, variables=variables)
    files = {
        **artifact,
        SESSION_FILE: sessions.to_json().encode(),
        SCRIPT_FILE: text.encode(),
        RECORD_FILE: provenance.encode(),
    }
    if not confirmed:
        files[UNCONFIRMED_FILE] = UNCONFIRMED.encode()
    write_files(folder, files)


def _engine(session: SessionSpec | OpenVinoSpec | None) -> str:
    if isinstance(session, SessionSpec) and session.memory:
        return _ON_DEVICE
    return _PACKAGE if session is None else _ENGINES[type(session)]


def _loading(sessions: PipelineSessions) -> str:
    """The text that loads all parts: each engine's own is a function in it."""
    texts = {_engine(session): _text(session) for session in sessions.parts}
    loaders = [
        f"\n\ndef load_{name}(folder, spec):\n{indent(text, '    ')}\n    return run\n"
        for name, text in texts.items()
    ]
    table = ", ".join(f'"{name}": load_{name}' for name in texts)
    found = f"{''.join(loaders)}\n\nLOADERS = {{{table}}}\n"
    return template("session_pipeline.py").replace("# LOADERS\n", found)


def _text(session: SessionSpec | OpenVinoSpec | None) -> str:
    return template("session_package.py") if session is None else session_text(session)
