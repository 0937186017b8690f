"""A model that is split over places: parts that run one after the other, or at the same time.

Parts of engines of this interpreter run in this process and share its memory, others have
processes of their own. Every device has memory of its own, but for those that are this machine's
processor: what goes to another one, or comes from it, is copied, and the copying is timed.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from farm.session.pipeline import PipelineRecord, parse_pipeline
from workers.engines.cpackage import EmulatedPackageSession
from workers.engines.loading import session_factory
from workers.engines.pipelines.slots import Layout, private_block, shared_block
from workers.engines.pipelines.stages import StageChain
from workers.engines.session import Array, EngineError, Feeds, Session
from workers.protocol import PartDescription, PartSeconds, PipelineDescription, Split

_TRANSFER = -1


def pipeline_session(path: Path, description: PipelineDescription) -> PipelineSession:
    """A pipeline, loaded. path: its ``pipeline.json``.

    Raises EngineError: a part cannot be loaded. NotAsPlannedError: it would not run as described.
    """
    overlapped = description.in_flight > 1
    return (OverlappedPipeline if overlapped else SequentialPipeline)(path, description)


class PipelineSession(Session):
    """What pipelines have in common: the ends of the model, in a slot of memory."""

    def __init__(self, path: Path, description: PipelineDescription) -> None:
        self._path = path
        self._description = description
        self.record: PipelineRecord = parse_pipeline(path.read_bytes())
        self._varying: dict[str, Array] = {}  # outputs of no fixed shape, as the last run has them
        self._refuse_varying_elsewhere()
        self._chosen: Feeds = {}
        self._is_chosen = False
        self._opened: list[StageChain | Session] = []

    def close(self) -> None:
        """End what the parts started; again does nothing."""
        for opened in self._opened:
            opened.close()
        self._opened.clear()

    @abstractmethod
    def split(self, runs: int) -> Split:
        """What each part takes of a run on the chosen input, the medians of so many."""

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        """Pipelines with memory of their own: one serves one caller."""
        with ExitStack() as stack:
            sessions: list[Session] = [self]
            while len(sessions) < count:
                session = pipeline_session(self._path, self._description)
                stack.callback(session.close)
                session.verify()
                session.set_feeds(self._chosen)
                sessions.append(session)
            yield sessions

    def _write(self, feeds: Feeds, slots: Sequence[Mapping[str, Array]]) -> None:
        """Raises EngineError: an input has another type or shape than the model's."""
        for name in self.record.inputs:
            given = np.asarray(feeds[name])
            for slot in slots:
                place = slot[name]
                if (given.dtype, given.shape) != (place.dtype, place.shape):
                    raise EngineError(
                        f"Input {name!r} takes {place.dtype} {list(place.shape)}, and was given "
                        f"{given.dtype} {list(given.shape)}."
                    )
                np.copyto(place, given)

    def _results(self, slot: Mapping[str, Array]) -> list[Array]:
        found = {**slot, **self._varying}
        return [found[name].copy() for name in self.record.outputs]

    def _refuse_varying_elsewhere(self) -> None:
        """Raise EngineError: a part whose memory is shared has an output of no fixed shape."""
        varying = {tensor.name for tensor in self.record.tensors if tensor.shape is None}
        for part in self._description.parts:
            found = next((name for name in part.outputs if name in varying), None)
            if part.is_remote and found is not None:
                raise EngineError(
                    f"The part at {part.place} has a process of its own, and the shape of its "
                    f"output {found!r} is not fixed."
                )


@dataclass(frozen=True, slots=True)
class _Step:
    """Something that is done in a run.

    part: whose it is, by its place in the pipeline, or ``_TRANSFER``. once: does it. told: the
    nanoseconds of the last time that were the part's own, where the rest was a transfer.
    """

    part: int
    once: Callable[[], None]
    told: Callable[[], int] | None = None


