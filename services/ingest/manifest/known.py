"""What is known to be in the index of a question, for whoever compares rows and sends none."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

from services.ingest.manifest import comparing, comparison, header, records, store

# Given hashes, yields the chunks of a source with their usable rows.
Survey = Callable[[records.Hashes], Iterator[comparing.Surveyed]]


@dataclasses.dataclass(frozen=True)
class Known:
    """A manifest that is believed.

    Args:
        objects: Where it lies.
        hashes: Its keyed hashes.
        header: What it is made of.
    """

    objects: store.Store
    hashes: records.Hashes
    header: header.Header

    def compared(
        self, survey: Survey, folder: pathlib.Path, *, rows_total: int, chunks_total: int, mirror: bool
    ) -> comparison.Comparison | None:
        """A file's rows against it; nothing is stored. None: it cannot be read any more.

        Args:
            survey: Judges the rows.
            folder: For temporary files.
            rows_total: Of the source.
            chunks_total: Of the source.
            mirror: What the file has not is counted.

        Raises:
            errors.Unavailable: S3 does not answer.
        """
        rows = comparing.Rows(folder, rows_total, chunks_total)
        for chunk in survey(self.hashes):
            rows.add(chunk)
        run = comparing.Run("", 0, self.header.version, self.header.contract, "")
        try:
            entries = self.header.entries(self.objects, ids=mirror)
            made, _ = comparing.compare(rows, entries, None, _Nowhere(), run, force=False, mirror=mirror)
        except store.Broken:
            return None
        return made


class _Nowhere(store.Store):
    """Keeps nothing."""

    def __init__(self) -> None:
        pass

    def put(self, name: str, data: bytes) -> None:
        """Forget it."""
