"""Tables of recorded runs are read as they were written, or refused with a clear sentence."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from benchmarks.search.recorded import (
    Basis,
    KernelRow,
    Row,
    Table,
    TableError,
    read_table,
    steady,
    write_table,
)
from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu
from farm.measurement import Outcome

ROWS = (
    Row(Candidate(OnnxRuntimeCpu(threads=1)), Outcome.OK, 0.98, (1e-3, 2e-3)),
    Row(Candidate(CPackage()), Outcome.COMPILE_ERROR, None, (), "No code for Loop."),
)
KERNELS = {"cpu/onnxruntime-cpu": (KernelRow(("conv", "relu"), 2.5e-5),)}
TABLE = Table(
    "cuts",
    "kws",
    "0" * 64,
    {"cpu": "a processor"},
    {"onnx": "1.0"},
    "of outputs",
    7,
    ROWS,
    ("A note.",),
    Basis("cpu", "[]", "[]", KERNELS, {}),
)


@pytest.mark.parametrize("name", ["table.json", "table.json.gz"])
def test_a_table_is_read_as_it_was_written(tmp_path, name):
    write_table(TABLE, tmp_path / name)
    assert read_table(tmp_path / name, "cuts") == TABLE


def test_the_same_table_is_the_same_file(tmp_path):
    for name in ("one.json.gz", "two.json.gz"):
        write_table(TABLE, tmp_path / name)
    assert (tmp_path / "one.json.gz").read_bytes() == (tmp_path / "two.json.gz").read_bytes()


def test_a_table_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "table.json"
    write_table(TABLE, path)
    with pytest.raises(TableError, match=r"is a table of cuts, and one of configurations is need"):
        read_table(path, "configurations")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match=r"Cannot read table .*none\.json: No such file"):
        read_table(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no table of recorded runs: Expecting"),
        (b"[]", "it is no JSON object"),
        (b'{"format": 9, "kind": "cuts"}', "of format 1: its format is 9"),
        (b'{"format": 1, "kind": "cuts"}', "is a damaged table: field 'basis' is missing"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, content, message):
    path = tmp_path / "table.json"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_table(path)


def test_a_gzipped_table_that_was_cut_short(tmp_path):
    path = tmp_path / "table.json.gz"
    path.write_bytes(gzip.compress(b"{}" * 1000)[:20])
    with pytest.raises(TableError, match="is no table of recorded runs"):
        read_table(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": []}, "row 1 is ok and has 0 seconds"),
        ({"seconds": [1e-3, -1.0]}, "row 1 is ok and has 2 seconds, which must be positive"),
        ({"outcome": "lost"}, "'lost' is not a valid Outcome"),
        ({"candidate": {"engine": {"kind": "abacus"}}}, "the candidate of row 1 is not a cand"),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path, change, message):
    path = tmp_path / "table.json"
    write_table(TABLE, path)
    plain = json.loads(path.read_text())
    plain["rows"][0] |= change
    path.write_text(json.dumps(plain))
    with pytest.raises(TableError, match=message):
        read_table(path)


def test_rows_of_different_blocks_have_no_matrix():
    uneven = Row(Candidate(), Outcome.OK, None, (1e-3,))
    table = Table("cuts", "kws", "", {}, {}, "", 2, (ROWS[0], uneven))
    with pytest.raises(TableError, match=r"the same blocks \(numbers of blocks: 1, 2\)"):
        table.seconds()


def test_what_slows_a_block_down_is_taken_out():
    quiet = np.outer([1.0, 2.0, 3.0], np.ones(5))
    drift = np.array([1.0, 1.0, 1.0, 4.0, 0.5])
    assert np.allclose(steady(quiet * drift), quiet)