class SequentialPipeline(PipelineSession):
    """Parts that run one after the other.

    The seconds of an emulated part follow from its packets. In timed runs, whose input is always
    the same, its outputs are those of the first one.
    """

    def __init__(self, path: Path, description: PipelineDescription) -> None:
        super().__init__(path, description)
        layout = Layout.of(self.record.tensors)
        is_shared = any(part.is_remote for part in description.parts)
        block, file = (
            shared_block(layout.size) if is_shared else (private_block(layout.size), None)
        )
        self._slot = layout.arrays(block, 0)
        self._steps: list[_Step] = []
        self._emulated: dict[int, EmulatedPackageSession] = {}
        self._own: list[tuple[str, Session]] = []  # places, and what runs there in this process
        self._counts: Counter[str] = Counter()  # of other processes
        try:
            for index, part in enumerate(description.parts):
                if part.is_remote:
                    assert file is not None
                    self._start(index, StageChain([part], layout, file, 1))
                else:
                    session = session_factory(part.engine, part.spec, Path(part.model))()
                    self._add(index, part, session)
        except BaseException:
            self.close()
            raise
        finally:
            if file is not None:
                file.unlink()
        self._timed_steps = [step.once for step in self._steps if step.part not in self._emulated]

    def verify(self) -> None:
        """See ``Session``; parts with processes of their own were verified when these began."""
        counts = Counter(self._counts)
        for place, session in self._own:
            session.verify()
            counts.update({f"{place}: {k}": n for k, n in session.assignment.items()})
        self.assignment = dict(counts)

    def run(self, feeds: Feeds) -> list[Array]:
        """Run every part, emulated ones on the host."""
        self._is_chosen = False
        self._run(feeds)
        return self._results(self._slot)

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        self._chosen = feeds
        self._is_chosen = False

    def timed(self, loops: int) -> int:
        """Nanoseconds of ``loops`` runs: by the clock, and of emulated parts by their packets."""
        self._choose()
        steps, modelled = self._timed_steps, sum(e.timed(loops) for e in self._emulated.values())
        start = time.perf_counter_ns()
        for _ in range(loops):
            for step in steps:
                step()
        return time.perf_counter_ns() - start + modelled

    def split(self, runs: int) -> Split:
        """What each part takes of a run on the chosen input, the medians of so many."""
        self._choose()
        steps = [step for step in self._steps if step.part not in self._emulated]
        taken = np.zeros((runs, len(self._description.parts) + 1))  # the last one: transfers
        for row in taken:
            begin = last = time.perf_counter_ns()
            for step in steps:
                step.once()
                now = time.perf_counter_ns()
                if step.part != _TRANSFER:
                    row[step.part] += now - last if step.told is None else step.told()
                last = now
            row[-1] = last - begin - row[:-1].sum()
        *parts, transfers = np.median(taken, axis=0) * 1e-9
        return Split(
            tuple(self._part_seconds(i, float(seconds)) for i, seconds in enumerate(parts)),
            float(transfers),
            runs,
        )

    def _part_seconds(self, index: int, seconds: float) -> PartSeconds:
        place = self._description.parts[index].place
        emulated = self._emulated.get(index)
        if emulated is None:
            return PartSeconds(place, seconds, "measured")
        found = emulated.counted()
        modelled = emulated.timed(1) * 1e-9
        return PartSeconds(place, modelled, "modelled", found.packets, found.method)

    def _choose(self) -> None:
        if not self._is_chosen:
            self._run(self._chosen)
            self._is_chosen = True

    def _run(self, feeds: Feeds) -> None:
        self._write(feeds, [self._slot])
        for step in self._steps:
            step.once()

    def _start(self, index: int, chain: StageChain) -> None:
        """The step of a part that has a process of its own."""
        self._opened.append(chain)
        self._counts.update(chain.assignment)
        self.processes += chain.processes
        self._steps.append(_remote(index, chain))

    def _add(self, index: int, part: PartDescription, session: Session) -> None:
        """The steps of a part in this process."""
        self._opened.append(session)
        self._own.append((part.place, session))
        inputs = {name: self._slot[name] for name in part.inputs}
        if not self._slot.keys() >= set(part.outputs):
            self._steps.append(_Step(index, self._unbound(session, inputs, part.outputs)))
            return
        outputs = {name: self._slot[name] for name in part.outputs}
        if not isinstance(session, EmulatedPackageSession):
            self._steps.append(_Step(index, session.bound(inputs, list(outputs.values()))))
            return
        self._emulated[index] = session
        there = {name: array.copy() for name, array in inputs.items()}
        back = {name: array.copy() for name, array in outputs.items()}
        self._steps += [
            _Step(_TRANSFER, _copies(inputs, there)),
            _Step(index, session.bound(there, list(back.values()))),
            _Step(_TRANSFER, _copies(back, outputs)),
        ]

    def _unbound(
        self, session: Session, inputs: Feeds, outputs: Sequence[str]
    ) -> Callable[[], None]:
        """What runs once and keeps what comes of it where it has no place in the slot."""

        def once() -> None:
            for name, array in zip(outputs, session.run(inputs), strict=True):
                if name in self._slot:
                    np.copyto(self._slot[name], array, casting="no")
                else:
                    self._varying[name] = array

        return once


