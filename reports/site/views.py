"""The pages that are served. Each asks the store what it shows, and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from db.questions.best import best
from db.questions.browse import (
    Found,
    Part,
    RunLine,
    devices,
    models_part,
    runs_part,
    search,
    series_part,
)
from db.questions.latest import latest
from db.questions.nightly.nights import suites
from db.questions.results import results
from db.questions.views import Subject
from db.reader import StoreReader
from db.records import Result
from farm.errors import FarmError, NotInStore
from farm.units import counted
from reports.pages.html import templates
from reports.pages.of_run import run_page
from reports.pages.of_suite import suite_page
from reports.pages.of_trials import compared_page, trial_page
from reports.pages.section import MOST_ROWS, Link, Page, Section, table
from reports.site.links import device_link, model_link, run_link, suite_link, trial_link
from reports.site.speedups import speedups
from reports.site.static import address
from reports.tables.cells import of_metric, time_cell, value_cell

_NEWEST = 15  # runs, and pairs of model and device, of the first page
_LONGEST = 200  # characters that are searched for


@dataclass(frozen=True, slots=True)
class List:
    """A list whose cells may lead elsewhere. rows: texts, or texts with addresses."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | Link]]
    nothing: str = "There is none."


@dataclass(frozen=True, slots=True)
class Views:
    """Pages on one store."""

    store: StoreReader

    def first(self, _: Request) -> Response:
        """The newest runs and winners."""
        newest = latest(self.store, limit=_NEWEST)
        lists = (
            _runs("Newest runs", runs_part(self.store).rows[:_NEWEST]),
            List("Suites", ("suite",), [[suite_link(name)] for name in suites(self.store)]),
        )
        command = f"farm results latest --limit {_NEWEST}"
        return _shown("The store", (speedups("Newest winners", newest, command),), lists)

    def runs(self, request: Request) -> Response:
        """All runs, a page at a time."""
        part = runs_part(self.store, _page(request))
        return _listed("Runs", _runs("Runs", part.rows), part, request)

    def run(self, request: Request) -> Response:
        """One run, with its trials."""
        page = run_page(self.store, request.path_params["name"], with_arena=False)
        run = self.store.run_called(request.path_params["name"]).name
        rows = results(self.store, run=run, limit=MOST_ROWS)
        return _reported(page, (_tried(rows),))

    def models(self, request: Request) -> Response:
        """All models, a page at a time."""
        part = models_part(self.store, _page(request))
        rows: list[list[str | Link]] = [
            [
                model_link(row.name, row.sha256),
                f"{row.operators:,}",
                f"{row.parameters:,}",
                f"{row.macs:,}",
                row.sha256[:12],
            ]
            for row in part.rows
        ]
        columns = ("model", "operators", "parameters", "multiply-accumulates", "SHA-256")
        return _listed("Models", List("Models", columns, rows), part, request)

    def model(self, request: Request) -> Response:
        """One model: its winners on devices, and its runs."""
        found = self.store.model(request.path_params["sha256"])
        newest = latest(self.store, Subject(found.sha256))
        command = f"farm results latest --model {found.sha256[:12]}"
        part = runs_part(self.store, _page(request), found.sha256)
        sections = (speedups("Newest winners", newest, command),)
        name = found.name or found.sha256[:12]
        return _shown(f"Model {name}", sections, (_runs("Runs", part.rows),), _more(part, request))

    def devices(self, _: Request) -> Response:
        """All devices."""
        return _shown("Devices", lists=(_devices("Devices", devices(self.store)),))

    def device(self, request: Request) -> Response:
        """One device: the best configuration of each model."""
        name = request.path_params["name"]
        if name not in dict(devices(self.store)):
            raise NotInStore(f"There is no device {name!r} in the store.")
        rows = best(self.store, Subject(devices=(name,)))
        cells: list[tuple[str | Link, ...]] = [
            (
                model_link(row.model, row.model_sha256),
                row.machine,
                f"{of_metric(row.value, row.metric)} ({row.method})",
                trial_link(row.trial, row.candidate),
                run_link(row.run),
            )
            for row in rows
        ]
        columns = ("model", "machine", "latency", "candidate", "run")
        section = Section(
            "best",
            "Best configuration of each model",
            f"{counted(len({row.model_sha256 for row in rows}), 'model')} ran on {name}.",
            table=table(columns, cells, "latency"),
            commands=(f"farm results best --device {name}",),
        )
        return _shown(f"Device {name}", (section,))

    def series(self, request: Request) -> Response:
        """All series of nights, a page at a time."""
        part = series_part(self.store, _page(request))
        rows = [
            [suite_link(each.suite), each.case, each.device, str(each.metric), each.environment]
            for each in part.rows
        ]
        columns = ("suite", "case", "device", "metric", "environment")
        return _listed("Series", List("Series", columns, rows), part, request)

    def suite(self, request: Request) -> Response:
        """One suite."""
        return _reported(suite_page(self.store, request.path_params["name"]))

    def trial(self, request: Request) -> Response:
        """One trial, and where it is compared with others."""
        page = trial_page(self.store, request.path_params["id"])
        beside = f"/compare?{urlencode({'a': request.path_params['id']})}"
        return _reported(page, more=[("Compare it with another trial", beside)])

    def compare(self, request: Request) -> Response:
        """Two trials side by side; a form where they are not named."""
        first, second = (request.query_params.get(each, "").strip() for each in "ab")
        if not (first and second):
            return _html("compare.html", title="Compare", first=first, second=second)
        return _reported(compared_page(self.store, first, second))

    def search(self, request: Request) -> Response:
        """What a text finds."""
        text = request.query_params.get("q", "").replace("\0", "").strip()[:_LONGEST]
        if not text:
            return _shown("Search", query="")
        found = search(self.store, text)
        shown = [each for each in _found(found) if each.rows]
        more = ", and there is more" if found.more else ""
        nothing = (
            f"No run, model, device, suite, case or candidate has {text!r} in its name, and no id "
            "of a trial or SHA-256 of a model begins so."
        )
        return _shown(
            f"Search: {counted(len(found), 'row')}{more}",
            lists=shown,
            query=text,
            subtitle="" if shown else nothing,
        )


