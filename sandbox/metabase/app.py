"""The HTTP application: Metabase's routes of saved questions, and a control API for tests under ``/_sandbox/``.

As in Metabase, the status is sent before the query runs: a query that fails says so in the body of a 200.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import orjson
from aiohttp import web

from sandbox.metabase import faults, questions

LOGIN_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Metabase</title></head><body>Sign in to Metabase</body></html>\n"
)
ROWS_BEFORE_A_FAULT: Final = 1_500
DEFAULT_QUESTION: Final = questions.Question(232, {"Start_Date": False, "End_Date": False}, count=3_650)


@dataclasses.dataclass(frozen=True)
class _Answer:
    question: questions.Question
    rows: Iterator[questions.Row]
    formatted: bool


class Service:
    """The handlers and what they share. ``api_key`` "": any key is welcome."""

    def __init__(self, api_key: str = "") -> None:
        self._api_key = api_key
        self._questions = {DEFAULT_QUESTION.id: DEFAULT_QUESTION}
        self._script = faults.Script()
        self._asked: list[dict[str, Any]] = []

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(
            [
                web.get("/api/health", self.show_health),
                web.post("/api/card/{id:\\d+}/query", self.query),
                web.post("/api/card/{id:\\d+}/query/csv", self.export),
                web.get("/_sandbox/requests", self.show_requests),
                web.delete("/_sandbox/requests", self.reset_requests),
                web.put("/_sandbox/questions", self.put_questions),
                web.put("/_sandbox/faults", self.set_faults),
                web.delete("/_sandbox/faults", self.clear_faults),
            ]
        )
        return app

    async def show_health(self, _request: web.Request) -> web.Response:
        """``GET /api/health``."""
        return _json({"status": "ok"})

    async def query(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/card/{id}/query``: JSON, and 2,000 rows at most without a word."""
        if refusal := self._refusal(request):
            return refusal
        question = self._questions[int(request.match_info["id"])]
        body = await request.read()
        try:
            rows = question.answer(orjson.loads(body or b"{}").get("parameters") or [])
        except questions.ParameterError as error:
            return _json(_failure(str(error)), 202)
        capped = list(itertools.islice(rows, questions.QUERY_ROWS))
        data = {"rows": capped, "cols": [{"name": name} for name in question.columns]}
        return _json({"status": "completed", "row_count": len(capped), "data": data}, 202)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """``POST /api/card/{id}/query/csv``: the whole answer, up to 1,048,575 rows."""
        number = int(request.match_info["id"])
        given = await _given(request)
        parameters = _parameters(given)
        self._asked.append({"question": number, "parameters": parameters})
        rule = self._script.pick(number)
        if rule and (early := await _early(rule)):
            return early
        if refusal := self._refusal(request):
            return refusal
        question = self._questions[number]
        response = web.StreamResponse(headers={"content-type": "text/csv"})
        await response.prepare(request)
        if not rule or rule.kind is not faults.Kind.EMPTY:
            try:
                rows = question.answer(parameters)
                await self._send(response, request, _Answer(question, rows, formatted=_format_rows(given)), rule)
            except questions.ParameterError as error:
                await response.write(orjson.dumps(_failure(str(error))))
        return response

    async def _send(
        self,
        response: web.StreamResponse,
        request: web.Request,
        answer: _Answer,
        rule: faults.Rule | None,
    ) -> None:
        kind = rule.kind if rule else None
        if kind is faults.Kind.ERROR:
            raise questions.ParameterError("ERROR: canceling statement due to statement timeout")
        most = rule.rows if rule and kind is faults.Kind.CAP else questions.EXPORT_ROWS
        if kind in (faults.Kind.ERROR_BEHIND, faults.Kind.RESET, faults.Kind.CUT):
            most = ROWS_BEFORE_A_FAULT
        rows = itertools.islice(answer.rows, most)
        async for piece in _slowly(questions.pieces(answer.question, rows, formatted=answer.formatted)):
            await response.write(piece[:-7] if kind is faults.Kind.CUT and len(piece) > 7 else piece)
        if kind is faults.Kind.ERROR_BEHIND:
            await response.write(orjson.dumps(_failure("ERROR: connection to the database was lost")))
        if kind is faults.Kind.RESET and request.transport:
            request.transport.close()

    def _refusal(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("x-api-key", "")
        if not key or (self._api_key and key != self._api_key):
            return web.Response(text="Unauthenticated", status=401)
        if int(request.match_info["id"]) not in self._questions:
            return web.Response(text="Not found.", status=404)
        return None

    async def show_requests(self, _request: web.Request) -> web.Response:
        """What was exported: ``[{"question", "parameters"}]``."""
        return _json(self._asked)

    async def reset_requests(self, _request: web.Request) -> web.Response:
        """Forget it."""
        self._asked.clear()
        return web.Response(status=204)

    async def put_questions(self, request: web.Request) -> web.Response:
        """Add questions, or replace those of the same ids: a list. 400 says why not."""
        try:
            made = [questions.Question.parse(each) for each in orjson.loads(await request.read())]
        except (TypeError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        self._questions.update({each.id: each for each in made})
        return web.Response(status=204)

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replace the rules: a list. 400 says why not."""
        try:
            self._script.rules = [faults.Rule.parse(each) for each in orjson.loads(await request.read())]
        except (TypeError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        return web.Response(status=204)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """Drop all rules."""
        self._script.rules = ()
        return web.Response(status=204)


async def _given(request: web.Request) -> dict[str, Any]:
    """A form or a JSON body, as Metabase 0.53 and later take them: nothing from the query string."""
    if request.content_type == "application/json":
        body: dict[str, Any] = orjson.loads(await request.read() or b"{}")
        return body
    return dict(await request.post())


def _parameters(given: dict[str, Any]) -> list[Any]:
    parameters = given.get("parameters") or []
    found: list[Any] = orjson.loads(parameters) if isinstance(parameters, str) else parameters
    return found


def _format_rows(given: dict[str, Any]) -> bool:
    """Metabase formats cells unless it is told not to."""
    return given.get("format_rows", True) not in (False, "false")


async def _early(rule: faults.Rule) -> web.Response | None:
    """Carry out what happens in place of the query; None: it runs."""
    if rule.delay_ms:
        await asyncio.sleep(rule.delay_ms / 1000)
    if rule.kind is faults.Kind.STATUS:
        return web.Response(text="An error occurred.", status=rule.code)
    if rule.kind is faults.Kind.LOGIN:
        return web.Response(body=LOGIN_PAGE, content_type="text/html")
    if rule.kind is faults.Kind.REDIRECT:
        return web.Response(status=302, headers={"location": "/auth/login"})
    return None


async def _slowly(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Let other requests through between two pieces."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


def _failure(words: str) -> dict[str, Any]:
    """A failed query as Metabase tells it, stack trace and all."""
    return {
        "database_id": 2,
        "via": [{"status": "failed", "class": "class java.lang.Exception", "error": words}],
        "error_type": "invalid-query",
        "status": "failed",
        "class": "class java.lang.Exception",
        "stacktrace": ["query_processor.middleware$fn__1.invoke(middleware.clj:1)"] * 20,
        "error": words,
        "row_count": 0,
    }


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