class OverlappedPipeline(PipelineSession):
    """Parts in processes of their own that work on successive samples at the same time.

    What is timed is how long a run takes while others are under way, so many that every part has
    one: in a stream of samples that is the time between two results, times the samples under way
    (J. Little, "A proof for the queuing formula L = λW", 1961).
    """

    least_loops = 2  # one run is alone

    def __init__(self, path: Path, description: PipelineDescription) -> None:
        super().__init__(path, description)
        layout, slots = Layout.of(self.record.tensors), description.in_flight
        block, file = shared_block(layout.size * slots)
        self._slots = [layout.arrays(block, slot) for slot in range(slots)]
        self.untimed_runs = 2 * slots  # until it is full, and until it is empty again
        try:
            self._chain = StageChain(description.parts, layout, file, slots)
            self._opened.append(self._chain)
        finally:
            file.unlink()
        self.assignment = self._chain.assignment
        self.processes = self._chain.processes

    def run(self, feeds: Feeds) -> list[Array]:
        """Run once, with nothing else under way."""
        self._is_chosen = False
        self._write(feeds, self._slots[:1])
        self._chain.send(0)
        self._chain.receive()
        return self._results(self._slots[0])

    def set_feeds(self, feeds: Feeds) -> None:
        """Choose the input of the timed runs."""
        self._chosen = feeds
        self._is_chosen = False

    def timed(self, loops: int) -> int:
        """Nanoseconds of ``loops`` runs, each while others are under way; of one run, alone."""
        self._choose()
        if loops == 1:
            start = time.perf_counter_ns()
            self._chain.send(0)
            self._chain.receive()
            return time.perf_counter_ns() - start
        return self._interval(loops) * len(self._slots)

    def split(self, runs: int) -> Split:
        """What each part takes of a run that is alone, the medians of so many."""
        self._choose()
        rows = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            self._chain.send(0)
            taken = self._chain.receive().nanoseconds
            rows.append((*taken, time.perf_counter_ns() - start - sum(taken)))
        *parts, transfers = np.median(np.array(rows), axis=0) * 1e-9
        places = (part.place for part in self._description.parts)
        found = (PartSeconds(p, float(s), "measured") for p, s in zip(places, parts, strict=True))
        return Split(tuple(found), float(transfers), runs)

    def _interval(self, loops: int) -> int:
        """Nanoseconds in which so many results come, one after the other, of a full pipeline."""
        send, receive = self._chain.send, self._chain.receive
        for slot in range(len(self._slots)):
            send(slot)
        for _ in self._slots:  # until every part has had its first one
            send(receive().slot)
        start = time.perf_counter_ns()
        for _ in range(loops):
            send(receive().slot)
        taken = time.perf_counter_ns() - start
        for _ in self._slots:
            receive()
        return taken

    def _choose(self) -> None:
        if not self._is_chosen:
            self._write(self._chosen, self._slots)
            self._is_chosen = True


def _remote(index: int, chain: StageChain) -> _Step:
    """A step of a part that has a process of its own."""
    taken = [0]

    def once() -> None:
        chain.send(0)
        taken[0] = chain.receive().nanoseconds[0]

    return _Step(index, once, told=lambda: taken[0])


def _copies(given: Mapping[str, Array], places: Mapping[str, Array]) -> Callable[[], None]:
    """What copies tensors to another device's memory."""
    pairs = [(places[name], array) for name, array in given.items()]

    def once() -> None:
        for place, array in pairs:
            np.copyto(place, array)

    return once
