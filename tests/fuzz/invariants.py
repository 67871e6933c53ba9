"""What holds for every file: a named failure, or each row in one chunk with one outcome, wherever reading begins."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import random
import re
from collections.abc import Iterator

import pytest
from google.protobuf import struct_pb2
from vectorline.v1 import chunk_pb2

from services.chunks import entry
from services.ingest import failures
from services.ingest.contract import ids, metadata, nulls
from services.ingest.planning import cutter, plan
from services.ingest.reading import header, oversized, padding, quoting, reader
from services.ingest.splitting import reread, split
from services.runtime import index_names
from tests.fuzz import case, codec, coverage
from tests.unit.ingest import support

FAILURES = {
    "EMPTY_FILE", "NO_HEADER", "DUPLICATE_HEADER", "MISSING_COLUMN", "TOO_MANY_COLUMNS", "UNBALANCED_QUOTE", "NOT_TEXT",
    "NOT_CSV", "BAD_ENCODING", "GZIP_BOMB", "GZIP_TRUNCATED", "GZIP_CORRUPT", "DUPLICATE_IDS", "OTHER_HEADER",
    "HEADER_TOO_LARGE", "ENCODING_UNCERTAIN", "DATE_ORDER_UNCLEAR",
}  # fmt: skip
REJECTS = {
    "missing_id", "empty_id", "bad_id", "id_too_long", "empty_text", "text_too_long", "metadata_too_large",
    "field_too_long", "ragged_row", "bad_quoting", "bad_encoding", "bad_date", "bad_value",
}  # fmt: skip
# Sizes of the blocks in which a file is read again.
BLOCKS = (1, 5, 64, 1 << 20)
SKIPS = {"duplicate_id", "outside_dates", "blank_row", "repeated_header"}
_LEGACY_KEEPS = re.compile(r"[\w\s\-.,!?;:()\[\]{}$]*")


@contextlib.contextmanager
def limits(*, tiny: bool) -> Iterator[None]:
    """Set the limits of an input: the real ones, or some that a few hundred bytes meet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SHARD_CHUNKS", 2)
        if tiny:
            patch.setattr(cutter, "CHUNK_BYTES", 300)
            patch.setattr(reader, "FIELD_LIMIT_BYTES", 90)
            patch.setattr(reader, "RECORD_LIMIT_BYTES", 200)
            patch.setattr(oversized, "BEGINNING_BYTES", 50)
            patch.setattr(split, "CELL_BYTES", 64)
        yield


def check(given: case.Case, rng: random.Random, steps: set[coverage.Step] | None = None) -> set[str]:
    """Take a file through scan, split and codec; returns the reasons met, as failures and of rows.

    Args:
        given: The file and its request.
        rng: Chooses what is damaged and where reading begins.
        steps: Takes what the first scan and split reach; watching all of the check would cost five times as much.

    Raises:
        AssertionError: Something that must hold does not.
        Exception: Whatever else the code lets through.
    """
    with limits(tiny=given.tiny):
        with contextlib.nullcontext() if steps is None else coverage.watched(steps):
            try:
                loaded = support.load(given.data, piece_bytes=given.block_bytes, **given.chosen)
            except failures.FileFailure as error:
                return _check_failure(error, given, rng)
            chunks = loaded.chunks()
        reasons = _check_rows(loaded, chunks)
        _check_starts(loaded, chunks, given, rng)
        for chunk in chunks[:3]:
            codec.check(chunk.payload, rng)
            codec.check_header(_header(chunk), rng)
        return reasons


def _check_failure(failure: failures.FileFailure, given: case.Case, rng: random.Random) -> set[str]:
    assert failure.reason in FAILURES
    assert failure.message
    # Of two faults either may be met first, but none is a matter of where blocks end.
    try:
        support.load(given.data, piece_bytes=rng.choice(BLOCKS), **given.chosen)
    except failures.FileFailure:
        return {failure.reason}
    raise AssertionError(f"{failure} does not show where blocks end elsewhere.")


def _check_rows(loaded: support.Loaded, chunks: list[split.Chunk]) -> set[str]:
    assert [chunk.number for chunk in chunks] == list(range(loaded.plan.chunks_total))
    again = loaded.rebuilt(1, loaded.plan.rows_total)
    assert [row.row_number for row in again] == list(range(1, loaded.plan.rows_total + 1))
    position = 0
    for chunk in chunks:
        assert 1 <= chunk.rows <= loaded.plan.chunk_size
        assert chunk.first_row == position + 1
        _check_chunk(loaded, chunk, again[position : position + chunk.rows])
        position += chunk.rows
    assert position == loaded.plan.rows_total
    _check_cells(loaded, again)
    _check_firsts(loaded, again)
    return {row.reason for row in again}


def _check_firsts(loaded: support.Loaded, again: list[reread.Rebuilt]) -> None:
    """Of each id one row is loaded, and each later one that is left out as a duplicate names it."""
    position, empty = loaded.plan.columns.index(loaded.options.id_column), nulls.of(loaded.options)
    loaded_rows: dict[str, int] = {}
    for row in again:
        if not row.reason:
            row_id = ids.of_cell(row.cells[position], empty)
            assert row_id not in loaded_rows
            loaded_rows[row_id] = row.row_number
        elif row.reason == "duplicate_id":
            assert f"Row {loaded_rows[ids.of_cell(row.cells[position], empty)]:,} " in row.message


