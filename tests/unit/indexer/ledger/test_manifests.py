"""The items of manifests: opened with a turn, marked before a write, and never believed past a gap."""

import dataclasses
from typing import Any

import pytest

from services.indexer.ledger import items, manifests, shards, turns
from services.runtime import errors
from tests.support import ledgers
from tests.support.ledgers import Line

GRACE_SECONDS = ledgers.DEADLINE_SECONDS + turns.MARGIN_SECONDS
KEY = items.manifest_key(ledgers.INDEX, "v2", 232)
SPACE = items.namespace_key(ledgers.INDEX, "v2")


async def begun(line: Line, *, marks: bool = True) -> tuple[str, int]:
    """A task that has its turn, and its fence."""
    task_id = await ledgers.scanned(line.book)
    turn = await line.book.turns.acquire(task_id, marks=marks)
    assert turn.held
    return task_id, turn.fence


async def over(line: Line, task_id: str) -> None:
    """Its turn can pass on."""
    await line.book.tasks.cancel(task_id)
    line.time.pass_by(GRACE_SECONDS + 1)


async def state(line: Line) -> manifests.State:
    found = await line.book.manifests.read(KEY)
    assert found is not None
    return found


async def kept(line: Line, task_id: str, fence: int, **changes: Any) -> manifests.Comparison:
    item = (await state(line)).item
    made = manifests.Comparison(fence, item["version"], f"of-{task_id}-{fence}", "sum")
    return await line.book.manifests.keep(task_id, dataclasses.replace(made, **changes), None)


async def marked(line: Line) -> tuple[str, int]:
    task_id, fence = await begun(line)
    await kept(line, task_id, fence)
    assert await line.book.manifests.mark(task_id, fence)
    return task_id, fence


def version(known: int, unknown: int = 0) -> manifests.Version:
    return manifests.Version("header", "sum", known, unknown, "", 0)


async def merged(line: Line, known: int = 10, unknown: int = 0) -> None:
    assert await line.book.manifests.commit(await state(line), version(known, unknown))


def sums(line: Line) -> tuple[int, int, int]:
    item = line.storage.items.get(SPACE, {})
    return item.get("known", 0), item.get("pending", 0), item.get("doubts", 0)


async def test_a_turn_is_opened_with_it(line: Line) -> None:
    task_id, fence = await begun(line)
    item = (await state(line)).item
    assert (item["opened_task"], item["opened_fence"], item["version"]) == (task_id, fence, 1)
    assert len(item["key"]) == manifests.KEY_BYTES
    await over(line, task_id)
    following, next_fence = await begun(line)
    again = (await state(line)).item
    assert (again["opened_task"], again["opened_fence"], again["version"]) == (following, next_fence, 1)
    assert again["key"] == item["key"]


async def test_a_run_is_marked_merged_and_counted(line: Line) -> None:
    task_id, _ = await marked(line)
    assert sums(line) == (0, 1, 0)
    assert await line.book.manifests.pending() == ([KEY], "")
    assert not (await state(line)).over
    await over(line, task_id)
    assert (await state(line)).over
    await merged(line, known=10, unknown=1)
    item = (await state(line)).item
    assert (item["version"], item["uri"], item["known"], item["unknown"]) == (2, "header", 10, 1)
    assert "pending_task" not in item
    assert sums(line) == (10, 0, 1)
    assert await line.book.manifests.pending() == ([], "")


async def test_where_the_writes_of_a_manifest_are_in_the_log_is_kept_until_it_is_void(line: Line) -> None:
    task_id, _ = await marked(line)
    await over(line, task_id)
    assert await line.book.manifests.commit(await state(line), dataclasses.replace(version(10), lsn=42))
    item = (await state(line)).item
    assert item["lsn"] == 42
    await line.book.manifests.void(KEY, item["version"], "a test")
    assert "lsn" not in (await state(line)).item


async def test_unknown_entries_are_summed_as_known_ones_are(line: Line) -> None:
    task_id, _ = await marked(line)
    await over(line, task_id)
    await merged(line, known=10, unknown=3)
    assert line.storage.items[SPACE]["unknown"] == 3
    await line.book.manifests.void(KEY, (await state(line)).item["version"], "a test")
    assert line.storage.items[SPACE]["unknown"] == 0


