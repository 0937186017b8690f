"""Nights as a service and a timer of systemd."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from reports.nightly.timers.invocation import Invocation

_PLAIN = re.compile(r"[\w./:=@+,-]+", re.ASCII)
_FOLDER = "~/.config/systemd/user"


def units(invocation: Invocation) -> dict[str, str]:
    """Both files by name."""
    return {
        f"{invocation.name}.service": _service(invocation),
        f"{invocation.name}.timer": _timer(invocation),
    }


def systemd(invocation: Invocation) -> str:
    """Both files one after another, each below a comment that names it."""
    made = units(invocation)
    begin = (
        f"# Two files for {_FOLDER}. Then:\n"
        "#   systemctl --user daemon-reload\n"
        f"#   systemctl --user enable --now {invocation.name}.timer\n"
        "#   loginctl enable-linger    (so that it runs while nobody is logged in)\n"
    )
    return begin + "".join(f"\n# {_FOLDER}/{name}\n{text}" for name, text in made.items())


def _service(invocation: Invocation) -> str:
    return (
        "[Unit]\n"
        f"Description=A night of the suite {invocation.suite.name}\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"WorkingDirectory={_path(str(invocation.folder))}\n"
        f"{_environment(invocation.variables)}"
        f"ExecStart={_command(invocation.run)}\n"
        f"ExecStart={_command(invocation.check)}\n"
        "# Priorities of any other program: what is measured must not wait for other work, nor\n"
        "# have more of the machine than it has by day.\n"
        "Nice=0\n"
        "IOSchedulingClass=best-effort\n"
        "IOSchedulingPriority=4\n"
        "# The farm is told to end, and ends its children itself.\n"
        "KillMode=mixed\n"
    )


def _timer(invocation: Invocation) -> str:
    due = "".join(f"OnCalendar={text}\n" for text in invocation.schedule.calendar)
    return (
        "[Unit]\n"
        f"Description=Nights of the suite {invocation.suite.name}\n"
        "\n"
        "[Timer]\n"
        f"{due}"
        "# A night that was missed while the machine was off is caught up with.\n"
        "Persistent=true\n"
        "AccuracySec=1s\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )


def _environment(variables: Mapping[str, str]) -> str:
    settings = (f"{name}={text}" for name, text in variables.items())
    return "".join(f"Environment={_quoted(_percent(setting))}\n" for setting in settings)


def _command(words: Sequence[str]) -> str:
    """Words of a command line, in which a dollar would be a variable."""
    return " ".join(_quoted(_percent(word).replace("$", "$$")) for word in words)


def _path(text: str) -> str:
    """A path that takes the whole of a line, and no quotes."""
    return _percent(text)


def _percent(text: str) -> str:
    """A percent sign begins what systemd replaces."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
