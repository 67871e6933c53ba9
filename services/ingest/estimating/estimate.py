"""What a task over a source would come to: the scan, then the very chunks that a task would publish, counted.

Everything is exact and streamed; memory does not grow with the file. A million rows of 50 tokens take 27 s of one core
(measured), of which counting tokens is the half; a machine that is busy with tasks takes as much longer.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from vectorline.v1 import chunk_pb2, console_pb2

from services.billing import prices, units, window
from services.ingest import sources, warning
from services.ingest.contract import context, metadata, tokens
from services.ingest.estimating import first_rows, lengths, packing
from services.ingest.planning import duplicates, plan, scan
from services.ingest.request import options
from services.ingest.splitting import split

SAMPLES = 5
# Where the index was not asked for its own.
USUAL_DIMENSION = 1_536
# Between two calls of `check`.
CHECK_TEXTS = 1_000
# Called now and then; what it raises ends the work.
Check = Callable[[object], None]


class Compared(NamedTuple):
    """Which rows of a source are in the index just so."""

    unchanged: split.Unchanged
    # It says of every other row whether it replaces a record.
    knows: bool
    # Of a mirror.
    removed: "Removed | None" = None


class Removed(NamedTuple):
    """Ids that a mirror would remove, and how many of them are in the index for certain."""

    ids: int
    known: int


# Compares what was scanned with what is known to be in the index, given a folder; None: nothing is.
Compare = Callable[[scan.Scan, context.Context, duplicates.Slices, pathlib.Path], Compared | None]


@dataclasses.dataclass(frozen=True)
class Terms:
    """What buying costs here.

    Args:
        model: The embedding model.
        dimension: Values a vector.
        prices: Of tokens and of the index's units.
        requests_per_second: Limit of the account; 0: none.
        tokens_per_minute: Limit of the account; 0: none.
    """

    model: str
    dimension: int
    prices: prices.Prices
    requests_per_second: float
    tokens_per_minute: float

    def seconds(self, requests: int, billed_tokens: int) -> float | None:
        """Time to buy at the limits; None: there are none."""
        if not self.requests_per_second and not self.tokens_per_minute:
            return None
        by_requests = requests / self.requests_per_second if self.requests_per_second else 0.0
        by_tokens = billed_tokens / self.tokens_per_minute * 60 if self.tokens_per_minute else 0.0
        return max(by_requests, by_tokens)


@dataclasses.dataclass
class Rejects:
    """Rows rejected for one reason: how many, and the first of them (row number, message)."""

    rows: int = 0
    samples: list[tuple[int, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The outcome; rows = usable + skipped + rejected."""

    plan: plan.Plan
    pinned: sources.Pinned
    usable: int
    skipped: int
    rejected: int
    # Of the skipped ones, those that are in the index just so.
    unchanged: int
    # By reason.
    rejects: Mapping[str, Rejects]
    tokens: int
    billed_tokens: int
    # The same where equal texts meet in no embedder: each chunk buys its own.
    most_tokens: int
    profile: lengths.Profile
    requests: int
    # Texts to buy; the other usable rows have theirs with another row.
    texts: int
    # Ids and metadata of the usable rows.
    record_bytes: int
    # Chunks with usable rows: each is an upsert or more.
    written_chunks: int
    # Usable rows that replace a record; None: that is not known.
    replacing: int | None
    # Of a mirror; None: what is there is not known.
    removed: Removed | None = None
    # Those of the plan, and what only judging the rows shows.
    warnings: tuple[warning.Warning, ...] = ()
    first_rows: tuple[console_pb2.SampleRow, ...] = ()


def estimate(
    source: sources.Source,
    pinned: sources.Pinned,
    chosen: options.Options,
    folder: pathlib.Path,
    *,
    terms: Terms,
    check: Check,
    compare: Compare | None = None,
) -> Estimate:
    """Read the whole source twice: to scan it, and to judge its rows; once more to compare them. Blocking.

    Args:
        source: Where the bytes are.
        pinned: Which bytes.
        chosen: The request.
        folder: For temporary files, about 24 bytes a row.
        terms: What buying costs.
        check: See Check.
        compare: See Compare; None: every usable row travels.

    Raises:
        failures.FileFailure: The file is not one to load.
        failures.SourceFailure: The bytes cannot be had.
        failures.SourceUnavailable: The bytes cannot be had now.
    """
    scanned = scan.scan(source, pinned, chosen, folder, progress=check)
    task = context.of_any_task(chosen, pinned)
    with scanned.duplicates.open("rb") as sidecar:

        def pairs(start: int, count: int) -> bytes:
            sidecar.seek(start)
            return sidecar.read(count)

        compared = compare(scanned, task, pairs, folder) if compare else None
        same, knows, removed = compared or (None, False, None)
        task = dataclasses.replace(task, replaced_known=knows)
        tally = _Tally(terms, check, knows=knows)
        for chunk in split.split(source, scanned.pinned, scanned.plan, task, pairs, unchanged=same):
            tally.add(chunk)
    return dataclasses.replace(tally.result(scanned), removed=removed)


