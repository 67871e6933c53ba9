"""What travels: header and payload."""

import contextlib

import hypothesis
import pytest
import zstandard
from hypothesis import strategies as st

from services.chunks import entry, errors, keys
from tests.support import chunks

numbers = st.integers(0, 2**53)


@hypothesis.settings(deadline=None)
@hypothesis.given(
    st.builds(
        entry.Header,
        task_id=st.text(min_size=1).filter(lambda text: text.isprintable()),
        chunk=numbers,
        first_row=numbers,
        rows=numbers,
        skipped=numbers,
        rejected=numbers,
        fence=numbers,
        priority=st.sampled_from(keys.Lane),
        traceparent=st.text().filter(lambda text: text.isprintable()),
        payload_bytes=numbers,
        client=st.text().filter(lambda text: text.isprintable()),
    )
)
def test_a_header_is_read_as_it_was_written(header: entry.Header) -> None:
    fields = {name.encode(): value.encode() for name, value in header.to_fields().items()}
    assert entry.Header.from_fields(fields) == header
    assert entry.Header.from_fields({**fields, b"added_later": b"1"}) == header


def test_a_header_of_before_there_were_clients_is_nobodys() -> None:
    fields = {name.encode(): value.encode() for name, value in chunks.header("t", 1).to_fields().items()}
    del fields[b"client"]

    assert entry.Header.from_fields(fields).client == ""


@pytest.mark.parametrize("harm", ["task_id", "chunk", "priority", "schema_version"])
def test_a_header_that_misses_a_field_says_so(harm: str) -> None:
    fields = {name.encode(): value.encode() for name, value in chunks.header("t", 1).to_fields().items()}
    del fields[harm.encode()]
    with pytest.raises(errors.CorruptEntryError):
        entry.Header.from_fields(fields)


@pytest.mark.parametrize(("name", "value"), [("chunk", "x"), ("priority", "urgent"), ("schema_version", "2")])
def test_a_header_that_this_version_cannot_read_says_so(name: str, value: str) -> None:
    fields = {key.encode(): text.encode() for key, text in chunks.header("t", 1).to_fields().items()}
    with pytest.raises(errors.CorruptEntryError):
        entry.Header.from_fields({**fields, name.encode(): value.encode()})


@hypothesis.settings(deadline=None)
@hypothesis.given(st.binary())
def test_a_payload_is_unpacked_as_it_was_packed(payload: bytes) -> None:
    assert entry.unpack(entry.pack(payload)) == payload


@pytest.mark.parametrize("payload", [b"", b"x" * 1000])
def test_a_payload_of_the_version_before_is_unpacked(payload: bytes) -> None:
    """It wrote no checksum; its entries are still in the queue after an upgrade, those without a row too."""
    assert entry.unpack(zstandard.ZstdCompressor(level=1).compress(payload)) == payload


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = entry.pack(bytes(50_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(errors.CorruptEntryError, match="more than 1000000 bytes"):
        entry.unpack(bomb, most_bytes=1_000_000)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not zstd",
        entry.pack(b"x" * 1000)[:-1],
        entry.pack(b"x" * 1000)[:-3],
        entry.pack(b"x" * 1000) + b"x",
        entry.pack(b"x") + entry.pack(b"x"),
        entry.pack(b"")[:-1],
        zstandard.ZstdCompressor(write_content_size=False).compress(b"x"),
    ],
)
def test_a_payload_that_does_not_unpack_says_so(payload: bytes) -> None:
    with pytest.raises(errors.CorruptEntryError):
        entry.unpack(payload)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.binary(min_size=1), st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_payload_unpacks_to_itself_or_to_nothing(payload: bytes, place: int, damage: int) -> None:
    packed = bytearray(entry.pack(payload))
    packed[place % len(packed)] ^= damage
    with contextlib.suppress(errors.CorruptEntryError):
        assert entry.unpack(bytes(packed)) == payload


def test_a_ref_is_read_as_it_was_written() -> None:
    ref = entry.Ref(keys.Lane.LOW, "1700000000000-3")
    assert entry.Ref.parse(str(ref)) == ref


def test_every_key_is_in_one_slot() -> None:
    names = keys.Keys("a")
    every = [*names.lanes, names.bytes, names.wakeup, names.alone, names.strikes_prefix]
    every += [names.inflight("t"), names.split("t"), names.strikes("t", 1), names.presence("x")]
    assert all(key.startswith("{vectorline}:a:") for key in every)
    assert len(set(every)) == len(every)
    assert names.strikes("t", 1) == f"{names.strikes_prefix}t:1"
