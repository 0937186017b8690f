"""A tuned run in a store, row by row: what pages show without anything being measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from db.records import Block, BlockSample, CandidateRecord, Phase, RunStatus
from db.store import Store
from farm.candidate import Candidate, DynamicInt8, OnnxRuntimeCpu, Precision
from farm.measurement import Estimate, Measurement, Method, Metric, Outcome
from farm.prediction import Basis, Prediction
from farm.profile.kernels import OperatorProfile
from tests.db.samples import MODEL, RUN, START, fill, trial
from tuner.request import TuneRequest
from tuner.results import Status, Verdict
from tuner.runs.memory import DeviceMemory, Memory

BASELINE = Candidate(OnnxRuntimeCpu(threads=0))
ONE_THREAD = Candidate(OnnxRuntimeCpu(threads=1))
WINNER = replace(ONE_THREAD, precision=Precision(quantization=DynamicInt8(convolutions=True)))
SECONDS = {"trial-0": 4e-4, "trial-1": 3e-4, "trial-2": 1.5e-4, "trial-3": 4e-4, "trial-4": 1.6e-4}
OPERATORS = {"first": ["Conv", True], "last": ["Gemm", True]}
_PHASES = (Phase.SEARCH, Phase.SEARCH, Phase.SEARCH, Phase.CONFIRM, Phase.CONFIRM)


def tuned(store: Store, hostile: str = "") -> None:
    """Three candidates that were searched, two of them confirmed; the int8 one won.

    hostile: in place of the names of an operator, a label, a reason and a message.
    """
    fill(store)
    operators = {hostile or "first": OPERATORS["first"], "last": OPERATORS["last"]}
    store.add_model(
        replace(MODEL, name=hostile or MODEL.name, details=json.dumps({"operators": operators}))
    )
    candidates = (BASELINE, ONE_THREAD, WINNER, BASELINE, WINNER)
    for number, candidate in enumerate(candidates):
        record = CandidateRecord.of(candidate)
        if hostile and candidate is WINNER:
            record = replace(record, label=hostile)
        store.add_candidate(record)
        _measured(store, number, record, hostile or "first")
    for index in range(10):
        store.add_block(_block(0, index, ("trial-0", "trial-1", "trial-2")))
        store.add_block(_block(1, index, ("trial-3", "trial-4")))
    reason = hostile or "processor time was stolen"
    store.add_block(replace(_block(1, 10, ("trial-3", "trial-4")), kept=False, reason=reason))
    won = DeviceMemory(
        Status.TUNED,
        verdict=Verdict.IMPROVED,
        trial="trial-4",
        candidate=WINNER.id,
        label=hostile or WINNER.label(),
        ratio=Estimate(2.5, 2.4, 2.6),
    )
    request = TuneRequest("model.onnx", ("cpu",)).to_json()
    store.update_run(
        RUN.name,
        request=request,
        status=RunStatus.FINISHED,
        summary=Memory(devices={"cpu": won}).to_json(),
    )


def _measured(store: Store, number: int, record: CandidateRecord, operator: str) -> None:
    name = f"trial-{number}"
    store.lease_trial(replace(trial(number, record), phase=_PHASES[number]))
    seconds = SECONDS[name]
    measured: Sequence[Measurement] = [
        Measurement(Metric.LATENCY, seconds, Method.MEASURED, 0.98 * seconds, 1.03 * seconds),
        Measurement(Metric.PEAK_MEMORY, 2e6 + 1e5 * number, Method.MEASURED),
        Measurement(
            Metric.ACCURACY, 1.0 - 0.002 * (record.label != BASELINE.label()), Method.MEASURED
        ),
    ]
    accuracy = {"metric": "agreement", "value": 0.998, "samples": 20}
    details: dict[str, object] = {
        "proposed": "sample",
        "quick": {},
        "assignment": {"CPUExecutionProvider": 2},
    }
    if number == 2:
        power = [[operator, 1.44e-4], ["last", 1e-6]]
        details["damage"] = {"power": power, "at_outputs": True}
    store.commit_trial(
        name, Outcome.OK, "", measured, None, json.dumps({**details, "accuracy": accuracy})
    )
    expected = Prediction(1.1 * seconds, 0.9 * seconds, 1.3 * seconds, "s", Basis.LEARNED, 40)
    store.add_predictions(name, {Metric.LATENCY: expected})
    if number >= 3:
        kernels = [
            OperatorProfile(
                "Conv", "Conv", (operator,), "float32", 0.7 * seconds, None, Method.MEASURED
            ),
            OperatorProfile(
                "Gemm", "Gemm", ("last",), "float32", 0.2 * seconds, None, Method.MEASURED
            ),
        ]
        store.add_profile(name, kernels)


def _block(race: int, index: int, trials: Sequence[str]) -> Block:
    samples = tuple(
        BlockSample(name, SECONDS[name] * (1 + 0.002 * index), SECONDS[name], 10, order)
        for order, name in enumerate(trials)
    )
    return Block(RUN.name, "cpu", race, index, START, True, samples, "", 2e-3)
