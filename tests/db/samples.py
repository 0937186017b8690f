"""Records that tests put into a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from db.costs.versions import CostModelRecord
from db.records import (
    Artifact,
    Block,
    BlockSample,
    CalibrationRecord,
    CandidateRecord,
    Machine,
    Model,
    Phase,
    Run,
    RunKind,
    Software,
    Trial,
)
from db.store import Store
from farm.measurement import Measurement, Method, Metric
from farm.prediction import Basis, Prediction
from farm.profile.kernels import OperatorProfile

START = datetime(2026, 11, 21, 6, 53, 12, 250_000, tzinfo=UTC)
MACHINE = Machine.identify("bench-1", "Xeon", cores=4, memory_bytes=1 << 40)
SOFTWARE = Software.identify('{"farm":"0.1.0","onnxruntime":"1.31.0"}')
MODEL = Model("ab" * 32, "kws", opset=13, operators=40, parameters=24_000, macs=1 << 40)
OTHER_MODEL = Model("cd" * 32, "ultraface", opset=9, operators=300, parameters=300_000, macs=9)
# Written out as schema 1 first kept them: a later version of the farm may add choices.
_JSON = (
    '{{"engine":{{"fault":"none","kind":"fake","noise":0.01,"seconds":{seconds},"serial":0}},'
    '"precision":{{"float_type":"float32","quantization":null}}}}'
)
FAST = CandidateRecord("62b4f7483e58", _JSON.format(seconds=0.001), "fake 0.001 s float32")
SLOW = CandidateRecord("ddc0c40f3f43", _JSON.format(seconds=0.002), "fake 0.002 s float32")
ARTIFACT = Artifact("onnx-1234", MODEL.sha256, "onnx", 52_878)
RUN = Run(
    name="kws-20261121-065312",
    kind=RunKind.TUNE,
    model_sha256=MODEL.sha256,
    machine_id=MACHINE.id,
    software_id=SOFTWARE.id,
    seed=7,
    request='{"budget":120}',
    created_at=START,
)
LATENCY = Measurement(
    Metric.LATENCY, 1.0e-3, Method.MEASURED, low=0.9e-3, high=1.1e-3, samples=(1.0e-3, 1.1e-3)
)

PROFILE = (
    OperatorProfile(
        "conv_nchwc", "Conv", ("conv", 'a, "b"'), "float32", 7e-4, None, Method.MEASURED
    ),
    OperatorProfile("ReorderOutput", "ReorderOutput", (), "", 1e-4, None, Method.MEASURED),
)
CALIBRATION = CalibrationRecord(
    "0123456789abcdef", "cpu", MACHINE.id, SOFTWARE.id, START, 150.0, "[]", "[]", '{"notes": []}'
)

COST_MODEL = CostModelRecord(
    "fedcba9876543210",
    "cpu",
    MACHINE.id,
    SOFTWARE.id,
    START,
    "candidates-1",
    40,
    900,
    "89abcdef01234567",
    '{"models": 5}',
    b"\x78\x9c",
)

PREDICTED = {
    Metric.LATENCY: Prediction(5e-5, 4e-5, 6e-5, "s", Basis.LEARNED, 40),
    Metric.PEAK_MEMORY: Prediction(2e6, 1e6, 3e6, "B", Basis.ROOFLINE, 0),
}


def fill(store: Store) -> Store:
    """Add everything that a trial points to."""
    store.add_machine(MACHINE)
    store.add_software(SOFTWARE)
    store.add_model(MODEL)
    store.add_candidate(FAST)
    store.add_candidate(SLOW)
    store.add_artifact(ARTIFACT)
    store.create_run(RUN)
    return store


def trial(
    number: int = 0, candidate: CandidateRecord = FAST, run: Run = RUN, device: str = "cpu"
) -> Trial:
    """A pending trial; ids are ``trial-0``, ``trial-1`` and so on, each a second later."""
    return Trial(
        id=f"trial-{number}",
        run=run.name,
        device=device,
        candidate_id=candidate.id,
        phase=Phase.SEARCH,
        machine_id=MACHINE.id,
        software_id=SOFTWARE.id,
        created_at=START + timedelta(seconds=number),
    )


def block(index: int, *trial_ids: str, race: int = 0, kept: bool = True) -> Block:
    """A block in which the trials ran in the given order."""
    return Block(
        run=RUN.name,
        device="cpu",
        race=race,
        index=index,
        started_at=START,
        kept=kept,
        samples=tuple(
            BlockSample(
                trial_id, 1e-3 * (order + 1), 9e-4, 10, order, peak_bytes=order << 40 or None
            )
            for order, trial_id in enumerate(trial_ids)
        ),
        reason="" if kept else "processor time was stolen",
        sentinel_seconds=2e-3,
    )
