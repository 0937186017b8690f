"""What all pages load: scripts and the style, compressed once, and kept by browsers.

Their addresses have a digest of what they are: another content is another address. They are
compressed when a browser asks for them, for no page waits until that is done.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from reports.pages.html import plotly_text, script_text, style_text

_FILES = {
    "plotly.js": (plotly_text, "text/javascript"),
    "page.js": (script_text, "text/javascript"),
    "page.css": (style_text, "text/css"),
}
_KEPT = "private, max-age=31536000, immutable"
_DIGITS = 16  # of a digest


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is. digest: of its content."""

    content: bytes
    kind: str
    digest: str


def address(name: str) -> str:
    """Where pages find a file."""
    return f"/static/{name}?v={_file(name).digest}"


def static(request: Request) -> Response:
    """A file; what is asked for by an address that was told once may be kept for ever."""
    name = request.path_params["name"]
    if name not in _FILES:
        return PlainTextResponse("There is no such file.\n", 404)
    file = _file(name)
    is_exact = request.query_params.get("v") == file.digest
    headers = {"Cache-Control": _KEPT if is_exact else "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, media_type=file.kind, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(_compressed(name), media_type=file.kind, headers=headers)


@lru_cache
def _file(name: str) -> _File:
    text, kind = _FILES[name]
    content = text().encode()
    digest = hashlib.sha256(content).hexdigest()[:_DIGITS]
    return _File(content, kind, digest)


@lru_cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_file(name).content, mtime=0)