def guarded(view: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """The view, with a page that says what is wrong where something is."""

    def answer(request: Request) -> Response:
        try:
            return view(request)
        except NotInStore as error:
            return _html("wrong.html", 404, title="Not found", sentence=str(error))
        except FarmError as error:
            return _html("wrong.html", 400, title="This cannot be shown", sentence=str(error))

    return answer


def nowhere(_: Request, __: Exception) -> Response:
    """The page of an address that there is none at."""
    return _html("wrong.html", 404, title="Not found", sentence="There is no such page.")


def _reported(page: Page, lists: Sequence[List] = (), more: Sequence[Link] = ()) -> Response:
    return _html("site.html", title=page.title, page=page, lists=lists, more=more)


def _shown(
    title: str,
    sections: Sequence[Section] = (),
    lists: Sequence[List] = (),
    more: Sequence[Link] = (),
    query: str = "",
    subtitle: str = "",
) -> Response:
    page = Page(title, subtitle, tuple(sections))
    return _html("site.html", title=title, page=page, lists=lists, more=more, query=query)


def _listed(title: str, found: List, part: Part, request: Request) -> Response:
    return _shown(title, lists=(found,), more=_more(part, request))


def _more(part: Part, request: Request) -> list[Link]:
    """Where the pages before and after this one are."""
    page = _page(request)
    around = [("The page before", page - 1)] if page > 1 else []
    around += [("The next page", page + 1)] if part.more else []
    return [(text, f"?{urlencode({'page': number})}") for text, number in around]


def _page(request: Request) -> int:
    text = request.query_params.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def _runs(title: str, rows: Sequence[RunLine]) -> List:
    cells: list[list[str | Link]] = [
        [
            run_link(row.name),
            str(row.kind),
            str(row.status),
            model_link(row.model, row.model_sha256),
            time_cell(row.created_at),
        ]
        for row in rows
    ]
    return List(title, ("run", "kind", "status", "model", "started (UTC)"), cells)


def _found(found: Found) -> tuple[List, ...]:
    """A list of each kind; a title says where it is not all of them."""

    def called(title: str, part: Part) -> str:
        return f"{title}, the first {len(part.rows)}" if part.more else title

    return (
        _runs(called("Runs", found.runs), found.runs.rows),
        List(
            called("Models", found.models),
            ("model", "SHA-256"),
            [[model_link(m.name, m.sha256), m.sha256[:12]] for m in found.models.rows],
        ),
        _devices(called("Devices", found.devices), found.devices.rows),
        List(
            called("Trials, the newest of each candidate", found.trials),
            ("trial", "candidate", "device", "phase", "outcome"),
            [
                [trial_link(t.id), t.candidate, t.device, t.phase, t.outcome or "pending"]
                for t in found.trials.rows
            ],
        ),
        List(
            called("Series", found.series),
            ("suite", "case", "device", "metric"),
            [[suite_link(s.suite), s.case, s.device, str(s.metric)] for s in found.series.rows],
        ),
    )


def _devices(title: str, rows: Sequence[tuple[str, int]]) -> List:
    cells: list[tuple[str | Link, ...]] = [
        (device_link(name), counted(count, "model")) for name, count in rows
    ]
    return List(title, ("device", "measured"), cells)


def _tried(rows: Sequence[Result]) -> List:
    cells: list[list[str | Link]] = [
        [
            trial_link(row.trial),
            row.candidate,
            row.device,
            str(row.phase),
            str(row.outcome or "pending"),
            value_cell(row.latency),
            row.message,
        ]
        for row in rows
    ]
    columns = ("trial", "candidate", "device", "phase", "outcome", "latency", "why")
    return List("Trials, the newest first", columns, cells)


def _html(template: str, status: int = 200, **values: Any) -> Response:  # noqa: ANN401
    known = {"query": "", "address": address}
    text = templates(__package__).get_template(template).render({**known, **values})
    return HTMLResponse(text, status, {"Cache-Control": "private, no-cache"})
