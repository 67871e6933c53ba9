"""What the line was like in the last 15 minutes: a look every 10 s, kept in the process that looked."""

import asyncio
import collections
import contextlib
import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn

from vectorline.v1 import console_pb2, monitoring_pb2

from services.chunks import errors as queue_errors
from services.chunks import presence
from services.embedder.views import looks, monitoring

EVERY_SECONDS: Final = 10.0
KEPT: Final = 90
ASK_SECONDS: Final = 2.0


class History:
    """Looks at the line for ever, and tells what it saw.

    Args:
        monitor: Sees queue, workers, limiter and services.
        ingests: Those that announce themselves.
        circuits: Whether each is open; one that fails is not known.
    """

    def __init__(
        self,
        monitor: monitoring.Monitoring,
        ingests: presence.Presence,
        circuits: Mapping[str, Callable[[], Awaitable[bool]]],
    ) -> None:
        self._monitor = monitor
        self._ingests = looks.Look(ingests.live)
        self._circuits = {name: looks.Look(is_open) for name, is_open in circuits.items()}
        self._samples: collections.deque[console_pb2.LineSample] = collections.deque(maxlen=KEPT)
        self._before: tuple[float, monitoring_pb2.LimiterView] | None = None

    async def run(self) -> NoReturn:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Look once, and keep what there was to see if all of it was."""
        now = await self.now()
        if not now.HasField("limiter"):
            self._before = None
            return
        sample = console_pb2.LineSample(
            time=now.timestamp,
            ingests=now.ingests,
            embedders=len(now.workers.workers),
            waiting=now.queues.waiting,
            pending=now.queues.pending,
            oldest_seconds=now.queues.oldest_seconds,
            active=now.workers.active,
            available=now.workers.available,
            factor=now.limiter.factor,
        )
        at = asyncio.get_running_loop().time()
        if self._before is not None and at > self._before[0]:
            before = self._before[1]
            sample.permits_per_second = _since(before.permits, now.limiter.permits) / (at - self._before[0])
            sample.refused = int(_since(before.refused, now.limiter.refused))
        self._before = (at, now.limiter)
        self._samples.append(sample)

    async def view(self) -> console_pb2.LineView:
        """The line now, and what it was like."""
        view = await self.now()
        view.samples.extend(self._samples)
        for name, is_open in self._circuits.items():
            with contextlib.suppress(Exception):  # whatever it is, nothing is known
                async with asyncio.timeout(ASK_SECONDS):
                    view.circuits[name] = "open" if await is_open() else "closed"
        return view

    async def now(self) -> console_pb2.LineView:
        """The line now; what does not answer is left out."""
        health = await self._monitor.health()
        view = console_pb2.LineView(services=health.services)
        view.timestamp.FromDatetime(datetime.datetime.now(datetime.UTC))
        for name in ("workers", "queues", "limiter"):
            if health.HasField(name):
                getattr(view, name).CopyFrom(getattr(health, name))
        with contextlib.suppress(queue_errors.QueueUnavailable):  # then the queue is missing above, too
            view.ingests = len(await self._ingests())
        return view


def _since(before: float, now: float) -> float:
    """How many came, also when the counter began anew."""
    return now - before if now >= before else now
