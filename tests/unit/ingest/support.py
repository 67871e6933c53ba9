"""A CSV in memory, scanned and split in one breath."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import struct_pb2
from vectorline.v1 import chunk_pb2

from services.ingest import sources
from services.ingest.contract import context
from services.ingest.planning import plan, scan
from services.ingest.reading import reader
from services.ingest.request import options
from services.ingest.sources import memory
from services.ingest.splitting import reread, split


@dataclasses.dataclass
class Loaded:
    """A scanned source."""

    source: memory.MemorySource
    pinned: sources.Pinned
    plan: plan.Plan
    sidecar: bytes
    options: options.Options
    # Of the blocks in which the reader works, and of the pieces in which the source comes.
    piece_bytes: int = reader.BLOCK_BYTES

    @property
    def task(self) -> context.Context:
        return context.Context("task-1", self.options, "upload", "things.csv", "2026-01-02T03:04:05Z")

    def pairs(self, start: int, count: int) -> bytes:
        return self.sidecar[start : start + count]

    def chunks(self, first_chunk: int = 0, only: Callable[[int], bool] | None = None) -> list[split.Chunk]:
        made = split.split(
            self.source, self.pinned, self.plan, self.task, self.pairs, first_chunk=first_chunk, only=only
        )
        with blocks_of(self.piece_bytes):
            return list(made)

    def messages(self) -> list[chunk_pb2.ChunkRows]:
        return [chunk_pb2.ChunkRows.FromString(chunk.payload) for chunk in self.chunks()]

    def rows(self) -> list[chunk_pb2.Row]:
        return [row for message in self.messages() for row in message.rows]

    def rejects(self) -> list[chunk_pb2.Reject]:
        return [reject for message in self.messages() for reject in message.rejects]

    def reasons(self) -> dict[int, str]:
        return {reject.row_number: reject.reason for reject in self.rejects()}

    def metadata(self) -> list[dict[str, Any]]:
        return [struct(row.metadata + message.common_metadata) for message in self.messages() for row in message.rows]

    def rereading(self) -> reread.Reread:
        return reread.Reread(self.source, self.pinned, self.plan, self.task, self.pairs)

    def rebuilt(self, first_row: int, rows: int) -> list[reread.Rebuilt]:
        with blocks_of(self.piece_bytes):
            return list(self.rereading().rows(range(first_row, first_row + rows)))


@contextlib.contextmanager
def blocks_of(size: int) -> Iterator[None]:
    """Let the reader work in blocks of so many bytes, so that whatever there is falls on their borders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", size)
        yield


def load(data: bytes | str, *, piece_bytes: int = 1 << 20, **chosen: Any) -> Loaded:
    """Scan a CSV; keyword arguments are fields of Options."""
    source = memory.MemorySource(data.encode() if isinstance(data, str) else data, piece_bytes=piece_bytes)
    picked = options.Options(**{"data_source": "upload", "question_id": 7, "upload_id": "u", **chosen})
    with tempfile.TemporaryDirectory() as folder, blocks_of(piece_bytes):
        done = scan.scan(source, source.pin(), picked, pathlib.Path(folder))
        return Loaded(source, done.pinned, done.plan, done.duplicates.read_bytes(), picked, piece_bytes)


def struct(entries: bytes) -> dict[str, Any]:
    """Parse Struct entries the way any reader of protobuf would."""
    return dict(struct_pb2.Struct.FromString(entries))
