"""``farm explain`` on int8 that lost to float, and whether its times are those of the model.

Every model is measured and profiled on this processor with ONNX Runtime and one thread, in float32
and in dynamic int8 with its convolutions, side by side as by ``farm explain --measure``. Targets:

- ultraface in int8 is slower, and the sentence names the operators, their kernels ``ConvInteger``
  and their share of the time, the very one that the profile has;
- what the kernels take, the profiler's own time subtracted, is together within 10 % of the latency
  that was measured without a profiler, of runs above 500 us.

    python -m benchmarks.measuring.explain_slow_int8 --models DIR

DIR has the ONNX files; those of ``inputs/models.py`` that it lacks are made. Others are skipped.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx

from benchmarks.common import ONE_THREAD, Report, Unit, options
from benchmarks.inputs.models import transformer_encoder
from benchmarks.inputs.resnet import resnet50
from benchmarks.inputs.tiny import person_detector
from db.records import RunKind
from db.store import Store
from farm.candidate import Candidate, DynamicInt8, Precision
from farm.devices.profile import load_profiles
from farm.units import format_seconds
from tuner.bench import bench
from tuner.explain.explanation import Explanation, Side
from tuner.explain.of_trials import ask, explain
from tuner.request import TuneRequest
from tuner.runs.start import check_request, start_run
from workers.executor import LocalExecutor

DEVICE = "cpu"
INT8 = Candidate(ONE_THREAD.engine, Precision(quantization=DynamicInt8(convolutions=True)))
SLOWER = "ultraface_rfb320"
MADE: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": resnet50,
    "transformer_encoder": transformer_encoder,
    "vww_mobilenet": person_detector,
}
KERNEL = "ConvInteger"
SHORT = 500e-6  # seconds; of shorter runs what is between kernels is too large a part
MOST_OFF = 0.10


def main() -> int:
    """Explain every model; 1 when a target is missed."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--only", metavar="NAME", action="append", help="repeatable")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    with tempfile.TemporaryDirectory(prefix="farm-explain-") as name:
        folder = Path(name)
        for model in models(arguments.models, folder):
            if arguments.only and model.stem not in arguments.only:
                continue
            if not model.is_file():
                report.say(f"{model.stem}: skipped, there is no {model}")
                continue
            judge(report, model.stem, explained(model, folder))
    return report.close()


def models(given: Path, folder: Path) -> Iterator[Path]:
    """The files; those that are missing and can be made are written to ``folder``."""
    yield given / f"{SLOWER}.onnx"
    for name, make in MADE.items():
        there = given / f"{name}.onnx"
        made = folder / f"{name}.onnx"
        if not there.is_file():
            onnx.save(make(), made)
        yield there if there.is_file() else made


def explained(model: Path, folder: Path) -> Explanation:
    """Int8 against float, both measured and profiled now."""
    request = TuneRequest(str(model.absolute()), (DEVICE,))
    (profile,) = (checked := check_request(request, load_profiles())).profiles
    with (
        Store.open(str(folder / f"{model.stem}.db")) as store,
        LocalExecutor([profile], folder / "cache") as executor,
    ):
        run = start_run(store, checked, RunKind.BENCH)
        candidates = (INT8, ONE_THREAD)
        ours, other = bench(store, executor, run, profile, candidates, lambda _: None)
        return explain(store, ask(store, ours.trial_id, other.trial_id))


def judge(report: Report, name: str, found: Explanation) -> None:
    """The figures of one model."""
    report.say(found.sentence)
    assert found.comparison is not None
    assert found.against is not None
    ratio = found.comparison.ratio
    interval = f"95 % {1 / ratio.high:.3f} to {1 / ratio.low:.3f}"
    if name == SLOWER:
        report.at_least(f"{name}: int8 over float", 1 / ratio.value, 1.0, Unit.TIMES, interval)
        judge_sentence(report, name, found)
    else:
        report.show(f"{name}: int8 over float", 1 / ratio.value, Unit.TIMES, interval)
    for side in (found.trial, found.against):
        judge_times(report, name, side)


def judge_sentence(report: Report, name: str, found: Explanation) -> None:
    """Whether the sentence says what the profile says."""
    rows = [row for row in found.operators if row.kernel.startswith(KERNEL)]
    share = sum(row.share for row in rows)
    report.show(f"{name}: share of operators in {KERNEL}", share, note=f"{len(rows)} rows")
    told = (KERNEL, f"{share:.0%} of its time", rows[0].name if rows else KERNEL)
    missing = [text for text in told if text not in found.sentence]
    report.at_most(f"{name}: missing in the sentence", len(missing), 0, Unit.COUNT, str(missing))


def judge_times(report: Report, name: str, side: Side) -> None:
    """All kernels together beside the latency."""
    assert side.latency is not None
    latency = side.latency.value
    off = abs(side.seconds / latency - 1.0)
    note = f"{format_seconds(side.seconds)} of {format_seconds(latency)}"
    label = f"{name}, {side.candidate.precision.label()}: all kernels off the latency by"
    if latency > SHORT:
        report.at_most(label, off, MOST_OFF, note=note)
    else:
        report.show(label, off, note=note)


if __name__ == "__main__":
    sys.exit(main())
