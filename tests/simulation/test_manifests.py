"""Rules about manifests, taken away: the simulation notices at once. `rules.py` has those for which it needs longer."""

from collections.abc import Callable

import pytest

from services.ingest import manifest_client
from services.ingest.manifest import comparison, records
from tests.simulation import noticing


def test_4_writes_without_a_mark(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    mark = manifest_client.Manifests.mark

    async def marked(self: manifest_client.Manifests, task_id: str, fence: int) -> bool:
        return bool((await self.of_task(task_id)).uri) or await mark(self, task_id, fence)

    noticing.leaning(monkeypatch)
    monkeypatch.setattr(manifest_client.Manifests, "mark", marked)
    assert noticing.noticed(collect)


def test_6_rows_that_may_have_been_written_stay_known(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
) -> None:
    noticing.leaning(monkeypatch, cancels=0.8)
    monkeypatch.setattr(records, "forget", lambda *_: None)
    assert noticing.noticed(collect)


def test_8_a_forced_run_that_is_not_merged(monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
    noticing.leaning(monkeypatch)
    monkeypatch.setattr(comparison.Comparison, "changes", property(lambda made: made.counts.new > 0))
    assert noticing.noticed(collect)
