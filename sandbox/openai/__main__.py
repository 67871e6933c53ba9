"""Start the stand-in: ``python -m sandbox.openai --port 9001``."""

from __future__ import annotations

import asyncio
import os
import signal

# One thread a request: the line runs several requests at once, and all of them share the machine with everything else.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import uvloop
from aiohttp import web

from sandbox.openai import app, canned, embeddings, settings

SHUTDOWN_SECONDS = 2.0  # for requests under way when the signal comes


async def serve(config: settings.Settings) -> None:
    """Serve until SIGTERM or SIGINT; prints one line once connections are accepted."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    meant = config.vectors is settings.Vectors.STATIC
    service = app.Service(config, embeddings.Embedder.load() if meant else canned.Canned())
    runner = web.AppRunner(
        service.application(), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port).start()
        port = runner.addresses[0][1]
        print(f"openai stand-in listening on http://{config.host}:{port}", flush=True)  # noqa: T201 - the ready line is its interface
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run the program."""
    uvloop.run(serve(settings.read()))


if __name__ == "__main__":
    main()
