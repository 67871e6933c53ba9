"""Start the stand-in: ``python -m sandbox.metabase --port 9003``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

import uvloop
from aiohttp import web

from sandbox.metabase import app


async def serve(host: str, port: int, api_key: str) -> None:
    """Serve until SIGTERM or SIGINT; prints one line once connections are accepted."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app.Service(api_key).application(), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        print(f"metabase stand-in listening on http://{host}:{runner.addresses[0][1]}", flush=True)  # noqa: T201 - the ready line is its interface
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.metabase", description="A Metabase-compatible server for tests and laptops."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=9003, help="port to listen on; 0: any free one")
    key = os.environ.get("SANDBOX_METABASE_API_KEY", "")
    parser.add_argument("--api-key", default=key, help="the only key that is accepted (default: any)")
    given = parser.parse_args()
    uvloop.run(serve(given.host, given.port, given.api_key))


if __name__ == "__main__":
    main()
