"""Where bytes come from. A source is pinned once, and from then on read as it was pinned, or not at all."""

import dataclasses
from typing import Protocol

from vectorline.v1 import ledger_pb2


@dataclasses.dataclass(frozen=True)
class Pinned:
    """A source that cannot change under the task: the fields of vectorline.v1.PinnedSource."""

    # s3://bucket/key, or file:relative/path.
    uri: str
    version_id: str = ""
    etag: str = ""
    size_bytes: int = 0
    # Nanoseconds since 1970 (local files only).
    modified_ns: int = 0
    # Of the stored bytes, hex; empty until the scan computed it.
    sha256: str = ""
    # Set by the scan, from the bytes themselves.
    gzip: bool = False
    display_name: str = ""

    def to_proto(self) -> ledger_pb2.PinnedSource:
        """Return the message that the ledger stores."""
        return ledger_pb2.PinnedSource(**dataclasses.asdict(self))

    @classmethod
    def from_proto(cls, message: ledger_pb2.PinnedSource) -> "Pinned":
        """Return what ``to_proto`` stored."""
        return cls(**{field.name: getattr(message, field.name) for field in dataclasses.fields(cls)})


class ByteStream(Protocol):
    """Bytes in order, read by blocking calls."""

    def read(self, size: int, /) -> bytes:
        """Return 1 to ``size`` bytes, or b"" at the end (and only there).

        Raises:
            failures.SourceFailure: SOURCE_CHANGED and its like; for good.
            failures.SourceUnavailable: Not now.
        """

    def close(self) -> None:
        """Give back the connection or the file. May be called twice."""


class Source(Protocol):
    """One file somewhere."""

    def pin(self) -> Pinned:
        """Look up what the source is at this moment.

        Raises:
            failures.SourceFailure: SOURCE_NOT_FOUND, SOURCE_FORBIDDEN or SOURCE_UNREADABLE.
            failures.SourceUnavailable: Not now.
        """

    def open(self, pinned: Pinned, offset: int = 0) -> ByteStream:
        """Read exactly the pinned bytes, from a byte offset of the stored object on.

        Raises:
            failures.SourceFailure: SOURCE_CHANGED where it is another object by now.
            failures.SourceUnavailable: Not now.
        """
