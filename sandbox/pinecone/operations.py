"""The data plane: what each operation does to an index. REST and gRPC hand in and get back the same dicts.

Keys are the JSON names of Pinecone's REST API. In requests `vector` and `values` are little-endian float32 bytes; in
answers they are float32 arrays, and `metadata` is a serialized Struct. What a call costs is left in `UNITS`, for the
journal; callers never see it.
"""

import asyncio
import base64
import binascii
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from sandbox.pinecone import catalog, errors, filters, limits, metadata, search, store, units, wire

Request = dict[str, Any]
Answer = dict[str, Any]
Operation = Callable[[catalog.Index, Request], Awaitable[Answer]]

# In an answer: write units, read units.
UNITS = "_units"
# In an answer: headers that it comes with. Writes tell their number in the namespace's log, queries that of the last
# one that they see; a namespace that is not there has none.
HEADERS = "_headers"


def upsert(index: catalog.Index, batch: wire.Upsert, keep: int | None = None) -> Answer:
    """Store vectors; with `keep` only the first so many (a scripted partial success)."""
    index.check_vectors()
    matrix = limits.check_upsert(batch, index.settings.dimension)
    count = len(batch.ids) if keep is None else max(0, min(keep, len(batch.ids)))
    written = units.of_upsert(batch, count, index.find(batch.namespace))
    if count:
        index.get_or_create(batch.namespace).upsert(batch.ids[:count], matrix[:count], batch.metadata[:count])
    return {"upsertedCount": count, UNITS: (written, 0), HEADERS: _written(index.find(batch.namespace))}


def _written(namespace: store.Namespace | None) -> dict[str, str]:
    return {} if namespace is None else {"x-pinecone-request-lsn": str(namespace.lsn)}


async def query(index: catalog.Index, request: Request) -> Answer:
    """Return the nearest neighbours of a vector, or of the vector of an id."""
    index.check_vectors()
    top_k = limits.check_range("topK", request.get("topK"), 1, limits.MAX_TOP_K)
    predicate = _predicate(request)
    if request.get("sparseVector"):
        raise errors.invalid("Index configuration does not support sparse values")
    vector, name = request.get("vector"), request.get("id")
    if bool(vector) == bool(name):
        raise errors.invalid("Query requires exactly one of 'vector' and 'id'")
    namespace = index.find(request.get("namespace", ""))
    seen = {} if namespace is None else {"x-pinecone-max-indexed-lsn": str(namespace.lsn)}
    read = units.of_query(namespace)
    if vector:
        target = limits.to_matrix(["query"], [vector], index.settings.dimension)[0]
    else:
        record = namespace.get(str(name)) if namespace else None
        if record is None:
            namespace = None  # Pinecone finds nothing near an id that it does not know
        target = record.values if record else np.zeros(0, "f4")
    matches = []
    if namespace is not None and len(namespace):
        found = await asyncio.to_thread(search.nearest, namespace, index.settings.metric, target, top_k, predicate)
        matches = [_match(namespace, score, row, request) for score, row in found]
    return {
        "matches": matches,
        "namespace": request.get("namespace", ""),
        "usage": {"readUnits": math.ceil(read)},
        UNITS: (0, read),
        HEADERS: seen,
    }


def _match(namespace: store.Namespace, score: float, row: int, request: Request) -> Answer:
    if request.get("includeValues"):
        record = namespace.record(row)
        match: Answer = {"id": record.id, "score": score, "values": record.values}
    else:
        match = {"id": namespace.id_of(row), "score": score}
    if request.get("includeMetadata"):
        match["metadata"] = namespace.metadata(row) or None
    return match


async def fetch(index: catalog.Index, request: Request) -> Answer:
    """Return vectors by id; unknown ids are left out."""
    ids = limits.check_ids(request.get("ids"))
    namespace = index.find(request.get("namespace", ""))
    records = [namespace.get(name) for name in dict.fromkeys(ids)] if namespace else []
    return _fetched(request, [record for record in records if record])


def _fetched(request: Request, records: list[store.Record]) -> Answer:
    return {
        "vectors": {
            record.id: {"id": record.id, "values": record.values, "metadata": record.metadata or None}
            for record in records
        },
        "namespace": request.get("namespace", ""),
        "usage": {"readUnits": units.of_fetch(len(records))},
        UNITS: (0, units.of_fetch(len(records))),
    }


