"""What callers cause at Valkey does not grow with their number."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.chunks import errors as queue_errors
from services.chunks import memory_store, presence, views
from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import promise
from services.embedder.views import gauges, looks, monitoring
from services.embedder.views import health as health_view
from services.runtime import metrics
from tests.support import virtual_time

ROOT = Path(__file__).resolve().parents[4]
QUOTA = promise.Quota(5, 0, 300_000)


class Counted(memory_store.MemoryStore):
    """Counts the looks; each takes a while."""

    looked = 0

    async def look(self) -> Any:
        self.looked += 1
        await asyncio.sleep(0.2)
        return await super().look()


class Line:
    def __init__(self) -> None:
        self.queue = Counted()
        self.probes = 0
        limiter = memory_limiter.MemoryLimiter(QUOTA)
        seen = looks.Looks(views.Views(self.queue), limiter)
        self.health = health_view.HealthView(
            seen, presence.Presence(self.queue, "ingest"), {"indexer": self.probe}, environment="test"
        )
        self.monitoring = monitoring.Monitoring(seen, self.health, model="m", configured=QUOTA)
        self.gauges = gauges.Gauges(seen)

    async def probe(self) -> None:
        self.probes += 1
        await asyncio.sleep(0.1)


def test_a_flood_of_health_calls_is_one_look_a_second() -> None:
    async def scenario() -> None:
        line = Line()
        for _ in range(50):  # 5 s of 200 callers each tenth of a second
            calls = [line.health.look() for _ in range(100)]
            details = [line.monitoring.health() for _ in range(50)] + [line.monitoring.queues() for _ in range(50)]
            answers = await asyncio.gather(*calls, *details, line.gauges.refresh())
            assert answers[0].services["valkey"] == "healthy"
            answers[0].status = "spoiled"  # each has a message of its own
            assert answers[1].status != "spoiled"
            await asyncio.sleep(0.1)
        elapsed = asyncio.get_running_loop().time() - 1_000
        assert line.queue.looked <= elapsed + 1
        assert line.probes <= elapsed + 1

    virtual_time.run(scenario())


def test_an_outage_is_seen_once_a_second_too_and_its_end_within_one() -> None:
    async def scenario() -> None:
        line = Line()
        line.queue.down = True
        for _ in range(30):
            told = await asyncio.gather(*(line.health.look() for _ in range(20)))
            assert {each.services["valkey"] for each in told} == {"unhealthy"}
            assert {each.status for each in told} == {"degraded", "unhealthy"} & {each.status for each in told}
        assert line.queue.looked <= 2
        line.queue.down = False
        await asyncio.sleep(looks.FRESH_SECONDS + 0.5)
        assert (await line.health.look()).services["valkey"] == "healthy"

    virtual_time.run(scenario())


def test_a_caller_who_goes_away_spoils_it_for_nobody() -> None:
    async def scenario() -> None:
        line = Line()
        seen = looks.Looks(views.Views(line.queue), memory_limiter.MemoryLimiter(QUOTA))
        first, second = asyncio.create_task(seen.overview()), asyncio.create_task(seen.overview())
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).queued == 0
        line.queue.down = True
        await asyncio.sleep(2)
        with pytest.raises(queue_errors.QueueUnavailable):
            await seen.overview()

    virtual_time.run(scenario())


def test_the_version_is_that_of_the_project() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert told["project"]["version"] == metrics.VERSION
