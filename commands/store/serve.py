"""``farm serve``."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Annotated, Any

import typer

from commands.shared.options.common import StoreOption
from commands.shared.output import print_lines
from farm.errors import OptionError

_PORT = 8610
_HIGHEST = 65535
_ALL_ADDRESSES = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  (they are not listened on here)


def serve(
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address that is listened on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=_HIGHEST, help="0 for any free one.")
    ] = _PORT,
    token: Annotated[
        str,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="FARM_SERVE_TOKEN",
            help="What one must know to look; needed for other machines.",
        ),
    ] = "",
    store: StoreOption = None,
) -> None:
    """Show the store as web pages: runs, models, devices, series, search, comparisons.

    They change nothing. Ctrl-C ends it.

    Example: farm serve --store farm.db
    """
    from db.reader import StoreReader
    from reports.site.app import site

    _check(host, token)
    with StoreReader.open(store) as reader:
        listening = _listen(host, port)
        _run(site(reader, host, token), listening, _address(host, listening, token))


def _check(host: str, token: str) -> None:
    """Raise OptionError where others could look who know nothing."""
    from reports.site.guard import LEAST_TOKEN, is_loopback

    if not token and not is_loopback(host):
        raise OptionError(
            f"Other machines reach {host}, so that a token is needed: "
            "--token $(openssl rand -hex 16)"
        )
    if token and (len(token) < LEAST_TOKEN or not (token.isascii() and token.isalnum())):
        raise OptionError(
            f"--token is to have {LEAST_TOKEN} letters and digits or more, so that nobody guesses "
            "it: --token $(openssl rand -hex 16)"
        )


def _listen(host: str, port: int) -> socket.socket:
    """A socket on this address. Raises OptionError: another program has it, or it is nobody's."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OptionError(
                f"Port {port} of {host} is in use by another program; give another --port, or 0 "
                "for any free one."
            ) from None
        reason = error.strerror or str(error)
        raise OptionError(f"{host}, port {port} cannot be listened on: {reason}.") from None


def _address(host: str, listening: socket.socket, token: str) -> str:
    """Where a browser finds the first page; of all addresses, by the machine's name."""
    if host in _ALL_ADDRESSES:
        host = socket.gethostname()
    name = f"[{host}]" if ":" in host else host
    query = f"?token={token}" if token else ""
    return f"http://{name}:{listening.getsockname()[1]}/{query}"


def _run(pages: Callable[..., Any], listening: socket.socket, address: str) -> None:
    import uvicorn

    print_lines([f"{address}   (Ctrl-C ends it)"])
    config = uvicorn.Config(
        pages,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listening])
