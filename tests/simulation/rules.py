"""Rules about manifests, taken away: the simulation would notice, within minutes. Run by `make simulate`."""

import asyncio
import collections
import dataclasses
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.indexer.ledger import closing, drops, items, lifecycle, manifests, removals, shards, turns
from services.indexer.storage import table
from services.ingest import manifest_client
from services.ingest.contract import metadata
from services.ingest.driving import comparisons, mirroring, removing, trust
from services.ingest.jobs import adopt, looking, remove, repair, requests, telling
from services.ingest.manifest import comparing, comparison, merging, records, standing, write_ahead
from tests.simulation import fate, files, jobs, journal, noticing, people

# A question of which nothing is there.
OTHER = 2


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
    monkeypatch.setattr(fate, "RAGE_SECONDS", 300.0)
    noticing.leaning(monkeypatch, line={"ingest": 1, "embedder": 2, "indexer": 3}, altered=0.3)
    noticing.striking(monkeypatch, shards.Shards, "settle_quiet", part=0.4, late=100.0, cancels=True)
    monkeypatch.setattr(shards, "table", noticing.Careless(table, Check=noticing.Unchecked))
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
    noticing.leaning(monkeypatch, older=0.4, mirrors=True)
    monkeypatch.setattr(standing.Listed, "add", lambda *_: None)
    assert noticing.noticed(collect)


