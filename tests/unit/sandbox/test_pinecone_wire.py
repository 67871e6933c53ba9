"""The hand-written wire code agrees with protobuf's own, on messages declared here with the public field numbers."""

import contextlib
import struct
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from sandbox.pinecone import errors, messages, metadata, wire

FLOATS = st.lists(st.floats(width=32, allow_nan=False), max_size=5)
VALUES = st.one_of(
    st.text(max_size=200), st.booleans(), st.floats(-1e9, 1e9), st.lists(st.text(max_size=3), max_size=3)
)
METADATA = st.dictionaries(st.text(max_size=150), VALUES, max_size=4)
VECTORS = st.lists(st.tuples(st.text(max_size=200), FLOATS, METADATA), max_size=4)


def declare() -> tuple[Any, Any]:
    """Return message classes for Vector and UpsertRequest."""
    file = descriptor_pb2.FileDescriptorProto(name="wire_test.proto", package="wire_test", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    kind = descriptor_pb2.FieldDescriptorProto
    vector = file.message_type.add(name="Vector")
    vector.field.add(name="id", number=1, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    vector.field.add(name="values", number=2, type=kind.TYPE_FLOAT, label=kind.LABEL_REPEATED)
    vector.field.add(
        name="metadata",
        number=3,
        type=kind.TYPE_MESSAGE,
        label=kind.LABEL_OPTIONAL,
        type_name=".google.protobuf.Struct",
    )
    upsert = file.message_type.add(name="UpsertRequest")
    upsert.field.add(
        name="vectors", number=1, type=kind.TYPE_MESSAGE, label=kind.LABEL_REPEATED, type_name=".wire_test.Vector"
    )
    upsert.field.add(name="namespace", number=2, type=kind.TYPE_STRING, label=kind.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    names = ("wire_test.Vector", "wire_test.UpsertRequest")
    first, second = (message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names)
    return first, second


VECTOR, UPSERT = declare()


@given(VECTORS, st.text(max_size=5))
def test_an_upsert_is_read_as_protobuf_wrote_it(
    vectors: list[tuple[str, list[float], dict[str, Any]]], namespace: str
) -> None:
    request = UPSERT(namespace=namespace)
    for name, values, fields in vectors:
        request.vectors.add(id=name, values=values).metadata.update(fields)
    parsed = wire.parse_upsert(request.SerializeToString())
    assert parsed.namespace == namespace
    assert parsed.ids == [name for name, _, _ in vectors]
    assert [bytes(item) for item in parsed.values] == [struct.pack(f"<{len(v)}f", *v) for _, v, _ in vectors]
    assert [metadata.decode(raw) for raw in parsed.metadata] == [fields for _, _, fields in vectors]


@given(st.binary(max_size=60))
def test_garbage_is_refused_and_never_crashes(body: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        wire.parse_upsert(body)


@given(st.text(max_size=5), FLOATS, METADATA)
def test_protobuf_reads_what_is_encoded_here(name: str, values: list[float], fields: dict[str, Any]) -> None:
    raw = struct.pack(f"<{len(values)}f", *values)
    vector = VECTOR.FromString(
        messages.encode(messages.VECTOR, {"id": name, "values": raw, "metadata": metadata.encode(fields)})
    )
    assert vector.id == name
    assert list(vector.values) == values
    assert metadata.decode(vector.metadata.SerializeToString()) == fields


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3), st.integers(0, 2**31))
def test_decode_undoes_encode(names: dict[str, str], count: int) -> None:
    schema = {
        "entries": messages.Field(1, "map", {"id": messages.Field(1, "string")}),
        "count": messages.Field(200, "uint"),
    }
    message = {"entries": {key: {"id": value} for key, value in names.items()}, "count": count}
    decoded = messages.decode(schema, messages.encode(schema, message))
    assert decoded.get("entries", {}) == message["entries"]
    assert decoded["count"] == count


def test_values_that_are_not_packed_are_read_too() -> None:
    vector = b"\x15" + struct.pack("<f", 1.5) + b"\x15" + struct.pack("<f", 2.5) + b"\x0a\x01x"
    parsed = wire.parse_upsert(b"\x0a" + bytes([len(vector)]) + vector)
    assert struct.unpack("<2f", parsed.values[0]) == (1.5, 2.5)
    assert parsed.ids == ["x"]


@given(METADATA)
def test_metadata_of_the_allowed_kinds_is_accepted(fields: dict[str, Any]) -> None:
    metadata.check(metadata.encode(fields))


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, 2], ["a", None]])
def test_metadata_of_other_kinds_is_refused_by_field_name(value: Any) -> None:
    with pytest.raises(errors.ApiError, match=r"list of strings, got .* for field 'odd'"):
        metadata.check(metadata.encode({"fine": "x", "odd": value}))


def test_metadata_is_measured_as_json() -> None:
    overhead = len('{"a":""}')
    metadata.check(metadata.encode({"a": "x" * (metadata.MAX_METADATA_BYTES - overhead)}))
    with pytest.raises(errors.ApiError, match="40961 bytes, which exceeds the limit of 40960 bytes per vector"):
        metadata.check(metadata.encode({"a": "x" * (metadata.MAX_METADATA_BYTES - overhead + 1)}))
    with pytest.raises(errors.ApiError, match="exceeds the limit"):
        metadata.check(metadata.encode({"a": "\x01" * (metadata.MAX_METADATA_BYTES // 6)}))
