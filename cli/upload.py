"""A file, a pipe or standard input as the messages of an upload."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from google.api import httpbody_pb2
from vectorline.v1 import ingest_pb2

MESSAGE_BYTES: Final = 2**20  # of the file in one message; gRPC's own limit is 4 MB
PIPE_NAME: Final = "stdin.csv"  # what has no name of its own is called


@dataclasses.dataclass(frozen=True)
class Content:
    """What is sent.

    Attributes:
        name: What the line calls it.
        shown: What messages call it.
        size_bytes: None: nobody knows before its end.
        open: Opens it, once.
    """

    name: str
    shown: str
    size_bytes: int | None
    open: Callable[[], contextlib.AbstractContextManager[BinaryIO]]


def of_file(path: pathlib.Path, size_bytes: int) -> Content:
    """A file of a known size."""
    return Content(path.name, str(path), size_bytes, lambda: path.open("rb"))


def of_pipe(path: pathlib.Path) -> Content:
    """A named pipe, or what a shell puts in place of <(…)."""
    name = PIPE_NAME if path.is_relative_to("/dev") or path.is_relative_to("/proc") else path.name
    return Content(name, str(path), None, lambda: path.open("rb"))


def of_stream(stream: BinaryIO) -> Content:
    """Standard input."""
    return Content(PIPE_NAME, "standard input", None, lambda: contextlib.nullcontext(stream))


class Upload:
    """Reads its content message by message: at no time is more than one of them in memory.

    Args:
        content: What to send.
        options: The options that travel in the first message.
        on_sent: Called with the bytes sent so far, from grpc's own thread.
    """

    def __init__(self, content: Content, options: ingest_pb2.UploadRequest, *, on_sent: Callable[[int], None]) -> None:
        self._content = content
        self._options = options
        self._on_sent = on_sent
        self.read_error: OSError | None = None  # why the messages ended early: grpc itself only says "cancelled"

    def messages(self) -> Iterator[ingest_pb2.UploadRequest]:
        """The messages, the first one with the options; an empty file makes one message.

        Raises:
            OSError: The content cannot be read any further. The call must break then: a plain end would make the line
                take the part for the whole.
        """
        try:
            yield from self._messages()
        except OSError as error:
            self.read_error = error
            raise

    def _messages(self) -> Iterator[ingest_pb2.UploadRequest]:
        message = ingest_pb2.UploadRequest()
        message.CopyFrom(self._options)
        message.filename = self._content.name
        content_type = "application/gzip" if self._content.name.endswith(".gz") else "text/csv"
        sent = 0
        with self._content.open() as stream:
            data = stream.read(MESSAGE_BYTES)
            while True:
                message.body.CopyFrom(httpbody_pb2.HttpBody(content_type=content_type, data=data))
                yield message
                sent += len(data)
                self._on_sent(sent)
                data = stream.read(MESSAGE_BYTES)
                if not data:
                    return
                message = ingest_pb2.UploadRequest()
