"""How help looks: a flag shows no value, and the options of large commands are in groups."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

_FEW = 10
"""So many options need no groups."""


class Panel(StrEnum):
    """Groups of options, in the order in which help shows them."""

    SUBJECT = "Model, data and devices"
    SEARCH = "Search"
    LIMITS = "Limits of what may win"
    CODE = "Generated code"
    PLACE = "Where it runs"
    OUTPUT = "Output"


class Command(TyperCommand):
    """A command whose help is grouped: an option names its panel, the rest is output."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Arguments and options, in the order of their panels."""
        found = _plain_flags(super().get_params(ctx))
        options = [each for each in found if each.param_type_name == "option"]
        grouped = len(options) > _FEW
        for option in options:
            panel = Panel(option.rich_help_panel or Panel.OUTPUT)
            option.rich_help_panel = panel if grouped else None
        order = list(Panel) if grouped else []
        return sorted(found, key=lambda each: _rank(each, order))


class Group(TyperGroup):
    """Commands under one name."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its own options."""
        return _plain_flags(super().get_params(ctx))


class GroupWithDefault(Group):
    """A group in which one command is meant where none is named: ``farm package MODEL``.

    takes_words: that command has arguments; else a word in their place is meant for a command.
    """

    default: ClassVar[str]
    takes_words: ClassVar[bool] = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default in front of arguments that are not the group's own."""
        named = args[0] in {*self.commands, "-h", "--help"} if args else self.no_args_is_help
        if args and not self.takes_words and not args[0].startswith("-"):
            named = True
        return super().parse_args(ctx, args if named else [self.default, *args])


class App(typer.Typer):
    """A Typer all of whose commands have such help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cls": Group, **settings})

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Add a command, as Typer does."""
        return super().command(name, **{"cls": Command, **settings})


def _plain_flags(params: list[Any]) -> list[Any]:
    """Without the type that Typer shows, as if a flag took a value."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


def _rank(param: Any, order: list[Panel]) -> int:
    """Arguments first; Python's sort keeps what is equal as it was declared."""
    panel = getattr(param, "rich_help_panel", None)
    return order.index(panel) if order and panel in order else -1
