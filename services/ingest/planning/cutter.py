"""Where chunks end. Scan and split cut with this same code, so that they find the same chunks."""

from collections.abc import Iterator, Sequence

CHUNK_BYTES = 4 << 20


class Cutter:
    """Says where chunks end: at ``chunk_size`` rows, or before the row that would take one over 4 MiB of source bytes.

    A row that is bigger makes a chunk alone. Scan and split cut with this same code.
    """

    def __init__(self, chunk_size: int) -> None:
        self._chunk_size = chunk_size
        self._rows = 0
        self._bytes = 0

    def cut(self, sizes: Sequence[int]) -> Iterator[int]:
        """Yield the positions in ``sizes`` (the source bytes of the next rows) that begin a new chunk.

        Never yields the very first row of all: it begins its chunk without a cut.
        """
        position = 0
        while position < len(sizes):
            room = self._chunk_size - self._rows
            rest = sizes[position : position + room]
            total = sum(rest)
            if self._bytes + total <= CHUNK_BYTES:
                taken = len(rest)
            else:
                taken, total = self._fitting(rest)
            self._rows += taken
            self._bytes += total
            position += taken
            if position < len(sizes):
                yield position
                self._rows = self._bytes = 0

    def _fitting(self, sizes: Sequence[int]) -> tuple[int, int]:
        total = 0
        for taken, size in enumerate(sizes):
            if self._bytes + total + size > CHUNK_BYTES and self._rows + taken:
                return taken, total
            total += size
        return len(sizes), total
