"""A night as a line of a crontab."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from reports.nightly.timers.invocation import Invocation


def crontab(invocation: Invocation) -> str:
    """The line, below comments that say what becomes of it.

    What cron's command prints is sent by mail. So all goes into a file beside the suite, and is
    printed only where a night was not fine.
    """
    log = shlex.quote(str(invocation.folder / f"{invocation.suite.name}.log"))
    settings = [f"{name}={shlex.quote(text)}" for name, text in invocation.variables.items()]
    run, check = _joined(settings, invocation.run), _joined(settings, invocation.check)
    command = f'log={log}; {run} >"$log" 2>&1 && {check} >>"$log" 2>&1 || cat "$log"'
    return (
        f"# Nights of the suite {invocation.suite.name}, in this machine's local time: add it "
        "with `crontab -e`.\n"
        "# Mails what a night said where it was not fine. A night that was missed is not caught "
        "up with.\n"
        f"{invocation.schedule.cron} {_escaped(command)}\n"
    )


def _joined(settings: Sequence[str], words: Sequence[str]) -> str:
    return " ".join([*settings, shlex.join(words)])


def _escaped(command: str) -> str:
    """To cron a percent sign is the end of a line, unless a backslash is before it."""
    return command.replace("%", r"\%")