async def test_a_mark_is_made_once_and_again_harmless(line: Line) -> None:
    task_id, fence = await marked(line)
    assert await line.book.manifests.mark(task_id, fence)
    assert sums(line) == (0, 1, 0)


async def test_a_gap_makes_the_manifest_void(line: Line) -> None:
    """An older release had the turn in between, and wrote without a mark."""
    task_id, _ = await marked(line)
    await over(line, task_id)
    await merged(line)
    older, _ = await begun(line, marks=False)
    assert (await state(line)).item["uri"]
    await over(line, older)
    await begun(line)
    item = (await state(line)).item
    assert (item["version"], item["known"], "uri" in item) == (3, 0, False)
    assert sums(line) == (0, 0, 1)


async def test_an_older_driver_of_an_opened_turn_makes_it_void(line: Line) -> None:
    task_id, fence = await marked(line)
    assert (await line.book.turns.acquire(task_id, marks=False)).fence == fence
    item = (await state(line)).item
    assert (item["version"], "pending_task" in item, "opened_task" in item) == (2, False, False)
    assert sums(line) == (0, 0, 1)
    assert not await line.book.manifests.mark(task_id, fence)


async def test_a_comparison_is_kept_once_a_turn(line: Line) -> None:
    task_id, fence = await begun(line)
    first = await kept(line, task_id, fence)
    assert await kept(line, task_id, fence, uri="another") == first


async def test_a_resumed_task_may_compare_anew(line: Line) -> None:
    task_id, fence = await begun(line)
    await kept(line, task_id, fence)
    await line.book.tasks.block(task_id, "ACCOUNT_REFUSED", "")
    await line.book.tasks.resume(task_id)
    following = (await line.book.turns.acquire(task_id)).fence
    assert following > fence
    made = await kept(line, task_id, following)
    found = await line.book.manifests.of_task(task_id)
    assert found is not None
    assert found.comparison == made


async def test_no_comparison_is_kept_of_another_version_or_turn(line: Line) -> None:
    task_id, fence = await begun(line)
    with pytest.raises(errors.Conflict):
        await kept(line, task_id, fence, version=2)
    with pytest.raises(errors.Conflict):
        await kept(line, task_id, fence + 1)
    await over(line, task_id)
    with pytest.raises(errors.Conflict):
        await kept(line, task_id, fence)


async def test_a_look_is_kept_with_a_comparison_and_lost_with_the_manifest(line: Line) -> None:
    task_id, fence = await begun(line)
    made = manifests.Comparison(fence, 1, "uri", "sum")
    await line.book.manifests.keep(task_id, made, manifests.Look(5, 4, 3))
    item = (await state(line)).item
    assert [item[name] for name in manifests.LOOK] == [5, 4, 3]
    await line.book.manifests.void(KEY, 1, "a test")
    void = (await state(line)).item
    assert not any(name in void for name in manifests.LOOK)


async def test_nothing_is_marked_by_what_is_void(line: Line) -> None:
    task_id, fence = await begun(line)
    await kept(line, task_id, fence)
    await line.book.manifests.void(KEY, 1, "a test", past=6)
    assert (await state(line)).item["version"] == 7
    assert not await line.book.manifests.mark(task_id, fence)
    assert sums(line) == (0, 0, 1)


async def test_another_version_is_not_made_void(line: Line) -> None:
    await begun(line)
    await line.book.manifests.void(KEY, 9, "a test")
    assert (await state(line)).item["version"] == 1


async def test_a_commit_counts_only_while_all_is_as_it_was_read(line: Line) -> None:
    task_id, _ = await marked(line)
    read = await state(line)
    await over(line, task_id)
    await begun(line)  # whose turn it is has changed
    assert not await line.book.manifests.commit(read, version(1))
    read = await state(line)
    assert await line.book.manifests.commit(read, version(1))
    assert not await line.book.manifests.commit(read, version(1))
    assert sums(line) == (1, 0, 0)


