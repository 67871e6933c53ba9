"""Each rule about manifests, taken away: the simulation would notice."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from services.indexer.ledger import manifests, shards
from services.indexer.storage import table
from services.ingest import manifest_client
from services.ingest.driving import comparisons, trust
from services.ingest.manifest import comparing, comparison, merging, records
from tests.simulation import fate, files, world

NOTICED_WITHIN = 150
# What is not as a manifest says, in the index or by the ledger's counts.
WRONG = (" holds ", " knows ", "sums are")


@pytest.fixture(scope="module", autouse=True)
def collect() -> Iterator[Callable[[], None]]:
    with world.tidy() as collecting:
        yield collecting


def leaning(
    monkeypatch: pytest.MonkeyPatch, *, older: float = 0.0, interferes: float = 0.0, refusals: int = 0, **more: Any
) -> None:
    """Let happen more often what the rule is about.

    Args:
        monkeypatch: Takes it away again.
        older: How many ingest processes are of an older release.
        interferes: How often somebody else changes the index between two loads.
        refusals: How often the account refuses, so that tasks are blocked and resumed.
        more: Of `Fate`: contended, cancels, poison.
    """
    made = fate.Fate.__init__

    def lean(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self._older, self._interferes, self.poison = older, interferes, False
        for name, value in more.items():
            setattr(self, name, value)
        self._events += [(20.0 * (number + 1), self.account) for number in range(refusals)]
        self._events.sort(key=lambda pair: pair[0])

    monkeypatch.setattr(fate.Fate, "__init__", lean)
    draw = files.draw

    def longer(choice: Any, **drawn: Any) -> list[files.File]:
        """Of each seed that has none, a later state of a file, and one of that."""
        found = draw(choice, **drawn)
        while len(found) < 4 and found[0].rows:
            after = files._file(choice, len(found), found[0].question_id, poison=False, cancels=drawn["cancels"])
            files._later(choice, after, found[-1] if found[-1].before else found[0], waits=not drawn["contended"])
            found.append(after)
        return found

    monkeypatch.setattr(files, "draw", longer)


def noticed(collect: Callable[[], None], *words: str) -> bool:
    for seed in range(1, NOTICED_WITHIN):
        problems = world.run(seed).problems
        if seed % 10 == 0:
            collect()
        if any(word in problem for problem in problems for word in words or WRONG):
            collect()
            return True
    return False


def test_1_a_turn_that_is_opened_over_a_gap(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    """An older release had the turn and wrote without a mark."""

    def voiding(self: Any, item: table.Item, _why: str, also: Any) -> list[table.Write]:
        whole = table.Update(str(item[table.KEY]), set=also or {"kind": "manifest"}, when=manifests._as_read(item))
        return [whole, table.Update(self._namespace_key(item), add={"doubts": 0})]

    leaning(monkeypatch, older=0.5)
    monkeypatch.setattr(manifests.Manifests, "_voiding", voiding)
    assert noticed(collect)


def test_2_a_comparison_that_is_kept_to_although_the_manifest_changed(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    """A task that was blocked while another wrote."""
    leaning(monkeypatch, refusals=3, contended=True, cancels=0.0)
    monkeypatch.setattr(comparisons, "_stands", lambda _manifest: True)
    mark = manifests.Manifests.mark

    async def whatever_version(self: manifests.Manifests, task_id: str, fence: int) -> bool:
        await mark(self, task_id, fence)
        return True

    monkeypatch.setattr(manifests.Manifests, "mark", whatever_version)
    assert noticed(collect)


def test_3_a_manifest_that_is_believed_whatever_the_index_says(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    async def believe(*_: Any, **__: Any) -> Any:
        return trust.Counted(listing=False, look=None)

    async def anything(*_: Any) -> None: ...

    leaning(monkeypatch, interferes=1.0)
    monkeypatch.setattr(trust, "counted", believe)
    monkeypatch.setattr(trust.Sample, "check", anything)
    assert noticed(collect)


def test_3_a_count_without_a_look_at_records(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    async def anything(*_: Any) -> None: ...

    leaning(monkeypatch, interferes=1.0)
    monkeypatch.setattr(trust.Sample, "check", anything)
    assert noticed(collect)


def test_4_writes_without_a_mark(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    mark = manifest_client.Manifests.mark

    async def marked(self: manifest_client.Manifests, task_id: str, fence: int) -> bool:
        return bool((await self.of_task(task_id)).uri) or await mark(self, task_id, fence)

    leaning(monkeypatch)
    monkeypatch.setattr(manifest_client.Manifests, "mark", marked)
    assert noticed(collect)


def test_5_a_skip_that_a_driver_settles_in_anothers_turn(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    class Unchecked(table.Check):
        def __init__(self, key: str, when: Any) -> None:
            super().__init__(key, ())

    class Careless:
        def __getattr__(self, name: str) -> Any:
            return Unchecked if name == "Check" else getattr(table, name)

    leaning(monkeypatch, contended=True, cancels=0.8)
    monkeypatch.setattr(shards, "table", Careless())
    assert noticed(collect)


def test_5_a_row_whose_metadata_alone_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    def kinds(rows: Any, known: Any) -> Any:
        same = rows["metadata"] == known["metadata"]
        return np.where(same, comparison.UNCHANGED, comparison.TEXT_CHANGED).astype(np.uint8)

    leaning(monkeypatch)
    monkeypatch.setattr(comparing, "_kinds", kinds)
    monkeypatch.setattr(records.Hashes, "metadata", lambda *_: b"12345678")
    assert noticed(collect)


def test_6_rows_that_may_have_been_written_stay_known(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    leaning(monkeypatch, cancels=0.8)
    monkeypatch.setattr(records, "forget", lambda *_: None)
    assert noticed(collect)


def test_6_a_run_that_is_merged_before_it_is_over(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    read = manifests.Manifests.read

    async def over(self: manifests.Manifests, key: str) -> manifests.State | None:
        found = await read(self, key)
        return None if found is None else dataclasses.replace(found, over="pending_task" in found.item)

    leaning(monkeypatch)
    monkeypatch.setattr(manifests.Manifests, "read", over)
    assert noticed(collect)


def test_6_chunks_of_open_shards_are_left_out(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    delta = merging._Delta._sent

    def left(self: Any, block: Any) -> Any:
        chunks = self._outcome.chunks
        chunks[chunks == merging.UNSURE] = merging.LEFT
        return delta(self, block)

    leaning(monkeypatch, cancels=0.8)
    monkeypatch.setattr(merging._Delta, "_sent", left)
    assert noticed(collect)


def test_8_a_forced_run_that_is_not_merged(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    leaning(monkeypatch)
    monkeypatch.setattr(comparison.Comparison, "changes", property(lambda made: made.counts.new > 0))
    assert noticed(collect)
