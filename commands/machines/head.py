"""``farm head``: the process where the machines of a cluster meet."""

from __future__ import annotations

import socket
import time
from typing import Annotated

import typer

from commands.shared.options.common import TokenOption, token_file
from commands.shared.shell.help import App
from farm.errors import InfrastructureError, OptionError
from farm.text import printable

head_app = App(
    name="head", no_args_is_help=True, help="Where several machines meet: see `farm worker`."
)


@head_app.callback()
def _head() -> None:
    """Where several machines meet: see `farm worker`."""


@head_app.command()
def start(
    *,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="This machine's address, by which the others reach it. Default: the one it uses "
            "to reach others.",
        ),
    ] = "",
    port: Annotated[int, typer.Option(metavar="N", help="Port of the head.")] = 6379,
    token: TokenOption = None,
) -> None:
    """Start a head, and keep it until Ctrl-C. Its token is made if there is none.

    Example: farm head start --host 10.0.0.5
    """
    from workers.cluster.environment import for_head
    from workers.cluster.head import (
        check_token,
        make_token,
        open_board,
        parse_head,
        refuse_ipv6,
    )

    refuse_ipv6(host)
    file = token_file(token)
    where = parse_head(f"{host or _outside_address()}:{port}", file)
    _check_host(where.host, where.port)
    made = make_token(file)
    check_token(file)
    for_head(file)
    from workers.cluster.node import head_node

    node = head_node(where.host, where.port, file)
    try:
        open_board(where).introduce()
        typer.echo(f"The head answers at {where.address}. Ctrl-C ends it.")
        typer.echo(printable(f"Token file: {file}{' (new)' if made else ''}"))
        typer.echo(
            "On every other machine, with a copy of that file:\n"
            f"  farm worker join {where.address} --device cpu --token-file FILE\n"
            "and to tune:\n"
            f"  farm tune model.onnx --address {where.address} --devices cpu --token-file FILE"
        )
        while node.alive:
            time.sleep(0.5)
        raise InfrastructureError("Ray has ended by itself; start the head again.")
    except KeyboardInterrupt:
        typer.echo("The head has ended.", err=True)
    finally:
        node.stop()


def _outside_address() -> str:
    """The address that this machine would send from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is kept for documentation
        except OSError:
            raise OptionError(
                "This machine has no IPv4 network: a head is for several machines, and needs an "
                "address that they reach. Give one with --host."
            ) from None
        address: str = probe.getsockname()[0]
        return address


def _check_host(host: str, port: int) -> None:
    """Raise OptionError when no head can listen there for others."""
    try:
        address = socket.gethostbyname(host)
        if address.startswith("127."):
            raise OptionError(
                f"--host {host} is reached from this machine alone; give the address by which "
                "others reach it. One machine needs no head: leave --address out of `farm tune`."
            )
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        raise OptionError(
            f"The head cannot listen at {host}:{port}: {error.strerror or error}; give another "
            "--host or --port."
        ) from None
