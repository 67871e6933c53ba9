"""The control plane: indexes created, described, configured, deleted, in the shapes of API 2026-07 and before."""

from typing import Any

import orjson
from aiohttp import web

from sandbox.pinecone import catalog, errors, limits, rest, service, splice, versions

_METRICS = ("cosine", "dotproduct", "euclidean")
_DENSE_FIELD, _SPARSE_FIELD = "_values", "_sparse_values"
_SEARCHED = ("dense_vector", "sparse_vector", "string")


class ControlPlane:
    """The routes of `api.pinecone.io`."""

    def __init__(self, backend: service.Service, connections: splice.Splice) -> None:
        """Remember where indexes are kept and where further ones are dialled."""
        self._backend = backend
        self._indexes = backend.indexes
        self._connections = connections

    def routes(self) -> list[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.get("/indexes", self._list),
            web.post("/indexes", self._create),
            web.get("/indexes/{name}", self._describe),
            web.patch("/indexes/{name}", self._configure),
            web.delete("/indexes/{name}", self._delete),
            web.post("/_sandbox/move", self._move),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        await self._backend.control_fault("list_indexes", "")
        return _json({"indexes": [self._model(index, request) for index in self._indexes]})

    async def _create(self, request: web.Request) -> web.Response:
        body = await rest.read_json(request)
        await self._backend.control_fault("create_index", str(body.get("name")))
        settings = self._settings(body)
        settings.port = self._take_port(catalog.MAIN_PORT)
        return _json(self._model(self._indexes.create(settings), request), status=201)

    def _settings(self, body: dict[str, Any]) -> catalog.Settings:
        kind, vector = _kind(body)
        metric = vector.get("metric") or ("cosine" if kind != catalog.SPARSE else "dotproduct")
        if metric not in _METRICS:
            raise errors.invalid(f"Metric must be one of {', '.join(_METRICS)}, got {metric}")
        dimension = 0
        if kind == catalog.DENSE:
            dimension = limits.check_range("Dimension", vector.get("dimension"), 1, limits.MAX_DIMENSION)
        place = body.get("deployment") or (body.get("spec") or {}).get("serverless") or {}
        return catalog.Settings(
            name=self._indexes.check_name(body.get("name")),
            dimension=dimension,
            metric=metric,
            cloud=place.get("cloud") or "aws",
            region=place.get("region") or "us-east-1",
            deletion_protection=body.get("deletion_protection") or "disabled",
            tags=body.get("tags") or {},
            kind=kind,
            fields=vector if kind == catalog.DOCUMENT else {},
        )

    def open_ports(self) -> None:
        """Listen for the indexes that were there before this start, each on its old port if that is free."""
        for index in self._indexes:
            if index.settings.port == catalog.MAIN_PORT:
                continue
            port = self._take_port(index.settings.port)
            if port != index.settings.port:
                index.settings.port = port
                index.save()

    def _take_port(self, wanted: int) -> int:
        if wanted == catalog.MAIN_PORT and self._indexes.is_free(catalog.MAIN_PORT):
            return catalog.MAIN_PORT
        try:
            return self._connections.open(wanted)
        except OSError:
            return self._connections.open(0)

    async def _describe(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await self._backend.control_fault("describe_index", name)
        return _json(self._model(self._indexes.get(name), request))

    async def _configure(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await self._backend.control_fault("configure_index", name)
        body = await rest.read_json(request)
        index = self._indexes.get(name)
        protection = body.get("deletion_protection") or index.settings.deletion_protection
        if protection not in ("enabled", "disabled"):
            raise errors.invalid(f"deletion_protection must be enabled or disabled, got {protection}")
        index.settings.deletion_protection = protection
        tags = index.settings.tags | (body.get("tags") or {})
        index.settings.tags = {key: value for key, value in tags.items() if value != ""}
        index.save()
        return _json(self._model(index, request))

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        await self._backend.control_fault("delete_index", name)
        port = self._indexes.delete(name).settings.port
        if port != catalog.MAIN_PORT:
            self._connections.close(port)
        return web.Response(status=202)

    async def _move(self, request: web.Request) -> web.Response:
        """Put an index on another host, as Pinecone does when it moves one: where it was, it is not found any more."""
        index = self._indexes.get(request.query.get("index", ""))
        before = index.settings.port
        index.settings.port = self._connections.open(0)
        index.save()
        if before != catalog.MAIN_PORT:
            self._connections.close(before)
        return _json(self._model(index, request))

    def _model(self, index: catalog.Index, request: web.Request) -> dict[str, Any]:
        settings = index.settings
        model: dict[str, Any] = {
            "name": settings.name,
            "status": {"ready": True, "state": "Ready"},
            "host": f"http://{self._connections.name}:{settings.port or self._connections.main_port}",
            "deletion_protection": settings.deletion_protection,
            "tags": settings.tags or None,
        }
        place = {"cloud": settings.cloud, "region": settings.region}
        if rest.version(request) < versions.TYPED_SCHEMAS:
            return model | _older(settings) | {"spec": {"serverless": place}}
        return model | {
            "schema": {"fields": _fields(settings)},
            "deployment": {"deployment_type": "managed", **place, "environment": f"{place['cloud']}-{place['region']}"},
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
        }


def _kind(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what kind of index a create request wants, and its vector field (of a document index: all fields)."""
    fields = (body.get("schema") or {}).get("fields") or {}
    if not fields:  # as API versions before 2026-07 say it
        return (catalog.SPARSE if body.get("vector_type") == "sparse" else catalog.DENSE), body
    if set(fields) == {_DENSE_FIELD}:
        return catalog.DENSE, fields[_DENSE_FIELD]
    if set(fields) == {_SPARSE_FIELD}:
        return catalog.SPARSE, {}
    for name, field in fields.items():
        if not isinstance(field, dict) or field.get("type") not in _SEARCHED:
            raise errors.invalid(f"Field {name} must be one of {', '.join(_SEARCHED)}")
        if name.startswith("_"):
            raise errors.invalid(f"Field names must not begin with an underscore, got {name}")
    return catalog.DOCUMENT, fields


def _fields(settings: catalog.Settings) -> dict[str, Any]:
    match settings.kind:
        case catalog.SPARSE:
            return {_SPARSE_FIELD: {"type": "sparse_vector"}}
        case catalog.DOCUMENT:
            return settings.fields
    return {_DENSE_FIELD: {"type": "dense_vector", "dimension": settings.dimension, "metric": settings.metric}}


def _older(settings: catalog.Settings) -> dict[str, Any]:
    """Return how versions before 2026-07 show an index; of a document index they know no more than its name."""
    match settings.kind:
        case catalog.SPARSE:
            return {"metric": "dotproduct", "vector_type": "sparse"}
        case catalog.DOCUMENT:
            return {}
    return {"dimension": settings.dimension, "metric": settings.metric, "vector_type": "dense"}


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type=rest.JSON)
