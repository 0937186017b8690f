"""The ``farm`` command with as few blocks as can be judged, for tests that are not about these.

Nor do these blocks start fresh processes each, which is most of what a short run takes, and those
that something disturbed are kept: tests disturb each other. What lasts a fixed time lasts a tenth
of it. All else is as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tuner import bench
from tuner.nightly import case
from tuner.racing import track
from tuner.racing.race import RaceRules
from tuner.search import confirm, profiles, search
from workers.trials import children, worker

if TYPE_CHECKING:
    import pytest

FEWEST = (
    (bench, "BLOCKS", bench.MIN_COMMON_BLOCKS),
    (confirm, "MAX_PAIRS", confirm.MIN_PAIRS),
    (case, "MOST_BLOCKS", case.LEAST_BLOCKS),
    (search, "FINAL_RULES", RaceRules(max_blocks=confirm.MIN_PAIRS)),
    (track, "FRESH_EVERY", confirm.MIN_PAIRS),
    (track, "RESTART_EVERY", confirm.MIN_PAIRS),
    (track.RaceTrack, "_must_keep", lambda *_: True),
    (confirm, "_DETAIL_SECONDS", 0.2),
    (profiles, "_SECONDS", 0.05),
    (profiles, "_LEAST_SECONDS", 0.03),
    (children, "_WARMUP_SECONDS", 0.1),
    (worker, "_THROUGHPUT_SECONDS", 0.05),
)


def measure_few(patch: pytest.MonkeyPatch) -> None:
    """Have runs in this process measure as few blocks as can be judged."""
    for module, name, least in FEWEST:
        patch.setattr(module, name, least)


if __name__ == "__main__":
    import cli

    for module, name, least in FEWEST:
        setattr(module, name, least)
    cli.main()
