"""Out of memory: chunks leave the queue only when they are bought, so the limiter goes on."""

from services.embedder.limiter import promise
from services.embedder.limiter import valkey as valkey_limiter
from services.valkey import connection
from tests.support import valkey as valkey_server


async def test_a_full_valkey_still_grants_and_pauses() -> None:
    with valkey_server.running() as server:
        client = connection.connect(server.url)
        subject = valkey_limiter.ValkeyLimiter(client, "m", promise.Quota(0, 0, 300_000))
        await subject.touch()
        await client.config_set("maxmemory", 1)

        assert (await subject.acquire(1)).verdict is promise.Verdict.START
        await subject.pause(30.0, tokens_exceeded=False)

        assert (await subject.acquire(1)).verdict is promise.Verdict.WAIT
        await client.aclose()


async def test_a_full_valkey_still_knows_that_the_account_refuses_and_who_probes_it() -> None:
    with valkey_server.running() as server:
        client = connection.connect(server.url)
        one, other = (valkey_limiter.ValkeyLimiter(client, "m", promise.Quota(0, 0, 300_000)) for _ in range(2))
        await client.config_set("maxmemory", 1)

        await one.block("no money")

        assert await other.blocked() == "no money"
        assert (await other.acquire(1)).verdict is promise.Verdict.BLOCKED
        assert await one.claim_probe(60)
        assert not await other.claim_probe(60)
        await one.unblock()
        assert await one.blocked() == ""
        await client.aclose()
