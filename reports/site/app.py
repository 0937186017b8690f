"""The application that serves a store: its routes, behind a guard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from db.reader import StoreReader
from farm import __version__
from reports.pages.html import plotly_text, script_text, style_text
from reports.site.guard import Guard
from reports.site.views import Views, guarded, nowhere

_STATIC = {
    "plotly.js": (plotly_text, "text/javascript"),
    "page.js": (script_text, "text/javascript"),
    "page.css": (style_text, "text/css"),
}


def site(store: StoreReader, host: str, token: str = "") -> ASGIApp:
    """The pages of a store. host: that is listened on. token: "" where none is asked for."""
    views = Views(store)
    pages = {
        "/": views.first,
        "/runs": views.runs,
        "/runs/{name:path}": views.run,
        "/models": views.models,
        "/models/{sha256}": views.model,
        "/devices": views.devices,
        "/devices/{name:path}": views.device,
        "/series": views.series,
        "/suites/{name:path}": views.suite,
        "/trials/{id:path}": views.trial,
        "/compare": views.compare,
        "/search": views.search,
    }
    routes = [Route(path, guarded(view)) for path, view in pages.items()]
    routes.append(Route("/static/{name}", _static))
    return Guard(Starlette(routes=routes, exception_handlers={404: nowhere}), host, token)


def _static(request: Request) -> Response:
    """What all pages load; browsers keep it as long as the farm is the same."""
    found = _STATIC.get(request.path_params["name"])
    if found is None:
        return PlainTextResponse("There is no such file.\n", 404)
    text, kind = found
    age = 86400 if request.query_params.get("v") == __version__ else 0
    headers = {"Cache-Control": f"private, max-age={age}"}
    return Response(text(), media_type=kind, headers=headers)
