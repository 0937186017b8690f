"""Sessions of engines that the farm does not offer, for ``races/engines.py`` to measure.

Each is made from an ONNX file with fixed shapes and a number of threads, computes floats in
float32, and imports nothing but its engine, NumPy and the standard library.
"""

from __future__ import annotations

import os
import subprocess
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workers.engines.session import Array, EngineError, Feeds, Session

_CONVERT_SECONDS = 300


class Timed(Session):
    """A session of which one function is timed: from arrays to arrays, as an application does."""

    def __init__(self) -> None:
        self._feeds: Feeds = {}

    @abstractmethod
    def run(self, feeds: Feeds) -> list[Array]:
        """Run once and return the outputs."""

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input."""
        self._feeds = feeds

    def timed(self, loops: int) -> int:
        """Run ``loops`` times."""
        run, feeds = self.run, self._feeds
        start = time.perf_counter_ns()
        for _ in range(loops):
            run(feeds)
        return time.perf_counter_ns() - start


class Tract(Timed):
    """tract, a Rust engine that reads ONNX. Its Python package has no setting for threads."""

    def __init__(self, model: Path, threads: int, inputs: Feeds, outputs: Sequence[str]) -> None:
        import tract  # noqa: PLC0415

        super().__init__()
        del outputs
        if threads > 1:
            raise EngineError("its Python package runs in one thread")
        self.assignment = {"tract": 1}
        read = tract.onnx().load(str(model))
        self._names = [read.input_name(i) for i in range(read.input_count())]
        kinds = {"float32": "f32", "int64": "i64"}
        for number, name in enumerate(self._names):
            array = inputs[name]
            fact = ",".join([*map(str, array.shape), kinds[array.dtype.name]])
            read.set_input_fact(number, fact)
        for number in range(read.output_count()):
            read.set_output_fact(number, None)
        self._model = read.into_model().into_runnable()

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        return [out.to_numpy() for out in self._model.run([feeds[name] for name in self._names])]


class Mnn(Timed):
    """MNN. Its converter is called directly: around it, Python would install a log client."""

    def __init__(self, model: Path, threads: int, inputs: Feeds, outputs: Sequence[str]) -> None:
        import _tools  # noqa: PLC0415  (of MNN)
        import MNN  # noqa: PLC0415

        super().__init__()
        self.assignment = {"mnn": 1}
        converted = model.with_suffix(f".{os.getpid()}.mnn")
        words = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(converted)]
        _tools.mnnconvert(["mnnconvert", *words, "--bizCode", "farm"])
        if not converted.exists():
            raise EngineError("its converter wrote nothing")
        self._expr = MNN.expr
        config = {"backend": 0, "numThread": threads, "precision": "high"}
        manager = MNN.nn.create_runtime_manager((config,))
        self._names = list(inputs)
        self._net = MNN.nn.load_module_from_file(
            str(converted), self._names, list(outputs), runtime_manager=manager
        )
        converted.unlink()
        self._kinds = {"float32": MNN.expr.float, "int64": MNN.expr.int64}

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        given = [self._variable(feeds[name]) for name in self._names]
        found = [self._expr.convert(v, self._expr.NCHW) for v in self._net.forward(given)]
        return [np.array(variable.read(), copy=True) for variable in found]

    def _variable(self, array: Array) -> Any:  # noqa: ANN401
        kind = self._kinds[array.dtype.name]
        return self._expr.const(array, list(array.shape), self._expr.NCHW, kind)


class Ncnn(Timed):
    """ncnn, whose converter is pnnx, a program beside it."""

    def __init__(self, model: Path, threads: int, inputs: Feeds, outputs: Sequence[str]) -> None:
        import ncnn  # noqa: PLC0415

        super().__init__()
        self.assignment = {"ncnn": 1}
        self._ncnn = ncnn
        shapes = ",".join(_pnnx_shape(array) for array in inputs.values())
        base = model.with_suffix(f".{os.getpid()}")
        files = {kind: f"{base}.ncnn.{kind}" for kind in ("param", "bin")}
        words = [f"ncnn{kind}={path}" for kind, path in files.items()]
        self._convert(model, [f"inputshape={shapes}", "fp16=0", *words])
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(options, name, False)
        if self._net.load_param(files["param"]) or self._net.load_model(files["bin"]):
            raise EngineError("it cannot load what its converter wrote")
        self._inputs = dict(zip(inputs, self._net.input_names(), strict=True))
        self._outputs = list(self._net.output_names())
        if len(self._outputs) != len(outputs):
            raise EngineError("its converter lost outputs")

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once; the axis of the batch, which it does not know, is left out."""
        extractor = self._net.create_extractor()
        for name, own in self._inputs.items():
            extractor.input(own, self._ncnn.Mat(np.ascontiguousarray(feeds[name][0])).clone())
        return [np.array(extractor.extract(own)[1]) for own in self._outputs]

    @staticmethod
    def _convert(model: Path, words: list[str]) -> None:
        import importlib.util  # noqa: PLC0415

        spec = importlib.util.find_spec("pnnx")
        if spec is None or spec.origin is None:
            raise EngineError("its converter, the Python package pnnx, is not installed")
        program = Path(spec.origin).with_name("pnnx")
        done = subprocess.run(
            [str(program), str(model), *words],
            cwd=model.parent,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CONVERT_SECONDS,
            check=False,
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise EngineError(f"its converter ends with {done.returncode}: {said}")


class Tvm(Timed):
    """TVM's compiler by its Relax front end, with its own default pipeline and no tuning."""

    def __init__(self, model: Path, threads: int, inputs: Feeds, outputs: Sequence[str]) -> None:
        os.environ["TVM_NUM_THREADS"] = str(threads)
        import onnx  # noqa: PLC0415
        import tvm  # noqa: PLC0415
        from tvm import relax  # noqa: PLC0415
        from tvm.relax.frontend.onnx import from_onnx  # noqa: PLC0415

        super().__init__()
        del outputs
        self.assignment = {"tvm": 1}
        module = from_onnx(onnx.load(str(model)), keep_params_in_input=False)
        target = tvm.target.Target({"kind": "llvm", "mcpu": _processor(), "num-cores": threads})
        with target:
            built = tvm.compile(module, target=target)
        self._machine = relax.VirtualMachine(built, tvm.cpu())
        self._tensor: Callable[[Array], Any] = tvm.runtime.tensor
        self._names = list(inputs)

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once."""
        found = self._machine["main"](*(self._tensor(feeds[name]) for name in self._names))
        several = [found] if hasattr(found, "numpy") else list(found)
        return [each.numpy() for each in several]


ENGINES: Mapping[str, Callable[[Path, int, Feeds, Sequence[str]], Session]] = {
    "tract": Tract,
    "mnn": Mnn,
    "ncnn": Ncnn,
    "tvm": Tvm,
}


def _pnnx_shape(array: Array) -> str:
    kind = {"float32": "f32", "int64": "i64"}[array.dtype.name]
    return f"[{','.join(map(str, array.shape))}]{kind}"


def _processor() -> str:
    """LLVM's name of this processor."""
    import tvm  # noqa: PLC0415

    found = tvm.get_global_func("target.llvm_get_system_cpu", allow_missing=True)
    return str(found()) if found is not None else "x86-64-v3"
