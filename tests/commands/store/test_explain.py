"""``farm explain``: one sentence, the operators side by side, what was decided."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from db.records import Block, CandidateRecord, Phase, RunKind
from db.store import Store
from farm.candidate import (
    Candidate,
    DynamicInt8,
    GraphLevel,
    OnnxRuntimeCpu,
    Precision,
    StaticInt8,
    to_json,
)
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.profile.kernels import OperatorProfile
from tests.db.samples import MODEL, OTHER_MODEL, RUN, block, fill, trial
from tests.tools.command import Command
from tuner.request import TuneRequest

KEYS = {"trial", "against", "sentence", "operators", "conversions", "unfused", "fallbacks"}
KEYS |= {"decisions"}
ROW = {"name", "type", "place", "kernel", "seconds", "share", "against_seconds"}
FLOAT = Candidate(OnnxRuntimeCpu(threads=1))
INT8 = replace(FLOAT, precision=Precision(quantization=DynamicInt8(convolutions=True)))
OPERATORS = {"first": ["Conv", True], "relu": ["Relu", False], "last": ["Gemm", True]}


def kernel(kind: str, operators: str, microseconds: float, precision: str) -> OperatorProfile:
    names, seconds = tuple(operators.split()), microseconds * 1e-6
    return OperatorProfile(kind, kind, names, precision, seconds, None, Method.MEASURED)


PROFILES = {
    "trial-0": (
        kernel("Conv", "first relu", 300, "float32"),
        kernel("Gemm", "last", 80, "float32"),
    ),
    "trial-1": (
        kernel("DynamicQuantizeLinear", "first", 100, "float32"),
        kernel("ConvInteger", "first", 480, "int8"),
        kernel("Relu", "relu", 20, "float32"),
        kernel("Gemm", "last", 80, "float32"),
    ),
}
SECONDS = {"trial-0": 400e-6, "trial-1": 700e-6, "trial-2": 2e-3}


def raced(index: int) -> Block:
    """A block of the race between the first two."""
    pair = block(index, "trial-0", "trial-1")
    samples = (replace(s, seconds=SECONDS[s.trial_id]) for s in pair.samples)
    return replace(pair, samples=tuple(samples))


@pytest.fixture
def searched(farm: Command) -> Command:
    """A run with a baseline, int8 that lost to it, and one that was not profiled."""
    candidates = (FLOAT, INT8, Candidate(OnnxRuntimeCpu(threads=2)))
    with Store.open(str(farm.store)) as store:
        fill(store)
        request = TuneRequest("model.onnx", ("cpu",)).to_json()
        store.update_run(RUN.name, request=request)
        store.add_model(replace(MODEL, details=json.dumps({"operators": OPERATORS})))
        for number, candidate in enumerate(candidates):
            record = CandidateRecord.of(candidate)
            store.add_candidate(record)
            store.lease_trial(trial(number, record))
            name = f"trial-{number}"
            latency = Measurement(Metric.LATENCY, SECONDS[name], Method.MEASURED)
            details = json.dumps({"proposed": "precision", "quick": {}, "notes": []})
            store.commit_trial(name, Outcome.OK, "", [latency], None, details)
            store.add_profile(name, PROFILES.get(name, ()))
        for index in range(8):
            store.add_block(raced(index))
    return farm


def test_the_sentence_comes_first_then_the_operators_then_what_was_decided(
    searched: Command,
) -> None:
    lines = searched("explain", "trial-1").out.splitlines()
    assert lines[0] == (
        "onnxruntime-cpu 1 thread dynamic int8 with conv takes 1.75 times as long as the baseline "
        "(700 µs against 400 µs): Conv first takes 600 µs, 88% of its time, as ConvInteger, "
        "DynamicQuantizeLinear and Relu, and 300 µs as Conv in the baseline; conversions "
        "(DynamicQuantizeLinear) take 15% of its time; last computed in float32, planned in int8."
    )
    cells = [line.split() for line in lines]
    heading = next(line for line in cells if line[:1] == ["share"])
    assert " ".join(heading).startswith("share time other time times operator type kernel")
    first = next(line for line in cells if line[:1] == ["88.2%"])
    assert first[1:9] == ["600", "µs", "300", "µs", "2.00", "first,", "relu", "Conv"]
    text = "\n".join(lines)
    dropped = "dropped: from race 0 against 1 other because 75% slower than the baseline at p = "
    assert "Its kernels take 680 µs together, the profiler's own time subtracted: 97.1%" in text
    assert "Conversions take 14.7% of the time, in 1 kernel: DynamicQuantizeLinear" in text
    assert "last: planned int8, computed float32, 11.8% of the time." in text
    assert "proposed: because every precision is tried on the best setting" in text
    assert dropped in text


def test_what_was_not_raced_is_told_once(searched: Command) -> None:
    with Store.open(str(searched.store)) as store:
        for number in (0, 2):
            details = json.dumps({"proposed": "precision", "quick": {"latency": 1e-3}})
            store.amend_trial(f"trial-{number}", details=details)
    lines = searched("explain", "trial-2").out.splitlines()
    (told,) = [line for line in lines if line.startswith("not raced: ")]
    assert told == "not raced: its first samples were not slower than the baseline's."


def test_json_has_the_promised_keys(searched: Command) -> None:
    found = json.loads(searched("explain", "trial-1", "--json").out)
    assert found.keys() >= KEYS
    assert (found["trial"], found["against"]) == ("trial-1", "trial-0")
    first, last = found["operators"]
    assert first.keys() >= ROW
    assert first == {
        "name": "first",
        "type": "Conv",
        "place": "cpu/onnxruntime-cpu",
        "kernel": "ConvInteger + DynamicQuantizeLinear + Relu",
        "seconds": pytest.approx(600e-6),
        "share": pytest.approx(600 / 680),
        "against_seconds": pytest.approx(300e-6),
        "against_place": "cpu/onnxruntime-cpu",
        "against_kernel": "Conv",
        "fused": ["relu"],
    }
    assert last["name"] == "last"
    (conversion,) = found["conversions"]
    assert conversion == {
        "kernel": "DynamicQuantizeLinear",
        "kind": "DynamicQuantizeLinear",
        "operators": ["first"],
        "seconds": pytest.approx(100e-6),
        "share": pytest.approx(100 / 680),
    }
    (fallback,) = found["fallbacks"]
    assert (fallback["name"], fallback["planned"], fallback["reason"]) == ("last", "int8", None)
    assert [each["what"] for each in found["decisions"]] == ["proposed", "dropped"]
    assert found["ratio"]["pairs"] == 8
    assert found["measured"]["latency"] == 700e-6


def test_the_baseline_alone(searched: Command) -> None:
    found = json.loads(searched("explain", "trial-0", "--json").out)
    assert found["against"] is None
    assert {row["against_seconds"] for row in found["operators"]} == {None}
    assert found["sentence"] == (
        "onnxruntime-cpu 1 thread float32 takes 400 µs: Conv first takes 300 µs, 79% of its time, "
        "as Conv."
    )


def test_against_another_trial(searched: Command) -> None:
    out = searched("explain", "trial-0", "--against", "trial-1").out
    assert out.startswith(
        "onnxruntime-cpu 1 thread float32 is 1.75 times as fast as onnxruntime-cpu 1 thread "
        "dynamic int8 with conv (400 µs against 700 µs): Conv first takes 300 µs"
    )


def test_without_a_profile_it_says_how_to_get_one(searched: Command) -> None:
    ended = searched("explain", "trial-2")
    assert ended.code == 0
    assert ended.out.startswith(
        "onnxruntime-cpu 2 threads float32 takes 5.00 times as long as the baseline "
        "(2.00 ms against 400 µs).\n"
    )
    assert (
        "Trial trial-2 has no profile of its operators. This measures and profiles both anew, "
        "side by side: farm explain trial-2 --measure"
    ) in ended.out
    assert "They ran side by side in fewer than 8 blocks" in ended.out


def test_what_cannot_be_compared_is_refused(searched: Command) -> None:
    with Store.open(str(searched.store)) as store:
        store.add_model(OTHER_MODEL)
        other = replace(RUN, name="other", kind=RunKind.BENCH, model_sha256=OTHER_MODEL.sha256)
        store.create_run(other)
        store.lease_trial(trial(7, run=other))
        store.lease_trial(replace(trial(8, CandidateRecord.of(FLOAT)), phase=Phase.CONFIRM))
        store.lease_trial(trial(9, CandidateRecord.of(INT8), device="gpu"))
    assert "There is no trial 'x'" in searched.refused("explain", "x")
    assert searched.refused("explain", "trial-1", "--against", "trial-7") == (
        "Trials trial-1 and trial-7 are of different models: only trials of one model can be "
        "explained against each other."
    )
    assert searched.refused("explain", "trial-0", "--against", "trial-8") == (
        "Trials trial-0 and trial-8 have the same candidate on the same device: there is nothing "
        "to explain between them."
    )
    said = searched.refused("explain", "trial-1", "--against", "trial-9", "--measure")
    assert said == (
        "Only trials of one device can be measured side by side, not of cpu and gpu. Leave out "
        "--measure, or give another --against."
    )


def test_one_candidate_with_other_software_is_another_side(searched: Command) -> None:
    with Store.open(str(searched.store)) as store:
        record = CandidateRecord.of(FLOAT)
        store.lease_trial(trial(6, record))
        latency = Measurement(Metric.LATENCY, 500e-6, Method.MEASURED)
        details = json.dumps({"pinned": {"environment": "next", "artifact": ""}})
        store.commit_trial("trial-6", Outcome.OK, "", [latency], None, details)
    out = searched("explain", "trial-6", "--against", "trial-0").out
    assert out.startswith(
        "onnxruntime-cpu 1 thread float32, environment next takes 1.25 times as long as the "
        "baseline (500 µs against 400 µs)."
    )
    said = searched.refused("explain", "trial-6", "--against", "trial-0", "--measure")
    assert said == (
        "Trial trial-6 ran with other software than today's, or as it was compiled before, and "
        "cannot be measured anew so. Leave out --measure."
    )


def test_a_trial_that_failed_says_why(searched: Command) -> None:
    with Store.open(str(searched.store)) as store:
        record = CandidateRecord.of(Candidate(OnnxRuntimeCpu(threads=3)))
        store.add_candidate(record)
        store.lease_trial(trial(5, record))
        store.commit_trial("trial-5", Outcome.RUN_ERROR, "No kernel for Foo.")
    out = searched("explain", "trial-5").out
    assert out.splitlines()[0] == (
        "onnxruntime-cpu 3 threads float32 was not measured (run-error): No kernel for Foo."
    )
    assert "failed: ended as run-error: No kernel for Foo." in out
    other = searched("explain", "trial-0", "--against", "trial-5").out
    assert other.startswith("onnxruntime-cpu 1 thread float32 takes 400 µs: Conv first takes")
    assert (
        "Trial trial-5, onnxruntime-cpu 3 threads float32, was not measured (run-error): No "
        "kernel for Foo."
    ) in other


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.slow
def test_measured_anew_side_by_side_with_real_profiles(farm: Command) -> None:
    trials = []
    for name, candidate in (("float", FLOAT), ("int8", INT8)):
        (farm.folder / f"{name}.json").write_text(to_json(candidate))
        ended = farm("bench", "model.onnx", "--candidate", f"{name}.json", "--json")
        trials.append(json.loads(ended.out)["trial"])
    ours, other = trials[1], trials[0]
    ended = farm("explain", ours, "--against", other, "--measure", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["trial"], found["against"]) == (ours, other)
    assert found["measured"]["trial"] not in trials
    assert found["measured"]["run"] == found["against_measured"]["run"]
    assert found["ratio"]["pairs"] >= 8
    rows = found["operators"]
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    kernels = " ".join(row["kernel"] or "" for row in rows)
    assert "ConvInteger" in kernels
    kinds = {each["kind"] for each in found["conversions"]}
    assert "DynamicQuantizeLinear" in kinds
    types = {row["type"] for row in rows}
    assert "Conv" in types
    again = json.loads(farm("explain", found["measured"]["trial"], "--json").out)
    assert again["operators"], "the profiles are in the store"


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.slow
def test_pairs_that_an_engine_does_not_fuse_are_found_in_a_real_profile(farm: Command) -> None:
    engine = OnnxRuntimeCpu(threads=1, graph_level=GraphLevel.NONE)
    apart = Candidate(engine, Precision(quantization=StaticInt8()))
    (farm.folder / "apart.json").write_text(to_json(apart))
    benched = json.loads(farm("bench", "model.onnx", "--candidate", "apart.json", "--json").out)
    found = json.loads(farm("explain", benched["trial"], "--json").out)
    pairs = {each["name"]: each["kernels"] for each in found["unfused"] if each["type"] == "Conv"}
    assert list(pairs.values()) == 2 * [["DequantizeLinear", "Conv", "QuantizeLinear"]]
    fell = {each["name"]: each for each in found["fallbacks"]}
    assert pairs.keys() <= fell.keys()
    assert {(each["planned"], each["computed"]) for each in fell.values()} == {("int8", "float32")}
    assert "between integers computed in float" in found["sentence"]
