"""Look at a process from outside: does it do its work yet?"""

import asyncio
import contextlib
import urllib.request
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sandbox.line import specs

PROBE_SECONDS = 2.0  # for one look
PAUSE_SECONDS = 0.1  # between two looks


async def answers(probe: specs.Probe) -> bool:
    """Whether the process behind the probe is ready now; never raises for one that is not."""
    match probe.kind:
        case "none":
            return True
        case "http":
            return await asyncio.to_thread(_http, probe.target)
        case "grpc":
            return await _grpc(probe.target, probe.service)
        case "valkey":
            return await _valkey(probe.target)
    raise ValueError(f"unknown probe: {probe.kind}")


async def wait(probe: specs.Probe) -> None:
    """Return once the process is ready."""
    while not await answers(probe):  # noqa: ASYNC110 - another process tells no events
        await asyncio.sleep(PAUSE_SECONDS)


def _http(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PROBE_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):  # HTTPError and URLError are OSErrors
        return False


async def _grpc(target: str, service: str) -> bool:
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PROBE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _valkey(target: str) -> bool:
    """PONG means that it has loaded its data, too; while it loads, it answers LOADING."""
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
