"""The compile commands of a child: run the compile passes on a workload and a candidate.

Compiling happens in a child like running does: a pass that crashes, hangs or leaks ends its
trial only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

import onnx

from farm.accuracy.damage import Damage
from farm.artifact.compiler import Compiler
from farm.candidate import DynamicInt8, PackageEngine, StaticInt8, WeightOnlyInt4, from_json
from farm.codegen.package.manifest import parse_manifest
from farm.compile.operators import matrix_products
from farm.compile.quantization.sensitivity import sensitivity
from farm.compile.rewrite import rewrite
from farm.errors import CompileError
from farm.profile.kernels import OperatorProfile
from workers.child.feeds import read_feeds
from workers.engines.session import EngineError
from workers.jobs import Part

_SENSITIVITY_SAMPLES = 4


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the passes had to say."""

    notes: tuple[str, ...]


def compile_candidate(workload: Path, candidate: str, folder: Path) -> Compiled:
    """Compile a candidate, given as JSON text, into an existing, empty folder.

    A package in float32 alone must compute what the model does.

    workload: folder with ``model.onnx`` and ``calibration.npz``.

    Raises EngineError with the compile error's sentence.
    """
    chosen, compiler = from_json(candidate), _compiler(workload)
    try:
        manifest = compiler.compile(chosen, folder)
        if isinstance(chosen.engine, PackageEngine):
            from workers.child.packages import check_float  # noqa: PLC0415  (loads the generator)

            program = compiler.generation(chosen).program
            check_float(compiler.model, program, folder, read_feeds(workload / "calibration.npz"))
    except CompileError as error:
        raise EngineError(str(error)) from error
    return Compiled(notes=manifest.notes)


def complete_package(
    workload: Path, candidate: str, artifact: Path, manifest: str, folder: Path
) -> Compiled:
    """Write the package of a compiled candidate into an existing, empty folder.

    artifact: its folder. manifest: what the package says of itself, JSON text; its test vectors
    are made of the confirmation data first.

    Raises EngineError with the compile error's sentence.
    """
    from workers.child.packages import complete, vector_samples  # noqa: PLC0415  (as above)

    chosen, description = from_json(candidate), parse_manifest(manifest)
    parts = (Part.CONFIRMATION, Part.SEARCH, Part.CALIBRATION)
    feeds = chain.from_iterable(read_feeds(workload / f"{part}.npz") for part in parts)
    samples = vector_samples(feeds, description.vectors)
    try:
        generation = _compiler(workload).generation(chosen)
        complete(folder, artifact, generation, description, samples)
    except CompileError as error:
        raise EngineError(str(error)) from error
    return Compiled(notes=())


def quantizable_names(workload: Path) -> dict[str, list[str]]:
    """Names of the operators that each kind of quantisation applies to, in graph order.

    Under ``rewritten``: names of the passes that can rewrite the graph, empty if none can. Under
    ``products``: those of matrix products, empty if little of the work is theirs.

    Raises EngineError with the compile error's sentence.
    """
    kinds = (StaticInt8(), DynamicInt8(), WeightOnlyInt4())
    try:
        compiler = _compiler(workload)
        names = {q.kind: [op.name for op in compiler.quantizable(q)] for q in kinds}
        products = list(matrix_products(compiler.prepared().model))
        return names | {"rewritten": _rewriting_passes(compiler), "products": products}
    except CompileError as error:
        raise EngineError(str(error)) from error


def _rewriting_passes(compiler: Compiler) -> list[str]:
    """Names of the passes that would rewrite something in this graph."""
    prepared = compiler.prepared()
    try:
        return list(rewrite(prepared).passes[len(prepared.passes) :])
    except CompileError:
        return []


def rank_sensitivity(workload: Path, candidate: str) -> Damage:
    """Damage that quantising does at each operator, most damaged first; see the pass.

    Raises EngineError with the compile error's sentence.
    """
    compiler = _compiler(workload)
    feeds = list(read_feeds(workload / "calibration.npz"))[:_SENSITIVITY_SAMPLES]
    chosen = replace(from_json(candidate), batch=1)
    kind = chosen.precision.quantization
    assert kind is not None
    try:
        quantised = compiler.graph(chosen).model
        names = [operator.name for operator in compiler.quantizable(kind)]
        return sensitivity(compiler.prepared().model, quantised, names, feeds)
    except CompileError as error:
        raise EngineError(str(error)) from error


def profile_package(
    workload: Path, candidate: str, folder: Path, seconds: float
) -> tuple[OperatorProfile, ...]:
    """Steps of a package with what they take and stand for; ``folder`` is empty, to build in.

    Raises EngineError with the compile error's sentence.
    """
    from workers.child.package_profile import package_profile  # noqa: PLC0415  (as above)

    sample = next(read_feeds(workload / f"{Part.CONFIRMATION}.npz"))
    return package_profile(_compiler(workload), from_json(candidate), sample, folder, seconds)


@lru_cache(maxsize=2)
def _compiler(workload: Path) -> Compiler:
    """The compiler of a workload, kept for its next candidate: it remembers common work."""
    feeds = list(read_feeds(workload / "calibration.npz"))
    return Compiler(onnx.load(str(workload / "model.onnx")), feeds)
