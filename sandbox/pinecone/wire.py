"""Protobuf's wire format, as far as Pinecone's messages need it.

Written by hand because protobuf-python is slow at `repeated float`: here a vector stays the slice of bytes that arrived,
which is already what numpy and the disk want. The field tables are in `messages.py`.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_CONTINUES = 0x80

Buffer = bytes | memoryview


class WireError(ValueError):
    """The bytes are not a message of the expected shape."""


def read_varint(buffer: Buffer, at: int) -> tuple[int, int]:
    """Return the varint at `at` and the position after it."""
    value = buffer[at]
    at += 1
    if value < _CONTINUES:
        return value, at
    value &= 0x7F
    shift = 7
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _CONTINUES:
            return value, at
        shift += 7


def varint(value: int) -> bytes:
    """Encode an unsigned integer."""
    out = bytearray()
    while value >= _CONTINUES:
        out.append(value & 0x7F | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(buffer: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Walk one message: number, wire type, then start and end of the payload (varints: the value, and -1)."""
    at = start
    while at < end:
        tag, at = read_varint(buffer, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = read_varint(buffer, at)
            yield tag >> 3, kind, at, at + size
            at += size
        elif kind == _VARINT:
            value, at = read_varint(buffer, at)
            yield tag >> 3, kind, value, -1
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
            yield tag >> 3, kind, at, at + size
            at += size
        else:
            raise WireError(f"wire type {kind}")
    if at != end:
        raise WireError("truncated")


@dataclass(slots=True)
class Upsert:
    """An upsert as it arrived: three lists of equal length.

    `values` are little-endian float32 bytes, one item a vector; `metadata` are serialized google.protobuf.Struct.
    """

    namespace: str = ""
    ids: list[str] = field(default_factory=list)
    values: list[Buffer] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)
    has_sparse: bool = False
    size_bytes: int = 0


def parse_upsert(body: bytes) -> Upsert:
    """Parse a serialized UpsertRequest.

    Raises:
        WireError: If the bytes are not one.

    """
    upsert = Upsert(size_bytes=len(body))
    view = memoryview(body)
    try:
        for number, kind, start, end in fields(body, 0, len(body)):
            if number == 1 and kind == _BYTES:
                _parse_vector(upsert, body, view, start, end)
            elif number == 2 and kind == _BYTES:  # noqa: PLR2004 - a field number
                upsert.namespace = str(view[start:end], "utf-8")
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise WireError(str(error)) from error
    return upsert


def _parse_vector(upsert: Upsert, body: bytes, view: memoryview, at: int, end: int) -> None:
    if end > len(body):
        raise WireError("truncated")
    name, metadata = "", b""
    values: Buffer = b""
    while at < end:
        tag = body[at]
        size, start = read_varint(body, at + 1)
        at = start + size
        if tag == 0x12:  # noqa: PLR2004 - field 2, packed floats; may come in pieces
            values = bytes(values) + bytes(view[start:at]) if len(values) else view[start:at]
        elif tag == 0x0A:  # noqa: PLR2004 - field 1, the id
            name = body[start:at].decode()
        elif tag == 0x1A:  # noqa: PLR2004 - field 3, the metadata
            metadata = body[start:at]
        elif tag == 0x15:  # noqa: PLR2004 - field 2, one unpacked float
            at += 5 - (start - (at - size)) if False else 0
            at = start - _varint_size(size) + 4
            values = bytes(values) + body[at - 4 : at]
        elif tag == 0x22:  # noqa: PLR2004 - field 4, sparse values
            upsert.has_sparse = upsert.has_sparse or size > 0
        else:
            raise WireError(f"unknown tag {tag} in a vector")
    if at != end:
        raise WireError("truncated vector")
    upsert.ids.append(name)
    upsert.values.append(values)
    upsert.metadata.append(metadata)
