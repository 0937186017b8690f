"""Sessions of rivals, each made as its engine's own documentation says, and of delivered winners.

Nothing of the farm chooses an option of a rival: only the number of threads is given, and that is
the same for all.
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
import openvino as ov

from farm.artifact.folder import adopt_package
from farm.candidate import CPackage, from_json
from farm.codegen.package.record import RUNNER_FILE
from farm.delivery.files import RECORD_FILE, SESSION_FILE
from farm.session.spec import OpenVinoSpec, SessionSpec
from workers.engines.cpackage import CPackageSession
from workers.engines.onnxruntime.session import OnnxRuntimeSession
from workers.engines.openvino.session import OpenVinoSession
from workers.engines.session import Array, Feeds, Session

Kind = Literal["onnxruntime", "openvino", "openvino-float32", "winner"]


@dataclass(frozen=True, slots=True)
class Rival:
    """One entrant of a race.

    engine: whose best it may be. path: the model's, or the folder of a delivered winner.
    threads: 0 for the engine's own choice.
    """

    name: str
    engine: str
    kind: Kind
    path: Path
    threads: int = 0


def open_session(rival: Rival) -> Session:
    """Load what a rival runs."""
    match rival.kind:
        case "onnxruntime":
            return OnnxRuntime(rival.path, rival.threads)
        case "openvino":
            return OpenVino(rival.path, rival.threads)
        case "openvino-float32":
            return OpenVino(rival.path, rival.threads, INFERENCE_PRECISION_HINT="f32")
        case "winner":
            return _winner(rival.path)


class OnnxRuntime(Session):
    """``InferenceSession`` with all graph optimisations, which are the default, and ``run``."""

    def __init__(self, model: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._feeds: dict[str, Array] = {}
        self.assignment = {}

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        return list(self._session.run(None, dict(feeds)))

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        self._feeds = dict(feeds)

    def timed(self, loops: int) -> int:
        """Run ``loops`` times; nanoseconds."""
        run, feeds = self._session.run, self._feeds
        start = time.perf_counter_ns()
        for _ in range(loops):
            run(None, feeds)
        return time.perf_counter_ns() - start


class OpenVino(Session):
    """As ``benchmark_app -hint latency`` does: tensors are set once, then requests are inferred.

    The arithmetic is OpenVINO's own choice, bfloat16 where the processor has it, unless it is
    given.
    """

    def __init__(self, model: Path, threads: int, **config: str) -> None:
        config["PERFORMANCE_HINT"] = "LATENCY"
        if threads:
            config["INFERENCE_NUM_THREADS"] = str(threads)
        core = ov.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", config)
        self._ports = [port.get_names() for port in compiled.inputs]
        self._request = compiled.create_infer_request()
        self.assignment = {}

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        self.set_feeds(feeds)
        self._request.infer()
        return [tensor.data.copy() for tensor in self._request.output_tensors]

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        for index, names in enumerate(self._ports):
            array = next(feeds[name] for name in names if name in feeds)
            self._request.set_input_tensor(
                index, ov.Tensor(np.asarray(array, order="C"), shared_memory=True)
            )

    def timed(self, loops: int) -> int:
        """Run ``loops`` times; nanoseconds."""
        infer = self._request.infer
        start = time.perf_counter_ns()
        for _ in range(loops):
            infer()
        return time.perf_counter_ns() - start


def _winner(folder: Path) -> Session:
    """A winner as it was delivered."""
    record = json.loads((folder / RECORD_FILE).read_text())
    candidate = from_json(json.dumps(record["candidate"]))
    if isinstance(candidate.engine, CPackage):
        place = Path(tempfile.mkdtemp(prefix="farm-peers-"))
        adopt_package(folder, place, candidate.engine)
        return CPackageSession(place / RUNNER_FILE)
    spec = json.loads((folder / SESSION_FILE).read_text())
    if "device" in spec:
        return OpenVinoSession(folder / "model.onnx", OpenVinoSpec(**spec))
    return OnnxRuntimeSession(folder / "model.onnx", SessionSpec(**spec))
