"""Puts the parts together and takes them apart again."""

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from aiohttp import web

from sandbox.pinecone import catalog, control, rates, rest, rpc, scripting, service, splice, units

_MAX_BODY_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = 1024 * 1024  # a fetch of 1,000 ids is one long request line
_GRACE_SECONDS = 1.0


@dataclass(slots=True)
class StandIn:
    """A running stand-in."""

    _splice: splice.Splice
    _http: web.AppRunner
    _grpc: grpc.aio.Server
    _lock: int

    @property
    def port(self) -> int:
        """Where it is dialled."""
        return self._splice.main_port

    @property
    def url(self) -> str:
        """What goes into PINECONE_CONTROLLER_HOST."""
        return f"http://{self._splice.name}:{self.port}"

    async def stop(self) -> None:
        """Stop accepting, give calls under way a moment, close."""
        self._splice.close_all()
        await asyncio.gather(self._grpc.stop(_GRACE_SECONDS), self._http.cleanup())
        os.close(self._lock)


async def start(
    data_dir: Path,
    port: int = 0,
    limits: rates.Rates | None = None,
    api_key: str | None = None,
    *,
    month: units.Month | None = None,
    host: str = splice.HOST,
    name: str = splice.HOST,
) -> StandIn:
    """Start on `host`, reached by others as `name`; port 0 takes any free one.

    Raises:
        OSError: The port or the folder is taken.

    """
    lock = _lock(data_dir)
    backend = service.Service(catalog.Catalog(data_dir), limits or rates.Rates(), api_key, month)
    handler = rpc.VectorService(backend)
    grpc_server, grpc_port = await rpc.start(handler)
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[rest.middleware(backend)])
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=_GRACE_SECONDS, max_line_size=_MAX_LINE_BYTES
    )
    connections = splice.Splice(
        lambda: runner.server() if runner.server else asyncio.Protocol(), grpc_port, host=host, name=name
    )
    handler.connections = connections
    plane = control.ControlPlane(backend, connections)
    app.add_routes(plane.routes())
    app.add_routes(rest.DataPlane(backend, connections.door_of_port).routes())
    app.add_routes(scripting.Scripting(backend).routes())
    await runner.setup()
    stand_in = StandIn(connections, runner, grpc_server, lock)
    try:
        connections.open_main(port)
    except OSError:
        await stand_in.stop()
        raise
    plane.open_ports()
    return stand_in


def _lock(data_dir: Path) -> int:
    """Hold the folder for this process alone; the system lets go of it when the process dies."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise OSError(f"{data_dir} is in use by another stand-in") from error
    return lock
