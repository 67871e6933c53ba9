"""Runs as objects: entries as they are, and beside them the vector ids in the same order, compressed block by block.

Whoever reads only the entries need not fetch the ids. Checksums, sizes and order are compared while reading, so a
reader knows only at the end that all was as it was written.
"""

import dataclasses
import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import zstandard

from services.ingest.manifest import records, runs, store

# Of the entries of one part, and of its ids, at most (but for its last block).
PART_BYTES = 16 << 20
_FRAME = struct.Struct("<II")  # ids, compressed bytes
# An id has 512 bytes at most.
_FRAME_BYTES = runs.BLOCK * 513


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a run: how many entries, and of both objects their names, sizes in bytes and checksums."""

    rows: int
    entries: str
    entries_sum: str
    ids: str
    ids_bytes: int
    ids_sum: str

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Part":
        """Read what `dataclasses.asdict` made."""
        return cls(**fields)


class Writer:
    """Writes a run as parts.

    Args:
        objects: Where to.
        name: What the objects' names begin with; nobody else uses it.
    """

    def __init__(self, objects: store.Store, name: str) -> None:
        self._objects = objects
        self._name = name
        self.parts: list[Part] = []
        self._entries = bytearray()
        self._ids = bytearray()
        self._rows = 0

    def add(self, block: runs.Block) -> None:
        """Take the next block of the run."""
        for start in range(0, len(block), runs.BLOCK):
            piece = block.part(start, start + runs.BLOCK)
            packed = zstandard.ZstdCompressor(level=3).compress(b"\n".join(piece.ids))
            self._entries += piece.entries.tobytes()
            self._ids += _FRAME.pack(len(piece), len(packed)) + packed
            self._rows += len(piece)
            if max(len(self._entries), len(self._ids)) >= PART_BYTES:
                self._flush()

    def finish(self) -> tuple[Part, ...]:
        """Write what is left; the parts in order."""
        if self._rows:
            self._flush()
        return tuple(self.parts)

    def _flush(self) -> None:
        name = f"{self._name}{len(self.parts):05}"
        entries, ids = bytes(self._entries), bytes(self._ids)
        made = Part(
            self._rows, f"{name}.entries", store.checksum_of(entries), f"{name}.ids", len(ids), store.checksum_of(ids)
        )
        self._objects.put(made.entries, entries)
        self._objects.put(made.ids, ids)
        self.parts.append(made)
        self._entries, self._ids, self._rows = bytearray(), bytearray(), 0


def read(
    objects: store.Store, parts: Iterable[Part], dtype: "np.dtype[np.void]" = records.ENTRY, *, ids: bool = False
) -> runs.Run:
    """Read a run.

    Args:
        objects: Where it lies.
        parts: As they were written.
        dtype: Of the entries.
        ids: The vector ids are wanted too.

    Raises:
        store.Broken: Something is missing, cut short or changed.
    """
    last: records.Entries | None = None
    for part in parts:
        for block in _of_part(objects, part, dtype) if not ids else _with_ids(objects, part, dtype):
            if last is not None and not records.ascending(np.concatenate((last, block.entries[:1]))):
                raise store.Broken(f"{part.entries} is out of order")
            if not records.ascending(block.entries):
                raise store.Broken(f"{part.entries} is out of order")
            last = block.entries[-1:]
            yield block


def _of_part(objects: store.Store, part: Part, dtype: "np.dtype[np.void]") -> Iterator[runs.Block]:
    with objects.opened(part.entries) as body:
        checked = _Checked(body, part.entries, part.entries_sum)
        for start in range(0, part.rows, runs.BLOCK):
            count = min(runs.BLOCK, part.rows - start)
            yield runs.Block(np.frombuffer(checked.read(count * dtype.itemsize), dtype=dtype))
        checked.end()


def _with_ids(objects: store.Store, part: Part, dtype: "np.dtype[np.void]") -> Iterator[runs.Block]:
    with objects.opened(part.entries) as body, objects.opened(part.ids) as names:
        entries, ids = _Checked(body, part.entries, part.entries_sum), _Checked(names, part.ids, part.ids_sum)
        left = part.rows
        while left:
            count, size = _FRAME.unpack(ids.read(_FRAME.size))
            if not 0 < count <= min(left, runs.BLOCK) or size > _FRAME_BYTES:
                raise store.Broken(f"{part.ids} is broken")
            left -= count
            found = np.frombuffer(entries.read(count * dtype.itemsize), dtype=dtype)
            yield runs.Block(found, _unpacked(ids.read(size), count, part.ids))
        entries.end()
        ids.end()


def _unpacked(packed: bytes, count: int, name: str) -> list[bytes]:
    try:
        found = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_FRAME_BYTES).split(b"\n")
    except zstandard.ZstdError as error:
        raise store.Broken(f"{name} does not unpack: {error}") from error
    if len(found) != count:
        raise store.Broken(f"{name} has {len(found)} ids, not {count}")
    return found


class _Checked:
    """An object's bytes, compared with its checksum at the end."""

    def __init__(self, body: IO[bytes], name: str, expected: str) -> None:
        self._body = body
        self._name = name
        self._expected = expected
        self._hash = hashlib.blake2b(digest_size=store.SUM_BYTES)

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        data = bytearray()
        while len(data) < size:
            more = self._body.read(size - len(data))
            if not more:
                raise store.Broken(f"{self._name} is cut short")
            data += more
        self._hash.update(data)
        return bytes(data)

    def end(self) -> None:
        """Nothing follows, and all was as written."""
        if self._body.read(1) or self._hash.hexdigest() != self._expected:
            raise store.Broken(f"{self._name} is not what was written")
