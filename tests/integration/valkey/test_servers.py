"""Servers as they are in the field: TLS, passwords that change, users who may do little, clusters, little memory."""

import asyncio
import contextlib
import dataclasses
import pathlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pydantic
import pytest
import redis.asyncio
import structlog

from services.chunks import errors as queue_errors
from services.chunks import settings as queue_settings
from services.chunks import valkey_store, views
from services.chunks.consumer import Consumer
from services.embedder.limiter import promise
from services.embedder.limiter import valkey as valkey_limiter
from services.runtime import secrets
from services.valkey import connection, errors, health, rates, tokens
from services.valkey import settings as valkey_settings
from tests.support import certificates, chunks
from tests.support import valkey as valkey_server

MIB = queue_settings.MIB
# All that the line's keys have in common.
KEYS = "~{vectorline}*"


async def everything_works(client: redis.asyncio.Redis) -> None:
    """Health, queue, limiter, rates and tokens, each command of them."""
    await health.Server(client, 1, lambda _: None).probe()
    queue = valkey_store.ValkeyStore(client)
    task_id = await chunks.publish(queue, 3)
    consumer = Consumer(queue, slots=4)
    await consumer.start()
    held = await consumer.take(3)
    assert await consumer.renew(held[0])
    async with consumer.strikes.guard(held[0]):
        pass
    assert await consumer.hand_back(held[1])
    assert await consumer.ack(held[0])
    assert task_id in await queue.tasks()
    assert len((await queue.prune(task_id)).kept) == 2
    assert (await views.Views(queue).overview()).queued == 1
    assert await queue.acquire_split(task_id, "x")
    assert await queue.defect(task_id, "x", "y") == 1
    await queue.forgive(task_id)
    await consumer.close()
    await queue.clear(task_id)
    limiter = valkey_limiter.ValkeyLimiter(client, "m", promise.Quota(0, 0, 300_000))
    assert (await limiter.acquire(1)).verdict is promise.Verdict.START
    await limiter.pause(0.0, tokens_exceeded=False)
    await limiter.block("x")
    assert await limiter.claim_probe(1)
    await limiter.unblock()
    await limiter.look()
    with structlog.testing.capture_logs() as logged:
        assert await rates.ValkeyRate(client).take("ann", 1) == 0
        bought = tokens.ValkeyTokens(client)
        bought.spent("ann", 5)
        await bought.flush()
        assert await bought.used("ann") == 5
    assert logged == []


async def at_start(client: redis.asyncio.Redis, queue: valkey_store.ValkeyStore) -> list[Any]:
    """What a process says of a server when it starts."""
    with structlog.testing.capture_logs() as logged:
        server = health.Server(client, queue.limits.queue_bytes, queue.fit)
        await server.begin()
        for _ in range(3):
            await server.probe()
    return logged


# ---- TLS


@dataclasses.dataclass
class Tls:
    """Where TLS is spoken, and the certificate of the authority that signed the server's."""

    port: int
    authority: pathlib.Path


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def tls(tmp_path: pathlib.Path) -> AsyncIterator[Tls]:
    """A server with a password behind an end of TLS: the test's valkey-server is built without."""
    authority = certificates.Authority(tmp_path / "ca")
    files = authority.sign("localhost")
    spoken = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    spoken.load_cert_chain(files["tls_cert_file"], files["tls_key_file"])
    with valkey_server.running(options=("--requirepass", "open sesame"), password="open sesame") as server:
        pumps: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
            both = [asyncio.create_task(_pump(*each)) for each in ((reader, up_writer), (up_reader, writer))]
            pumps.update(both)
            await asyncio.wait(both)

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=spoken) as listening:
            yield Tls(listening.sockets[0].getsockname()[1], authority.folder / "ca.pem")
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def test_tls_and_a_password(tls: Tls) -> None:
    url = f"rediss://:open%20sesame@localhost:{tls.port}/0?ssl_ca_certs={tls.authority}"
    where = valkey_settings.ValkeySettings(redis_url=pydantic.SecretStr(url))
    client = connection.connect(where.url, proof=where.proof(secrets.renewed))

    await everything_works(client)
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rediss://:open%20sesame@localhost:{port}/0", "cannot be reached.*certificate verify failed"),
        ("rediss://:open%20sesame@127.0.0.1:{port}/0?ssl_ca_certs={ca}", "cannot be reached.*certificate"),
        ("rediss://:wrong@localhost:{port}/0?ssl_ca_certs={ca}", "refuses the user or the password"),
        ("rediss://localhost:{port}/0?ssl_ca_certs={ca}", "refuses the user or the password"),
        ("redis://:open%20sesame@localhost:{port}/0", "cannot be reached"),
    ],
)
async def test_what_does_not_fit_is_said_and_is_no_defect(tls: Tls, url: str, words: str) -> None:
    client = connection.connect(url.format(port=tls.port, ca=tls.authority))
    with pytest.raises(errors.NotNow, match=words):
        await health.Server(client, 1, lambda _: None).probe()
    await client.aclose()


