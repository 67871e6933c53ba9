"""The row contract (API.md §2): what becomes of a row. A bad row is a named reject, never a failed neighbour."""

import dataclasses
from collections.abc import Sequence

from services.ingest.contract import dates, metadata, sanitizers, tokens, unreadable
from services.ingest.request import options, template

VECTOR_ID_BYTES = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Usable:
    """A row to embed: the fields of vectorline.v1.Row."""

    vector_id: str
    text: str
    metadata: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used: a stable snake_case reason, and a sentence with limit and remedy."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Skip:
    """A row that is left out on purpose."""

    reason: str
    message: str


Outcome = Usable | Reject | Skip


class Contract:
    """Judges the rows of one source; pure.

    Args:
        names: The source's columns (with all that header.check wants).
        types: Their types.
        chosen: The request.
    """

    def __init__(self, names: Sequence[str], types: Sequence[str], chosen: options.Options) -> None:
        self.encoder = metadata.Encoder(names, types, chosen)
        self._width = len(names)
        self._id = names.index(chosen.id_column)
        self._prefix = f"{chosen.question_id}."
        self._sanitize = sanitizers.of(chosen.sanitizer)
        self._truncate = chosen.on_long_text == "truncate"
        self._dates = dates.of(names, chosen)
        if chosen.text_template:
            self._text = template.parse(chosen.text_template).render(names)
        else:
            self._text = _cell(names.index(chosen.text_column))

    def judge(
        self, cells: Sequence[str], flaw: str, first_row: int, record_index: int, common: metadata.Common
    ) -> Outcome:
        """Say what becomes of a row.

        Args:
            cells: As read.
            flaw: What the reader found wrong with it, or "".
            first_row: The row that has the same id first; 0: none has.
            record_index: 0-based position of the row in its chunk.
            common: Metadata of the chunk.
        """
        if flaw or len(cells) != self._width:
            return self._unreadable(cells, flaw)
        row_id = cells[self._id]
        if not row_id or row_id.isspace():
            reason = "empty_id" if row_id else "missing_id"
            return Reject(reason, "The row has no id; give it one that is its own.")
        if first_row:
            return Skip("duplicate_id", f"Row {first_row:,} has the same id and comes first.")
        if self._dates is not None and (outcome := _outside(self._dates, cells)):
            return outcome
        vector_id = self._prefix + row_id
        if outcome := _bad_vector_id(vector_id):
            return outcome
        return self._with_text(cells, vector_id, row_id, record_index, common)

    def _unreadable(self, cells: Sequence[str], flaw: str) -> Reject | Skip:
        if flaw in unreadable.SKIPPED:
            return Skip(flaw, unreadable.SKIPPED[flaw])
        if flaw:
            return Reject(flaw, unreadable.FLAWS[flaw])
        return Reject("ragged_row", unreadable.ragged(len(cells), self._width))

    def _with_text(
        self, cells: Sequence[str], vector_id: str, row_id: str, record_index: int, common: metadata.Common
    ) -> Outcome:
        text = self._sanitize(self._text(cells))
        if not text or text.isspace():
            return Reject("empty_text", "The row has no text once it is sanitized; fill it in, or leave the row out.")
        if long := tokens.over_limit(text):
            if not self._truncate:
                return Reject(
                    "text_too_long",
                    f"The text has {long}, {tokens.TOKEN_LIMIT:,} tokens are the limit; shorten it, or use "
                    "on_long_text=truncate.",
                )
            text = tokens.truncate(text)
        entries = self.encoder.row(cells, text, row_id, record_index)
        size = self.encoder.json_bytes(entries, common, cells, text=text, row_id=row_id, record_index=record_index)
        if size > metadata.LIMIT_BYTES:
            return Reject(
                "metadata_too_large",
                f"The metadata has {size:,} bytes as JSON, {metadata.LIMIT_BYTES:,} are the limit; leave "
                "columns out by exclude_columns.",
            )
        return Usable(vector_id, text, entries)


def _outside(filtered: dates.Filter, cells: Sequence[str]) -> Outcome | None:
    day = filtered.day(cells)
    if day is None:
        written = cells[filtered.position][:40]
        return Reject("bad_date", f"{written!r} is no date; write YYYY-MM-DD, or leave the date filter out.")
    if not filtered.takes(day):
        return Skip("outside_dates", f"Its date {day} is outside of start_date and end_date.")
    return None


def _bad_vector_id(vector_id: str) -> Reject | None:
    if len(vector_id) * 4 > VECTOR_ID_BYTES and len(vector_id.encode()) > VECTOR_ID_BYTES:
        return Reject("id_too_long", f"The vector id {vector_id[:40]!r}… is over {VECTOR_ID_BYTES} bytes; shorten it.")
    if not vector_id.isprintable():
        return Reject("bad_id", "The id has characters that cannot be printed; leave them out.")
    return None


def _cell(position: int) -> template.Render:
    def text(cells: Sequence[str]) -> str:
        return cells[position]

    return text
