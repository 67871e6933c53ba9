"""Ids about which there is something to say, and why: JSON lines, compressed, some MiB an object."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import orjson
import zstandard

from services.ingest.jobs import folder
from services.ingest.manifest import store
from services.ingest.rejects import export

# Known, and not in the index.
MISSING: Final = "missing"
# In the index, and nobody knows of it.
STRANGE: Final = "strange"
# In the index, and not as it was written.
DIFFERING: Final = "differing"
# In the index, and nobody can know of which text its vector is.
TEXT_UNKNOWN: Final = "text_unknown"

WORDS: Final = {
    MISSING: "The index does not have this id, which was written.",
    STRANGE: "The index has this id, and no load of this line is known to have written it.",
    TEXT_UNKNOWN: "The record's metadata do not hold all of its text for sure, so the next load with the id buys it.",
}
# Of an object, before it is compressed.
_PART_BYTES: Final = 8 << 20
_MOST_BYTES: Final = 64 << 20


class Finding(NamedTuple):
    """One id, a stable reason, and a sentence."""

    vector_id: str
    reason: str
    message: str


class Findings:
    """Those of one drive, on their way into the bucket. Blocking, but for the counts."""

    def __init__(self, where: folder.Folder) -> None:
        self._folder = where
        self._lines = bytearray()
        self._parts: list[str] = []
        self.counts: Counter[str] = Counter()

    def add(self, found: Iterable[Finding]) -> None:
        """Take some."""
        for each in found:
            self.counts[each.reason] += 1
            self._lines += orjson.dumps(list(each)) + b"\n"
            if len(self._lines) >= _PART_BYTES:
                self._flush()

    def finish(self) -> list[str]:
        """The names of the objects."""
        if self._lines:
            self._flush()
        return self._parts

    def _flush(self) -> None:
        packed = zstandard.ZstdCompressor(level=3).compress(bytes(self._lines))
        self._parts.append(self._folder.put(f"findings-{len(self._parts):05}", packed))
        self._lines = bytearray()


async def lines(found: AsyncIterator[Finding]) -> AsyncIterator[export.Line]:
    """The same as rows of an export with the one column "id", numbered as they come."""
    number = 0
    async for each in found:
        number += 1
        yield export.Line(number, 0, each.reason, each.message, (each.vector_id,))


def read(objects: store.Store, names: Sequence[str]) -> Iterator[list[Finding]]:
    """What was stored, object by object. Blocking; raises as `folder.get`."""
    for name in names:
        lines = zstandard.ZstdDecompressor().decompress(folder.get(objects, name), max_output_size=_MOST_BYTES)
        yield [Finding(*orjson.loads(line)) for line in lines.splitlines()]
