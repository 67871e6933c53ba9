# Made by unasync.py of _async/rejected.py: edit that one.
"""The rejected rows of a task, as rows and as a file."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from vectorline_client._sync import calls


def file(calling: calls.Calls, task_id: str, *, form: str, include: str, timeout: float) -> Iterator[bytes]:
    """The pieces of a file of them, csv or jsonl."""
    fields = {"task_id": task_id, "format": form, "include": include}
    for raw in calling.stream("GetRejects", fields, timeout):
        yield raw.data  # type: ignore[attr-defined]  # an HttpBody


def rows(calling: calls.Calls, task_id: str, *, include: str, timeout: float) -> Iterator[dict[str, Any]]:
    """One dict a row."""
    left = b""
    for piece in file(calling, task_id, form="jsonl", include=include, timeout=timeout):
        *lines, left = (left + piece).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)
    if left.strip():
        yield json.loads(left)


def save(pieces: Iterator[bytes], path: pathlib.Path) -> int:
    """Write the whole or nothing: a stream that breaks leaves no half a file under the name that was asked for."""
    part = path.with_name(f"{path.name}.part")
    size = 0
    try:
        with part.open("wb") as stream:
            for piece in pieces:
                size += stream.write(piece)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size
