"""The ``farm`` command as the documentation's test runs it: with short searches.

Every `farm tune` ends after the baseline, or ``FARM_TEST_TRIALS`` candidates for each device,
whatever its budget is. The baseline is measured and confirmed however short the time is, and the
time for more is enough on the slowest machine: it is never the time that decides what happens.
With ``FARM_TEST_LOCAL`` it starts no Ray, which takes some seconds. What measures in blocks runs
as few as can be judged. All else is as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def shortened(arguments: Sequence[str]) -> list[str]:
    """The arguments with a short search; the last one of an option that is given twice holds."""
    if arguments[:1] != ["tune"]:
        return list(arguments)
    trials = os.environ.get("FARM_TEST_TRIALS") or "1"
    budget = "2s" if trials == "1" else "10m"
    short = () if "--resume" in arguments else ("--budget", budget, "--trials", trials)
    local = ("--local",) if os.environ.get("FARM_TEST_LOCAL") else ()
    return [*arguments, *short, *local]


if __name__ == "__main__":
    here = Path(__file__).resolve()
    in_blocks = sys.argv[1:2] in (["tune"], ["bench"], ["compare"], ["explain"], ["verify"])
    farm = here.with_name("few_blocks.py") if in_blocks else here.parents[2] / "cli.py"
    os.execv(sys.executable, [sys.executable, str(farm), *shortened(sys.argv[1:])])