# ---- users and passwords


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param("+@all -config -keys -flushall -flushdb -debug -shutdown", id="without CONFIG and KEYS"),
        pytest.param("+@all -@admin -@dangerous", id="without what is dangerous, INFO too"),
    ],
)
async def test_a_user_who_may_do_little(rules: str) -> None:
    with valkey_server.running() as server:
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "line", "on", ">p", KEYS, *rules.split())
        client = connection.connect(f"redis://line:p@127.0.0.1:{server.port}/0")

        logged = await at_start(client, valkey_store.ValkeyStore(client))
        await everything_works(client)

        assert [line["action"] for line in logged] == (["valkey_unasked"] if "dangerous" in rules else [])
        await client.aclose()


async def test_a_right_that_is_missing_is_waited_for() -> None:
    with valkey_server.running() as server:
        with server.client() as admin:
            admin.execute_command("ACL", "SETUSER", "line", "on", ">p", KEYS, "+@all", "-evalsha", "-eval")
            client = connection.connect(f"redis://line:p@127.0.0.1:{server.port}/0")
            queue = valkey_store.ValkeyStore(client)
            with pytest.raises(errors.NotNow, match="NoPermission"):
                await health.Server(client, 1, lambda _: None).probe()
            with pytest.raises(queue_errors.QueueUnavailable):
                await queue.look()
            admin.execute_command("ACL", "SETUSER", "line", "+@all")

        await everything_works(client)
        await client.aclose()


async def test_a_password_that_was_rotated_is_used_from_the_next_connection_on() -> None:
    with valkey_server.running(options=("--requirepass", "one"), password="one") as server:
        fetched: list[float] = []

        async def look() -> None:
            fetched.append(time.monotonic())
            password.renew("two")

        password = secrets.LiveSecret("one", look)
        where = valkey_settings.ValkeySettings(redis_port=server.port).model_copy(update={"redis_password": password})
        client = connection.connect(where.url, proof=where.proof(secrets.renewed))
        server_health = health.Server(client, 1, lambda _: None)
        await server_health.probe()
        with server.client() as admin:
            admin.config_set("requirepass", "two")
            admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        with pytest.raises(errors.NotNow):  # a dead connection, or the old password
            await server_health.probe()
        async with asyncio.timeout(10):
            while True:
                try:
                    await server_health.probe()
                    break
                except errors.NotNow:
                    await asyncio.sleep(0.05)

        assert len(fetched) == 1
        await client.aclose()


# ---- clusters


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[valkey_server.ValkeyServer]]:
    """Three nodes of a cluster that know nothing of each other yet."""
    nodes = [
        valkey_server.ValkeyServer(options=("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no"))
        for _ in range(3)
    ]
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.close()


@pytest.fixture
async def of_one_shard(cluster: list[valkey_server.ValkeyServer]) -> AsyncIterator[redis.asyncio.Redis]:
    with cluster[0].client() as first:
        if int(first.execute_command("CLUSTER INFO")["cluster_slots_assigned"]) == 0:
            first.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    client = connection.connect(cluster[0].url)
    await chunks.until(lambda: ok(client))
    await client.flushall()
    yield client
    await client.aclose()