async def fetch_by_metadata(index: catalog.Index, request: Request) -> Answer:
    """Return vectors that match a filter, in order of insertion, a page at a time."""
    limit = limits.check_range("limit", request.get("limit") or limits.MAX_LIST, 1, limits.MAX_FETCH_BY_METADATA)
    predicate = _predicate(request, needed=True)
    after = int(_read_token(request) or -1)
    namespace = index.find(request.get("namespace", ""))
    rows = await asyncio.to_thread(_matching, namespace, predicate, after, limit + 1) if namespace else []
    records = [namespace.record(row) for row in rows[:limit]] if namespace else []
    answer = _fetched(request, records)
    if len(rows) > limit:
        answer["pagination"] = {"next": _write_token(str(rows[limit - 1]))}
    return answer


def _matching(
    namespace: store.Namespace, predicate: filters.Predicate | None, after: int = -1, limit: int | None = None
) -> list[int]:
    rows = []
    for row in namespace.live_rows():
        if row > after and (predicate is None or predicate(metadata.decode(namespace.metadata(row)))):
            rows.append(row)
            if len(rows) == limit:
                break
    return rows


async def update(index: catalog.Index, request: Request) -> Answer:
    """Change values or metadata of one vector, or the metadata of all that match a filter."""
    index.check_vectors()
    changes, values, name = request.get("setMetadata"), request.get("values"), request.get("id")
    if request.get("sparseValues"):
        raise errors.invalid("Index configuration does not support sparse values")
    namespace = index.find(request.get("namespace", ""))
    if name:
        limits.check_id(name)
        matrix = limits.to_matrix([name], [values], index.settings.dimension) if values else None
        record = namespace.get(name) if namespace else None
        if not namespace or not record:
            return {UNITS: (units.LEAST_WRITE_UNITS, 0)}
        size = namespace.size_of(record.id)
        _rewrite(namespace, record, changes, None if matrix is None else matrix[0])
        written = units.of_change([size, namespace.size_of(record.id)])
        return {UNITS: (written, 0), HEADERS: _written(namespace)}
    predicate = _predicate(request, needed=True)
    if values:
        raise errors.invalid("Values cannot be updated by a filter")
    rows = await asyncio.to_thread(_matching, namespace, predicate) if namespace else []
    sizes: list[int] = []
    if namespace and not request.get("dryRun"):
        for record in [namespace.record(row) for row in rows]:
            sizes.append(namespace.size_of(record.id))
            _rewrite(namespace, record, changes, None)
            sizes.append(namespace.size_of(record.id))
    return {"matchedRecords": len(rows), UNITS: (units.of_change(sizes), 0), HEADERS: _written(namespace)}


def _rewrite(
    namespace: store.Namespace, record: store.Record, changes: dict[str, Any] | None, values: limits.Matrix | None
) -> None:
    raw = record.metadata
    if changes:
        raw = metadata.encode(metadata.decode(raw) | changes)
        metadata.check(raw)
    matrix = (record.values if values is None else values).reshape(1, -1)
    namespace.upsert([record.id], matrix, [raw])


async def delete(index: catalog.Index, request: Request) -> Answer:
    """Delete by ids, by filter, or all of a namespace."""
    name = request.get("namespace", "")
    ids, everything = request.get("ids"), request.get("deleteAll")
    if sum(map(bool, (ids, everything, request.get("filter")))) != 1:
        raise errors.invalid("Delete requires exactly one of 'ids', 'deleteAll' and 'filter'")
    if everything:
        index.clear(name)
        return {UNITS: (units.LEAST_WRITE_UNITS, 0), HEADERS: _written(index.find(name))}
    namespace = index.find(name)
    if ids:
        limits.check_ids(ids)
    predicate = None if ids else _predicate(request, needed=True)
    written = units.LEAST_WRITE_UNITS
    if namespace is not None:
        rows = [] if ids else await asyncio.to_thread(_matching, namespace, predicate)
        doomed = ids or [namespace.id_of(row) for row in rows]
        written = units.of_change(map(namespace.size_of, set(doomed)))  # an id that stands twice costs once
        namespace.delete(doomed)
    return {UNITS: (written, 0), HEADERS: _written(namespace)}


async def list_ids(index: catalog.Index, request: Request) -> Answer:
    """Return ids by prefix, in order, a page at a time."""
    limit = limits.check_range("limit", request.get("limit") or limits.MAX_LIST, 1, limits.MAX_LIST)
    namespace = index.find(request.get("namespace", ""))
    ids = namespace.list_ids(request.get("prefix") or "", _read_token(request), limit + 1) if namespace else []
    answer: Answer = {
        "vectors": [{"id": name} for name in ids[:limit]],
        "namespace": request.get("namespace", ""),
        "usage": {"readUnits": units.of_list(len(ids[:limit]))},
        UNITS: (0, units.of_list(len(ids[:limit]))),
    }
    if len(ids) > limit:
        answer["pagination"] = {"next": _write_token(ids[limit - 1])}
    return answer


