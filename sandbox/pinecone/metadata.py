"""A vector's metadata: kept as the serialized google.protobuf.Struct that arrived, decoded when somebody looks."""

from typing import Any

import orjson
from google.protobuf import struct_pb2

from sandbox.pinecone import errors, wire

MAX_METADATA_BYTES = 40_960
# JSON writes one byte of a string as at most six (\u0000); a shorter Struct cannot be over the limit.
_SURELY_SMALL_BYTES = MAX_METADATA_BYTES // 6
_NULL, _NUMBER, _STRING, _BOOL = 0x08, 0x11, 0x1A, 0x20
_SHOWN_CHARACTERS = 16


def decode(raw: bytes) -> dict[str, Any]:
    """Return a serialized Struct as a dict; whole numbers come out as int, as Pinecone's REST API prints them.

    Raises:
        wire.WireError: If the bytes are not a Struct.

    """
    try:
        message = struct_pb2.Struct.FromString(raw)
    except Exception as error:
        raise wire.WireError(f"not a Struct: {error}") from error
    return {key: _plain(value) for key, value in message.fields.items()}


def _plain(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return {key: _plain(item) for key, item in value.struct_value.fields.items()}
    return None


def encode(values: dict[str, Any]) -> bytes:
    """Serialize a dict as a Struct.

    Raises:
        ApiError: INVALID_ARGUMENT if a value is of no kind that a Struct can hold.

    """
    message = struct_pb2.Struct()
    try:
        message.update(values)
    except (ValueError, TypeError) as error:
        raise errors.invalid(f"Invalid metadata: {error}") from error
    return message.SerializeToString()


def check(raw: bytes) -> None:
    """Refuse what Pinecone refuses: null, nested objects, lists of anything but strings, over 40 KB as JSON.

    Raises:
        ApiError: INVALID_ARGUMENT.

    """
    if len(raw) <= _SURELY_SMALL_BYTES and _all_scalars(raw):
        return
    values = decode(raw)
    for name, value in values.items():
        if value is None or isinstance(value, dict) or (isinstance(value, list) and not _all_strings(value)):
            raise errors.invalid(_wrong_type(name, value))
    size = len(orjson.dumps(values))
    if size > MAX_METADATA_BYTES:
        raise errors.invalid(
            f"Metadata size is {size} bytes, which exceeds the limit of {MAX_METADATA_BYTES} bytes per vector"
        )


def _all_strings(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _with_floats(value: Any) -> Any:
    """Show numbers as the doubles that they are on the wire, like Pinecone's own message does."""
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _wrong_type(name: str, value: Any) -> str:
    shown = orjson.dumps(_with_floats(value)).decode()
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}..."
    return f"Metadata value must be a string, number, boolean or list of strings, got '{shown}' for field '{name}'"


def _all_scalars(raw: bytes) -> bool:
    """Walk the Struct's entries and look at the first byte of each value. False also means: look more closely."""
    at, end = 0, len(raw)
    try:
        while at < end:
            size = raw[at + 1]
            at += 2
            if size >= 0x80:
                size, at = wire.read_varint(raw, at - 1)
            key_size = raw[at + 1]
            value_at = at + 2 + key_size
            if key_size >= 0x80 or raw[at] != 0x0A or raw[value_at] != 0x12:
                return False
            kind_at = value_at + 2 if raw[value_at + 1] < 0x80 else wire.read_varint(raw, value_at + 1)[1]
            at += size
            if kind_at >= at or raw[kind_at] not in (_STRING, _NUMBER, _BOOL):
                return False
    except IndexError:
        return False
    return at == end
