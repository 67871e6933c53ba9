"""Where nothing is known of the index: a chunk travels when its rows are written down and the run is marked."""

from typing import Any

import pytest

from services.ingest.driving import comparisons, driver
from services.ingest.manifest import comparing, comparison, records, store, write_ahead
from services.runtime import errors
from tests.unit.ingest import driven

HASHES = records.Hashes(b"k" * records.KEY_BYTES)


class Known(driven.Everything, store.Store):
    """Compares with nothing; tells in which order things happen."""

    def __init__(self, chunks: int, *, away: bool = False) -> None:
        self.line: Any = None
        self.told: list[str] = []
        self._away = away
        run = comparing.Run(driven.TASK, 1, 1, "rules", "c/")
        self.made = comparing.nothing_known(run, rows_total=0, chunks_total=chunks)

    async def witness(self, *_: Any) -> None:
        return None

    async def of(self, *_: Any) -> comparisons.Found:
        return comparisons.Found(self.made, ahead=write_ahead.Writer(self, HASHES, self.made))

    async def settle_quiet(self, *_: Any) -> frozenset[int]:
        raise AssertionError("nobody knows which chunks are quiet")

    async def mark(self, made: comparison.Comparison, fence: int) -> None:
        assert (made, fence) == (self.made, 1)
        self.told.append("marked")

    def put(self, name: str, data: bytes) -> None:
        if self._away:
            raise errors.Unavailable("The object store does not answer now.")
        self.told.append(f"written from {int(name.removeprefix('c/sent-').split('-')[0])} on")

    def published(self, chunk: int) -> None:
        self.told.append(f"published {chunk}")


ROWS = 100  # a chunk


def line(texts: list[str], known: Known, monkeypatch: pytest.MonkeyPatch) -> driven.Scene:
    """A file whose rows have these texts, chunk by chunk."""
    rows = [f"{number},{texts[number // ROWS]}\n" for number in range(len(texts) * ROWS)]
    scene = driven.scene("".join(["id,formatted_text\n", *rows]).encode())
    scene.driver._comparisons = known  # type: ignore[assignment]
    publish = scene.queue.publish

    async def told(header: Any, *arguments: Any, **named: Any) -> Any:
        known.published(header.chunk)
        return await publish(header, *arguments, **named)

    monkeypatch.setattr(scene.queue, "publish", told)
    scene.task(request={"chunk_size": ROWS})
    return scene


async def test_rows_are_written_down_and_the_run_is_marked_before_they_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(4)
    scene = line(["", "b", "c", "d"], known, monkeypatch)
    assert await scene.driver.drive(driven.TASK) is driver.End.DONE
    steps = [step for step in known.told if step.startswith("published")]
    assert steps == [f"published {chunk}" for chunk in range(4)]
    at = known.told.index
    pages = [int(step.split()[2]) for step in known.told if step.startswith("written")]
    assert pages[:2] == [0, 1]  # the first waits for no other
    for chunk in range(4):
        page = max(first for first in pages if first <= chunk)
        assert at(f"written from {page} on") < at(f"published {chunk}")
    assert at("published 0") < at("marked") < at("published 1")  # whose rows have a text
    assert at("written from 1 on") < at("marked")
    assert known.told.count("marked") == 1


async def test_a_run_of_which_nothing_travels_is_never_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its merge would make a manifest of a namespace that no model has claimed."""
    known = Known(2)
    scene = line(["", ""], known, monkeypatch)
    assert await scene.driver.drive(driven.TASK) is driver.End.DONE
    assert "published 1" in known.told
    assert "marked" not in known.told


async def test_nothing_travels_while_the_bucket_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Known(2, away=True)
    scene = line(["a", "b"], known, monkeypatch)
    assert await scene.driver.drive(driven.TASK) is driver.End.LATER
    assert known.told == []
    assert scene.ledger.waits[-1] == "The object store does not answer now."
