"""The pieces of a model that is cut, each compiled once per place, all loaded in this process.

They share one slot of memory, as the parts of a pipeline do: a piece reads what pieces before it
wrote there. A plan is run by running its pieces in a row, which is all that the farm's own session
of a pipeline does, so that thousands of plans need a few hundred sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx

from benchmarks.placement.cuts.plans import Piece, Plan, running
from farm.artifact.compiler import Compiler
from farm.artifact.folder import PIPELINE_FILE, read_manifest
from farm.artifact.graphs import needs_preparation
from farm.candidate import Candidate, PartEngine, Pipeline, PipelinePart
from farm.compile.cut import cut
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import CompileError
from farm.model.graph import Graph
from farm.model.model import Model
from farm.session.pipeline import TensorRecord, parse_pipeline
from workers.engines.loading import session_factory
from workers.engines.pipelines.pipeline import PipelineSession, pipeline_session
from workers.engines.pipelines.slots import Layout, private_block
from workers.engines.session import Array, EngineError, Feeds
from workers.environments.interpreters import Interpreters
from workers.protocol import PipelineDescription
from workers.trials.artifacts import Artifact
from workers.trials.places import Places

Once = Callable[[], None]


@dataclass(frozen=True, slots=True, order=True)
class Made:
    """A piece of one of two graphs. prepared: as it is where any part is a package."""

    piece: Piece
    prepared: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that is cut, with the engines of its places, by their names."""

    model: Model
    graph: Graph
    profile: DeviceProfile
    engines: Mapping[str, PartEngine]

    def pipeline(self, plan: Sequence[Piece]) -> Pipeline:
        """The pieces as parts."""
        names = [op.name for op in running(self.graph)]
        return Pipeline(
            tuple(
                PipelinePart(
                    self.profile.name,
                    self.engines[piece.place],
                    tuple(names[piece.start : piece.end]),
                )
                for piece in plan
            )
        )


def graphs(subject: Subject) -> dict[bool, onnx.ModelProto]:
    """The model that plans are cut from, by whether it is prepared, as far as there are plans.

    Raises CompileError.
    """
    compiler, count = Compiler(subject.model.proto, []), len(running(subject.graph))
    wholes = [subject.pipeline([Piece(0, count, place)]) for place in subject.engines]
    kinds = {needs_preparation(whole): whole for whole in wholes}
    return {kind: compiler.graph(Candidate(whole)).model for kind, whole in kinds.items()}


def survivors(subject: Subject, wholes: Mapping[bool, onnx.ModelProto]) -> list[bool]:
    """Of each operator that runs, whether it is there in all of these graphs."""
    written = [{name for node in w.graph.node for name in node.output} for w in wholes.values()]
    operators = running(subject.graph)
    return [all(names.intersection(op.outputs) for names in written) for op in operators]


