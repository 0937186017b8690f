"""``farm results --operators``: what each kernel of a trial takes, and what it stands for."""

from __future__ import annotations

import csv
import io
import json

import pytest

from db.reader import StoreReader
from db.store import Store
from farm.measurement import Outcome
from tests.db.samples import LATENCY, PROFILE, fill, trial
from tests.tools.command import Command


@pytest.fixture
def profiled(farm: Command) -> Command:
    """A store with a trial that was profiled, and one that was not."""
    with Store.open(str(farm.store)) as store:
        fill(store)
        for number in range(2):
            store.lease_trial(trial(number))
            store.commit_trial(f"trial-{number}", Outcome.OK, measurements=[LATENCY])
        store.add_profile("trial-0", PROFILE)
    return farm


def test_a_table_has_the_longest_first_and_always_what_is_not_mapped(profiled: Command) -> None:
    out = profiled("results", "--operators", "trial-0").out
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert lines[0] == ["fake", "0.001", "s", "float32", "on", "cpu"]
    assert lines[1] == ["share", "time", "kernel", "operators", "precision"]
    assert lines[3] == ["87.5%", "875", "µs", "Conv", "conv,", "a,", '"b"', "float32"]
    assert lines[4] == ["12.5%", "125", "µs", "ReorderOutput", "not", "mapped", "-"]
    assert "12.5% of all that was profiled is in kernels that could not be mapped" in out
    assert "of the trial's latency, which was measured without one: 1.00 ms" in out


def test_json_has_the_documented_keys(profiled: Command) -> None:
    found = json.loads(profiled("results", "--operators", "trial-0", "--format", "json").out)
    first, second = found.pop("kernels")
    assert found == {
        "trial": "trial-0",
        "run": "kws-20261121-065312",
        "device": "cpu",
        "candidate": "fake 0.001 s float32",
        "latency": 1e-3,
        "latency_method": "measured",
        "unmapped": pytest.approx(0.125),
    }
    assert first == {
        "share": pytest.approx(0.875),
        "seconds": pytest.approx(8.75e-4),
        "kernel": "conv_nchwc",
        "kind": "Conv",
        "operators": ["conv", 'a, "b"'],
        "precision": "float32",
        "profiled_seconds": 7e-4,
        "packets": None,
        "method": "measured",
    }
    assert (second["operators"], second["precision"]) == ([], None)


def test_csv_has_a_line_per_kernel(profiled: Command) -> None:
    out = profiled("results", "--operators", "trial-0", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [json.loads(row["operators"]) for row in rows] == [["conv", 'a, "b"'], []]


def test_a_trial_without_a_profile_is_told_how_to_get_one(profiled: Command) -> None:
    said = profiled.refused("results", "--operators", "trial-1")
    assert said.startswith("Trial trial-1 has no profile of its operators")
    assert said.endswith("farm bench --trial trial-1")
    assert "There is no trial 'x'" in profiled.refused("results", "--operators", "x")
    said = profiled.refused("results", "--operators", "trial-0", "--run", "kws")
    assert said == "--operators shows one trial: leave out what chooses others."


def test_a_query_sees_the_table(profiled: Command) -> None:
    out = profiled("query", "--format", "csv", "SELECT kind, seconds FROM operator_profile").out
    assert out.splitlines() == ["kind,seconds", "Conv,0.0007", "ReorderOutput,0.0001"]


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.slow
def test_what_is_benchmarked_is_profiled(farm: Command) -> None:
    ended = farm("bench", "model.onnx", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    shown = farm("results", "--operators", told["trial"], "--format", "json")
    found = json.loads(shown.out)
    with StoreReader.open(str(farm.store)) as store:
        assert len(store.profile(told["trial"])) == len(found["kernels"])
    assert sum(kernel["share"] for kernel in found["kernels"]) == pytest.approx(1.0)
    assert found["unmapped"] == 0.0
    kinds = {name.split("_")[0] for kernel in found["kernels"] for name in kernel["operators"]}
    assert {"Conv", "Gemm", "Softmax"} <= kinds
