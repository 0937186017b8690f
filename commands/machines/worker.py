"""``farm worker``: machines that offer their devices to a head."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from commands.shared.options.common import (
    JsonOption,
    ProfilesOption,
    TokenOption,
    devices_option,
    known_profiles,
    one_device,
    token_file,
)
from commands.shared.output import print_tables
from commands.shared.shell.help import App
from farm.errors import OptionError
from farm.text import printable

AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="Of the head: HOST or HOST:PORT.")
]

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,59}"  # it becomes the name of a folder

worker_app = App(
    name="worker", no_args_is_help=True, help="Machines that offer devices to a head."
)


@worker_app.command()
def join(
    address: AddressArgument,
    *,
    device: Annotated[list[str], devices_option("Device profile to offer, one.")],
    name: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Its name in the cluster, where another machine offers one of this name.",
        ),
    ] = "",
    token: TokenOption = None,
    profiles: ProfilesOption = None,
) -> None:
    """Offer a device of this machine to a head, until Ctrl-C; joins again after an outage.

    Example: farm worker join 10.0.0.5 --device dsp --token-file head.token
    """
    from farm.devices.profile import select_profiles
    from workers.cluster.head import parse_head
    from workers.cluster.joining import join as offer_device

    (profile,) = select_profiles((one_device(device, ""),), known_profiles(profiles))
    shown = name or profile.name
    if name and not re.fullmatch(_NAME, name):
        raise OptionError(
            "--as takes up to 60 letters of ASCII, digits, '-', '_' and '.', a letter or digit "
            "first."
        )
    head = parse_head(address, token_file(token))

    def say(sentence: str) -> None:
        typer.echo(printable(sentence), err=True)

    try:
        offer_device(head, profile, shown, say)
    except KeyboardInterrupt:
        typer.echo(f"Device {shown} is not offered any more.", err=True)


@worker_app.command(name="list")
def list_(
    address: AddressArgument = "127.0.0.1",
    *,
    token: TokenOption = None,
    json_output: JsonOption = False,
) -> None:
    """List the devices that a head's machines offer, and who uses them.

    Example: farm worker list 10.0.0.5 --token-file head.token
    """
    from reports.machines.cluster import offers_json, offers_table
    from workers.cluster.head import look, parse_head
    from workers.cluster.offers import offers, user_of

    board = look(parse_head(address, token_file(token)))
    rows = [(offer, user_of(board, offer.profile.name)) for offer in offers(board)]
    if json_output:
        typer.echo(offers_json(rows))
    else:
        nobody = [] if rows else ["Nobody offers a device yet: see `farm worker join --help`."]
        print_tables(offers_table(rows), nobody)
