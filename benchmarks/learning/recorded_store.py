"""The store that ``record_corpus.py`` made, kept beside the scripts that learn from it.

    with opened() as store: ...

``python -m benchmarks.learning.recorded_store corpus.db MODEL.onnx ...`` packs a store anew:
operators of the models are kept with them in full, paths become names, and it is compressed.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.common import ROOT
from db.reader import StoreReader
from farm.model.graph import build_graph
from farm.model.model import load_model
from tuner.runs.record.operators import model_details

PACKED = ROOT / "benchmarks" / "tables" / "corpus_cpu.db.xz"
DEVICE = "cpu"


@contextmanager
def opened(packed: Path = PACKED) -> Iterator[StoreReader]:
    """The recorded store, unpacked for as long as it is used."""
    with unpacked(packed) as path, StoreReader.open(str(path)) as store:
        yield store


@contextmanager
def unpacked(packed: Path = PACKED) -> Iterator[Path]:
    """The file of the recorded store; it may be written to, and is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.db"
        with lzma.open(packed) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield path


def machine_of_recording(store: StoreReader) -> str:
    """The machine that everything was measured on."""
    return store.runs(limit=1)[0].machine_id


def pack(store: Path, models: list[Path], packed: Path = PACKED) -> int:
    """Pack a store; how many bytes it has then. models: files of those that it has runs of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.db"
        with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
            _complete(target, models)
            target.commit()
            target.execute("VACUUM")
        packed.write_bytes(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    return packed.stat().st_size


def _complete(store: sqlite3.Connection, models: list[Path]) -> None:
    """Give every model all that costs need of its operators, and requests no paths."""
    known = dict(store.execute("SELECT sha256, details FROM model"))
    for path in models:
        model = load_model(path)
        if model.sha256 in known:
            shapes = json.loads(known[model.sha256]).get("shapes", {})
            details = model_details(model.proto, build_graph(model), shapes)
            change = "UPDATE model SET details = ? WHERE sha256 = ?"
            store.execute(change, (details, model.sha256))
    for name, text in store.execute("SELECT name, request FROM run").fetchall():
        request = json.loads(text)
        request["model"] = Path(request["model"]).name
        store.execute("UPDATE run SET request = ? WHERE name = ?", (json.dumps(request), name))


def main() -> None:
    """Pack a store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("models", nargs="*", type=Path)
    given = parser.parse_args()
    print(f"{PACKED}: {pack(given.store, given.models)} B")


if __name__ == "__main__":
    main()
