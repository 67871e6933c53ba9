"""The chunk codec: what is packed comes out again; damaged bytes end in an error that a worker expects."""

import contextlib
import random

from google.protobuf import message
from vectorline.v1 import chunk_pb2

from services.chunks import entry, errors
from services.embedder.working import rows

DECLARED = (errors.CorruptEntryError, message.DecodeError)


def check(payload: bytes, rng: random.Random) -> None:
    """Pack and unpack a payload, whole and damaged."""
    packed = entry.pack(payload)
    assert entry.unpack(packed) == payload
    content = rows.decode(packed).content
    assert content == chunk_pb2.ChunkRows.FromString(payload)
    assert content.SerializeToString(deterministic=True) == payload
    damaged = harmed(packed, rng)
    with contextlib.suppress(*DECLARED):
        # A damaged frame gives the same bytes or none: the checksum is over all of them.
        assert entry.unpack(damaged) == payload
    with contextlib.suppress(*DECLARED):
        rows.decode(entry.pack(harmed(payload, rng)))


def check_header(header: entry.Header, rng: random.Random) -> None:
    """Read a header, whole and with one field damaged or lost."""
    fields = {name.encode(): value.encode() for name, value in header.to_fields().items()}
    assert entry.Header.from_fields(fields) == header
    name = rng.choice(sorted(fields))
    fields[name] = harmed(fields[name], rng)
    if rng.random() < 0.2:
        del fields[name]
    with contextlib.suppress(*DECLARED):
        entry.Header.from_fields(fields)


def harmed(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one place changed, cut off or grown."""
    place = rng.randrange(len(data) + 1)
    what = rng.random()
    if what < 0.6 and place < len(data):
        return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
    if what < 0.8:
        return data[:place]
    return data[:place] + rng.randbytes(rng.randint(1, 3)) + data[place:]
