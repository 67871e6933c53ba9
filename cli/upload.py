"""A local file as the messages of an upload."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Final

from google.api import httpbody_pb2
from vectorline.v1 import ingest_pb2

MESSAGE_BYTES: Final = 2**20  # of the file in one message; gRPC's own limit is 4 MB


class Upload:
    """Reads a file message by message: at no time is more than one of them in memory.

    Args:
        file: What to send.
        options: The options that travel in the first message.
        on_sent: Called with the bytes sent so far, from grpc's own thread.
    """

    def __init__(
        self, file: pathlib.Path, options: ingest_pb2.UploadRequest, *, on_sent: Callable[[int], None]
    ) -> None:
        self._file = file
        self._options = options
        self._on_sent = on_sent
        self.read_error: OSError | None = None  # why the messages ended early: grpc itself only says "cancelled"

    def messages(self) -> Iterator[ingest_pb2.UploadRequest]:
        """The messages, the first one with the options; an empty file makes one message.

        Raises:
            OSError: The file cannot be read any further. The call must break then: a plain end would make the line
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
        message.filename = self._file.name
        content_type = "application/gzip" if self._file.suffix == ".gz" else "text/csv"
        sent = 0
        with self._file.open("rb", buffering=0) as stream:
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
