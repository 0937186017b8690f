"""What every command's help and options have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli import app
from commands.shared.shell.help import Panel
from tests.tools.command import Command


def every_command(command: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Each command and group with the words that call it."""
    yield " ".join(names), command
    for name, sub in getattr(command, "commands", {}).items():
        yield from every_command(sub, *names, name)


COMMANDS = dict(every_command(typer.main.get_command(app)))
OPTIONS = [
    pytest.param(option, id=f"{words} {option.opts[0]}")
    for words, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option"
]


@pytest.fixture
def help_of(farm: Command, monkeypatch: pytest.MonkeyPatch):
    """The help of a command on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return lambda words: farm(*words.split(), "--help").out


@pytest.mark.parametrize("words", COMMANDS)
def test_a_flag_takes_no_value(help_of, words: str) -> None:
    shown = help_of(words)
    assert "bool" not in shown
    assert "--help" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_many_options_are_in_groups_in_one_order(help_of) -> None:
    for words in ("tune", "bench", "package build"):
        titles = [line for line in help_of(words).splitlines() if line.startswith("╭")]
        shown = [panel for title in titles for panel in Panel if f" {panel} " in title]
        assert len(shown) == len(titles) - 1, "but for the arguments"
        assert shown == sorted(shown, key=list(Panel).index)
        assert shown[-1] is Panel.OUTPUT
    assert "─ Options ─" in help_of("results"), "few options are one group"


@pytest.mark.parametrize("option", OPTIONS)
def test_one_thing_has_one_name_everywhere(option: Any) -> None:
    short = {"output": "-o", "verbose": "-v", "yes": "-y"}
    names = {name.lstrip("-") for name in option.opts}
    letters = {name for name in option.opts if len(name) == 2}
    assert letters == {short[name] for name in names if name in short}
    assert ("device" in names) == ("devices" in names)


def test_devices_by_either_name(farm: Command) -> None:
    tune = ("tune", "model.onnx", "--local", "--require-all")
    for several in (["--device", "cpu,gpu"], ["--devices", "cpu", "--device", "gpu"]):
        assert "gpu" in farm.refused(*tune, *several)
    one = ("bench", "model.onnx", "--devices")
    assert farm.refused(*one, "cpu,gpu") == (
        "This command takes one device, got 2: cpu, gpu; give --device NAME once."
    )
    assert "got 2: cpu, gpu" in farm.refused(
        "package", "model.onnx", "-o", "out", "--device", "cpu", "--device", "gpu"
    )
    for command in (one, ("tune", "model.onnx", "--devices"), ("results", "--devices")):
        assert farm.refused(*command, ",").startswith("No device was named.")
