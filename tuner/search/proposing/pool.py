"""The pool: every candidate of a space that may be chosen, in a fixed order.

Main engines in every precision, each graph, then engines that differ from a main one in a single
option. That is finite and small enough to be predicted as a whole; it grows by what differs in one
choice from the best two so far, so that options that help are combined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from farm.candidate import Candidate, Engine, PackageEngine
from tuner.runs.history import Entry, ranked
from tuner.search.options import near_engines
from tuner.search.space import Space

MOST = 4000
"""Candidates, of which a wide space on many cores has more: the last ones are left out."""
_BEST = 2


def pool(space: Space, history: Sequence[Entry]) -> tuple[Candidate, ...]:
    """What may be chosen by now, what was tried included, each once."""
    near = (c for entry in ranked(history)[:_BEST] for c in space.neighbours(entry.candidate))
    return tuple(dict.fromkeys((*islice(every_candidate(space), MOST), *near)))


def every_candidate(space: Space) -> Iterator[Candidate]:
    """All of the pool before anything was tried, the main engines first."""
    yield from dict.fromkeys(c for c in _all(space) if space.offers(c))


def _all(space: Space) -> Iterator[Candidate]:
    yield from space.recommended()
    main = (*space.float_engines(), *space.packages)
    for engine in main:
        yield from _in_every_precision(space, engine)
    yield from _rewritten(space, main)
    width = space.width()
    near = (e for engine in main for e in near_engines(engine, width, space.packages))
    for engine in dict.fromkeys(near):
        if engine not in main:
            yield from _in_every_precision(space, engine)


def _in_every_precision(space: Space, engine: Engine) -> Iterator[Candidate]:
    callers = _callers(space, engine)
    for precision in dict.fromkeys((*space.kept_precisions(engine), *space.precisions(engine))):
        candidate = Candidate(engine, precision)
        yield from (replace(candidate, callers=count) for count in callers)
        yield from (replace(candidate, batch=size) for size in space.first_batches(engine))


def _callers(space: Space, engine: Engine) -> tuple[int, ...]:
    """Those of a package are as many as there is room for; where packets are counted, one."""
    if not isinstance(engine, PackageEngine):
        return space.first_callers(engine)
    return (1,) if Candidate(engine).is_counted else space.callers()[-1:]


def _rewritten(space: Space, engines: Sequence[Engine]) -> Iterator[Candidate]:
    """Floats of the main engines, with slow patterns replaced."""
    for engine in engines if space.rewritable else ():
        precisions = (*space.kept_precisions(engine), *space.precisions(engine))
        for precision in dict.fromkeys(p for p in precisions if p.quantization is None):
            yield Candidate(engine, precision, rewritten=True)
