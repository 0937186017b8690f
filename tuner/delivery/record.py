"""What a delivered folder says of itself in ``provenance.json``, read back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from db.records import RunKind
from farm.candidate import Candidate, from_json
from farm.delivery.files import RECORD_FILE
from farm.errors import OptionError
from farm.measurement import Estimate, Method
from farm.text import printable
from farm.units import counted
from tuner.request import TuneRequest


@dataclass(frozen=True, slots=True)
class Origin:
    """Where what lies in a folder comes from.

    model_sha256: of the model. confirmed: false for the best of a search that was interrupted.
    kind: of the run: ``bench`` where nothing was searched.
    """

    run: str
    model_sha256: str
    request: Mapping[str, Any] = field(default_factory=dict)
    confirmed: bool = True
    kind: str = RunKind.TUNE

    @property
    def model_path(self) -> str:
        """Where the model lay that was tuned."""
        return str(self.request.get("model", ""))

    def __str__(self) -> str:
        """For people: ``the winner of kws.onnx (run kws-20261121-065312)``."""
        what = "the winner" if self.confirmed else "the best so far, not confirmed,"
        what = "what was measured" if self.kind == RunKind.BENCH else what
        name = Path(self.model_path).name or f"the model {self.model_sha256[:12]}"
        return printable(f"{what} of {name} (run {self.run})")


_ORIGIN: TypeAdapter[Origin] = TypeAdapter(Origin)


def read_origin(folder: Path) -> Origin | None:
    """Where a delivered folder comes from; None where there is no record.

    Raises OptionError: there is one that cannot be read.
    """
    try:
        return _ORIGIN.validate_python(read_json(folder / RECORD_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError):
        raise OptionError(
            f"{folder / RECORD_FILE} is not a record that the farm wrote. Move {folder} away, or "
            "give another folder."
        ) from None


@dataclass(frozen=True, slots=True)
class RecordedMachine:
    """The machine that something was measured on."""

    cpu: str = ""
    cores: int = 0

    def __str__(self) -> str:
        """For people: ``Xeon with 4 cores``."""
        return printable(f"{self.cpu} with {counted(self.cores, 'core')}")


@dataclass(frozen=True, slots=True)
class RecordedAccuracy:
    """Accuracy on the confirmation part of the data; its value is None if it cannot be judged."""

    metric: str
    value: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class Record:
    """All that verifying a delivered folder needs to know of it.

    baseline: None in records of earlier versions. gain, ratio: baseline over winner, of the
    objective and of latencies; None when the winner is the baseline. data_sha256: of the data.
    gain_method: how the objective was found; None in records of earlier versions.
    """

    origin: Origin
    request: TuneRequest
    device: str
    candidate: Candidate
    machine: RecordedMachine
    baseline: Candidate | None = None
    ratio: Estimate | None = None
    gain: Estimate | None = None
    accuracy: RecordedAccuracy | None = None
    data_sha256: str = ""
    gain_method: Method | None = None

    @property
    def claim(self) -> Estimate | None:
        """What was gained, by the objective of the run."""
        return self.gain or self.ratio


@dataclass(frozen=True, slots=True)
class _Facts:
    """The part of a record that is plain."""

    device: str
    machine: RecordedMachine = RecordedMachine()
    ratio: Estimate | None = None
    gain: Estimate | None = None
    accuracy: RecordedAccuracy | None = None
    data_sha256: str = ""
    gain_method: Method | None = None


_FACTS: TypeAdapter[_Facts] = TypeAdapter(_Facts)


def read_record(folder: Path) -> Record:
    """What a delivered folder says of itself.

    Raises InputError: there is no record, or this version of the farm cannot read it.
    """
    origin = read_origin(folder)
    if origin is None:
        raise OptionError(
            f"{folder} is no folder of a winner: it has no {RECORD_FILE}. Winners lie in "
            "runs/RUN/DEVICE, or in the --output of `farm tune`."
        )
    path = folder / RECORD_FILE
    try:
        content = read_json(path)
        assert isinstance(content, dict)  # else it has no origin
        facts = _FACTS.validate_python(content)
        for estimate in (facts.ratio, facts.gain):
            _check(estimate)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the top level"
        raise OptionError(
            f"{path} is no whole record of a winner: at {where}: {first['msg']}."
        ) from None
    except ValueError as error:
        raise OptionError(f"{path} is no whole record of a winner: {error}.") from None
    baseline = content.get("baseline")
    return Record(
        origin,
        TuneRequest.from_json(json.dumps(content.get("request"))),
        facts.device,
        from_json(json.dumps(content.get("candidate")), f"'candidate' in {path}"),
        facts.machine,
        baseline and from_json(json.dumps(baseline), f"'baseline' in {path}"),
        facts.ratio,
        facts.gain,
        facts.accuracy,
        facts.data_sha256,
        facts.gain_method,
    )


def _check(estimate: Estimate | None) -> None:
    """Raise ValueError for what no ratio is."""
    if estimate is None:
        return
    values = (estimate.low, estimate.value, estimate.high)
    if not (all(v > 0 and math.isfinite(v) for v in values) and sorted(values) == list(values)):
        raise ValueError(f"the ratio {estimate.value} [{estimate.low}, {estimate.high}] is none")


def read_json(path: Path) -> object:
    """The content of a JSON file. Raises OSError, ValueError."""
    return json.loads(path.read_text(encoding="utf-8"))
