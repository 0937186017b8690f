"""Where winners go: checked before a run begins, written when it has found one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from db.store import Store
from farm.candidate import Candidate
from farm.delivery import write_delivery
from farm.engines import session_spec
from farm.errors import OptionError
from tuner.results import DeviceResult
from tuner.runs import Checked, OpenRun

_MARK = "provenance.json"  # every delivery has it


def output_folder(opened: OpenRun) -> Path:
    """The folder of a run's winners, one subfolder per device."""
    return Path(opened.request.output or Path("runs") / opened.name)


def check_output(checked: Checked) -> None:
    """Raise OptionError where winners could not be written or would replace something else."""
    folder = Path(checked.request.output or "runs")
    devices = [p.name for p in checked.profiles if checked.request.output and not p.is_fake]
    absolute = folder.absolute()
    place = next(p for p in (absolute, *absolute.parents) if p.exists())
    if not place.is_dir():
        raise OptionError(
            f"The winners cannot be written to {folder}, because {place} is a file. Give another "
            "--output."
        )
    try:
        tempfile.TemporaryDirectory(prefix=".farm-", dir=place).cleanup()
    except OSError as error:
        raise OptionError(
            f"The winners cannot be written to {folder}, because {place} is not writable "
            f"({error.strerror}). Give another --output."
        ) from None
    for target in (absolute / device for device in devices):
        if target.exists() and not ((target / _MARK).is_file() or _is_empty(target)):
            raise OptionError(
                f"{target} is in the way of a winner, and no earlier winner: it would be "
                "replaced. Move it, or give another --output."
            )


def deliver(
    store: Store, opened: OpenRun, result: DeviceResult, winner: Candidate, model: bytes
) -> Path:
    """Write the winner of a device; its folder.

    model: the winner's ONNX bytes.

    Raises OptionError: the folder cannot be written, the disk is full.
    """
    folder = output_folder(opened) / result.device
    provenance = json.dumps(_provenance(store, opened, result, winner), indent=2, sort_keys=True)
    inputs = opened.subject.model.inputs
    try:
        write_delivery(folder, model, session_spec(winner), inputs, provenance + "\n")
    except OSError as error:
        raise OptionError(
            f"The winner cannot be written to {folder}: {error.strerror}. Make room or choose "
            f"another --output, and go on with: farm tune --resume {opened.name}"
        ) from None
    return folder


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def _provenance(
    store: Store, opened: OpenRun, result: DeviceResult, winner: Candidate
) -> Mapping[str, object]:
    assert result.winner is not None
    trial = store.trial(result.winner.trial_id)
    return {
        "run": opened.name,
        "trial": trial.id,
        "seed": opened.run.seed,
        "request": json.loads(opened.run.request),
        "model_sha256": opened.subject.model.sha256,
        "device": result.device,
        "candidate": json.loads(store.candidate(winner.id).json),
        "verdict": str(result.verdict),
        "ratio": asdict(result.ratio) if result.ratio else None,
        "trial_details": json.loads(trial.details),
        "machine": asdict(store.machine(trial.machine_id)),
        "software": json.loads(store.software(trial.software_id).versions),
    }
