"""The routes of the app: its page, and JSON about the runs. Records are named by their ids, images by their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from mminf.errors import ImageError, JournalError, MminfError, UsageError, reason_of
from mminf.marks import LONGEST_NOTE
from mminf.view import query
from mminf.view.guard import Guard
from mminf.view.history import CallsView, OutcomesView
from mminf.view.runs import RunView
from mminf.view.search import Page
from mminf.view.text import Piece, safe

_FILES = {
    "index.html": "text/html; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    **{f"{name}.js": "text/javascript; charset=utf-8" for name in ("app", "dom", "funnel", "list", "record", "server")},
}
"""The files of the page, with their types; there are no others, so that no path of a client is opened."""
_SIDES = {"small": 200, "large": 1400}
"""Maximum width and height of images, in pixels."""
_MOST = 200

Id = Annotated[str, Query(min_length=1)]
Skip = Annotated[int, Query(ge=0, le=10_000_000)]


class MarkBody(BaseModel):
    """A mark that the page sends."""

    id: str = Field(min_length=1)
    mark: Literal["good", "bad"] | None = None
    note: str = Field("", max_length=LONGEST_NOTE)


def make_app(runs: Sequence[RunView], token: str) -> Guard:
    """Returns the app.

    Args:
        runs: the runs that it shows.
        token: the token that requests need.
    """
    # No pages of FastAPI itself: they load scripts from the web. Answers have types already, so that none is a model.
    app = FastAPI(title="mminf view", docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app)
    _add_runs(app, runs, token)
    _add_records(app, runs)
    app.add_exception_handler(MminfError, _refuse)
    app.add_exception_handler(RequestValidationError, _explain)
    return Guard(app, token)


async def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, JournalError | ImageError):
        return JSONResponse({"detail": safe(str(error))}, 404)
    status = 422 if isinstance(error, UsageError) else 409
    return JSONResponse({"detail": safe(str(error))}, status)


async def _explain(_: Request, error: Exception) -> Response:
    """Answers a request with wrong parameters, without repeating them."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in found[:5])}, 422)


def _add_pages(app: FastAPI) -> None:
    folder = files("mminf.view") / "static"
    content = {name: (folder / name).read_bytes() for name in _FILES}

    @app.get("/")
    async def index() -> Response:
        return Response(content["index.html"], media_type=_FILES["index.html"])

    @app.get("/favicon.ico")
    async def icon() -> Response:
        return Response(status_code=204)

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in content:
            raise HTTPException(404, "there is no such file")
        return Response(content[name], media_type=_FILES[name])


def _add_runs(app: FastAPI, runs: Sequence[RunView], token: str) -> None:
    @app.get("/api/session", response_model=None)
    async def session() -> dict[str, Any]:
        """The runs, and the token for requests that change something."""
        return {"token": token, "runs": [run.label for run in runs], "states": query.STATES}

    @app.get("/api/runs/{run}/summary", response_model=None)
    def summary(run: int) -> Mapping[str, Any]:
        return _run(runs, run).summary()

    @app.get("/api/runs/{run}/records", response_model=None)
    def records(
        run: int,
        text: str = "",
        state: str = "",
        step: str = "",
        mark: str = "",
        score: Annotated[list[str], Query()] = [],  # noqa: B006 (FastAPI copies it)
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 50,
    ) -> Page:
        ranges = tuple(query.parse_range(item) for item in score)
        return _run(runs, run).records(query.Query(text, state, step, ranges, mark), after, limit)


def _add_records(app: FastAPI, runs: Sequence[RunView]) -> None:
    @app.get("/api/runs/{run}/outcomes", response_model=None)
    def outcomes(run: int, record: Id, skip: Skip = 0) -> OutcomesView:
        return _run(runs, run).outcomes(record, skip)

    @app.get("/api/runs/{run}/calls", response_model=None)
    def calls(run: int, record: Id, skip: Skip = 0) -> CallsView:
        return _run(runs, run).calls(record, skip)

    @app.get("/api/runs/{run}/text", response_model=None)
    def text(run: int, record: Id, place: str, offset: Skip, length: Skip) -> Piece:
        try:
            found = json.loads(place)
        except (ValueError, RecursionError) as error:
            raise HTTPException(422, "place is not JSON") from error
        if not isinstance(found, list):
            raise HTTPException(422, "place is not a list")
        return _run(runs, run).text(record, found, offset, length)

    @app.get("/api/runs/{run}/image", response_model=None)
    def image(run: int, record: Id, number: Skip = 0, size: Literal["small", "large"] = "small") -> Response:
        return Response(_run(runs, run).image(record, number, _SIDES[size]), media_type="image/jpeg")

    @app.get("/api/runs/{run}/mark", response_model=None)
    def mark_of(run: int, record: Id) -> dict[str, Any]:
        return _run(runs, run).mark_of(record)

    @app.post("/api/runs/{run}/mark", response_model=None)
    def mark(run: int, body: MarkBody) -> dict[str, Any]:
        record = body.id.encode("utf-8", "replace").decode()
        try:
            changes = body.model_dump(include={"mark", "note"}, exclude_unset=True)
            return _run(runs, run).mark(record, changes)._asdict()
        except OSError as error:
            raise HTTPException(507, f"the mark can't be written: {reason_of(error)}") from error


def _run(runs: Sequence[RunView], number: int) -> RunView:
    if not 0 <= number < len(runs):
        raise HTTPException(404, "there is no such run")
    return runs[number]
