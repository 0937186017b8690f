"""What a run remembers comes out as it went in, and a winner is not forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db.records import Run
from farm.errors import StoreError
from farm.measurement import Estimate
from tests.db.samples import RUN
from tuner.results import DeviceResult, Measured, Status, Verdict
from tuner.runs.memory import Memory, Opening

WINNER = Measured("trial-1", "candidate-1", "onnxruntime-cpu threads=1", "", {})
TUNED = DeviceResult(
    "cpu", Status.TUNED, verdict=Verdict.IMPROVED, winner=WINNER, ratio=Estimate(2.0, 1.9, 2.1)
)
FAILED = DeviceResult("cpu", Status.FAILED, "the worker was lost")


def kept(memory: Memory) -> Memory:
    return Memory.of(replace(RUN, summary=memory.to_json()))


@pytest.mark.parametrize(
    "ratio", [None, Estimate(2.0, 1.9, 2.1), Estimate(2.0, 0.0, float("inf"))]
)
def test_all_of_it_is_kept(ratio: Estimate | None) -> None:
    memory = Memory("data").spent("cpu", 3.5).with_confirmed("cpu")
    memory = memory.with_result(replace(TUNED, ratio=ratio), "/out/cpu")
    memory = memory.with_unprofiled("cpu", ("a has no profile.",))
    assert kept(memory) == memory
    assert memory.devices["cpu"].ratio == ratio
    assert memory.devices["cpu"].output == "/out/cpu"


def test_what_an_older_farm_kept_is_read() -> None:
    run: Run = replace(
        RUN, summary='{"data_sha256":"d","seconds":{"cpu":1.5},"confirmed":["cpu"]}'
    )
    assert Memory.of(run) == Memory("d", {"cpu": 1.5}, ("cpu",))
    assert Memory.of(replace(RUN, summary=None)) == Memory()


def test_a_winner_stays_where_a_later_invocation_fails() -> None:
    memory = Memory().with_result(TUNED, "/out/cpu")
    assert memory.with_result(FAILED, "") == memory
    assert Memory().with_result(FAILED, "").devices["cpu"].reason == FAILED.reason
    assert Memory().with_result(FAILED, "").with_result(TUNED, "/out/cpu") == memory


def test_the_best_so_far_is_known_until_something_is_delivered() -> None:
    memory = kept(Memory().with_unconfirmed("cpu", "/out/cpu").with_unconfirmed("gpu", "/out/gpu"))
    assert memory.unconfirmed == {"cpu": "/out/cpu", "gpu": "/out/gpu"}
    assert memory.with_result(FAILED, "").unconfirmed == memory.unconfirmed
    assert memory.with_result(TUNED, "/out/cpu").unconfirmed == {"gpu": "/out/gpu"}


def test_the_champion_is_what_was_better_than_the_baseline() -> None:
    memory = Memory().with_result(TUNED, "/out/cpu").with_confirmed("cpu")
    assert memory.reopened(60.0, 5.0).champion("cpu") == "candidate-1"
    assert memory.reopened(60.0, 5.0).confirmed == ()
    assert memory.champion("gpu") == ""
    baseline = replace(TUNED, verdict=Verdict.NO_GAIN, ratio=None)
    assert Memory().with_result(baseline, "/out/cpu").champion("cpu") == ""


def test_more_time_is_had_whatever_was_used_beyond_the_budget() -> None:
    """Both what is left and what is added, and neither counts what was used before."""
    memory = Memory(seconds={"over": 85.0, "under": 20.0}).reopened(60.0, 5.0)
    assert memory.opening("over", 65.0) == Opening(85.0, 90.0)
    assert memory.opening("under", 65.0) == Opening(20.0, 65.0)
    assert memory.opening("new", 65.0) == Opening(0.0, 65.0)
    again = memory.spent("over", 88.0).spent("under", 70.0).reopened(65.0, 10.0)
    assert again.opening("over", 75.0) == Opening(88.0, 100.0)
    assert again.opening("under", 75.0).total == 10.0
    assert Memory.of(replace(RUN, summary=again.to_json())) == again


@pytest.mark.parametrize("text", ["no JSON", '{"seconds": {"cpu": "x"}}'])
def test_what_cannot_be_read_is_said(text: str) -> None:
    said = f"^What the store keeps of run {RUN.name} cannot be read. Start a new run.$"
    with pytest.raises(StoreError, match=said):
        Memory.of(replace(RUN, summary=text))
