"""What can be loaded, as pieces of bytes: a file, a stream, a data frame, rows. Never more than a piece in memory."""

import os
import pathlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, TypeAlias

from vectorline_client import rows

PIECE_BYTES: Final = 2**20  # of one message; gRPC's own limit is 4 MB
FRAME_ROWS: Final = 5_000  # of a data frame that become text at once
NAME: Final = "upload.csv"  # of what has no name of its own

Row: TypeAlias = Mapping[str, Any]
# A path; bytes; a binary stream; a data frame (pandas, polars); rows as mappings; pieces of a file as bytes. The last
# two may come from a generator, which is read once and piece by piece.
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Iterable[Row] | Iterable[bytes]
AsyncSource: TypeAlias = Source | AsyncIterable[Row] | AsyncIterable[bytes]
_BYTES: Final = (bytes, bytearray, memoryview)


class Content:
    """What is sent.

    Attributes:
        name: What the line calls it.
        size_bytes: None: nobody knows before its end.
        repeatable: It can be read from its beginning again.
        written_here: It is CSV of `rows`; known once the first piece was read.
    """

    def __init__(
        self,
        name: str,
        items: Callable[[], Iterable[Any] | AsyncIterable[Any]],
        *,
        size_bytes: int | None = None,
        repeatable: bool = False,
        columns: Sequence[str] | None = None,
        written_here: bool = False,
    ) -> None:
        self.name = name
        self.size_bytes = size_bytes
        self.repeatable = repeatable
        self.written_here = written_here
        self._items = items
        self._encoder = rows.Encoder(columns) if columns is not None else None
        self._columns = columns

    def pieces(self) -> Iterator[bytes]:
        """It, from its beginning, in pieces of at most PIECE_BYTES.

        Raises:
            TypeError: It yields what is neither a row nor bytes, or only asynchronously.
        """
        items = self._begin()
        if isinstance(items, AsyncIterable):
            raise TypeError("An asynchronous source is for AsyncClient.")
        yield from self._pieces(items)

    async def pieces_async(self, elsewhere: Callable[..., Any]) -> AsyncIterator[bytes]:
        """The same; `elsewhere` runs a blocking function so that nothing waits for it (asyncio.to_thread)."""
        items = self._begin()
        if isinstance(items, AsyncIterable):
            async for item in items:
                for piece in self._add(item):
                    yield piece
            for piece in self._taken():
                yield piece
            return
        pieces = self._pieces(items)
        while (found := await elsewhere(next, pieces, None)) is not None:
            yield found

    def _begin(self) -> Iterable[Any] | AsyncIterable[Any]:
        self._encoder = rows.Encoder(self._columns) if self._columns is not None else None
        return self._items()

    def _pieces(self, items: Iterable[Any]) -> Iterator[bytes]:
        for item in items:
            yield from self._add(item)
        yield from self._taken()

    def _add(self, item: Any) -> Iterator[bytes]:
        if isinstance(item, _BYTES) and self._encoder is None:
            yield from _cut(bytes(item))
        elif isinstance(item, Mapping):
            self._encoder = self._encoder or rows.Encoder()
            self._encoder.add(item)
            if self._encoder.full:
                yield from self._taken()
        else:
            raise TypeError(f"A source has rows as mappings, or pieces as bytes, and not a {type(item).__name__}.")

    def _taken(self) -> Iterator[bytes]:
        if self._encoder is not None:
            self.written_here = True
            yield from _cut(self._encoder.take())


def _cut(data: bytes) -> Iterator[bytes]:
    return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))


def of(source: AsyncSource, filename: str | None = None, columns: Sequence[str] | None = None) -> Content:
    """What a source is.

    Args:
        source: See Source.
        filename: What the line calls it; .gz at its end means gzip.
        columns: Of rows: the columns in their order, where the first row does not have them all.

    Raises:
        OSError: There is no such file.
        TypeError: It is nothing that can be loaded.
    """
    if isinstance(source, (str, os.PathLike)):
        return _file(pathlib.Path(source).expanduser(), filename)
    if isinstance(source, _BYTES):
        data = bytes(source)
        return Content(filename or NAME, lambda: [data], size_bytes=len(data), repeatable=True)
    if callable(read := getattr(source, "read", None)):
        return Content(filename or _name_of(source), lambda: _read(read))
    if (frame := _frame(source)) is not None:
        return Content(filename or NAME, frame, repeatable=True, written_here=True)
    if isinstance(source, Mapping) or not isinstance(source, (Iterable, AsyncIterable)):
        raise TypeError(f"A {type(source).__name__} cannot be loaded: a path, bytes, a data frame or rows can.")
    return Content(filename or NAME, lambda: source, repeatable=isinstance(source, Sequence), columns=columns)


def _file(path: pathlib.Path, filename: str | None) -> Content:
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name one file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}. An object in S3 is s3://bucket/key.")
    regular = path.is_file()

    def items() -> Iterator[bytes]:
        with path.open("rb") as stream:
            yield from _read(stream.read)

    size = path.stat().st_size if regular else None
    return Content(filename or path.name, items, size_bytes=size, repeatable=regular)


def _read(read: Callable[[int], Any]) -> Iterator[bytes]:
    while data := read(PIECE_BYTES):
        if not isinstance(data, bytes):
            raise TypeError(f"A stream gives bytes, and this one {type(data).__name__}: open it in binary mode.")
        yield data


def _name_of(stream: Any) -> str:
    name = getattr(stream, "name", None)
    return pathlib.PurePath(name).name if isinstance(name, str) and name and not name.startswith("<") else NAME


def _frame(source: Any) -> Callable[[], Iterator[bytes]] | None:
    """A data frame's rows as CSV, some at a time; None: it is no data frame. Neither library is imported here."""
    if callable(getattr(source, "to_csv", None)) and hasattr(source, "iloc"):
        return lambda: _pandas(source)
    if callable(getattr(source, "write_csv", None)) and callable(getattr(source, "iter_slices", None)):
        return lambda: _polars(source)
    return None


def _pandas(frame: Any) -> Iterator[bytes]:
    for start in range(0, max(1, len(frame)), FRAME_ROWS):
        part = frame.iloc[start : start + FRAME_ROWS]
        yield part.to_csv(index=False, header=start == 0, lineterminator="\n").encode("utf-8")


def _polars(frame: Any) -> Iterator[bytes]:
    first = True
    for part in frame.iter_slices(FRAME_ROWS):
        yield part.write_csv(include_header=first).encode("utf-8")
        first = False
    if first:
        yield frame.write_csv().encode("utf-8")
