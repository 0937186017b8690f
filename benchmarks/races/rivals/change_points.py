"""Change points by Apache Otava with its defaults, night by night.

    PYTHON benchmarks/races/rivals/change_points.py < SERIES.json > ALARMS.json

by an interpreter that has ``apache-otava``. In: series of latencies. Out: of each series the
alarms, as the night on which one was raised and the first night of the step that it names.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_NIGHTS = 22
# Otava judges all nights anew each night, and what it named moves by a few of them.
_SAME = 7

Alarm = tuple[int, int]


def by_otava(python: str, series: Sequence[NDArray[np.float64]]) -> list[list[Alarm]] | None:
    """Alarms in ``series`` of log ratios; None where the interpreter has no Otava."""
    latencies = json.dumps([np.exp(one).tolist() for one in series])
    command = [python, __file__]
    done = subprocess.run(command, input=latencies, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    return [[(night, first) for night, first in one] for one in json.loads(done.stdout)]


def _alarms(latencies: list[float]) -> list[Alarm]:
    from otava.analysis import compute_change_points  # noqa: PLC0415  (only that interpreter has it)
    from otava.series import AnalysisOptions  # noqa: PLC0415

    rules = AnalysisOptions()
    alarms: list[Alarm] = []
    for night in range(FEWEST_NIGHTS - 1, len(latencies)):
        found, _ = compute_change_points(
            latencies[: night + 1],
            window_len=rules.window_len,
            max_pvalue=rules.max_pvalue,
            min_magnitude=rules.min_magnitude,
        )
        for first in sorted(int(point.index) for point in found):
            if all(abs(first - other) > _SAME for _, other in alarms):
                alarms.append((night, first))
    return alarms


if __name__ == "__main__":
    json.dump([_alarms(one) for one in json.load(sys.stdin)], sys.stdout)
