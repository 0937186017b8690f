"""Who may look: the name that was called, a token, and what a browser may do with a page.

A page of somebody else's can make a browser ask a server on this machine, under a name that it
lets point here. So a server that asks for no token answers to this machine's own names alone.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "farm-token"
LEAST_TOKEN = 16  # characters
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_READING = frozenset({"GET", "HEAD"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address or name."""
    if host in _OWN_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands before the pages. token: "" where none is asked for. host: that is listened on.

    It comes with the first address, as ``?token=``, and is kept in a cookie from then on; programs
    send it as ``Authorization: Bearer``.
    """

    app: ASGIApp
    host: str
    token: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer itself, or let the pages do so."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await (self._refusal(scope) or self.app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if not self._is_called_right(headers.get("host", "")):
            return PlainTextResponse("This server is not called so.\n", 421)
        if scope["method"] not in _READING:
            return PlainTextResponse("These pages can only be read.\n", 405)
        if not self.token:
            return None
        query = QueryParams(scope["query_string"])
        if self._is_token(query.get("token", "")):
            return self._remembered(scope, query)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_token(cookie_parser(headers.get("cookie", "")).get(self._cookie, "")):
            return None
        if self._is_token(bearer):
            return None
        return PlainTextResponse("A token is needed: open /?token=TOKEN.\n", 401)

    def _is_called_right(self, host: str) -> bool:
        """Whether the name is this machine's own, or it does not matter: a token is asked for.

        A proxy before these pages calls them by its own name.
        """
        if self.token:
            return True
        name = (
            host[1:].split("]", maxsplit=1)[0] if host.startswith("[") else host.rsplit(":", 1)[0]
        )
        return name in _OWN_NAMES or name == self.host

    @property
    def _cookie(self) -> str:
        """Of this token: browsers send a machine's cookies to all of its ports."""
        return f"{COOKIE}-{hashlib.sha256(self.token.encode()).hexdigest()[:8]}"

    def _is_token(self, given: str) -> bool:
        return bool(given) and hmac.compare_digest(given.encode(), self.token.encode())

    def _remembered(self, scope: Scope, query: QueryParams) -> Response:
        """The same page, without the token in its address."""
        left = QueryParams([(k, v) for k, v in query.multi_items() if k != "token"])
        # Slashes at the beginning would name another server.
        path = "/" + scope["path"].lstrip("/\\")
        answer = RedirectResponse(f"{path}?{left}" if left else path, 303)
        # Not "strict": who follows a link to an address with the token is not to be refused.
        answer.set_cookie(self._cookie, self.token, httponly=True, samesite="lax")
        return answer
