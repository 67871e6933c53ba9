"""A bucket in memory, and entries to look at."""

import contextlib
import io
import pathlib
from collections.abc import Iterator, Mapping
from typing import IO

import numpy as np

from services.ingest.manifest import records, runs, spool, store

HASHES = records.Hashes(b"k" * records.KEY_BYTES)


class Objects(store.Store):
    """None is written twice."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        assert name not in self.kept
        self.kept[name] = data

    def names(self, folder: str) -> list[str]:
        found = (name.removeprefix(folder) for name in self.kept if name.startswith(folder))
        return sorted({name.partition("/")[0] for name in found})

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.kept:
            raise store.Broken(f"{name} is gone")
        yield io.BytesIO(self.kept[name])


def sorted_entries(folder: pathlib.Path, known: Mapping[str, tuple[str, str] | None]) -> list[runs.Block]:
    """Entries by id: text and metadata; None: nobody knows what the id holds."""
    ids = [name.encode() for name in known]
    entries = spool.unknown(HASHES, ids)
    for place, (name, cells) in enumerate(known.items()):
        if cells is not None:
            entry = HASHES.entry(name.encode(), cells[0].encode(), cells[1].encode())
            entries[place] = np.frombuffer(entry, dtype=records.ENTRY)[0]
    spooled = spool.Spool(folder, "known")
    spooled.add(entries, ids)
    return list(spooled.sorted())
