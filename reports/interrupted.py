"""What a search had found when it was interrupted, for people."""

from __future__ import annotations

from tuner.results import DeviceResult


def interrupted_lines(device: DeviceResult, counts: str) -> list[str]:
    """What was best so far, with the plain words that nothing confirmed it.

    counts: of the trials, a sentence.
    """
    found = ""
    if device.best is not None and device.ratio is None:
        found = " Nothing was better than the baseline so far."
    elif device.best is not None and device.ratio is not None:
        found = (
            f" In the search {device.best.label} was {device.ratio.value:.2f} times as fast as "
            "the baseline; that is not confirmed."
        )
    lines = [f"{device.reason}.{found} {counts if device.trials else ''}".rstrip(), *device.notes]
    if device.output:
        lines.append(f"the best so far, not confirmed, lies in {device.output}")
    return [f"{device.device}: {line}" for line in lines]
