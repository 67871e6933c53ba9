"""Rules about manifests, taken away: the simulation would notice, within minutes. Run by `make simulate`."""

import collections
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.indexer.ledger import closing, manifests, shards, turns
from services.indexer.storage import table
from services.ingest.driving import comparisons, mirroring, trust
from services.ingest.manifest import comparing, comparison, merging, records, standing, write_ahead
from tests.simulation import noticing


def test_1_a_turn_that_is_opened_over_a_gap(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    """An older release had the turn and wrote without a mark."""

    def voiding(self: Any, item: table.Item, _why: str, also: Any) -> list[table.Write]:
        whole = table.Update(str(item[table.KEY]), set=also or {"kind": "manifest"}, when=manifests._as_read(item))
        return [whole, table.Update(self._namespace_key(item), add={"doubts": 0})]

    noticing.leaning(monkeypatch, older=True, states=7, altered=0.5, cancels=0.0)
    monkeypatch.setattr(manifests.Manifests, "_voiding", voiding)
    assert noticing.noticed(collect)


def test_2_a_comparison_that_is_kept_to_although_the_manifest_changed(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """A task that was blocked while another wrote."""
    noticing.leaning(monkeypatch, refusals=3, contended=True, cancels=0.0)
    monkeypatch.setattr(comparisons, "stands", lambda _manifest: True)
    mark = manifests.Manifests.mark

    async def whatever_version(self: manifests.Manifests, task_id: str, fence: int) -> bool:
        await mark(self, task_id, fence)
        return True

    monkeypatch.setattr(manifests.Manifests, "mark", whatever_version)
    assert noticing.noticed(collect)


def test_3_a_manifest_that_is_believed_whatever_the_index_says(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    async def believe(*_: Any, **__: Any) -> Any:
        return trust.Counted(listing=False, look=None)

    async def anything(*_: Any) -> None: ...

    noticing.leaning(monkeypatch, interferes=1.0)
    monkeypatch.setattr(trust, "counted", believe)
    monkeypatch.setattr(trust.Sample, "check", anything)
    assert noticing.noticed(collect)


def test_3_a_count_without_a_look_at_records(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    async def anything(*_: Any) -> None: ...

    noticing.leaning(monkeypatch, interferes=1.0)
    monkeypatch.setattr(trust.Sample, "check", anything)
    assert noticing.noticed(collect)


def test_5_a_skip_that_a_driver_settles_in_anothers_turn(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    class Unchecked(table.Check):
        def __init__(self, key: str, when: Any) -> None:
            super().__init__(key, ())

    class Careless:
        def __getattr__(self, name: str) -> Any:
            return Unchecked if name == "Check" else getattr(table, name)

    noticing.leaning(monkeypatch, line={"ingest": 1, "embedder": 2, "indexer": 3}, altered=0.4)
    noticing.striking(monkeypatch, shards.Shards, "settle_quiet", part=0.5, freezes=100.0, cancels=True)
    monkeypatch.setattr(shards, "table", Careless())
    assert noticing.noticed(collect)


def test_5_a_row_whose_metadata_alone_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    def kinds(rows: Any, known: Any) -> Any:
        same = rows["metadata"] == known["metadata"]
        return np.where(same, comparison.UNCHANGED, comparison.TEXT_CHANGED).astype(np.uint8)

    noticing.leaning(monkeypatch)
    monkeypatch.setattr(comparing, "_kinds", kinds)
    monkeypatch.setattr(records.Hashes, "metadata", lambda *_: b"12345678")

    def entries(self: records.Hashes, ids: Any, texts: Any, metadata: Any, shared: bytes) -> bytes:
        return b"".join(map(self.entry, ids, [text.encode() for text in texts], metadata))

    monkeypatch.setattr(records.Hashes, "entries", entries)
    assert noticing.noticed(collect)


def test_6_rows_that_travel_before_they_are_written_down(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """A driver that dies between the two leaves rows in the index of which no merge will hear."""

    def behind(self: write_ahead.Writer, chunks: Any) -> Any:
        held: Any = collections.deque()
        for chunk in chunks:
            yield chunk
            held.append(chunk)
            if len(held) == 3:  # one is asked for ahead of the one that is published
                list(self._written(held))
        list(self._written(held))

    noticing.leaning(monkeypatch)
    monkeypatch.setattr(write_ahead.Writer, "ahead", behind)
    assert noticing.noticed(collect, "cannot be merged", "knows nothing")


def test_6_a_run_that_is_merged_before_it_is_over(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    read = manifests.Manifests.read

    async def over(self: manifests.Manifests, key: str) -> manifests.State | None:
        found = await read(self, key)
        return None if found is None else dataclasses.replace(found, over="pending_task" in found.item)

    noticing.leaning(monkeypatch)
    monkeypatch.setattr(manifests.Manifests, "read", over)
    assert noticing.noticed(collect)


def test_6_chunks_of_open_shards_are_left_out(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    delta = merging._Delta._sent

    def left(self: Any, block: Any) -> Any:
        chunks = self._outcome.chunks
        chunks[chunks == merging.UNSURE] = merging.LEFT
        return delta(self, block)

    noticing.leaning(monkeypatch)
    noticing.striking(monkeypatch, closing.Closing, "settle", part=0.2, cancels=True)
    monkeypatch.setattr(merging._Delta, "_sent", left)
    assert noticing.noticed(collect)


def test_7_a_mirror_that_deletes_although_another_had_the_turn(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """It was held meanwhile, and compares anew: what the other loaded is not in its file."""
    noticing.leaning(monkeypatch, contended=True, cancels=0.0, mirrors=True)
    monkeypatch.setattr(turns, "_overtaken", lambda *_: False)
    assert noticing.noticed(collect, "another had the turn")


def test_7_a_mirror_that_deletes_what_its_file_holds(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """A row that is rejected has left nothing: what the index has of it stays."""
    noticing.leaning(monkeypatch, mirrors=True)
    monkeypatch.setattr(standing.Held, "add", lambda *_: None)
    assert noticing.noticed(collect)


def test_7_a_mirror_that_believes_a_manifest_that_is_not_all_there_is(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """After a void, or a write without a mark, only the index's own list says what is there."""
    counted = trust.counted

    async def alone(*arguments: Any, mirrors: bool, **named: Any) -> trust.Counted:
        return await counted(*arguments, **named)

    noticing.leaning(monkeypatch, older=0.4, mirrors=True)
    monkeypatch.setattr(trust, "counted", alone)
    assert noticing.noticed(collect)


def test_7_a_mirror_that_deletes_although_rows_failed(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    async def none_failed(*_: Any) -> int:
        return 0

    noticing.leaning(monkeypatch, mirrors=True)
    monkeypatch.setattr(mirroring.Mirrors, "_failed", none_failed)
    assert noticing.noticed(collect, "sent rows failed")
