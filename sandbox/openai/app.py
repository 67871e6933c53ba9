"""The HTTP application: OpenAI's routes over the embedder, the limits, the rates and the faults."""

from __future__ import annotations

import asyncio
import concurrent.futures
import hmac
import socket
import struct
import time
import uuid
from collections.abc import Callable
from typing import Final, TypeVar

import orjson
from aiohttp import web

from sandbox.openai import (
    answers,
    canned,
    catalogue,
    control,
    dialects,
    embeddings,
    errors,
    faults,
    journal,
    limits,
    rates,
    settings,
    tokens,
)

SMALL_BODY_BYTES: Final = 8_192  # served on the event loop: a thread would cost more than the work
T = TypeVar("T")

PATHS: Final = {"/v1/embeddings", "/v1/models", "/healthz"}


class _CutError(Exception):
    """The connection is to be cut in place of an answer."""


class Service:
    """The handlers and what they share. The shutdown of its application ends its threads and its hanging requests."""

    def __init__(self, config: settings.Settings, embedder: embeddings.Embedder | canned.Canned) -> None:
        self._config = config
        self._embedder = embedder
        tokens.encoding()
        self._gate = rates.Gate(config.rate_limits)
        self._journal = journal.Journal()
        self._script = faults.Script()
        self._threads = concurrent.futures.ThreadPoolExecutor(config.threads, thread_name_prefix="embed")
        self._closing = asyncio.Event()

    def application(self) -> web.Application:
        """Return the aiohttp application; its shutdown closes this service."""
        app = web.Application(client_max_size=self._config.max_body_bytes)
        app.add_routes(
            [
                web.post(self._config.way.path, self.create_embeddings),
                web.get("/v1/models", self.list_models),
                web.get("/v1/models/{id}", self.show_model),
                web.get("/healthz", self.show_health),
                *control.Control(self._journal, self._script).routes(),
                web.route("*", "/{path:.*}", self.refuse),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    async def create_embeddings(self, request: web.Request) -> web.StreamResponse:
        """``POST /v1/embeddings``."""
        visit = self._journal.open()
        status = 0
        try:
            try:
                response = await self._serve(request, visit)
            except errors.ApiError as error:
                response = _json(self._config.way.form(error), error.status)
                response.headers.update(error.headers)
            except _CutError:
                return _cut(request)
            if not response.prepared:
                self._sign(response, visit)
            status = response.status
            return response
        finally:
            self._journal.close(visit, status)

    async def list_models(self, request: web.Request) -> web.Response:
        """``GET /v1/models``."""
        return self._about(
            request, lambda: {"object": "list", "data": [m.describe() for m in catalogue.MODELS.values()]}
        )

    async def show_model(self, request: web.Request) -> web.Response:
        """``GET /v1/models/{id}``."""
        return self._about(request, lambda: self._model(request.match_info["id"]))

    async def show_health(self, _request: web.Request) -> web.Response:
        """``GET /healthz``: the server listens only once it can serve, so it is always well. No key is asked for."""
        return _json(b'{"status":"ok"}')

    async def refuse(self, request: web.Request) -> web.Response:
        """Answer a path or a method that does not exist."""
        error = errors.unknown_url(request.method, request.path)
        if request.path in PATHS:
            error = errors.wrong_method(request.method, request.path)
        return _json(error.body(), error.status)

    async def _serve(self, request: web.Request, visit: journal.Visit) -> web.StreamResponse:
        refusal = self._refused_key(request)
        # Decided in the order of arrival, before the body is read: a narrow pipe must not make a request late.
        wait = 0.0 if refusal else self._gate.admit_request(visit.monotonic)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise errors.too_large() from None
        if refusal:
            raise refusal
        if wait:
            raise self._gate.refuse_request(_named_model(body), wait, visit.monotonic)
        small = len(body) <= SMALL_BODY_BYTES
        deployment = self._deployment(request)
        order = await self._run(lambda: limits.read(body, self._counting(), self._config.way, deployment), small=small)
        visit.model, visit.inputs, visit.tokens = order.model.name, len(order.texts), order.token_count
        self._gate.admit_tokens(order.model.name, order.token_count, time.monotonic())
        rule = self._script.pick(order.texts)
        if rule:
            visit.fault = rule.kind.value
            early = await self._fail_early(rule)
            if early:
                return early
        answer = await self._run(lambda: self._embed(order, rule), small=small)
        self._journal.buy(visit, order.texts)
        if self._config.latency_ms:
            await asyncio.sleep(self._config.latency_ms / 1000)
        if rule and rule.kind is faults.Kind.RESET:
            raise _CutError
        response = _json(answer)
        response.headers["openai-model"] = order.model.answers_as
        if rule and rule.kind is faults.Kind.TRUNCATE:
            return await self._truncate(request, response, answer, visit)
        return response

    async def _fail_early(self, rule: faults.Rule) -> web.StreamResponse | None:
        """Carry out what happens in place of the work; None: the work goes on."""
        if rule.kind is faults.Kind.HANG and not rule.delay_ms:
            await self._closing.wait()
            raise _CutError
        if rule.delay_ms:
            await asyncio.sleep(rule.delay_ms / 1000)
        if error := rule.error():
            raise error
        if rule.kind is faults.Kind.RESET and not rule.after_work:
            raise _CutError
        if rule.kind is faults.Kind.HTML:
            return web.Response(body=faults.HTML, content_type="text/html")
        return None

    async def _truncate(
        self, request: web.Request, whole: web.Response, body: bytes, visit: journal.Visit
    ) -> web.StreamResponse:
        """Promise all of ``body``, send half of it and close the connection."""
        response = web.StreamResponse(headers=whole.headers)
        response.content_length = len(body)
        self._sign(response, visit)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport:
            request.transport.close()
        return response

    def _embed(self, order: limits.Order, rule: faults.Rule | None) -> bytes:
        """Compute the answer (in a thread, where it is large)."""
        vectors = self._embedder.embed(order.texts, order.model, order.dimensions)
        indexes = list(range(len(vectors)))
        if rule:
            vectors, indexes = rule.spoil(vectors)
        return answers.write(
            vectors,
            indexes,
            order.model.answers_as,
            order.token_count,
            as_base64=order.as_base64,
            hides_zero=self._config.way.hides_zero,
        )

    async def _run(self, work: Callable[[], T], *, small: bool) -> T:
        """Run ``work`` here where it is small, else in a thread so that the event loop goes on answering."""
        if small:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _deployment(self, request: web.Request) -> str:
        """The model that Azure's path names; "" where the body names it. Raises errors.ApiError where there is none."""
        if not self._config.way.needs_version:
            return ""
        if "api-version" not in request.query:
            raise dialects.resource_not_found()
        deployment = request.match_info["deployment"]
        if deployment not in catalogue.MODELS:
            raise dialects.deployment_not_found()
        return deployment

    def _counting(self) -> limits.Counting:
        """A limit on tokens is enforced on exact numbers, whatever was configured."""
        return limits.Counting.EXACT if self._config.tokens_per_minute else self._config.count_tokens

    def _refused_key(self, request: web.Request) -> errors.ApiError | None:
        header = self._config.way.key_header
        scheme, _, key = request.headers.get(header, "").rpartition(" ")
        key = key.strip()
        if scheme.lower() != ("bearer" if header == "Authorization" else "") or not key:
            return errors.missing_key()
        expected = self._config.api_key
        if expected and not hmac.compare_digest(key.encode(), expected.encode()):
            return errors.wrong_key(key)
        return None

    def _about(self, request: web.Request, describe: Callable[[], object]) -> web.Response:
        try:
            if refusal := self._refused_key(request):
                raise refusal
            return _json(orjson.dumps(describe()))
        except errors.ApiError as error:
            return _json(error.body(), error.status)

    def _model(self, name: str) -> object:
        if name not in catalogue.MODELS:
            raise errors.unlisted_model(name)
        return catalogue.MODELS[name].describe()

    def _sign(self, response: web.StreamResponse, visit: journal.Visit) -> None:
        """Add the headers that every answer of the real API has; those of an error win."""
        signed = {
            "openai-organization": "org-sandbox",
            "openai-processing-ms": str(round((time.monotonic() - visit.monotonic) * 1000)),
            "openai-version": "2020-10-01",
            "x-request-id": f"req_{uuid.uuid4().hex}",
            **self._gate.headers(time.monotonic()),
        }
        for name, value in signed.items():
            response.headers.setdefault(name, value)

    async def _close(self, _app: web.Application) -> None:
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _named_model(body: bytes) -> str:
    """Return the model that ``body`` names, for the message of a refusal."""
    try:
        return str(orjson.loads(body)["model"])
    except (KeyError, TypeError, ValueError):
        return "text-embedding-3-small"


def _cut(request: web.Request) -> web.StreamResponse:
    """Cut the connection with a TCP reset: the peer sees ECONNRESET, not an orderly end."""
    response = web.StreamResponse()
    if request.transport:
        connection = request.transport.get_extra_info("socket")
        if connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return response
