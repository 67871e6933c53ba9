"""The messages of Pinecone's VectorService: field numbers and kinds, and the codec that follows them.

The facts are those of Pinecone's public API `2026-07` and what its SDK 10 sends. Keys are the JSON names of the REST
API, so that REST and gRPC share one dict per request and one per answer.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.pinecone import metadata, wire


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its number on the wire and how its value is written."""

    number: int
    kind: str
    message: "dict[str, Field] | None" = None


Schema = dict[str, Field]

USAGE: Schema = {"readUnits": Field(1, "uint")}
PAGINATION: Schema = {"next": Field(1, "string")}
VECTOR: Schema = {"id": Field(1, "string"), "values": Field(2, "floats"), "metadata": Field(3, "struct")}
SCORED: Schema = {
    "id": Field(1, "string"),
    "score": Field(2, "float"),
    "values": Field(3, "floats"),
    "metadata": Field(4, "struct"),
}
PROPERTIES: Schema = {"filterable": Field(1, "bool")}
METADATA_SCHEMA: Schema = {"fields": Field(1, "map", PROPERTIES)}
NAMESPACE: Schema = {
    "name": Field(1, "string"),
    "record_count": Field(2, "uint"),
    "schema": Field(3, "message", METADATA_SCHEMA),
    "indexed_fields": Field(4, "message", {"fields": Field(1, "strings")}),
    "size_bytes": Field(5, "uint"),
}

REQUESTS: dict[str, Schema] = {
    "Query": {
        "namespace": Field(1, "string"),
        "topK": Field(2, "uint"),
        "filter": Field(3, "struct"),
        "includeValues": Field(4, "bool"),
        "includeMetadata": Field(5, "bool"),
        "vector": Field(7, "floats"),
        "id": Field(8, "string"),
        "sparseVector": Field(9, "bytes"),
        "scanFactor": Field(10, "float"),
        "maxCandidates": Field(11, "uint"),
    },
    "Fetch": {"ids": Field(1, "strings"), "namespace": Field(2, "string")},
    "FetchByMetadata": {
        "namespace": Field(1, "string"),
        "filter": Field(2, "struct"),
        "limit": Field(3, "uint"),
        "paginationToken": Field(4, "string"),
    },
    "Delete": {
        "ids": Field(1, "strings"),
        "deleteAll": Field(2, "bool"),
        "namespace": Field(3, "string"),
        "filter": Field(4, "struct"),
    },
    "Update": {
        "id": Field(1, "string"),
        "values": Field(2, "floats"),
        "setMetadata": Field(3, "struct"),
        "namespace": Field(4, "string"),
        "sparseValues": Field(5, "bytes"),
        "filter": Field(6, "struct"),
        "dryRun": Field(7, "bool"),
    },
    "List": {
        "prefix": Field(1, "string"),
        "limit": Field(2, "uint"),
        "paginationToken": Field(3, "string"),
        "namespace": Field(4, "string"),
    },
    "DescribeIndexStats": {"filter": Field(1, "struct")},
    "CreateNamespace": {"name": Field(1, "string"), "schema": Field(2, "message", METADATA_SCHEMA)},
    "DescribeNamespace": {"namespace": Field(1, "string")},
    "DeleteNamespace": {"namespace": Field(1, "string")},
    "ListNamespaces": {
        "paginationToken": Field(1, "string"),
        "limit": Field(2, "uint"),
        "prefix": Field(3, "string"),
    },
}

_FETCHED: Schema = {
    "vectors": Field(1, "map", VECTOR),
    "namespace": Field(2, "string"),
    "usage": Field(3, "message", USAGE),
    "pagination": Field(4, "message", PAGINATION),
}

