# Made by unasync.py of _async/uploading.py: edit that one.
"""Sending a file message by message, and once more where the line went away and the file can be read again."""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from google.protobuf import message

from vectorline_client import content, errors, rows, wire
from vectorline_client._sync import calls, platform

TRIES: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.5

Sent = Callable[[int], object]


def upload(
    calling: calls.Calls,
    sent: content.Content,
    options: Mapping[str, Any],
    *,
    timeout: float,
    on_sent: Sent | None = None,
) -> message.Message:
    """Send a content with its options.

    Args:
        calling: The line.
        sent: The content.
        options: Of the first message; a request_id among them makes repeating harmless.
        timeout: Seconds for one try.
        on_sent: Called with the bytes handed to the transport so far, maybe from a thread of its own.

    Raises:
        errors.ApiError: The line refused, or was away for every try.
        Exception: What reading the content raises.
    """
    tries = 1
    while True:
        try:
            return calling.upload("Upload", _messages(sent, options, on_sent), timeout)
        except errors.Unavailable as error:
            late = isinstance(error, errors.DeadlineExceeded)
            if late or not sent.repeatable or tries == TRIES or not options.get("request_id"):
                raise
        platform.sleep(FIRST_PAUSE_SECONDS * 2**tries * random.uniform(0.5, 1.0))
        tries += 1


def _messages(sent: content.Content, options: Mapping[str, Any], on_sent: Sent | None) -> Iterator[message.Message]:
    """The messages, the first one with the options; an empty file makes one message."""
    kind = wire.method("Upload").request
    first, total = True, 0
    for data in platform.pieces(sent):
        made = _first(sent, options) if first else kind()
        made.body.data = data  # type: ignore[attr-defined]  # an UploadRequest
        first = False
        yield made
        total += len(data)
        if on_sent is not None:
            on_sent(total)
    if first:
        yield _first(sent, options)


def _first(sent: content.Content, options: Mapping[str, Any]) -> message.Message:
    """What comes before the bytes. What was written here needs no detection, unless somebody says otherwise."""
    own: Mapping[str, Any] = rows.DIALECT if sent.written_here else {}
    made = wire.request(wire.method("Upload"), {**own, **options, "filename": sent.name})
    zipped = sent.name.endswith(".gz")
    made.body.content_type = "application/gzip" if zipped else "text/csv"  # type: ignore[attr-defined]
    return made
