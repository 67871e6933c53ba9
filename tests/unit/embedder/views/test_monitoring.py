"""What operators see of queue, workers and limiter, and what is named as a problem."""

from typing import Any

import prometheus_client
import pytest

from services.chunks import memory_store, presence, views
from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import promise
from services.embedder.views import gauges, looks, monitoring
from services.embedder.views import health as health_view
from services.runtime import errors

QUOTA = promise.Quota(5, 60_000, 300_000)


class Line:
    """Queue and limiter in memory, seen through monitoring."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.queue = memory_store.MemoryStore(clock=lambda: self.now)
        self.limiter = memory_limiter.MemoryLimiter(QUOTA, lambda: self.now)
        self.looks = looks.Looks(views.Views(self.queue), self.limiter)
        self.health = health_view.HealthView(
            self.looks, presence.Presence(self.queue, "ingest"), {"indexer": self.answer}, environment="test"
        )
        self.monitoring = monitoring.Monitoring(self.looks, self.health, model="m", configured=QUOTA)

    async def answer(self) -> None:
        """The indexer is well."""

    async def alive(self) -> None:
        await presence.Presence(self.queue).announce("e-1", 8)
        await presence.Presence(self.queue, "ingest").announce("i-1")
        await self.limiter.touch()
        self.now += promise.STARTING_DEBT_SECONDS


@pytest.fixture
async def line() -> Any:
    made = Line()
    await made.alive()
    return made


async def test_a_line_at_rest_has_no_problem(line: Line) -> None:
    told = await line.monitoring.health()

    assert (told.status, list(told.problems)) == ("healthy", [])
    assert [(each.name, each.active, each.available) for each in told.workers.workers] == [("e-1", 0, 8)]
    assert told.queues.most_bytes == line.queue.limits.queue_bytes
    view = told.limiter
    assert (view.requests_per_second, view.tokens_per_minute, view.factor) == (5, 60_000, 1)
    assert (view.pause_seconds, view.next_start_seconds, view.blocked) == (0, 0, False)
    assert not view.HasField("blocked_reason")


async def test_a_429_and_a_refusing_account_are_seen(line: Line) -> None:
    await line.limiter.pause(20, tokens_exceeded=False)
    await line.limiter.block("You exceeded your current quota.")

    told = await line.monitoring.health()

    assert told.limiter.factor == pytest.approx(0.7)
    assert told.limiter.requests_per_second == pytest.approx(3.5)
    assert (told.limiter.pause_seconds, told.limiter.configured_requests_per_second) == (20, 5)
    assert told.limiter.blocked_reason == "You exceeded your current quota."
    assert len(told.problems) == 3


async def test_looking_changes_nothing(line: Line) -> None:
    line.limiter.flush()
    first = await line.limiter.look()
    line.now += 60

    assert await line.limiter.look() == first  # still absent: its debt begins with the first question


async def test_without_embedders_it_is_said(line: Line) -> None:
    await presence.Presence(line.queue).withdraw("e-1")

    assert list((await line.monitoring.health()).problems) == ["No embedder announces itself: chunks wait."]


async def test_without_valkey_health_answers_and_the_views_are_unavailable(line: Line) -> None:
    line.queue.down = line.limiter.down = True

    told = await line.monitoring.health()

    assert told.status == "degraded"
    assert not told.HasField("queues")
    assert not told.HasField("limiter")
    assert "valkey does not answer." in told.problems
    for view in (line.monitoring.queues, line.monitoring.workers, line.monitoring.limiter):
        with pytest.raises(errors.Unavailable):
            await view()


async def test_the_gauges_show_the_same(line: Line) -> None:
    await line.limiter.block("no money")

    await gauges.Gauges(line.looks).refresh()

    value = prometheus_client.REGISTRY.get_sample_value
    assert value("vectorline_account_blocked") == 1
    assert value("vectorline_worker_slots", {"state": "available"}) == 8
    assert value("vectorline_queue_chunks", {"lane": "high", "state": "waiting"}) == 0
    assert value("vectorline_queue_oldest_seconds") == 0
    assert value("vectorline_queue_bytes_limit") > 0
    assert value("vectorline_workers") == 1
    assert value("vectorline_limiter_pause_seconds") == 0
    assert value("vectorline_limiter_requests_per_second") > 0
