"""Our stand-in for OpenAI in the test's own loop."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from sandbox.openai import app, embeddings, settings

# Its weights take a moment to read, so that all share one.
EMBEDDER = embeddings.Embedder.load()


@contextlib.asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[str]:
    """Serve it with these settings on a free port; yields its URL."""
    service = app.Service(settings.Settings(port=0, **config), EMBEDDER)
    runner = web.AppRunner(service.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
