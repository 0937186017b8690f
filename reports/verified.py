"""What verifying a delivery showed, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from farm.measurement import Estimate
from farm.units import counted
from reports.objectives import AS_MUCH
from tuner.verify.package import Verified
from tuner.verify.verification import Verification


def verified_lines(verified: Verified) -> list[str]:
    """What building a package and replaying its test vectors showed."""
    built = f"built for {verified.target} by {verified.compiler}"
    if verified.agrees:
        verdict = [f"{verified.vectors} test vectors agree bit for bit ({built})."]
    else:
        verdict = [f"The package does not agree ({built}):"]
        verdict += [f"- {disagreement}." for disagreement in verified.disagreements]
    return [*verdict, *verified.notes]


def claim_lines(found: Verification) -> list[str]:
    """Whether the claim of a delivered folder holds, and what was compared."""
    reason = f": {found.reason}" if found.reason else ""
    lines = [f"{found.folder}: {found.holds}{reason}."]
    lines += [f"- {disagreement}." for disagreement in found.disagreements]
    if record := found.record:
        lines.append(f"It is {record.origin}: {record.candidate.label()} on {record.device}.")
    lines += _ratios(found)
    lines += _accuracy(found)
    if found.package:
        lines += verified_lines(replace(found.package, notes=()))
    return [*lines, *found.notes]


def _ratios(found: Verification) -> Iterator[str]:
    assert found.record is not None or found.claimed is None
    if found.claimed is not None and found.record is not None:
        of = AS_MUCH[found.record.request.objective]
        yield f"Claimed: {_ratio(found.claimed)} {of}."
        if found.measured is not None:
            blocks = counted(found.blocks, "block")
            yield f"Measured here: {_ratio(found.measured)}, in {blocks} side by side."


def _ratio(ratio: Estimate) -> str:
    text = f"{ratio.value:.2f} times"
    if ratio.low == ratio.high:
        return text
    return f"{text} (95 % interval {ratio.low:.2f} to {ratio.high:.2f})"


def _accuracy(found: Verification) -> Iterator[str]:
    if found.reached is None or found.reached.value is None:
        return
    told = f"Accuracy ({found.reached.metric}): {found.reached.value:.4f}"
    claimed = found.record.accuracy if found.record else None
    was = f", delivered with {claimed.value:.4f}" if claimed and claimed.value is not None else ""
    yield f"{told} on {counted(found.reached.samples, 'sample')}{was}."
