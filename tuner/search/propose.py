"""Proposes candidates in stages, each narrower than a grid and sound without a cost model.

1. engines: the float model on every engine, as its makers recommend it, with its main options;
2. packages: generated C, in int8 by every compiler, then otherwise calibrated and in float32 by
   the best one; for a large model, for which they rarely win, after the next stage;
3. precision: every precision on the best setting of the best two engines, and their graphs with
   slow patterns rewritten;
4. splits: what a placement plan proposes, if anything; on a device that cannot run the whole
   model, nothing else;
5. repair: operators that quantisation damages most go back to float, where a fast candidate was
   rejected for its accuracy, and in the fastest quantised ones;
6. refine: what differs in one choice from the best two;
7. sample: Optuna's tree-structured Parzen estimator over what is left.

A proposer has no state but its space: what it proposes follows from the history alone, so that a
resumed run proposes what the interrupted one would have. Learned cost models will take the place
of stage 7 and the order within the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile, zip_longest

from farm.candidate import Candidate, GraphLevel, OnnxRuntimeCpu, PackageEngine, StaticInt8
from farm.measurement import Outcome
from tuner.runs.history import Entry, ranked
from tuner.search.sampler import sample
from tuner.search.space import Space, with_keep_float
from tuner.search.stages import Stage

Sensitivity = Callable[[Candidate], tuple[str, ...]]
"""Operators of a quantised candidate, the most damaged first."""

_BEST = 2
_LEVELS = tuple(GraphLevel)  # the least first
_COMPILER_FAILURES = 2
_COMPILING_FAILED = frozenset({Outcome.COMPILE_ERROR, Outcome.TIMEOUT, Outcome.OUT_OF_MEMORY})


@dataclass(frozen=True, slots=True)
class Proposal:
    """New candidates, none of which was tried before."""

    stage: Stage
    candidates: tuple[Candidate, ...]


class Proposer:
    """Proposes for one device and model.

    sensitivity: asked only for candidates that were measured.
    """

    def __init__(self, space: Space, sensitivity: Sensitivity, seed: int) -> None:
        self._space = space
        self._sensitivity = sensitivity
        self._seed = seed

    def propose(self, history: Sequence[Entry], count: int) -> Proposal:
        """At most ``count`` new candidates of the first stage that has any left."""
        seen = {entry.candidate for entry in history}
        stages: tuple[tuple[Stage, Callable[[Sequence[Entry]], Iterable[Candidate]]], ...] = (
            (Stage.ENGINES, self._engines),
            *((Stage.PACKAGES, self._packages) for _ in range(self._space.small)),
            (Stage.PRECISION, self._precisions),
            (Stage.PACKAGES, self._packages),
            (Stage.SPLITS, lambda _: self._space.splits),
            (Stage.REPAIR, self._repairs),
            (Stage.REFINE, self._neighbours),
            (Stage.SAMPLE, lambda h: sample(self._space, h, count, self._seed)),
        )
        if self._space.only_splits:
            stages = ((Stage.SPLITS, lambda _: self._space.splits),)
        for stage, candidates in stages:
            fresh = [c for c in dict.fromkeys(candidates(history)) if c not in seen]
            fresh = [c for c in fresh if not self._is_doomed(c, history)]
            if fresh:
                return Proposal(stage, tuple(fresh[:count]))
        return Proposal(Stage.EXHAUSTED, ())

    def _engines(self, history: Sequence[Entry]) -> Iterator[Candidate]:
        yield from self._space.recommended()  # of a large model a short budget has little more
        for engine in self._space.float_engines():
            for callers in self._space.first_callers(engine):
                for precision in self._space.kept_precisions(engine):
                    candidate = Candidate(engine, precision, callers=callers)
                    yield _at_runnable_level(candidate, history)
            for batch in self._space.first_batches(engine):
                own = self._space.kept_precisions(engine)[-1]
                yield _at_runnable_level(Candidate(engine, own, batch=batch), history)
        # A provider that refused some operators may still be worth its part of the graph.
        yield from (
            replace(entry.candidate, engine=replace(entry.candidate.engine, cpu_operators=True))
            for entry in history
            if entry.candidate.engine.kind == "openvino"
            and not entry.candidate.engine.cpu_operators
            and self._is_plain_float(entry.candidate)
            and "did not take" in entry.message
        )

    def _packages(self, history: Sequence[Entry]) -> Iterator[Candidate]:
        """Packages in their most promising precision, then the others on the best engine."""
        if not self._space.packages:
            return
        first, *others = self._space.package_precisions()
        callers = self._space.callers()[-1]
        engines = [e for e in self._space.packages if e.target == self._space.packages[0].target]
        yield from (
            self._packaged(Candidate(engine, first, callers=callers)) for engine in engines
        )
        tried = (e.candidate.engine for e in ranked(history))
        best = next((e for e in tried if isinstance(e, PackageEngine)), engines[0])
        later = [Candidate(best, precision, callers=callers) for precision in others]
        yield from map(self._packaged, later)

    @staticmethod
    def _packaged(candidate: Candidate) -> Candidate:
        """Where instructions are counted there is one caller."""
        return replace(candidate, callers=1) if candidate.is_counted else candidate

    @staticmethod
    def _is_doomed(candidate: Candidate, history: Sequence[Entry]) -> bool:
        """Whether a candidate is bound to fail for what another one failed for.

        What the baseline failed for at a graph level it fails for at higher ones.
        What the generator does not support it supports for no compiler; a compiler that failed
        twice goes on failing; what was too large or too slow was so in int8, or in float.
        """
        if not isinstance(candidate.engine, PackageEngine):
            return _at_runnable_level(candidate, history) != candidate
        failed = [
            e
            for e in history
            if isinstance(e.candidate.engine, PackageEngine) and e.outcome in _COMPILING_FAILED
        ]
        crashes = [e for e in failed if e.message.startswith("The compiler")]
        same = [e for e in crashes if e.candidate.engine == candidate.engine]
        others = [e for e in failed if e not in crashes]
        return len(same) >= _COMPILER_FAILURES or any(_stops(e, candidate) for e in others)

    def _precisions(self, history: Sequence[Entry]) -> Iterator[Candidate]:
        """All precisions on the best float setting of each of the best two kinds of engine.

        A setting that this was begun with stays, though a later race may prefer another one.
        """
        best: dict[str, Candidate] = {}
        others = [e for e in history if not isinstance(e.candidate.engine, PackageEngine)]
        first = self._space.recommended()
        begun = (e.candidate for e in others if e.candidate not in first)
        for candidate in (c for c in begun if not self._is_plain_float(c)):
            precision = self._space.kept_precisions(candidate.engine)[0]
            plain = replace(candidate, precision=precision, rewritten=False)
            best.setdefault(candidate.engine.kind, plain)
        for entry in ranked(e for e in others if self._is_plain_float(e.candidate)):
            best.setdefault(entry.candidate.engine.kind, entry.candidate)
        settings = list(best.values())[:_BEST]
        lists = [self._variants(candidate) for candidate in settings]
        for row in zip_longest(*lists):
            yield from (candidate for candidate in row if candidate is not None)

    def _variants(self, candidate: Candidate) -> list[Candidate]:
        """Every precision of a float candidate; floats go first, with their graphs rewritten."""
        precisions = self._space.precisions(candidate.engine)
        others = [replace(candidate, precision=precision) for precision in precisions]
        floats = [c for c in others if c.precision.quantization is None][:1]
        plain = replace(candidate, precision=self._space.kept_precisions(candidate.engine)[0])
        graphs = dict.fromkeys((plain, *floats)) if self._space.rewritable else ()
        rewritten = [replace(c, rewritten=True) for c in graphs]
        return [*floats, *rewritten, *others]

    def _is_plain_float(self, candidate: Candidate) -> bool:
        kept = self._space.kept_precisions(candidate.engine)
        return candidate.precision in kept and not candidate.rewritten

    def _repairs(self, history: Sequence[Entry]) -> Iterator[Candidate]:
        """The fastest quantised candidates with their 1, 2, 4, ... most damaged operators kept.

        A rejected one is worth it only while it is faster than all that were not rejected.
        """
        best = min((e.ratio for e in ranked(history) if e.ratio is not None), default=1.0)
        rejected = [
            (e.ratio, i, e)
            for i, e in enumerate(history)
            if e.outcome is Outcome.REJECTED and _quantised(e) and e.ratio and e.ratio < best
        ]
        inaccurate = [entry for _, _, entry in sorted(rejected, key=lambda row: row[:2])]
        accurate = [e for e in ranked(history)[:_BEST] if _quantised(e)]
        for entry in (*inaccurate[:_BEST], *accurate[:1]):
            yield from self._with_kept(entry.candidate)

    def _with_kept(self, candidate: Candidate) -> Iterator[Candidate]:
        quantization = candidate.precision.quantization
        if not isinstance(quantization, StaticInt8) or quantization.keep_float:
            return
        names = self._sensitivity(candidate)
        kept = 1
        while kept < len(names):
            yield with_keep_float(candidate, names[:kept])
            kept *= 2

    def _neighbours(self, history: Sequence[Entry]) -> Iterator[Candidate]:
        best = ranked(history)[:_BEST]
        for entry in best:
            yield from self._space.neighbours(entry.candidate)


def _at_runnable_level(candidate: Candidate, history: Sequence[Entry]) -> Candidate:
    """The candidate, at the baseline's graph level where it would fail as higher ones did."""
    failed = [entry.candidate for entry in takewhile(lambda entry: not entry.ok, history)]
    if not failed or len(failed) == len(history):
        return candidate
    works = history[len(failed)].candidate
    match candidate.engine, works.engine:
        case OnnxRuntimeCpu() as engine, OnnxRuntimeCpu(graph_level=level):
            alike = candidate.precision == works.precision == failed[-1].precision
            if alike and _LEVELS.index(engine.graph_level) > _LEVELS.index(level):
                return replace(candidate, engine=replace(engine, graph_level=level))
    return candidate


def _stops(failed: Entry, candidate: Candidate) -> bool:
    """Whether what a package failed for holds for another one."""
    quantised = candidate.precision.quantization is not None
    is_unsupported = (
        failed.outcome is Outcome.COMPILE_ERROR and "weights need" not in failed.message
    )
    return is_unsupported or quantised == _quantised(failed)


def _quantised(entry: Entry) -> bool:
    return entry.candidate.precision.quantization is not None