@dataclass(slots=True)
class Pieces:
    """Pieces that are loaded when they are first asked for. refused: why one is not there.

    wholes: see ``graphs``. bounds: as ``cut_plans`` has them.
    """

    subject: Subject
    wholes: Mapping[bool, onnx.ModelProto]
    folder: Path
    bounds: Sequence[int]
    refused: dict[Made, str] = field(default_factory=dict)
    _loaded: dict[Made, Once] = field(default_factory=dict)
    _models: dict[tuple[int, int, bool], onnx.ModelProto] = field(default_factory=dict)
    _compiler: Compiler = field(init=False)
    _slot: Mapping[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        self._compiler = Compiler(self.subject.model.proto, [])
        layout = Layout.of(self._tensors())
        self._slot = layout.arrays(private_block(layout.size), 0)

    def write(self, feeds: Feeds) -> None:
        """Put the model's inputs where pieces read them."""
        for spec in self.subject.model.inputs:
            np.copyto(self._slot[spec.name], feeds[spec.name])

    def outputs(self) -> list[Array]:
        """Of the plan that ran last."""
        return [self._slot[output.name].copy() for output in self.subject.model.outputs]

    def of(self, plan: Plan) -> list[Made]:
        """The pieces of a plan, in order."""
        prepared = self._prepared(plan)
        return [Made(piece, prepared) for piece in plan]

    def load(self, made: Made) -> None:
        """Compile and load a piece if it is not there; what refuses it is kept."""
        if made not in self._loaded and made not in self.refused:
            try:
                self._loaded[made] = self._load(made)
            except (CompileError, EngineError) as error:
                self.refused[made] = str(error)

    def is_loaded(self, plan: Plan) -> bool:
        """Whether all pieces of a plan are there already."""
        return all(made in self._loaded for made in self.of(plan))

    def steps(self, plan: Plan) -> list[Once]:
        """What runs a plan whose pieces are loaded, in order."""
        return [self._loaded[made] for made in self.of(plan)]

    def session(self, plan: Plan) -> PipelineSession:
        """The farm's own session of a plan, which has memory of its own. The caller closes it."""
        folder = self.folder / "-".join(f"{p.start}.{p.place.replace('/', '.')}" for p in plan)
        path, description = self._compiled(self._compiler, self.subject.pipeline(plan), folder)
        return pipeline_session(path, description)

    def _prepared(self, plan: Plan) -> bool:
        return needs_preparation(self.subject.pipeline(plan))

    def _tensors(self) -> list[TensorRecord]:
        """All that any piece reads or writes at its ends."""
        place = next(iter(self.subject.engines))
        segments = [Piece(start, end, place) for start, end in pairwise(self.bounds)]
        models = [model for whole in self.wholes.values() for model in self._cut(whole, segments)]
        ends = [v for m in (*models, self.subject.model.proto) for v in _ends(m)]
        return list({value.name: _record(value) for value in ends}.values())

    def _cut(self, whole: onnx.ModelProto, pieces: Sequence[Piece]) -> tuple[onnx.ModelProto, ...]:
        parts = self.subject.pipeline(pieces).parts
        return cut(whole, parts, self.subject.model.proto)

    def _model(self, made: Made) -> onnx.ModelProto:
        """What a piece computes, from the whole model."""
        piece = made.piece
        key = piece.start, piece.end, made.prepared
        if key not in self._models:
            ends = sorted({0, piece.start, piece.end, self.bounds[-1]})
            pieces = [Piece(start, end, piece.place) for start, end in pairwise(ends)]
            models = self._cut(self.wholes[made.prepared], pieces)
            self._models[key] = models[ends.index(piece.start)]
        return self._models[key]

    def _load(self, made: Made) -> Once:
        """Raises CompileError, EngineError."""
        model, piece = self._model(made), made.piece
        names = tuple(node.name for node in model.graph.node)
        engine = self.subject.engines[piece.place]
        part = PipelinePart(self.subject.profile.name, engine, names)
        folder = self.folder / f"{piece.start}-{piece.end}-{engine.kind}-{made.prepared:d}"
        _, description = self._compiled(Compiler(model, []), Pipeline((part,)), folder)
        (told,) = description.parts
        if told.is_remote:
            raise EngineError(f"{piece.place} runs in another interpreter than this process.")
        session = session_factory(told.engine, told.spec, Path(told.model))()
        session.verify()
        inputs = {name: self._slot[name] for name in told.inputs}
        return session.bound(inputs, [self._slot[name] for name in told.outputs])

    def _compiled(
        self, compiler: Compiler, pipeline: Pipeline, folder: Path
    ) -> tuple[Path, PipelineDescription]:
        """An artifact, and how it is run. Raises CompileError."""
        folder.mkdir()
        candidate = Candidate(pipeline)
        compiler.compile(candidate, folder)
        path = folder / PIPELINE_FILE
        record, size = parse_pipeline(path.read_bytes()), read_manifest(folder).size
        own = self.subject.profile
        places = Places(own, Interpreters(own), load_profiles())
        artifact = Artifact("", path, size, (), pipeline=record)
        return path, places.description(candidate, pipeline, artifact)


def timed(steps: Sequence[Once], loops: int) -> float:
    """Seconds of one run of a plan, the mean of so many in a row."""
    start = time.perf_counter_ns()
    for _ in range(loops):
        for step in steps:
            step()
    return (time.perf_counter_ns() - start) * 1e-9 / loops


def _ends(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [*model.graph.input, *model.graph.output]


def _record(value: onnx.ValueInfoProto) -> TensorRecord:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return TensorRecord(value.name, dtype, tuple(d.dim_value for d in kind.shape.dim))
