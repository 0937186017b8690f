"""Pages as HTML: one file that needs no network, or parts of it for who serves them.

Everything from the store is text: Jinja escapes it, data lies in a script that is never run, and
a policy lets nothing run but the page's own two scripts, which it names by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from farm import __version__
from reports.pages.numbers import numbers
from reports.pages.section import LONGEST, Chart, Page, cell

_UNSAFE = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def report_html(page: Page, made: str) -> str:
    """The whole page as one file. made: when it was made, and from what."""
    script, plotly = script_text(), plotly_text()
    policy = (
        f"default-src 'none'; script-src {_digest(plotly)} {_digest(script)}; "
        "style-src 'unsafe-inline'; img-src data: blob:"
    )
    return templates().get_template("report.html").render(
        page=page,
        made=made,
        policy=policy,
        style=Markup(style_text()),  # noqa: S704  (the page's own)
        script=Markup(script),  # noqa: S704
        plotly=Markup(plotly),  # noqa: S704
    )  # fmt: skip


@lru_cache
def templates(package: str = __package__) -> Environment:
    """The templates, in which every value is escaped.

    package: whose folder ``templates`` goes before this one's.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["anchor"] = anchor
    environment.filters["embedded"] = embedded
    environment.filters["drawing"] = drawing
    environment.filters["numbers"] = numbers
    environment.globals["version"] = __version__
    return environment


def anchor(name: str) -> str:
    """A section's name as an id: nothing points to one with a space in it."""
    return re.sub(r"[^\w.-]", "-", name)[:LONGEST]


def drawing(chart: Chart) -> Markup:
    """The data of a drawing."""
    return embedded({"traces": chart.traces, "layout": chart.layout, "height": chart.height})


def embedded(value: Any) -> Markup:  # noqa: ANN401
    """JSON that ends no script: no character of it means anything in HTML."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character, written in _UNSAFE.items():
        text = text.replace(character, written)
    return Markup(text)  # noqa: S704


@lru_cache
def plotly_text() -> str:
    """Plotly as it is installed, without importing it."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    return (Path(found.origin).parent / "package_data" / "plotly.min.js").read_text("utf-8")


@lru_cache
def script_text() -> str:
    """The page's own script."""
    return _own("page.js")


@lru_cache
def style_text() -> str:
    """The page's own style."""
    return _own("page.css")


def _visible(value: Any) -> Any:  # noqa: ANN401
    """Text that can be seen and is not longer than anybody reads; what is HTML already stays."""
    return cell(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _own(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text("utf-8")


def _digest(script: str) -> str:
    sha256 = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(sha256).decode()}'"