async def ok(client: redis.asyncio.Redis) -> bool:
    return bool((await client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok")


async def test_a_cluster_of_one_shard_works(of_one_shard: redis.asyncio.Redis) -> None:
    assert await at_start(of_one_shard, valkey_store.ValkeyStore(of_one_shard)) == []
    await everything_works(of_one_shard)


async def test_a_name_that_leads_to_the_shards_replica_is_followed_to_its_primary(
    cluster: list[valkey_server.ValkeyServer], of_one_shard: redis.asyncio.Redis
) -> None:
    """The configuration endpoint of a cluster leads to any node; a replica answers MOVED to everything."""
    with cluster[0].client() as first, cluster[1].client() as second:
        second.execute_command("CLUSTER", "MEET", "127.0.0.1", cluster[0].port)
        primary = first.execute_command("CLUSTER", "MYID").decode()
        await chunks.until(lambda: knows(second, primary))
        second.execute_command("CLUSTER", "REPLICATE", primary)
        client = connection.connect(cluster[1].url)
        queue = valkey_store.ValkeyStore(client)

        async def served() -> bool:
            try:
                await queue.look()
            except queue_errors.QueueUnavailable:
                return False
            return True

        await chunks.until(served)
        await everything_works(client)
        await client.aclose()


async def knows(node: redis.Redis, other: str) -> bool:
    nodes = node.execute_command("CLUSTER NODES")
    return any(each["node_id"] == other and "handshake" not in each["flags"] for each in nodes.values())


async def test_a_cluster_of_three_shards_is_refused_at_start_by_name(
    cluster: list[valkey_server.ValkeyServer], of_one_shard: redis.asyncio.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    with cluster[0].client() as first:
        for slot, node in enumerate(cluster[1:], start=1000):
            with node.client() as other:
                other.execute_command("CLUSTER", "RESET", "HARD")
                first.execute_command("CLUSTER", "DELSLOTS", slot)
                other.execute_command("CLUSTER", "ADDSLOTS", slot)
                other.execute_command("CLUSTER", "MEET", "127.0.0.1", cluster[0].port)
        await chunks.until(lambda: shards(first, 3))
    queue = valkey_store.ValkeyStore(of_one_shard)
    server = health.Server(of_one_shard, 1, queue.fit)

    with pytest.raises(health.Unusable):
        await server.probe()  # also where Valkey was away at the start
    with pytest.raises(SystemExit) as stop:
        await server.begin()

    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert "REDIS_URL" in said
    assert "3 shards" in said


async def shards(node: redis.Redis, count: int) -> bool:
    return int(node.execute_command("CLUSTER INFO")["cluster_size"]) == count


# ---- memory


async def test_a_policy_that_throws_away_is_warned_of_once(valkey: valkey_server.ValkeyServer) -> None:
    client = connection.connect(valkey.url)
    await client.config_set("maxmemory-policy", "volatile-lru")
    try:
        (line,) = await at_start(client, valkey_store.ValkeyStore(client))
    finally:
        await client.config_set("maxmemory-policy", "noeviction")

    assert (line["action"], line["log_level"], line["policy"]) == ("eviction_policy", "warning", "volatile-lru")
    await client.aclose()


async def test_the_queue_keeps_to_half_of_a_small_servers_memory(valkey: valkey_server.ValkeyServer) -> None:
    client = connection.connect(valkey.url)
    queue = valkey_store.ValkeyStore(client)
    await client.config_set("maxmemory", 100 * MIB)

    (line,) = await at_start(client, queue)

    assert (line["action"], line["queue_bytes"]) == ("valkey_small", 50 * MIB)
    assert queue.limits.queue_bytes == 50 * MIB
    assert (await views.Views(queue).overview()).most_bytes == 50 * MIB
    await client.aclose()


async def test_a_large_enough_server_is_not_talked_of(valkey: valkey_server.ValkeyServer) -> None:
    client = connection.connect(valkey.url)
    queue = valkey_store.ValkeyStore(client)
    await client.config_set("maxmemory", 1024 * MIB)

    assert await at_start(client, queue) == []
    assert queue.limits == queue_settings.QueueLimits()
    await client.aclose()


async def test_a_full_server_is_well_by_its_probe_since_what_frees_memory_goes_on(
    valkey: valkey_server.ValkeyServer,
) -> None:
    client = connection.connect(valkey.url)
    queue = valkey_store.ValkeyStore(client)
    await chunks.publish(queue, 1)
    consumer = Consumer(queue, slots=1)
    await client.config_set("maxmemory", 1)
    server = health.Server(client, 1, lambda _: None)

    await server.probe()
    limiter = valkey_limiter.ValkeyLimiter(client, "m", promise.Quota(0, 0, 300_000))
    assert (await limiter.acquire(1)).verdict is promise.Verdict.START
    (delivery,) = await consumer.take(1)
    assert await consumer.ack(delivery)
    await client.aclose()


async def test_a_server_that_cannot_save_is_not_well(valkey: valkey_server.ValkeyServer) -> None:
    """NOREPLICAS, as MISCONF: PING is answered, nothing is written."""
    client = connection.connect(valkey.url)
    await client.config_set("min-replicas-to-write", 1)
    server = health.Server(client, 1, lambda _: None)
    try:
        assert await client.ping()
        with pytest.raises(errors.NotNow, match="NOREPLICAS"):
            await server.probe()
    finally:
        await client.config_set("min-replicas-to-write", 0)
    await server.probe()
    await client.aclose()


async def test_a_server_that_is_away_at_the_start_is_looked_at_when_it_is_back() -> None:
    with valkey_server.running(options=("--maxmemory-policy", "allkeys-lru")) as server:
        server.stop()
        client = connection.connect(server.url)
        asked = health.Server(client, 1, lambda _: None)
        with structlog.testing.capture_logs() as logged:
            await asked.begin()
            server.start()
            await asked.probe()
            await asked.probe()
        assert [line["action"] for line in logged] == ["eviction_policy"]
        await client.aclose()
