"""Protobuf's wire format, as far as Pinecone's messages need it.

Written by hand because protobuf-python is slow at `repeated float`: here a vector stays the slice of bytes that
arrived, which is already what numpy and the disk want. The field tables are in `messages.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_CONTINUES = 0x80
# The tags in a Vector: id, values (packed), metadata, sparse_values, and values that are not packed.
_ID, _VALUES, _METADATA, _SPARSE, _ONE_VALUE = 0x0A, 0x12, 0x1A, 0x22, 0x15
_UPSERT_VECTORS, _UPSERT_NAMESPACE = 1, 2

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
            if number == _UPSERT_VECTORS and kind == _BYTES:
                _parse_vector(upsert, body, view, start, end)
            elif number == _UPSERT_NAMESPACE and kind == _BYTES:
                upsert.namespace = str(view[start:end], "utf-8")
    except (IndexError, UnicodeDecodeError) as error:
        raise WireError(str(error)) from error
    return upsert


def _parse_vector(upsert: Upsert, body: bytes, view: memoryview, at: int, end: int) -> None:
    if end > len(body):
        raise WireError("truncated")
    name, metadata = "", b""
    values: Buffer = b""
    while at < end:
        tag = body[at]
        if tag == _ONE_VALUE:  # not packed: legal, but no client does it
            values = bytes(values) + body[at + 1 : at + 5]
            at += 5
            continue
        if tag & 7 != _BYTES:
            raise WireError(f"unknown tag {tag} in a vector")
        size, start = read_varint(body, at + 1)
        at = start + size
        if tag == _VALUES:  # packed floats may come in pieces
            values = bytes(values) + body[start:at] if values else view[start:at]
        elif tag == _ID:
            name = body[start:at].decode()
        elif tag == _METADATA:
            metadata = body[start:at]
        elif tag == _SPARSE and size:
            upsert.has_sparse = True
    if at != end:
        raise WireError("truncated vector")
    upsert.ids.append(name)
    upsert.values.append(values)
    upsert.metadata.append(metadata)
