"""Nights as a workflow of GitHub Actions."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

from reports.nightly.timers.invocation import Invocation
from tuner.nightly.suites.suite import Suite

_AT_ONCE = 4  # a case's budget at most: it is measured, and confirmed, beside environments
_STARTING = 30  # minutes
_UTC = ("", "UTC", "Etc/UTC")
_JUNIT, _MARKDOWN = "nightly.xml", "nightly.md"


def workflow(invocation: Invocation, *, root: Path, zone: str, secret: bool) -> str:
    """A workflow for a runner of one's own.

    root: the repository's folder, in which the suite lies. zone: of the schedule, as
    ``Europe/Berlin``; empty for UTC. secret: whether the store is in a secret of the repository.
    """
    suite = invocation.suite
    path = suite.path.relative_to(root).as_posix()
    options = ""
    if invocation.profiles:
        profiles = Path(invocation.profiles)
        inside = profiles.is_relative_to(root)
        shown = profiles.relative_to(root).as_posix() if inside else str(profiles)
        options = f" --profiles {_unevaluated(shlex.quote(shown))}"
    file = _unevaluated(shlex.quote(path))
    run = f"farm nightly run {file}{options}"
    check = f"farm nightly check {file} --junit {_JUNIT} --markdown {_MARKDOWN}"
    return (
        f"# .github/workflows/{invocation.name}.yml\n"
        f"name: {json.dumps(f'Nights of {suite.name}')}\n"
        "on:\n"
        "  schedule:\n"
        f"    - cron: {json.dumps(invocation.schedule.cron)}\n"
        f"{_zone(zone)}"
        "  workflow_dispatch:\n"
        "permissions:\n"
        "  contents: read\n"
        "concurrency:  # two nights at the same time would measure each other\n"
        f"  group: {invocation.name}\n"
        "jobs:\n"
        "  nightly:\n"
        "    # The same machine every night, with the farm installed and its store kept.\n"
        "    runs-on: [self-hosted]\n"
        f"    timeout-minutes: {_minutes(suite)}\n"
        f"{_environment(invocation, secret=secret)}"
        "    steps:\n"
        "      - uses: actions/checkout@v6\n"
        "      - name: Measure\n"
        "        env:\n"
        "          GITHUB_STEP_SUMMARY: ''  # what is judged below has it once\n"
        "        run: |\n"
        f"          {run}\n"
        "      - name: Judge\n"
        "        if: ${{ !cancelled() }}\n"
        "        run: |\n"
        f"          {check}\n"
        "      - name: Keep the reports\n"
        "        if: ${{ !cancelled() }}\n"
        "        uses: actions/upload-artifact@v6\n"
        "        with:\n"
        f"          name: {invocation.name}\n"
        "          path: |\n"
        f"            {_JUNIT}\n"
        f"            {_MARKDOWN}\n"
    )


def _zone(zone: str) -> str:
    if zone in _UTC:
        return "      # in UTC; `timezone:` beside it would name another zone\n"
    return f"      timezone: {json.dumps(zone)}\n"


def _environment(invocation: Invocation, *, secret: bool) -> str:
    """Where the farm's folders and its store are: a runner knows nothing of this shell."""
    values = {name: _literal(text) for name, text in invocation.variables.items()}
    if secret:
        values["FARM_STORE"] = "${{ secrets.FARM_STORE }}  # the URL has a password"
    elif invocation.store:
        values["FARM_STORE"] = _literal(invocation.store)
    lines = "".join(f"      {name}: {value}\n" for name, value in values.items())
    return f"    env:\n{lines}" if lines else ""


def _literal(text: str) -> str:
    """A text in YAML, as it is."""
    return json.dumps(_unevaluated(text))


def _unevaluated(text: str) -> str:
    """What looks like an expression of a workflow is one, wherever it stands."""
    return text.replace("${{", "${{ '${{' }}")


def _minutes(suite: Suite) -> int:
    """More than a night takes; without it GitHub ends a job after six hours."""
    seconds = _AT_ONCE * (1 + len(suite.environments)) * sum(case.budget for case in suite.cases)
    return _STARTING + math.ceil(seconds / 60)
