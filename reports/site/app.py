"""The application that serves a store: its routes, behind a guard."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp

from db.reader import StoreReader
from reports.site.guard import Guard
from reports.site.static import static
from reports.site.views import Views, guarded, nowhere


class _Name(PathConvertor):
    """A name in an address: it may have slashes, and is not empty."""

    regex = ".+"


register_url_convertor("name", _Name())
_LEVEL = 6  # of compression: higher ones take longer, and save little of a page


def site(store: StoreReader, host: str, token: str = "") -> ASGIApp:
    """The pages of a store. host: that is listened on. token: "" where none is asked for."""
    views = Views(store)
    pages = {
        "/": views.first,
        "/runs": views.runs,
        "/runs/{name:name}": views.run,
        "/models": views.models,
        "/models/{sha256}": views.model,
        "/devices": views.devices,
        "/devices/{name:name}": views.device,
        "/series": views.series,
        "/suites/{name:name}": views.suite,
        "/trials/{id:name}": views.trial,
        "/compare": views.compare,
        "/search": views.search,
    }
    routes = [Route(path, guarded(view)) for path, view in pages.items()]
    routes.append(Route("/static/{name}", static))
    compressed = Middleware(GZipMiddleware, compresslevel=_LEVEL)
    inside = Starlette(routes=routes, middleware=[compressed], exception_handlers={404: nowhere})
    return Guard(inside, host, token)