def test_7_a_mirror_that_deletes_although_rows_failed(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    async def none_failed(*_: Any) -> int:
        return 0

    noticing.leaning(monkeypatch, mirrors=True)
    monkeypatch.setattr(mirroring.Mirrors, "_failed", none_failed)
    assert noticing.noticed(collect, "sent rows failed")


async def _nothing(*_: Any, **__: Any) -> None: ...


def test_8_a_removal_of_a_load_after_which_another_had_the_turn(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """The other's rows were all as they were: it wrote nothing, and goes by what is removed."""

    async def whoever_came(self: remove.Remove, record: Any, stand: Any) -> Any:
        return (await self._tools.believed.of(record.task_id, stand))[1]

    for part in ("GONE", "EMPTIED"):
        monkeypatch.setattr(files, part, 0.0)
    noticing.leaning(monkeypatch, altered=0.0, cancels=0.0)
    noticing.asking(monkeypatch, "remove", of_load=True, asked_after=60.0)
    monkeypatch.setattr(requests.Requests, "_check_alone", _nothing)
    monkeypatch.setattr(remove.Remove, "_of_load", whoever_came)
    assert noticing.noticed(collect, "another had the turn")


def test_8_a_removal_without_a_mark(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    async def by_ids(*_: Any) -> str:
        return "a drop asks for the mark, too"

    noticing.leaning(monkeypatch)
    noticing.asking(monkeypatch, "remove")
    monkeypatch.setattr(removing.Remover, "_dropped", by_ids)
    monkeypatch.setattr(telling, "mark", _nothing)
    monkeypatch.setattr(removals, "table", noticing.Careless(table, Check=noticing.Unchecked))
    assert noticing.noticed(collect)


def test_8_an_adoption_without_a_sample(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    """Another model filled the index."""
    noticing.leaning(monkeypatch)
    noticing.asking(monkeypatch, "adopt", sample=jobs.WHOLE, voided=True, harm="model", asked_after=40.0)
    monkeypatch.setattr(adopt, "_check_sample", lambda *_: None)
    assert noticing.noticed(collect)


def test_8_an_adoption_of_texts_that_are_not_whole(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    noticing.leaning(monkeypatch)
    noticing.asking(monkeypatch, "adopt", sample=1, voided=True, harm="cut", asked_after=40.0)
    careless = noticing.Careless(metadata, whole_text=lambda record: record.get("text"))
    monkeypatch.setattr(adopt, "metadata", careless)
    assert noticing.noticed(collect)


def test_8_a_verify_that_looks_at_no_record(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    looked = looking.Looking._looked

    def fine(self: looking.Looking, vector_id: str, entry: bytes, record: Any) -> looking.Looked:
        found = looked(self, vector_id, entry, record)
        return found if record is None else dataclasses.replace(found, finding=None)

    noticing.leaning(monkeypatch)
    noticing.asking(monkeypatch, "verify", fetch=jobs.WHOLE, harm="overwrite")
    monkeypatch.setattr(looking.Looking, "_looked", fine)
    assert noticing.noticed(collect, "that differ")


def test_8_a_repair_that_makes_nothing_unknown(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    """The load that follows goes by the manifest, and looks at one record in all."""
    noticing.leaning(monkeypatch)
    noticing.asking(monkeypatch, "verify", fetch=jobs.WHOLE, repair=True, harm="overwrite")
    monkeypatch.setattr(repair.Repair, "_doubt", _nothing)
    assert noticing.noticed(collect)


def test_8_vectors_that_are_bought_again_and_written(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """A verify writes nothing."""

    async def every(*_: Any) -> bool:
        return True

    noticing.leaning(monkeypatch)
    noticing.asking(monkeypatch, "verify", sample=jobs.WHOLE)
    monkeypatch.setattr(lifecycle.Lifecycle, "is_load", every)
    assert noticing.noticed(collect)


def test_8_a_verify_that_tells_of_what_it_saw_before_another_wrote(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """It was blocked while its sample was bought."""
    noticing.leaning(monkeypatch, refusals=4, contended=True, cancels=0.0, altered=0.5)
    noticing.asking(monkeypatch, "verify", sample=jobs.WHOLE, asked_after=0.0)
    monkeypatch.setattr(telling, "marked", lambda *_: False)
    assert noticing.noticed(collect, "another had the turn")


def test_8_a_namespace_that_is_dropped_although_others_may_write(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """What is held for a drop keeps nobody out: another question is loaded between the count and the drop."""
    noticing.leaning(monkeypatch, cancels=0.0, line={"ingest": 3, "embedder": 2, "indexer": 2})
    noticing.asking(monkeypatch, "remove", asked_after=0.0)
    draw, follows, drop = jobs.draw, people._may_follow, manifest_client.Manifests.drop

    def beside(seed: int, made: list[files.File], *, cancels: float) -> list[jobs.Job]:
        found = draw(seed, made, cancels=cancels)
        made.append(files.later_of(random.Random(seed), len(made), made[0], cancels=cancels, waits=True))
        made[-1].question_id, made[-1].before = OTHER, None
        for row in made[-1].rows:
            row.vector_id = f"{OTHER}.{row.vector_id.partition('.')[2]}"
        return found

    def others(here: Any) -> list[str]:
        return [here.status(file) for file in here.files if file.question_id == OTHER]

    def once_it_is_to_be(here: Any, file: files.File) -> bool:
        begun = any(item["removal"]["drop"] for item in here.shared.table.items.values() if "removal" in item)
        over = all(job.refused or here.status(job) in items.TERMINAL for job in here.jobs)
        return follows(here, file) and (file.question_id != OTHER or begun or over)

    async def late(self: manifest_client.Manifests, *arguments: Any) -> Any:
        for _ in range(20):
            if set(items.TERMINAL) & set(others(journal.Journal.world)):
                break
            await asyncio.sleep(1.0)
        return await drop(self, *arguments)

    monkeypatch.setattr(jobs, "draw", beside)
    monkeypatch.setattr(people, "_may_follow", once_it_is_to_be)
    monkeypatch.setattr(manifest_client.Manifests, "drop", late)
    for keeps in ("keep_out", "keep_out_of"):
        monkeypatch.setattr(drops.Drops, keeps, _nothing)

    def missing(name: str) -> table.Missing:
        return table.Missing("nobody has this" if name == "dropping" else name)

    monkeypatch.setattr(manifests, "table", noticing.Careless(table, Missing=missing))
    assert noticing.noticed(collect)