def _check_chunk(loaded: support.Loaded, chunk: split.Chunk, again: list[reread.Rebuilt]) -> None:
    """Every row of the chunk has the one outcome that it has when it is read again."""
    content = chunk_pb2.ChunkRows.FromString(chunk.payload)
    usable = {row.row_number: row for row in content.rows}
    rejects = {reject.row_number: reject for reject in content.rejects}
    assert (len(usable), len(rejects)) == (len(content.rows), len(content.rejects))
    assert chunk.rejected == len(rejects)
    assert chunk.rows == len(usable) + len(rejects) + chunk.skipped
    for row in again:
        if not row.reason:
            _check_usable(loaded, usable.pop(row.row_number), row, content.common_metadata)
        elif row.skipped:
            assert row.reason in SKIPS
            assert row.row_number not in usable.keys() | rejects.keys()
        else:
            reject = rejects.pop(row.row_number)
            assert (reject.reason, reject.message, list(reject.cells)) == (
                row.reason, row.message, split.cut_cells(row.cells),
            )  # fmt: skip
            assert row.reason in REJECTS
    assert not usable
    assert not rejects


def _check_usable(loaded: support.Loaded, row: chunk_pb2.Row, again: reread.Rebuilt, common: bytes) -> None:
    chosen = header.resolved(loaded.plan.columns, loaded.options)
    row_id = again.cells[loaded.plan.columns.index(chosen.id_column)]
    assert row.vector_id == f"{chosen.question_id}.{ids.of_cell(row_id, nulls.of(chosen))}"
    assert row_id.strip()
    assert row_id.strip() not in chosen.null_values
    assert index_names.problem(row.vector_id) == ""
    assert row.text.strip()
    values = {
        name: list(value) if isinstance(value, struct_pb2.ListValue) else value
        for name, value in support.struct(row.metadata + common).items()
    }
    assert set(metadata.RESERVED) - set(values) <= ({"text"} if "text_truncated" in values else set())
    assert row.text.startswith(values.get("text", ""))
    assert all(math.isfinite(value) for value in values.values() if isinstance(value, float))
    assert len(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()) <= metadata.LIMIT_BYTES + 100
    if chosen.sanitizer == "clean":
        assert row.text == " ".join(row.text.split())
    elif chosen.sanitizer == "legacy":
        assert _LEGACY_KEEPS.fullmatch(row.text)
    if chosen.metadata == "legacy":
        assert all(isinstance(value, str) for value in values.values())


def _check_cells(loaded: support.Loaded, again: list[reread.Rebuilt]) -> None:
    """Compare with a reader that takes the whole file at once, where the whole file is without fault."""
    expected = _whole(loaded)
    if expected is None or any(row.reason == reader.FIELD_TOO_LONG for row in again):
        return
    assert len(again) == len(expected)
    for row, (line, cells) in zip(again, expected, strict=True):
        assert row.line == line
        if row.reason != reader.BAD_QUOTING and len(row.cells) == len(cells):
            assert row.cells == cells
        elif row.reason != reader.BAD_QUOTING:  # filled up, or without empty cells at the end
            shorter = min(len(row.cells), len(cells))
            assert row.cells[:shorter] == cells[:shorter]
            assert not "".join([*row.cells[shorter:], *cells[shorter:]]).strip()


def _whole(loaded: support.Loaded) -> list[tuple[int, list[str]]] | None:
    """Return each row with the line in which it begins."""
    form = loaded.plan.dialect
    data = loaded.source.data
    odd = (*padding.BYTES.decode(), "\ufeff", "\\")
    if form.gzip or (form.writer_quotes and form.quoting != quoting.CSV):
        return None
    try:
        text = data[form.bom_bytes :].decode(form.encoding)
        if any(sign in text for sign in odd) or re.search(r"[ \t]['\"]|['\"][ \t]", text):
            return None
        lines = io.StringIO(text, newline="").readlines()[form.preamble_lines :]
        parser = form.rules.parser(lines)
        rows, end = [], 0
        for row in parser:
            if row:
                rows.append((form.preamble_lines + end + 1, row))
            end = parser.line_num
        return rows if form.unnamed else rows[1:]
    except (UnicodeError, csv.Error):
        return None


def _check_starts(loaded: support.Loaded, chunks: list[split.Chunk], given: case.Case, rng: random.Random) -> None:
    """Begun at any shard, in other blocks, asked for some only: the same chunks; scanned anew: the same plan."""
    other = dataclasses.replace(loaded, piece_bytes=rng.choice(BLOCKS))
    for start in {0, *(shard.first_chunk for shard in loaded.plan.shards[:4])}:
        assert other.chunks(first_chunk=start) == chunks[start:]
    wanted = {chunk.number for chunk in chunks if rng.random() < 0.3}
    assert other.chunks(only=wanted.__contains__) == [chunk for chunk in chunks if chunk.number in wanted]
    anew = support.load(given.data, piece_bytes=other.piece_bytes, **given.chosen)
    assert anew.plan == loaded.plan
    assert anew.sidecar == loaded.sidecar
    assert plan.Plan.from_json(anew.plan.to_json()) == anew.plan


def _header(chunk: split.Chunk) -> entry.Header:
    return entry.Header(
        task_id="task-1",
        chunk=chunk.number,
        first_row=chunk.first_row,
        rows=chunk.rows,
        skipped=chunk.skipped,
        rejected=chunk.rejected,
        payload_bytes=len(chunk.payload),
    )
