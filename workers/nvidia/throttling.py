"""Whether a GPU was held below its clock during a block.

The rule is fixed beforehand and never looks at the latencies, as that of the whole machine's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from workers.nvidia.nvml import Gpu, Nvml

MAX_SLOWED = 0.05
"""Share of wall time for each reason."""
_WORDS = {
    "power": "its power limit",
    "heat": "heat",
    "reliability": "a limit of its voltage",
}


@dataclass(frozen=True, slots=True)
class ThrottleReading:
    """A GPU's counters at one instant.

    slowed_seconds: by reason, since the driver was loaded; without reasons that are not counted.
    slowed_now: reasons that hold at this instant.
    """

    at: float
    slowed_seconds: Mapping[str, float]
    slowed_now: tuple[str, ...]

    @classmethod
    def now(cls, nvml: Nvml, gpu: Gpu) -> ThrottleReading:
        """Read the counters."""
        return cls(time.monotonic(), nvml.slowed_seconds(gpu), nvml.slowed_now(gpu))

    def slowed_since(self, before: ThrottleReading) -> str:
        """Why the time between two readings cannot be used; empty if it can.

        A reason that the driver does not count is looked at as it stands at the end.
        """
        seconds = max(1e-9, self.at - before.at)
        for reason, words in _WORDS.items():
            if reason not in self.slowed_seconds:
                if reason in self.slowed_now:
                    return f"the GPU was slowed down by {words} at its end"
                continue
            slowed = self.slowed_seconds[reason] - before.slowed_seconds.get(reason, 0.0)
            if slowed / seconds > MAX_SLOWED:
                return f"the GPU was slowed down by {words} {slowed / seconds:.0%} of the time"
        return ""
