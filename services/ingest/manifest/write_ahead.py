"""Rows that travel, written down before they do: the log of a run that has nothing to be compared with.

Where nothing is known of the index every row travels, and judging all of them before the first is published would find
out nothing. So the drivers of such a run write what its merge must know of a chunk's rows beside the comparison, and
publish that chunk when it lies there. Rows that no page names have not travelled; what two drivers have both written is
the same, since a chunk is a pure function of source and plan.

A page is one object: numbers of chunks, their usable rows, and a seal that only who has the manifest's key can make,
over the object's name and content: no item of the ledger names a page, so none keeps its checksum.
"""

import collections
import pathlib
import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, Protocol, TypeVar

import numpy as np
import zstandard
from numpy.typing import NDArray

from services.ingest.manifest import comparison, records, runs, spool, store
from services.runtime import failpoints

# Payloads that wait for their page, together; the chunk that goes beyond it is the page's last.
HELD_BYTES: Final = 8 << 20
# Nothing is published while a page is made: not for longer than this much of the time since the driver began, nor than
# so long.
AGE_SHARE: Final = 0.1
LONGEST_SECONDS: Final = 5.0
_PREFIX: Final = "sent-"
_MAGIC: Final = b"VLW1"
_HEAD: Final = struct.Struct("<4sIII")  # magic, chunks, rows, bytes of the compressed ids
_SEAL_BYTES: Final = 16
# Of a vector id, and what parts it from the next.
_ID_BYTES: Final = 513


class Chunk(Protocol):
    """A chunk that is about to be published."""

    @property
    def number(self) -> int:
        """Of the task."""

    @property
    def payload(self) -> bytes:
        """Its rows."""

    @property
    def sent(self) -> records.Sent | None:
        """Those that travel; None: they were not hashed."""


ChunkT = TypeVar("ChunkT", bound=Chunk)


class Writer:
    """Writes down what one driver is about to publish.

    Args:
        objects: The bucket.
        hashes: The manifest's.
        made: The run's comparison.
        clock: Seconds; None: the machine's.
    """

    def __init__(
        self,
        objects: store.Store,
        hashes: records.Hashes,
        made: comparison.Comparison,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._objects = objects
        self.hashes = hashes
        self._folder = made.folder
        self._clock = clock or time.monotonic

    def ahead(self, chunks: Iterator[ChunkT]) -> Generator[ChunkT, None, None]:
        """The same chunks, each once its rows are written down; closed with it. Blocking.

        The first waits for no other; then as many have a page together as are made in AGE_SHARE of the time so far, up
        to HELD_BYTES: who works them is never left without for long, and pages are few all the same.

        Raises:
            errors.Unavailable: S3 does not answer.
            failures.StoreFailure: It refuses.
        """
        held: collections.deque[ChunkT] = collections.deque()
        began = page_began = self._clock()
        size = 0
        try:
            for chunk in chunks:
                held.append(chunk)
                size += len(chunk.payload)
                now = self._clock()
                longest = min(AGE_SHARE * (now - began), LONGEST_SECONDS)
                if now - page_began < longest and size < HELD_BYTES:
                    continue
                yield from self._written(held)
                page_began, size = self._clock(), 0
            yield from self._written(held)
        finally:
            if isinstance(chunks, Generator):
                chunks.close()

    def _written(self, held: collections.deque[ChunkT]) -> Iterator[ChunkT]:
        if not held:
            return
        name = store.new_page(f"{self._folder}{_PREFIX}", held[0].number)
        self._objects.put(name, _page(name, held, self.hashes))
        failpoints.hit("ingest.after_write_ahead")
        while held:
            yield held.popleft()  # what is published is not held any longer


class Written:
    """All that the drivers of a run have written down.

    Args:
        objects: The bucket.
        hashes: The manifest's.
        made: The run's comparison.
        folder: For temporary files: about 70 bytes a row, and its id. The caller removes it.

    Raises:
        store.Broken: A page is not what was written.
        errors.Unavailable: S3 does not answer.
    """

    def __init__(
        self, objects: store.Store, hashes: records.Hashes, made: comparison.Comparison, folder: pathlib.Path
    ) -> None:
        # Of each chunk of the task, whether a page names it.
        self.chunks = np.zeros(len(made.chunks), dtype=bool)
        self.rows = 0
        self._spool = spool.Spool(folder, "sent", records.SENT)
        for name in objects.below(f"{made.folder}{_PREFIX}"):
            self._take(name, objects.get(name), hashes)

    def run(self) -> runs.Run:
        """The rows, sorted by their ids' hashes, each id once."""
        return self._spool.sorted(_each_id_once)

    def _take(self, name: str, data: bytes, hashes: records.Hashes) -> None:
        body, seal = data[:-_SEAL_BYTES], data[-_SEAL_BYTES:]
        if len(body) < _HEAD.size or hashes.seal(name.encode() + body) != seal:
            raise store.Broken(f"{name} is not what was written")
        magic, chunks, rows, packed = _HEAD.unpack_from(body)
        if magic != _MAGIC:
            raise store.Broken(f"{name} is of another format")
        numbers = np.frombuffer(body, dtype="<u4", count=chunks, offset=_HEAD.size)
        entries = np.frombuffer(body, dtype=records.SENT, count=rows, offset=_HEAD.size + numbers.nbytes)
        ids = zstandard.ZstdDecompressor().decompress(body[len(body) - packed :], max_output_size=rows * _ID_BYTES + 1)
        self.chunks[numbers] = True
        self.rows += rows
        self._spool.add(entries, ids.split(b"\n") if rows else [])


def _page(name: str, chunks: Sequence[Chunk], hashes: records.Hashes) -> bytes:
    numbers = np.array([chunk.number for chunk in chunks], dtype="<u4")
    parts, ids = [np.empty(0, dtype=records.SENT)], list[bytes]()
    for chunk in chunks:
        assert chunk.sent is not None
        entries = records.copied(np.frombuffer(chunk.sent.entries, dtype=records.ENTRY), records.SENT)
        entries["row"], entries["chunk"] = chunk.sent.row_numbers, chunk.number
        parts.append(entries)
        ids += chunk.sent.ids
    packed = zstandard.ZstdCompressor(level=3).compress(b"\n".join(ids))
    head = _HEAD.pack(_MAGIC, len(numbers), len(ids), len(packed))
    body = b"".join((head, numbers.tobytes(), np.concatenate(parts).tobytes(), packed))
    return body + hashes.seal(name.encode() + body)


def _each_id_once(found: NDArray[np.void]) -> NDArray[np.void]:
    """Sorted rows; of two with one id that are not the same row nobody knows which was written last: unknown."""
    if len(found) < 2:
        return found
    same = np.zeros(len(found), dtype=bool)
    same[1:] = (found["high"][1:] == found["high"][:-1]) & (found["low"][1:] == found["low"][:-1])
    if not same.any():
        return found
    begun = np.flatnonzero(~same)
    others = np.flatnonzero(same)
    first = begun[np.cumsum(~same)[others] - 1]
    differ = np.zeros(len(found), dtype=bool)
    for name in ("row", "text", "metadata"):
        np.logical_or.at(differ, first, found[name][others] != found[name][first])
    kept = found[begun]
    records.forget(kept, differ[begun])
    return kept