async def describe_index_stats(index: catalog.Index, request: Request) -> Answer:
    """Count vectors by namespace; with a filter only those that match."""
    predicate = _predicate(request)
    counts = {}
    for name, namespace in sorted(index.namespaces.items()):
        rows = await asyncio.to_thread(_matching, namespace, predicate) if predicate else namespace
        counts[catalog.shown(name)] = len(rows)
    dense = index.settings.kind == catalog.DENSE
    return {
        "namespaces": {name: {"vectorCount": count} for name, count in counts.items()},
        **({"dimension": index.settings.dimension} if dense else {}),
        "indexFullness": 0.0,
        "totalVectorCount": sum(counts.values()),
        "metric": index.settings.metric,
        "vectorType": "sparse" if index.settings.kind == catalog.SPARSE else "dense",
    }


async def create_namespace(index: catalog.Index, request: Request) -> Answer:
    """Create an empty namespace."""
    name = request.get("name") or ""
    limits.check_namespace(name)
    if index.settings.kind != catalog.DENSE:
        raise errors.ApiError(errors.Code.UNIMPLEMENTED, "The stand-in keeps dense vectors only")
    if not catalog.canonical(name):
        raise errors.invalid("Namespace name must not be empty or __default__")
    if index.find(name):
        raise errors.ApiError(errors.Code.ALREADY_EXISTS, f"Namespace {name} already exists")
    return _description(index.get_or_create(name, request.get("schema")))


async def describe_namespace(index: catalog.Index, request: Request) -> Answer:
    """Count one namespace's vectors."""
    return _description(index.get(request.get("namespace", "")))


async def delete_namespace(index: catalog.Index, request: Request) -> Answer:
    """Delete a namespace."""
    index.drop(request.get("namespace", ""))
    return {UNITS: (units.LEAST_WRITE_UNITS, 0)}


async def list_namespaces(index: catalog.Index, request: Request) -> Answer:
    """Return namespaces by prefix, in order, a page at a time."""
    limit = limits.check_range("limit", request.get("limit") or limits.MAX_LIST, 1, limits.MAX_LIST)
    after, prefix = _read_token(request), request.get("prefix") or ""
    by_name = {catalog.shown(name): namespace for name, namespace in index.namespaces.items()}
    names = sorted(name for name in by_name if name.startswith(prefix))
    page = [name for name in names if name > after][: limit + 1]
    answer: Answer = {
        "namespaces": [_description(by_name[name]) for name in page[:limit]],
        "total_count": len(names),
    }
    if len(page) > limit:
        answer["pagination"] = {"next": _write_token(page[limit - 1])}
    return answer


def _description(namespace: store.Namespace) -> Answer:
    answer: Answer = {
        "name": catalog.shown(namespace.name),
        "record_count": len(namespace),
        "size_bytes": namespace.size_bytes,
    }
    if namespace.schema:
        answer["schema"] = namespace.schema
        answer["indexed_fields"] = {"fields": sorted(namespace.schema.get("fields", {}))}
    return answer


def _predicate(request: Mapping[str, Any], *, needed: bool = False) -> filters.Predicate | None:
    expression = request.get("filter")
    if expression:
        return filters.compile_filter(expression)
    if needed:
        raise errors.invalid("A non-empty filter is required")
    return None


def _write_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def _read_token(request: Mapping[str, Any]) -> str:
    try:
        return base64.urlsafe_b64decode(request.get("paginationToken") or "").decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise errors.invalid("Invalid pagination token") from error


# By the name of the RPC. Upsert is not among them: it has a path of its own.
OPERATIONS: dict[str, tuple[str, Operation]] = {
    "Query": ("query", query),
    "Fetch": ("fetch", fetch),
    "FetchByMetadata": ("fetch_by_metadata", fetch_by_metadata),
    "Update": ("update", update),
    "Delete": ("delete", delete),
    "List": ("list", list_ids),
    "DescribeIndexStats": ("describe_index_stats", describe_index_stats),
    "CreateNamespace": ("create_namespace", create_namespace),
    "DescribeNamespace": ("describe_namespace", describe_namespace),
    "DeleteNamespace": ("delete_namespace", delete_namespace),
    "ListNamespaces": ("list_namespaces", list_namespaces),
}
