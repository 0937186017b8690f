"""Races of rivals: blocks in random order, a child process each, new children now and then.

The rules are those of the farm's own races (``docs/explanation/measuring.md``): before each sample
a short warm-up that does not count, and after it nobody goes on before the child is idle, since
threads that spin would be measured with whoever is next. But nobody is dropped, and every child is
a plain process of Python's: the farm is not its own judge.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.races.rivals.sessions import Rival, open_session
from tuner.racing.statistics import FloatArray
from workers.meters import latency

BLOCKS_OF_A_LIFE = 12  # one process is one sample of memory layout
_SAMPLE_SECONDS = 0.02
_WARM_UP_SECONDS = 0.2
_LEAST_WARM_UP = 3
_PATIENCE = 300.0


class RivalError(Exception):
    """A rival cannot run the model, or ran no more."""


def race(rivals: Sequence[Rival], feeds: Path, lives: int, seed: int) -> FloatArray:
    """Seconds per run, [blocks, rivals]. feeds: an npz of one sample. Raises RivalError."""
    random = np.random.default_rng(seed)
    blocks = []
    for _ in range(lives):
        with _children(rivals, feeds) as children:
            for _ in range(BLOCKS_OF_A_LIFE):
                block = np.empty(len(rivals))
                for index in random.permutation(len(rivals)):
                    block[index] = _ask(children[index], "sample")
                blocks.append(block)
    return np.stack(blocks)


def answers(rival: Rival, feeds: Path) -> list[list[np.ndarray]]:
    """Its outputs for every sample of an npz with a leading sample axis. Raises RivalError."""
    with _children([rival], None) as (child,):
        child.send(("answers", feeds))
        return _reply(child)  # type: ignore[return-value]


@contextmanager
def _children(rivals: Sequence[Rival], feeds: Path | None) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    started = []
    try:
        for rival in rivals:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rival, feeds), daemon=True)
            process.start()
            theirs.close()
            started.append((ours, process))
            _reply(ours)
        yield [connection for connection, _ in started]
    finally:
        for connection, process in started:
            connection.close()
            process.kill()
            process.join()


def _ask(child: Connection, command: str) -> float:
    child.send((command, None))
    return float(_reply(child))  # type: ignore[arg-type]


def _reply(child: Connection) -> object:
    if not child.poll(_PATIENCE):
        raise RivalError("no answer")
    try:
        kind, value = child.recv()
    except EOFError:
        raise RivalError("the process ended") from None
    if kind == "error":
        raise RivalError(value)
    return value


def _serve(connection: Connection, rival: Rival, feeds: Path | None) -> None:
    """A child: load, warm up, and answer."""
    try:
        session = open_session(rival)
        loops = 1
        if feeds is not None:
            with np.load(feeds) as archive:
                sample = {name: archive[name] for name in archive.files}
            session.set_feeds(sample)
            session.run(sample)
            session.set_feeds(sample)
            loops = _calibrated(session.timed)
            latency.settle()
        connection.send(("ready", loops))
        while True:
            command, path = connection.recv()
            if command == "sample":
                connection.send(("seconds", latency.sample([session], loops).seconds))
            else:
                with np.load(path) as archive:
                    names, count = archive.files, len(archive[archive.files[0]])
                    samples = [{n: archive[n][i, ...] for n in names} for i in range(count)]
                connection.send(("answers", [session.run(sample) for sample in samples]))
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001  (whatever it is, the parent tells it)
        last = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        connection.send(("error", last[:200]))


def _calibrated(timed: object) -> int:
    """Loops of one sample, after a warm-up."""
    assert callable(timed)
    runs, spent, seconds = 0, 0.0, 0.0
    while spent < _WARM_UP_SECONDS or runs < _LEAST_WARM_UP:
        seconds = timed(1) / 1e9
        runs, spent = runs + 1, spent + seconds
    return max(1, round(_SAMPLE_SECONDS / max(seconds, 1e-7)))