class _Tally:
    """Adds up chunks."""

    def __init__(self, terms: Terms, check: Check, *, knows: bool) -> None:
        self._check = check
        self._knows = knows
        self._lengths = lengths.Lengths()
        self._requests = packing.Requests(terms.tokens_per_minute)
        self._billed = self._usable = self._skipped = self._rejected = self._unchanged = self._replacing = 0
        self._texts = self._record_bytes = self._written_chunks = self._by_chunk = 0
        self._window: window.Window[str, bool] = window.Window()
        self._vector_bytes = (terms.dimension or USUAL_DIMENSION) * units.BYTES_A_FLOAT
        self._texts_cut = self._first_cut = 0
        self._rejects: dict[str, Rejects] = {}
        self._first = first_rows.FirstRows()

    def add(self, chunk: split.Chunk) -> None:
        rows = chunk_pb2.ChunkRows.FromString(chunk.payload)
        self._usable += len(rows.rows)
        self._skipped += chunk.skipped
        self._unchanged += chunk.unchanged
        self._replacing += rows.replaced.least
        self._rejected += chunk.rejected
        self._texts_cut += chunk.texts_cut
        self._first_cut = self._first_cut or chunk.first_cut
        self._buy([row.text for row in rows.rows])
        self._written_chunks += bool(rows.rows)
        common = len(rows.common_metadata)
        self._record_bytes += sum(len(row.vector_id) + len(row.metadata) + common for row in rows.rows)
        self._first.add(rows)
        for reject in rows.rejects:
            found = self._rejects.setdefault(reject.reason, Rejects())
            found.rows += 1
            if len(found.samples) < SAMPLES:
                found.samples.append((reject.row_number, reject.message))

    def _buy(self, texts: list[str]) -> None:
        """As one embedder does: equal texts once, as far as its window reaches, in the order in which they stand."""
        count = self._counted(dict.fromkeys(texts))
        self._lengths.add(count[text] for text in texts)
        for text, length in count.items():
            self._by_chunk += length
            if self._window.get(text):
                continue
            self._window.put(text, True, len(text) + self._vector_bytes)
            self._texts += 1
            self._billed += length
            self._requests.add(length)

    def _counted(self, texts: Iterable[str]) -> dict[str, int]:
        encode = tokens.encoding().encode_ordinary
        count = {}
        for number, text in enumerate(texts):
            if number % CHECK_TEXTS == 0:
                self._check(number)
            count[text] = len(encode(text))
        return count

    def result(self, scanned: scan.Scan) -> Estimate:
        by_frequency = sorted(self._rejects.items(), key=lambda pair: (-pair[1].rows, pair[0]))
        return Estimate(
            plan=scanned.plan,
            pinned=scanned.pinned,
            usable=self._usable,
            skipped=self._skipped,
            rejected=self._rejected,
            unchanged=self._unchanged,
            rejects=dict(by_frequency),
            tokens=self._lengths.total,
            billed_tokens=self._billed,
            most_tokens=self._by_chunk,
            profile=self._lengths.profile(),
            requests=self._requests.count,
            texts=self._texts,
            record_bytes=self._record_bytes,
            written_chunks=self._written_chunks,
            replacing=self._replacing if self._knows else None,
            warnings=(*scanned.plan.warnings, *self._warnings()),
            first_rows=tuple(self._first.rows),
        )

    def _warnings(self) -> Iterator[warning.Warning]:
        if self._texts_cut:
            yield warning.Warning(
                "texts_cut",
                f"The metadata of {self._texts_cut:,} rows hold only the beginning of the text (text_truncated), since "
                f"{metadata.LIMIT_BYTES:,} bytes are the limit; the vectors are of the whole texts. store_text=none "
                "leaves the copy out.",
                row=self._first_cut,
                count=self._texts_cut,
            )
