"""`/_sandbox/`: what tests ask of the stand-in itself. It needs no key and is never subject to faults."""

import hashlib
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from sandbox.pinecone import errors, metadata, rest, service

_DEFAULT_CALLS = 1_000
_FLUSH_BYTES = 256 * 1024


class Scripting:
    """The routes."""

    def __init__(self, backend: service.Service) -> None:
        """Remember what they look into."""
        self._backend = backend

    def routes(self) -> list[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.get("/healthz", _healthz),
            web.get("/_sandbox/requests", self._requests),
            web.delete("/_sandbox/requests", self._forget_requests),
            web.get("/_sandbox/faults", self._faults),
            web.put("/_sandbox/faults", self._put_faults),
            web.delete("/_sandbox/faults", self._clear_faults),
            web.get("/_sandbox/dump", self._dump),
        ]

    async def _requests(self, request: web.Request) -> web.Response:
        limit = int(request.query.get("limit", _DEFAULT_CALLS))
        return _json(self._backend.journal.report(limit, request.query.get("op")))

    async def _forget_requests(self, _: web.Request) -> web.Response:
        self._backend.journal.reset()
        return web.Response(status=204)

    async def _faults(self, _: web.Request) -> web.Response:
        return _json([asdict(rule) for rule in self._backend.faults.rules])

    async def _put_faults(self, request: web.Request) -> web.Response:
        rules = orjson.loads(await request.read())
        if not isinstance(rules, list):
            raise errors.invalid("The body must be a list of rules")
        self._backend.faults.replace(rules)
        return await self._faults(request)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._backend.faults.replace([])
        return web.Response(status=204)

    async def _dump(self, request: web.Request) -> web.StreamResponse:
        """Stream one line a vector, oldest first; without `namespace` the default one."""
        index = self._backend.indexes.get(request.query.get("index", ""))
        namespace = index.find(request.query.get("namespace", ""))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        pending = bytearray()
        for row in namespace.live_rows() if namespace else []:
            record = namespace.record(row) if namespace else None
            if record is not None:
                line = {
                    "id": record.id,
                    "sha256": hashlib.sha256(record.values.tobytes()).hexdigest(),
                    "metadata": metadata.decode(record.metadata),
                }
                pending += orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
            if len(pending) >= _FLUSH_BYTES:
                await response.write(bytes(pending))
                pending.clear()
        await response.write(bytes(pending))
        await response.write_eof()
        return response


async def _healthz(_: web.Request) -> web.Response:
    return _json({"status": "healthy"})


def _json(body: Any) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type=rest.JSON)
