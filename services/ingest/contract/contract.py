"""The row contract (API.md §2): what becomes of a row. A bad row is a named reject, never a failed neighbour."""

import dataclasses
import pathlib
import traceback
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.ingest.contract import (
    context,
    dates,
    declared,
    excel,
    ids,
    metadata,
    nulls,
    sanitizers,
    text_copy,
    tokens,
    unreadable,
)
from services.ingest.request import options, template
from services.runtime import index_names

ROW_DEFECT = "row_defect"
# A shorter text has no token too many: a character has four bytes at most, and a token one at least.
_SURE_CHARACTERS = tokens.TOKEN_LIMIT // 4


class Usable(NamedTuple):
    """A row to embed: the fields of vectorline.v1.Row. A tuple is made in a third of a dataclass's time."""

    vector_id: str
    text: str
    metadata: bytes
    # The metadata hold less than the whole text, since it does not fit.
    text_cut: bool = False


class Plain(NamedTuple):
    """Usable rows as a manifest knows them; one entry a row each."""

    # Among the rows that were judged, ascending.
    places: Sequence[int]
    # Written in UTF-8.
    vector_ids: Sequence[bytes]
    texts: Sequence[bytes]
    # What `metadata.lasting` leaves of its entries.
    lasting: Sequence[bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used: a stable snake_case reason, and a sentence with limit and remedy."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Defect(Reject):
    """A row over which our own code fell; the message is the same each time, so that its chunk is."""

    error: Exception


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
        orders: The order of dates, by column, where the scan found one out.
    """

    def __init__(
        self,
        names: Sequence[str],
        types: Sequence[str],
        chosen: options.Options,
        orders: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.encoder = metadata.Encoder(names, types, chosen, orders)
        self.width = len(names)
        self._id = names.index(chosen.id_column)
        self._vector_ids = ids.VectorIds(chosen)
        self._nulls = nulls.of(chosen)
        # The predecessor's modes take cells as they are read (but a text that is null is none).
        self._raw_text, self._raw_metadata = chosen.sanitizer == "legacy", chosen.metadata == "legacy"
        self._sanitize = sanitizers.of(chosen.sanitizer)
        self._sanitize_each = sanitizers.each(chosen.sanitizer)
        self._truncate = chosen.on_long_text == "truncate"
        self._dates = dates.of(names, chosen, orders)
        self._keeps_text = self._raw_metadata or chosen.store_text != "none"
        # What a row without any text comes to.
        self._nothing = ""
        if chosen.text_template:
            parsed = template.parse(chosen.text_template)
            self._text = parsed.render(names)
            self._nothing = self._sanitize("".join(parsed.literals))
        else:
            self._text = _cell(names.index(chosen.text_column))

    def common(self, task: context.Context, chunk: int) -> metadata.Common:
        """Return the metadata that the rows of a chunk share."""
        return self.encoder.common(
            {
                "source": task.source,
                "s3_key": task.s3_key,
                "chunk_id": chunk,
                "task_id": task.task_id,
                "question_id": task.options.question_id,
                "processed_at": task.processed_at,
            }
        )

    def judge(
        self, cells: Sequence[str], flaw: str, first_row: int, record_index: int, common: metadata.Common
    ) -> Outcome:
        """Say what becomes of a row; raises nothing but MemoryError, whatever the row.

        Args:
            cells: As read.
            flaw: What the reader found wrong with it, or "".
            first_row: The row that has the same id first; 0: none has.
            record_index: 0-based position of the row in its chunk.
            common: Metadata of the chunk.
        """
        if flaw or len(cells) != self.width:
            return self._unreadable(cells, flaw)
        try:
            return self._readable(cells, first_row, record_index, common)
        except declared.BadValue as error:
            return Reject("bad_value", str(error))
        except MemoryError:  # the machine's, not the row's
            raise
        except Exception as error:  # a row that our code falls over must not end the task of its neighbours
            return _defect(error)

    def plain(self, rows: Sequence[Sequence[str]], most_index: int, common: metadata.Common) -> Plain:
        """Judge many rows at once, in half the time: those that are told are usable, of the others `judge` says.

        Args:
            rows: As read, without a flaw, as wide as the header, and none with an id that an earlier row has.
            most_index: 0-based position in the chunk that none of them is beyond.
            common: Metadata of the chunk.
        """
        try:
            return self._plain(rows, most_index, common)
        except MemoryError:
            raise
        except Exception:  # a row over which the code falls: which, `judge` will find
            return Plain((), (), (), ())

    def vector_id(self, cells: Sequence[str], flaw: str) -> str | None:
        """The vector id of a row, whatever else is wrong with it; "" where it is no row; None: it cannot be read.

        Of a row with more or fewer cells than columns nobody knows which of them is its id.
        """
        if flaw in unreadable.SKIPPED:
            return ""
        if flaw or len(cells) != self.width:
            return None
        try:
            row_id = ids.of_cell(cells[self._id], self._nulls)
            return self._vector_ids.of(row_id) if row_id else None
        except MemoryError:
            raise
        except Exception:  # judging it fell over it, too
            return None

    def _readable(self, cells: Sequence[str], first_row: int, record_index: int, common: metadata.Common) -> Outcome:
        row_id = ids.of_cell(cells[self._id], self._nulls)
        if not row_id or first_row:
            return _duplicate(first_row) if row_id else _no_id(cells[self._id])
        filled = described = texts = cells
        if self._nulls or excel.OPENING in "".join(cells):  # rare: most rows are the list that was read
            filled = self._nulls.blanked(excel.contents(cells))
            described = cells if self._raw_metadata else filled
            texts = self._nulls.blanked(cells) if self._raw_text else filled
        if self._dates is not None and (outcome := _outside(self._dates, filled)):
            return outcome
        vector_id = self._vector_ids.of(row_id)
        if not index_names.is_good(vector_id):
            return _bad_vector_id(vector_id, row_id)
        text = self._sanitize(self._text(texts))
        if len(text) > _SURE_CHARACTERS or text == self._nothing or not text or text.isspace():
            judged = self._judged(text)
            if isinstance(judged, Reject):
                return judged
            text = judged
        entries = self.encoder.row(described, text if self._keeps_text else None, row_id, record_index)
        row = Usable(vector_id, text, entries)
        if metadata.fits(entries, common):
            return row
        return self._of_size(row, _Own(described, row_id, record_index), common)

    def _plain(self, rows: Sequence[Sequence[str]], most_index: int, common: metadata.Common) -> Plain:
        row_ids = ids.of_cells([row[self._id] for row in rows], self._nulls)
        filled = texts_of = rows
        columns = list(zip(*rows, strict=True))
        if self._nulls or excel.OPENING[0] in "".join(map("".join, rows)):
            filled = [self._nulls.blanked(excel.contents(cells)) for cells in rows]
            texts_of = [self._nulls.blanked(cells) for cells in rows] if self._raw_text else filled
            columns = columns if self._raw_metadata else list(zip(*filled, strict=True))
        vector_ids = list(map(self._vector_ids.of, row_ids))
        texts = self._sanitize_each(list(map(self._text, texts_of)))
        lasting, bad = self.encoder.lasting_rows(columns, texts if self._keeps_text else None, row_ids)
        room = metadata.SURE_BYTES - len(common.entries) - len(self.encoder.passing(most_index))
        if not (all(row_ids) and index_names.all_good(vector_ids) and self._short(texts, lasting, room)):
            bad.update(
                place
                for place, row_id in enumerate(row_ids)
                if not row_id
                or not index_names.is_good(vector_ids[place])
                or not self._short(texts[place : place + 1], lasting[place : place + 1], room)
            )
        if self._dates is not None:
            bad.update(place for place, cells in enumerate(filled) if _outside(self._dates, cells))
        places: Sequence[int] = range(len(rows))
        if bad:
            places = [place for place in places if place not in bad]
            vector_ids, texts = ([each[place] for place in places] for each in (vector_ids, texts))
            lasting = [lasting[place] for place in places]
        return Plain(places, list(map(str.encode, vector_ids)), list(map(str.encode, texts)), lasting)

    def _short(self, texts: Sequence[str], lasting: Sequence[bytes], room: int) -> bool:
        """Tell whether there is a text in each row, within all limits for sure."""
        return (
            all(texts)
            and self._nothing not in texts
            and not any(map(str.isspace, texts))
            and max(map(len, texts)) <= _SURE_CHARACTERS
            and max(map(len, lasting)) <= room
        )

    def _unreadable(self, cells: Sequence[str], flaw: str) -> Reject | Skip:
        if flaw in unreadable.SKIPPED:
            return Skip(flaw, unreadable.SKIPPED[flaw])
        if flaw:
            return Reject(flaw, unreadable.FLAWS[flaw])
        return Reject("ragged_row", unreadable.ragged(len(cells), self.width))

    def _judged(self, text: str) -> str | Reject:
        """Return a text that can be embedded, cut if the request wants that."""
        if not text or text == self._nothing or text.isspace():
            return Reject("empty_text", "The row has no text once it is sanitized; fill it in, or leave the row out.")
        long = tokens.over_limit(text)
        if not long:
            return text
        if not self._truncate:
            return Reject(
                "text_too_long",
                f"The text has {long}, {tokens.TOKEN_LIMIT:,} tokens are the limit; shorten it, or use "
                "on_long_text=truncate.",
            )
        text = tokens.truncate(text)
        if text.isspace():
            return Reject("empty_text", "The text begins with nothing but blanks, up to its limit; strip them.")
        return text

    def _of_size(self, row: Usable, own: "_Own", common: metadata.Common) -> Usable | Reject:
        """Return a row whose metadata may be too large, with as much of its text in them as fits."""
        cells, row_id, record_index = own
        copy = row.text if self._keeps_text else None
        size = self.encoder.json_bytes(common, cells, text=copy, row_id=row_id, record_index=record_index)
        if size <= metadata.LIMIT_BYTES:
            return row
        if copy is not None and not self._raw_metadata:
            size -= len(',"text":') + text_copy.json_bytes(copy)
        if size > metadata.LIMIT_BYTES:
            return Reject(
                "metadata_too_large",
                f"The metadata has {size:,} bytes as JSON, {metadata.LIMIT_BYTES:,} are the limit; leave "
                "columns out by exclude_columns.",
            )
        return Usable(row.vector_id, row.text, self._with_cut_text(row.text, own, size), text_cut=True)

    def _with_cut_text(self, text: str, own: "_Own", rest_bytes: int) -> bytes:
        room = metadata.LIMIT_BYTES - rest_bytes - len(f',"{metadata.TEXT_TRUNCATED}":true')
        if room < 0:  # nothing of the text fits, not even the word that it is missing
            return self.encoder.row(own.cells, None, own.row_id, own.record_index)
        copy = text_copy.prefix(text, room - len(',"text":'))
        return self.encoder.row(own.cells, copy or None, own.row_id, own.record_index) + self.encoder.truncated


class _Own(NamedTuple):
    """What of a row its metadata are made of, but for the text."""

    cells: Sequence[str]
    row_id: str
    record_index: int


def _no_id(cell: str) -> Reject:
    reason = "empty_id" if cell.isspace() else "missing_id"
    return Reject(reason, "The row has no id; give it one that is its own.")


def _duplicate(first_row: int) -> Skip:
    return Skip("duplicate_id", f"Row {first_row:,} has the same id and comes first.")


def _outside(filtered: dates.Filter, cells: Sequence[str]) -> Outcome | None:
    day = filtered.day(cells)
    if day is None:
        return Reject("bad_date", filtered.refusal(cells))
    if not filtered.takes(day):
        return Skip("outside_dates", f"Its date {day} is outside of start_date and end_date.")
    return None


def _bad_vector_id(vector_id: str, row_id: str) -> Reject:
    if character := index_names.refused(vector_id):
        return Reject(
            "bad_id",
            f"The id {row_id[:40]!r} has {character}, and Pinecone takes printable ASCII; use another id_column, or "
            "on_bad_id=escape.",
        )
    return Reject(
        "id_too_long",
        f"The vector id {vector_id[:40]!r}… has {len(vector_id):,} bytes, {index_names.LIMIT_BYTES} are the limit; "
        "shorten it.",
    )


def _defect(error: Exception) -> Defect:
    *_, place = traceback.extract_tb(error.__traceback__)
    where = f"{pathlib.PurePath(place.filename).name}:{place.lineno}"
    return Defect(
        ROW_DEFECT,
        f"Our own code cannot judge the row ({type(error).__name__} at {where}); its neighbours are loaded. The log of "
        "ingest has it as row_defect: report it, and change the row or leave it out.",
        error,
    )


def _cell(position: int) -> template.Render:
    def text(cells: Sequence[str]) -> str:
        return cells[position]

    return text
