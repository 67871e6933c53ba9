"""A service that does nothing, for test_process: it says when it drains and when it is closed."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator

import structlog

from services.runtime import health, secrets, server, settings

log = structlog.get_logger()
DRAIN_SECONDS = float(os.environ.get("DRAIN_SECONDS", "0"))


async def _drain() -> None:
    log.info("Drain.", action="drain_began")
    if DRAIN_SECONDS < 0:
        raise ZeroDivisionError
    await asyncio.sleep(DRAIN_SECONDS)
    log.info("Drained.", action="drain_ended")


async def _answers() -> None:
    pass


@contextlib.asynccontextmanager
async def application() -> AsyncIterator[server.Service]:
    logging.getLogger("some.library").warning("a warning of %d", 7)
    logging.getLogger("some.library").info("a payload that nobody may see")
    yield server.Service(
        names=("vectorline.v1.EmbedderService",),
        register=lambda _server: None,
        dependencies={"everything": health.Dependency(_answers)},
        drain=_drain,
    )
    log.info("Closed.", action="closed")


if __name__ == "__main__":
    vault = secrets.Vault()
    server.run("embedder", vault.load(settings.ProcessSettings), application, vault)