async def test_a_commit_is_of_the_model_that_the_namespace_holds(line: Line) -> None:
    await marked(line)
    await line.book.namespaces.claim("v2", "small", 2)
    read = await state(line)
    assert not await line.book.manifests.commit(read, version(1))
    right = dataclasses.replace(version(1), model="small", dimension=2)
    assert await line.book.manifests.commit(read, right)
    assert sums(line) == (1, 0, 0)


async def test_a_claim_keeps_the_sums(line: Line) -> None:
    task_id, _ = await marked(line)
    await line.book.namespaces.claim("v2", "small", 2)
    assert sums(line) == (0, 1, 0)
    assert task_id


async def test_a_write_that_ended_in_anothers_turn_makes_the_manifest_void(line: Line) -> None:
    task_id, fence = await begun(line)
    assert await line.book.turns.doubted(task_id, fence) is None  # it is its own turn still
    await over(line, task_id)
    await marked(line)
    doubted = await line.book.turns.doubted(task_id, fence)
    assert doubted == ((await state(line)).key, 1)
    await line.book.manifests.void(*doubted, "it ended late")
    item = (await state(line)).item
    assert (item["version"], "pending_task" in item) == (2, False)


def quiet(fence: int, rows: int = 5) -> shards.Outcome:
    return shards.Outcome(indexed=0, skipped=rows, failed=0, unchanged=rows, fence=fence)


async def test_quiet_chunks_are_settled_once_beside_others(line: Line) -> None:
    task_id, fence = await begun(line)
    made = await kept(line, task_id, fence)
    await line.book.shards.open(task_id, 0, fence)
    await line.book.closing.settle(task_id, 3, ledgers.good(2))
    outcomes = {chunk: quiet(fence) for chunk in range(200)}
    for _ in range(2):
        await line.book.closing.settle_quiet(task_id, 0, fence, made.uri, outcomes)
    shard = await line.book.shards.get(task_id, 0)
    assert shard is not None
    assert (shard["settled"], shard["skipped"], shard["unchanged"], shard["indexed"]) == (200, 995, 995, 2)
    assert shard["c"]["3"] == {"i": 2, "s": 0, "f": 0}
    assert shard["c"]["4"] == {"i": 0, "s": 5, "f": 0, "u": 5, "n": fence}
    assert shard["opened"] == fence


async def test_a_shard_of_quiet_chunks_was_not_published_in(line: Line) -> None:
    task_id, fence = await begun(line)
    made = await kept(line, task_id, fence)
    await line.book.closing.settle_quiet(task_id, 0, fence, made.uri, {0: quiet(fence)})
    shard = await line.book.shards.get(task_id, 0)
    assert shard is not None
    assert shard["opened"] == 0
    await line.book.shards.open(task_id, 0, fence)
    await line.book.shards.open(task_id, 0, fence - 1)
    shard = await line.book.shards.get(task_id, 0)
    assert shard is not None
    assert shard["opened"] == fence


async def test_no_skip_is_settled_in_anothers_turn_or_by_another_comparison(line: Line) -> None:
    task_id, fence = await begun(line)
    made = await kept(line, task_id, fence)
    for wrong in ((fence + 1, made.uri), (fence, "another")):
        with pytest.raises(errors.Conflict):
            await line.book.closing.settle_quiet(task_id, 0, *wrong, {0: quiet(fence)})
    await line.book.tasks.block(task_id, "ACCOUNT_REFUSED", "")
    with pytest.raises(errors.Conflict):
        await line.book.closing.settle_quiet(task_id, 0, fence, made.uri, {0: quiet(fence)})
    shard = await line.book.shards.get(task_id, 0)
    assert shard is None or not shard["c"]


async def test_a_task_whose_every_row_is_unchanged_is_completed(line: Line) -> None:
    task_id, fence = await begun(line)
    made = await kept(line, task_id, fence)
    await line.book.closing.settle_quiet(task_id, 0, fence, made.uri, {0: quiet(fence, 10)})
    task = await line.book.closing.seal(task_id, 1, 10)
    assert (task["status"], task["skipped"], task["unchanged"]) == ("completed", 10, 10)
