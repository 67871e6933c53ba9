"""A service that moved to another address, as a container or a task that is replaced does."""

import asyncio
import time
from typing import Any

import grpc
import pydantic
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.runtime import channels
from tests.support import names

FOLLOWED_SECONDS = 10.0  # gRPC's own default asks a name at most every 30 s


async def serve(address: str) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port(address)
    await server.start()
    return server, port


async def answers(stub: Any) -> bool:
    try:
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_a_channel_follows_a_name_whose_address_changed_just_after_it_was_asked() -> None:
    first, port = await serve("127.0.0.2:0")
    second, _ = await serve(f"127.0.0.3:{port}")
    with names.serving() as server:
        server.addresses = ("127.0.0.2",)
        where = f"dns://127.0.0.1:{server.port}/indexer.test:{port}"
        async with channels.connect(where, pydantic.SecretStr(""), name="indexer") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)

            server.addresses = ("127.0.0.3",)
            await first.stop(None)
            moved = time.monotonic()
            while time.monotonic() - moved < FOLLOWED_SECONDS and not await answers(stub):
                await asyncio.sleep(0.1)

            await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    await second.stop(None)
