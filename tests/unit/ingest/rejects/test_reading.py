"""Rejects are read in one pass over the source, and told also where that is gone."""

import dataclasses
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from vectorline.v1 import chunk_pb2, ledger_pb2

from services.ingest import failures, threads
from services.ingest.planning import plan, selection
from services.ingest.rejects import export, reading
from services.ingest.sources import memory
from services.ingest.splitting import task_source
from tests.unit.ingest import support

Part = ledger_pb2.ReadRejectsResponse


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 3)


def loaded(rows: int = 400, *, packed: bool = False) -> support.Loaded:
    data = b"id,formatted_text\n" + b"".join(b"%d,text %d\n" % (n % 390, n) for n in range(1, rows + 1))
    return support.load(gzip.compress(data) if packed else data, chunk_size=10)


def opened(found: support.Loaded) -> task_source.Opened:
    return task_source.Opened(found.source, found.pinned, found.plan, found.task, found.pairs)


def refused(chunk: int, *numbers: int) -> Part:
    rejects = [chunk_pb2.Reject(row_number=n, reason="index_refused", message="m") for n in numbers]
    return Part(chunk=chunk, rejects=rejects)


async def lines(source: task_source.Opened | None, *parts: Part) -> list[export.Line]:
    async def stored() -> AsyncIterator[Part]:
        for part in parts:
            yield part

    return [line async for line in reading.lines(stored(), source, threads.Pool())]


@pytest.mark.parametrize("packed", [True, False])
async def test_rejects_of_a_chunk_are_read_in_one_pass(packed: bool) -> None:
    found = loaded(packed=packed)
    found.source.opened.clear()
    told = await lines(opened(found), refused(5, 57, 51, 59, 53), refused(5, 60), refused(6, 61))
    assert [(line.row_number, line.cells) for line in told] == [
        (number, [str(number), f"text {number}"]) for number in (57, 51, 59, 53, 60, 61)
    ]
    assert len(found.source.opened) == 1  # also where it goes on into the next shard


async def test_rejects_all_over_the_source_read_each_shard_once_and_no_other() -> None:
    found = loaded()
    found.source.opened.clear()
    await lines(opened(found), *(refused(chunk, chunk * 10 + 1, chunk * 10 + 9) for chunk in (0, 1, 2, 9, 10, 30)))
    assert found.source.opened == [found.plan.shards[shard].offset for shard in (0, 3, 10)]


async def test_rows_before_those_that_were_read_are_found_too() -> None:
    told = await lines(opened(loaded()), refused(30, 301), refused(2, 25), refused(0, 1), refused(0, 9, 2))
    assert [line.cells[0] for line in told] == ["301", "25", "1", "9", "2"]


async def test_stored_cells_and_lines_are_as_stored_and_nothing_is_read() -> None:
    found = loaded()
    found.source.opened.clear()
    reject = chunk_pb2.Reject(row_number=3, reason="empty_text", message="m", cells=["3", ""], line=9)
    told = await lines(opened(found), Part(chunk=0, rejects=[reject]))
    assert told == [export.Line(3, 9, "empty_text", "m", ["3", ""])]
    assert found.source.opened == []


async def test_a_chunk_that_failed_unread_is_told_row_by_row_without_its_skipped_ones() -> None:
    told = await lines(opened(loaded()), Part(chunk=39, first_row=389, rows=4, reason="poison"))
    assert [(line.row_number, line.reason, list(line.cells)) for line in told] == [
        (389, "poison", ["389", "text 389"]),
        (390, "poison", ["0", "text 390"]),
    ]


@pytest.mark.parametrize("gone", ["changed", "none"])
async def test_rows_of_a_source_that_is_gone_are_told_without_their_cells(gone: str) -> None:
    found = loaded()
    found.source.data += b"x"
    source = opened(found) if gone == "changed" else None
    told = await lines(source, refused(0, 3), Part(chunk=1, first_row=11, rows=2, reason="poison"))
    assert [(line.row_number, list(line.cells)) for line in told] == [(3, []), (11, []), (12, [])]
    assert all(("source is gone" in line.message) == (gone == "changed") for line in told)


async def test_a_source_that_does_not_answer_now_is_no_empty_cell() -> None:
    class Away(memory.MemorySource):
        def open(self, pinned: Any, offset: int = 0) -> memory.MemoryStream:
            raise failures.SourceUnavailable("not now")

    found = loaded()
    away = dataclasses.replace(opened(found), source=Away(found.source.data))
    with pytest.raises(failures.SourceUnavailable):
        await lines(away, refused(0, 3))


async def test_skipped_rows_are_read_in_one_pass() -> None:
    found = loaded()
    found.source.opened.clear()
    told = [line async for line in reading.skipped(opened(found), threads.Pool())]
    assert [line.row_number for line in told] == list(range(391, 401))
    assert {line.reason for line in told} == {"duplicate_id"}
    assert len(found.source.opened) <= len(found.plan.shards)


async def test_of_a_retry_only_its_own_skipped_rows_are_told() -> None:
    found = loaded()
    chosen = selection.Selection.of({0: [1, 2], 39: [390, 392, 395]})
    retry = dataclasses.replace(opened(found), plan=dataclasses.replace(found.plan, selected=chosen))
    told = [line async for line in reading.skipped(retry, threads.Pool())]
    assert [line.row_number for line in told] == [392, 395]
