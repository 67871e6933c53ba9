"""Health: NOT_SERVING until everybody answered once; afterwards only what is vital takes the service out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from services.runtime import health
from tests.support import virtual_time

NAME = "vectorline.v1.EmbedderService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Part:
    """A dependency."""

    def __init__(self, *, up: bool = True, hangs: bool = False) -> None:
        self.up = up
        self.hangs = hangs
        self.serves = True

    async def probe(self) -> None:
        if self.hangs:
            await asyncio.sleep(1e6)
        if not self.up:
            raise OSError("away")
        if not self.serves:
            raise health.NotServingError("it begins or leaves")


@contextlib.asynccontextmanager
async def watched(vital: Part, other: Part) -> AsyncIterator[health.Health]:
    dependencies = {"vital": health.Dependency(vital.probe), "other": health.Dependency(other.probe, vital=False)}
    subject = health.Health((NAME,), dependencies)
    await subject.begin()
    watching = asyncio.create_task(subject.watch())
    yield subject
    watching.cancel()


async def status(subject: health.Health, name: str = NAME) -> Any:
    answer = await subject.servicer.Check(health_pb2.HealthCheckRequest(service=name), None)
    return answer.status


@pytest.mark.parametrize("missing", ["vital", "other"])
def test_nothing_is_served_until_all_have_answered(missing: str) -> None:
    async def work() -> None:
        parts = {"vital": Part(), "other": Part()}
        parts[missing].up = False
        async with watched(**parts) as subject:
            await asyncio.sleep(60)
            assert await status(subject) == NOT_SERVING
            assert await status(subject, "") == NOT_SERVING
            parts[missing].up = True
            await asyncio.sleep(1.5)
            assert await status(subject) == SERVING
            assert await status(subject, "") == SERVING

    virtual_time.run(work())


def test_afterwards_only_the_vital_ones_count_and_not_for_one_slow_answer() -> None:
    async def work() -> None:
        vital, other = Part(), Part()
        async with watched(vital, other) as subject:
            await asyncio.sleep(1)
            other.up = False
            await asyncio.sleep(60)
            assert await status(subject) == SERVING
            vital.hangs = True
            await asyncio.sleep(health.PROBE_TIMEOUT_SECONDS + 1)
            assert await status(subject) == SERVING
            await asyncio.sleep(30)
            assert await status(subject) == NOT_SERVING
            vital.hangs = False
            await asyncio.sleep(health.PROBE_TIMEOUT_SECONDS + 1.5)
            assert await status(subject) == SERVING

    virtual_time.run(work())


def test_a_dependency_that_leaves_takes_nobody_with_it_but_one_that_begins_is_waited_for() -> None:
    """A rolled indexer says NOT_SERVING for LEAVE_SECONDS and serves: no ingest may leave its load balancer for it."""

    async def work() -> None:
        vital = Part()
        vital.serves = False
        async with watched(vital, Part()) as subject:
            await asyncio.sleep(60)
            assert await status(subject) == NOT_SERVING
            vital.serves = True
            await asyncio.sleep(1.5)
            assert await status(subject) == SERVING
            vital.serves = False
            await asyncio.sleep(60)
            assert await status(subject) == SERVING

    virtual_time.run(work())


def test_who_leaves_does_not_come_back() -> None:
    async def work() -> None:
        async with watched(Part(), Part()) as subject:
            await asyncio.sleep(1)
            await subject.leave()
            assert await status(subject) == NOT_SERVING
            await asyncio.sleep(60)
            assert await status(subject) == NOT_SERVING

    virtual_time.run(work())
