"""An entry of a manifest: what a row's id, text and metadata hash to.

BLAKE2b keyed with a key of the manifest's own: without it a stranger could make two rows that look alike in 2^32 tries
of the metadata's 8 bytes, and the bucket would betray texts that can be guessed.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

KEY_BYTES: Final = 32
# 40 bytes, sorted by the two halves of the id's hash as numbers.
ENTRY: Final = np.dtype([("high", "<u8"), ("low", "<u8"), ("text", "V16"), ("metadata", "V8")])
# Of a row that travels: its place in the source and in the task, and what the manifest had of its id.
SENT: Final = np.dtype([*ENTRY.descr, ("row", "<u8"), ("chunk", "<u4"), ("prior", "u1")])

# What a manifest has of an id.
ABSENT, KNOWN, UNKNOWN = 0, 1, 2

Entries = NDArray[np.void]

# The id may be in the index, with whatever content: no text hashes to this.
_ZEROS: Final = bytes(16)
_UNKNOWN: Final = np.void(_ZEROS)
# Instead of these a text that hashes to them has others.
_ONES: Final = b"\x01" * 16
# Together with it, in a younger part: the id is not in the manifest any more.
_GONE: Final = np.void(b"\xff" * 8)
_NOTHING: Final = np.void(bytes(8))


class Sent(NamedTuple):
    """The rows of a chunk that travel: their numbers, ids, and 40 bytes each."""

    row_numbers: Sequence[int]
    ids: Sequence[bytes]
    entries: bytes


@dataclasses.dataclass(frozen=True)
class Hashes:
    """The keyed hashes of one manifest."""

    key: bytes

    def id(self, vector_id: bytes) -> bytes:
        """Of a vector id as it is sent: 16 bytes."""
        return self._of("id", 16, vector_id).digest()

    def text(self, text: bytes) -> bytes:
        """Of a text as it is embedded, 16 bytes; never those that mean unknown."""
        found = self._of("text", 16, text).digest()
        return found if found != _ZEROS else _ONES

    def metadata(self, entries: bytes) -> bytes:
        """Of a row's metadata as they are sent, less what changes with every task: 8 bytes."""
        return self._of("metadata", 8, entries).digest()

    def entry(self, vector_id: bytes, text: bytes, entries: bytes) -> bytes:
        """The 40 bytes of a row."""
        return self.id(vector_id) + self.text(text) + self.metadata(entries)

    def entries(
        self, vector_ids: Sequence[bytes], texts: Sequence[bytes], metadata: Sequence[bytes], shared: bytes
    ) -> bytes:
        """The same of many rows, whose metadata begin with `shared`, in two thirds of the time.

        A hash that has its key is copied, which is half of what making it costs.
        """
        new_id, new_text = self._of("id", 16).copy, self._of("text", 16).copy
        new_metadata = self._of("metadata", 8, shared).copy
        found: list[bytes] = []
        add = found.append
        for vector_id, text, own in zip(vector_ids, texts, metadata, strict=True):
            hashed = new_id()
            hashed.update(vector_id)
            add(hashed.digest())
            hashed = new_text()
            hashed.update(text)
            digest = hashed.digest()
            add(digest if digest != _ZEROS else _ONES)
            hashed = new_metadata()
            hashed.update(own)
            add(hashed.digest())
        return b"".join(found)

    def seal(self, data: bytes) -> bytes:
        """What nobody without the key can make: 16 bytes beside an object of which no one else keeps a checksum."""
        return self._of("seal", 16, data).digest()

    def _of(self, person: str, size: int, data: bytes = b"") -> "hashlib.blake2b":
        return hashlib.blake2b(data, digest_size=size, key=self.key, person=person.encode())


def copied(entries: Entries, dtype: "np.dtype[np.void]" = ENTRY, *more: str) -> Entries:
    """Entries as records of another dtype: their own fields and those named besides; the others are zero."""
    found = np.zeros(len(entries), dtype=dtype)
    for name in (*(ENTRY.names or ()), *more):
        found[name] = entries[name]
    return found


def standing(entries: Entries) -> NDArray[np.uint8]:
    """KNOWN or UNKNOWN, of each entry; ABSENT where a younger part takes it away."""
    unknown = entries["text"] == _UNKNOWN
    gone = unknown & (entries["metadata"] == _GONE)
    return np.where(gone, ABSENT, np.where(unknown, UNKNOWN, KNOWN)).astype(np.uint8)


def forget(entries: Entries, where: NDArray[np.bool_]) -> None:
    """Make some entries unknown, in place."""
    entries["text"][where] = _UNKNOWN
    entries["metadata"][where] = _NOTHING


def take_away(entries: Entries, where: NDArray[np.bool_]) -> None:
    """Make some entries say that their id is not there any more, in place."""
    entries["text"][where] = _UNKNOWN
    entries["metadata"][where] = _GONE


def ascending(entries: Entries) -> bool:
    """Whether the ids' hashes ascend, none of them twice."""
    high, low = halves(entries)
    return bool(np.all((high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))))


def halves(*several: Entries) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The two halves of the ids' hashes of some entries, one after the other, as this machine counts."""
    high, low = (np.concatenate([each[half].astype("<u8", copy=False) for each in several]) for half in ("high", "low"))
    return high, low


def order(*several: Entries) -> NDArray[np.intp]:
    """The order that sorts some entries, one after the other, by the ids' hashes; equals keep theirs."""
    high, low = halves(*several)
    return np.lexsort((low, high))


def places(among: Entries, wanted: Entries) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of entries with equal ids: the places among the first, and those among the second. Each has an id only once."""
    high, low = halves(among, wanted)
    ordered = np.lexsort((low, high))
    high, low = high[ordered], low[ordered]
    same = np.flatnonzero((high[1:] == high[:-1]) & (low[1:] == low[:-1]))
    return ordered[same], ordered[same + 1] - len(among)


def up_to(entries: Entries, last: np.void) -> int:
    """How many of sorted entries come before the id of `last`, or have it."""
    high, low = last["high"], last["low"]
    start = int(np.searchsorted(entries["high"], high, side="left"))
    end = int(np.searchsorted(entries["high"], high, side="right"))
    return start + int(np.searchsorted(entries["low"][start:end], low, side="right"))