ANSWERS: dict[str, Schema] = {
    "Upsert": {"upsertedCount": Field(1, "uint")},
    "Query": {
        "matches": Field(2, "messages", SCORED),
        "namespace": Field(3, "string"),
        "usage": Field(4, "message", USAGE),
    },
    "Fetch": _FETCHED,
    "FetchByMetadata": _FETCHED,
    "Delete": {},
    "Update": {"matchedRecords": Field(1, "uint")},
    "List": {
        "vectors": Field(1, "messages", {"id": Field(1, "string")}),
        "pagination": Field(2, "message", PAGINATION),
        "namespace": Field(3, "string"),
        "usage": Field(4, "message", USAGE),
    },
    "DescribeIndexStats": {
        "namespaces": Field(1, "map", {"vectorCount": Field(1, "uint")}),
        "dimension": Field(2, "uint"),
        "indexFullness": Field(3, "float"),
        "totalVectorCount": Field(4, "uint"),
        "metric": Field(5, "string"),
        "vectorType": Field(6, "string"),
    },
    "CreateNamespace": NAMESPACE,
    "DescribeNamespace": NAMESPACE,
    "DeleteNamespace": {},
    "ListNamespaces": {
        "namespaces": Field(1, "messages", NAMESPACE),
        "pagination": Field(2, "message", PAGINATION),
        "total_count": Field(3, "uint"),
    },
}


def decode(schema: Schema, body: bytes) -> dict[str, Any]:
    """Parse a message into a dict of the fields that it holds.

    A struct becomes a dict, floats stay float32 bytes.

    Raises:
        wire.WireError: If the bytes are not such a message.

    """
    by_number = {field.number: (name, field) for name, field in schema.items()}
    out: dict[str, Any] = {}
    try:
        for number, _kind, start, end in wire.fields(body, 0, len(body)):
            if number in by_number:
                name, field = by_number[number]
                out[name] = _value(field, body, start, end, out.get(name))
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise wire.WireError(str(error)) from error
    return out


def _value(field: Field, body: bytes, start: int, end: int, before: Any) -> Any:  # noqa: PLR0911 - one per kind
    payload = start if end < 0 else body[start:end]
    if isinstance(payload, int):
        return bool(payload) if field.kind == "bool" else payload
    match field.kind:
        case "string":
            return payload.decode()
        case "strings":
            return [*(before or []), payload.decode()]
        case "struct":
            return metadata.decode(payload)
        case "floats":
            return (before or b"") + payload
        case "float":
            return struct.unpack("<f", payload)[0]
        case "message":
            return decode(field.message or {}, payload)
        case "map":
            entry = decode({"key": Field(1, "string"), "value": Field(2, "message", field.message)}, payload)
            return {**(before or {}), entry.get("key", ""): entry.get("value", {})}
    return payload


def encode(schema: Schema, answer: Mapping[str, Any]) -> bytes:
    """Serialize a dict; keys that the schema does not know and values that are None stay out."""
    parts: list[bytes] = []
    for name, field in schema.items():
        value = answer.get(name)
        if value is not None:
            parts.extend(_parts(field, value))
    return b"".join(parts)


def _parts(field: Field, value: Any) -> list[bytes]:  # noqa: PLR0911 - one per kind
    match field.kind:
        case "uint" | "bool":
            return [wire.varint(field.number << 3), wire.varint(int(value))]
        case "float":
            return [wire.varint(field.number << 3 | 5), struct.pack("<f", value)]
        case "map":
            entry: Schema = {"key": Field(1, "string"), "value": Field(2, "message", field.message)}
            return [
                part
                for key, item in value.items()
                for part in _sized(field, encode(entry, {"key": key, "value": item}))
            ]
        case "strings":
            return [part for item in value for part in _sized(field, item.encode())]
        case "messages":
            return [part for item in value for part in _sized(field, encode(field.message or {}, item))]
        case "message":
            return _sized(field, encode(field.message or {}, value))
        case "string":
            return _sized(field, value.encode())
    return _sized(field, value)


def _sized(field: Field, payload: bytes) -> list[bytes]:
    return [wire.varint(field.number << 3 | 2), wire.varint(len(payload)), payload]
