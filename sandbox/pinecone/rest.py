"""The REST side of the data plane: JSON in, JSON out, Pinecone's error bodies."""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
from aiohttp import web

from sandbox.pinecone import errors, faults, metadata, operations, service, splice, versions, wire

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOG = logging.getLogger(__name__)
_INT_PARAMETERS = ("limit",)
# Protobuf spends about this much on the tags and lengths of one vector; Pinecone measures requests as protobuf.
_VECTOR_OVERHEAD_BYTES = 16


class DataPlane:
    """The routes of one index's host."""

    def __init__(self, backend: service.Service, door_of_port: Callable[[int], int]) -> None:
        """Remember the service, and how a local port becomes the door of an index."""
        self._backend = backend
        self._door_of_port = door_of_port

    def routes(self) -> list[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.post("/vectors/upsert", self._upsert),
            web.post("/query", self._body("Query")),
            web.get("/vectors/fetch", self._fetch),
            web.post("/vectors/fetch_by_metadata", self._body("FetchByMetadata")),
            web.post("/vectors/update", self._body("Update")),
            web.post("/vectors/delete", self._body("Delete")),
            web.delete("/vectors/delete", self._parameters("Delete")),
            web.get("/vectors/list", self._parameters("List")),
            web.post("/describe_index_stats", self._body("DescribeIndexStats")),
            web.get("/describe_index_stats", self._parameters("DescribeIndexStats")),
            web.get("/namespaces", self._parameters("ListNamespaces")),
            web.post("/namespaces", self._body("CreateNamespace")),
            web.get("/namespaces/{namespace}", self._parameters("DescribeNamespace")),
            web.delete("/namespaces/{namespace}", self._parameters("DeleteNamespace")),
        ]

    def _door(self, request: web.Request) -> int:
        transport = request.transport
        return self._door_of_port(transport.get_extra_info("sockname")[1]) if transport else 0

    async def _upsert(self, request: web.Request) -> web.Response:
        batch = _batch(await read_json(request))
        return _json(await self._backend.upsert(self._door(request), batch, "rest", version(request)))

    async def _fetch(self, request: web.Request) -> web.Response:
        body = {"ids": request.query.getall("ids", []), "namespace": request.query.get("namespace", "")}
        return await self._call(request, "Fetch", body)

    def _body(self, method: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body = await read_json(request)
            for name in ("vector", "values"):
                if body.get(name):
                    body[name] = _floats(body[name])
            return await self._call(request, method, body)

        return handle

    def _parameters(self, method: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body: dict[str, Any] = {**request.query, **request.match_info}
            for name in _INT_PARAMETERS:
                if name in body:
                    body[name] = _whole(name, body[name])
            return await self._call(request, method, body)

        return handle

    async def _call(self, request: web.Request, method: str, body: dict[str, Any]) -> web.Response:
        _check_shape(body)
        size = request.content_length or 0
        return _json(
            await self._backend.call(
                self._door(request), method, body, "rest", size_bytes=size, version=version(request)
            )
        )


def version(request: web.Request) -> str:
    """Return the version of the API that a request is answered by."""
    return versions.served(request.headers.get(versions.HEADER))


async def read_json(request: web.Request) -> dict[str, Any]:
    """Return the body as an object.

    Raises:
        ApiError: INVALID_ARGUMENT if it is none.

    """
    raw = await request.read()
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError as error:
        raise errors.invalid(f"Invalid JSON: {error}") from error
    if not isinstance(body, dict):
        raise errors.invalid("The body must be a JSON object")
    return {name: value for name, value in body.items() if value is not None}  # null is absent, as in protobuf's JSON


def _check_shape(body: dict[str, Any]) -> None:
    """Refuse what a protobuf message could not have held."""
    for name in ("namespace", "id", "name", "prefix", "paginationToken"):
        if not isinstance(body.get(name, ""), str):
            raise errors.invalid(f"{name} must be a string")
    ids = body.get("ids", [])
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise errors.invalid("ids must be a list of strings")


def _batch(body: dict[str, Any]) -> wire.Upsert:
    """Turn an upsert in JSON into the form in which gRPC brings it."""
    _check_shape(body)
    batch = wire.Upsert(namespace=body.get("namespace") or "")
    vectors = body.get("vectors")
    for vector in vectors if isinstance(vectors, list) else []:
        if not isinstance(vector, dict) or not isinstance(vector.get("id"), str):
            raise errors.invalid("Each vector must be an object with a string 'id'")
        values = vector.get("metadata") or {}
        if not isinstance(values, dict):
            raise errors.invalid("metadata must be an object")
        batch.ids.append(vector["id"])
        batch.values.append(_floats(vector.get("values") or []))
        batch.metadata.append(metadata.encode(values) if values else b"")
        batch.has_sparse = batch.has_sparse or bool(vector.get("sparseValues"))
    sizes = (sum(map(len, column)) for column in (batch.ids, batch.values, batch.metadata))
    batch.size_bytes = sum(sizes) + _VECTOR_OVERHEAD_BYTES * len(batch.ids)
    return batch


def _floats(values: Any) -> bytes:
    try:
        array = np.asarray(values, "<f4")
    except (TypeError, ValueError) as error:
        raise errors.invalid("values must be a list of numbers") from error
    if array.ndim != 1:
        raise errors.invalid("values must be a list of numbers")
    return array.tobytes()


def _whole(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise errors.invalid(f"{name} must be a whole number, got {value!r}") from error


def _json(answer: dict[str, Any]) -> web.Response:
    headers = answer.pop(operations.HEADERS, {})
    body = orjson.dumps(_readable(answer), option=orjson.OPT_SERIALIZE_NUMPY)
    return web.Response(body=body, content_type=JSON, headers=headers)


JSON = "application/json"


def _readable(answer: dict[str, Any]) -> dict[str, Any]:
    """Put an answer into the form that REST shows: metadata decoded, 64-bit counts as strings."""
    vectors = answer.get("vectors")
    for match in answer.get("matches", ()):
        match.setdefault("values", [])
    for item in answer.get("matches") or (vectors.values() if isinstance(vectors, dict) else ()):
        raw = item.pop("metadata", None)
        if raw:
            item["metadata"] = metadata.decode(raw)
        if isinstance(item["values"], np.ndarray):
            item["values"] = np.ascontiguousarray(item["values"])
    for item in answer.get("namespaces", ()) if isinstance(answer.get("namespaces"), list) else (answer,):
        for name in ("record_count", "size_bytes"):
            if name in item:
                item[name] = str(item[name])
    return answer


def middleware(backend: service.Service) -> Any:
    """Return the aiohttp middleware: key, request id, errors and reset connections."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        is_open = request.path == "/healthz" or request.path.startswith("/_sandbox/")
        is_control = request.path == "/indexes" or request.path.startswith("/indexes/")
        try:
            if not is_open:
                backend.check_key(request.headers.get("Api-Key"))
            response = await handler(request)
        except errors.ApiError as error:
            response = _refusal(error, is_control=is_control)
        except faults.ConnectionResetFault:
            splice.reset(request.transport)
            response = web.Response(status=503)
        except web.HTTPException as error:
            code = errors.CODE_OF_HTTP_STATUS.get(error.status, errors.Code.UNIMPLEMENTED)
            response = _refusal(errors.ApiError(code, error.reason), is_control=is_control, status=error.status)
        except Exception:
            _LOG.exception("A request failed in a way that nobody planned: %s %s", request.method, request.path)
            response = _refusal(errors.ApiError(errors.Code.INTERNAL, "Internal error"), is_control=is_control)
        if not response.prepared:
            response.headers[versions.HEADER] = version(request)
            response.headers["x-pinecone-request-id"] = request.headers.get("x-request-id") or uuid.uuid4().hex
            response.headers["x-pinecone-request-latency-ms"] = str(int((time.perf_counter() - started) * 1000))
        return response

    return handle


def _refusal(error: errors.ApiError, *, is_control: bool, status: int | None = None) -> web.Response:
    """Render an error as the plane in question does: the two have bodies of different shape."""
    status = status or error.http_status
    body: dict[str, Any] = {"code": int(error.code), "message": error.message, "details": []}
    if is_control:
        body = {"error": {"code": error.code.name, "message": error.message}, "status": status}
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON, headers=error.headers())
