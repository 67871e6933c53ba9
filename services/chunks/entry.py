"""What travels through the queue: a header in plain stream fields and a payload of compressed bytes.

The header is readable without touching the payload, so that a chunk whose payload kills a process can be failed by
its header alone.
"""

import dataclasses
from collections.abc import Mapping

import zstandard

from services.chunks import errors, keys

SCHEMA_VERSION = 1
PAYLOAD_FIELD = b"payload"
FIRST_CHUNKS = 2
"""So many chunks of every task go to lane ``first``: a small task never waits for a big one."""
MOST_PAYLOAD_BYTES = 64 * 1024 * 1024
"""No payload unpacks to more: a chunk closes at 4 MiB encoded, only a single huge row is larger."""
_ZSTD_LEVEL = 1


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known about a chunk without decoding it.

    Attributes:
        task_id: The task.
        chunk: Number of the chunk in its task, from 0.
        first_row: 1-based number of its first row in the source.
        rows: Rows read into it: good, rejected and skipped.
        skipped: Of these, skipped.
        rejected: Of these, travelling as rejects.
        fence: The fence of the task's turn that it was published under.
        priority: The task's lane: high, normal or low.
        traceparent: W3C trace context, empty for none.
        payload_bytes: Size of the payload once unpacked; set by publishing.
        client: The key id that its tokens are counted for; empty for nobody.
        unchanged: Of the skipped rows, those that are in the index just so; they do not travel.
        schema_version: Of this header and of the payload.
    """

    task_id: str
    chunk: int
    first_row: int
    rows: int
    skipped: int = 0
    rejected: int = 0
    fence: int = 0
    priority: keys.Lane = keys.Lane.NORMAL
    traceparent: str = ""
    payload_bytes: int = 0
    client: str = ""
    unchanged: int = 0
    schema_version: int = SCHEMA_VERSION

    @property
    def lane(self) -> keys.Lane:
        """The stream that this chunk travels in."""
        return keys.Lane.FIRST if self.chunk < FIRST_CHUNKS else self.priority

    def to_fields(self) -> dict[str, str]:
        """The header as stream fields."""
        return {name: str(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> "Header":
        """Read a header from stream fields. Unknown fields are ignored, so that one can be added.

        Raises:
            errors.CorruptEntryError: A field is missing or no number, or the schema is another one.
        """
        try:
            version = int(fields[b"schema_version"])
            if version != SCHEMA_VERSION:
                raise errors.CorruptEntryError(f"The entry's schema is {version}; this version reads {SCHEMA_VERSION}.")
            return cls(
                task_id=fields[b"task_id"].decode(),
                chunk=int(fields[b"chunk"]),
                first_row=int(fields[b"first_row"]),
                rows=int(fields[b"rows"]),
                skipped=int(fields[b"skipped"]),
                rejected=int(fields[b"rejected"]),
                fence=int(fields[b"fence"]),
                priority=keys.Lane(fields[b"priority"].decode()),
                traceparent=fields[b"traceparent"].decode(),
                payload_bytes=int(fields[b"payload_bytes"]),
                client=fields.get(b"client", b"").decode(),  # the version before had none
                unchanged=int(fields.get(b"unchanged", b"0")),  # likewise
                schema_version=version,
            )
        except (KeyError, ValueError) as error:
            if isinstance(error, errors.CorruptEntryError):
                raise
            raise errors.CorruptEntryError(f"The entry's header cannot be read: {error!r}.") from error


@dataclasses.dataclass(frozen=True, order=True)
class Ref:
    """Where an entry is: its stream and its id there. ``str()`` is the form that Valkey stores."""

    lane: keys.Lane
    entry_id: str

    def __str__(self) -> str:
        return f"{self.lane.value}:{self.entry_id}"

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Read what ``str()`` wrote."""
        lane, _, entry_id = text.partition(":")
        return cls(keys.Lane(lane), entry_id)


# A payload of nothing (all rows of a chunk are skipped), with a checksum and, as the version before wrote it, without.
_NOTHING = tuple(
    zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=checked).compress(b"") for checked in (True, False)
)


def size_of(header: Header, payload: bytes) -> int:
    """Bytes that an entry counts for in the queue's budget: its field names and values."""
    fields = sum(len(name) + len(value.encode()) for name, value in header.to_fields().items())
    return fields + len(PAYLOAD_FIELD) + len(payload)


def pack(payload: bytes) -> bytes:
    """Compress a payload (zstd level 1: about 500 MB/s on one core), with a checksum: no other rows come out of it."""
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(payload)


def unpack(packed: bytes, *, most_bytes: int = MOST_PAYLOAD_BYTES) -> bytes:
    """Decompress a payload; never allocates more than ``most_bytes``.

    This is CPU work on a chunk's own bytes: count a strike around it (``strikes.Strikes.guard``).

    Raises:
        errors.CorruptEntryError: Not zstd, damaged, cut short, or larger than ``most_bytes``.
    """
    try:
        size = zstandard.frame_content_size(packed)
        if size > most_bytes:
            raise errors.CorruptEntryError(f"The payload unpacks to more than {most_bytes} bytes.")
        # pack() always writes the size; the decoder looks at nothing else of a frame that says 0.
        if size < 0 or (not size and packed not in _NOTHING):
            raise errors.CorruptEntryError("The payload does not say how large it is.")
        # Allocates what the frame says, never more; compares the checksum, which a streaming reader would not miss.
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise errors.CorruptEntryError(f"The payload does not unpack: {error}.") from error
