"""Valkey restarted, flushed, hung, full, read-only, and robbed of single entries."""

import signal
from collections.abc import Callable

from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene
from tests.support import proxy
from tests.support import valkey as valkey_server
from tests.support.line import wait_for

ALL_IN_HAND = stages.EMBEDDERS * stages.IN_HAND
LANES = [f"{{vectorline}}:chunks:{lane}" for lane in ("first", "high", "normal", "low")]
GROUP = "embedders"


def amid(harm: Callable[[Scene], None], rows: int = stages.MID_WORK) -> Callable[[Scene], None]:
    """A task that is harmed when a few of its chunks are settled; its status is answered all the while."""

    def act(scene: Scene) -> None:
        scene.slow(250)
        job = scene.upload(rows)
        job.wait_chunks(4)
        harm(scene)
        scene.finish(job)
        job.answered_throughout()

    return act


def deliveries(scene: Scene) -> list[int]:
    """How often each chunk that an embedder has in hand was delivered."""
    with scene.stage.redis() as client:
        lanes = [lane for lane in LANES if client.exists(lane)]
        held = [each for lane in lanes for each in client.xpending_range(lane, GROUP, "-", "+", 100)]
    return [int(each["times_delivered"]) for each in held]


def chunks_held(scene: Scene, pid: int) -> set[int]:
    """The chunks that the embedder of this process has in hand."""
    found = set()
    with scene.stage.redis() as client:
        for lane in (lane for lane in LANES if client.exists(lane)):
            for each in client.xpending_range(lane, GROUP, "-", "+", 100):
                if f"-{pid}-" in each["consumer"].decode():
                    ((_, fields),) = client.xrange(lane, each["message_id"], each["message_id"])
                    found.add(int(fields[b"chunk"]))
    return found


def flush(scene: Scene) -> None:
    with scene.stage.redis() as client, scene.fault():
        client.flushall()


def restart(scene: Scene) -> None:
    with scene.fault():
        scene.stage.valkey.restart(kill=True)


def restart_with_aof(scene: Scene) -> None:
    valkey = scene.stage.valkey
    with scene.stage.redis() as client:
        client.config_set("appendfsync", "always")
        client.config_set("appendonly", "yes")
        wait_for("the first rewrite", lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    valkey.append_only = True
    try:
        with scene.fault():
            valkey.restart(kill=True)
    finally:
        valkey.append_only = False
        with scene.stage.redis() as client:
            client.config_set("appendonly", "no")


def hang(seconds: float) -> Callable[[Scene], None]:
    def harm(scene: Scene) -> None:
        with scene.fault():
            scene.stage.valkey.send_signal(signal.SIGSTOP)
            scene.hold(seconds)
            scene.stage.valkey.send_signal(signal.SIGCONT)

    return harm


def out_of_memory(scene: Scene) -> None:
    with scene.stage.redis() as client, scene.fault():
        client.config_set("maxmemory", "1mb")
        scene.hold(4)
        client.config_set("maxmemory", 0)


def read_only(scene: Scene) -> None:
    with scene.stage.redis() as client, scene.fault():
        client.replicaof("127.0.0.1", 1)
        scene.hold(4)
        client.replicaof("NO", "ONE")


def connections(kind: proxy.Kind, lasting: float, **details: float) -> Callable[[Scene], None]:
    def harm(scene: Scene) -> None:
        with scene.fault(), scene.stage.valkey_proxy.toxic(kind, **details):
            scene.hold(lasting)

    return harm


def delete_pending(scene: Scene) -> None:
    """The entries that embedders hold right now leave the stream."""
    with scene.stage.redis() as client, scene.fault():
        deleted = 0
        for lane in LANES:
            if client.exists(lane):
                held = client.xpending_range(lane, GROUP, "-", "+", 3)
                deleted += sum(client.xdel(lane, each["message_id"]) for each in held)
        assert deleted


def delete_waiting(scene: Scene) -> None:
    """Entries that nobody took yet leave the stream."""
    # In one step, or an embedder may take them in between.
    script = """
        local deleted = 0
        for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 2)) do
            if #redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1) == 0 then
                deleted = deleted + redis.call('XDEL', KEYS[1], entry[1])
            end
        end
        return deleted
    """
    with scene.stage.redis() as client, scene.fault():
        wait_for("entries that wait", lambda: client.eval(script, 1, LANES[2], GROUP))


def delete_consumers(scene: Scene) -> None:
    """Consumers are removed while they read: what they held falls out of the pending list."""
    with scene.stage.redis() as client, scene.fault():
        for consumer in client.xinfo_consumers(LANES[2], GROUP):
            client.xgroup_delconsumer(LANES[2], GROUP, consumer["name"])


def destroy_group(scene: Scene) -> None:
    with scene.stage.redis() as client, scene.fault():
        for lane in LANES:
            if client.exists(lane):
                client.xgroup_destroy(lane, GROUP)


def ten_at_once(scene: Scene) -> None:
    """One chunk is delivered ten times at once: it settles once and is bought once for each embedder at most."""
    for number in range(1, stages.EMBEDDERS + 1):
        scene.line.kill(f"embedder-{number}", signal.SIGSTOP)
    job = scene.upload(300)
    with scene.stage.redis() as client:

        def published() -> list[tuple[bytes, dict[bytes, bytes]]]:
            return client.xrange(LANES[0])

        wait_for("two published chunks", lambda: len(published()) >= 2)
        _, fields = published()[-1]
        with scene.fault():
            for _ in range(9):
                client.xadd(LANES[0], fields)
    for number in range(1, stages.EMBEDDERS + 1):
        scene.line.kill(f"embedder-{number}", signal.SIGCONT)
    scene.finish(job)


def down_at_submit(scene: Scene) -> None:
    """A task is taken while Valkey is away, and runs when it is back."""
    with scene.fault(), scene.stage.valkey_proxy.toxic(proxy.Kind.RESET):
        job = scene.upload(1_000)
        scene.hold(3)
        assert job.status not in ("failed", "completed", "partially_completed")
    scene.finish(job)


def failover(scene: Scene) -> None:
    """The primary hangs, its replica is promoted and has the name; then the same way back."""
    first = scene.stage.valkey
    with valkey_server.running() as second:
        _follow(second, first)
        scene.slow(250)
        job = scene.upload(stages.MID_WORK)
        job.wait_chunks(4)
        try:
            _promote(scene, second, first)
            job.wait_chunks(job.chunks + 6)
            first.send_signal(signal.SIGCONT)
            _follow(first, second)
            _promote(scene, first, second)
            scene.finish(job)
        finally:
            first.send_signal(signal.SIGCONT)
            scene.stage.valkey_proxy.lead_to(first.port)
    job.answered_throughout()


def _follow(replica: valkey_server.ValkeyServer, primary: valkey_server.ValkeyServer) -> None:
    with replica.client() as client:
        client.replicaof("127.0.0.1", primary.port)
        wait_for("the replica", lambda: client.info("replication")["master_link_status"] == "up")


def _promote(scene: Scene, heir: valkey_server.ValkeyServer, primary: valkey_server.ValkeyServer) -> None:
    """Of what the primary took last the replica may lack some: as a failover that nobody planned."""
    with scene.fault(), heir.client() as client:
        primary.send_signal(signal.SIGSTOP)
        scene.hold(2)
        client.replicaof("NO", "ONE")
        scene.stage.valkey_proxy.lead_to(heir.port)
        # Connections to a host that is gone end by a reset, or by whoever waits on them.
        with scene.stage.valkey_proxy.toxic(proxy.Kind.RESET):
            pass


def flush_while_blocked(scene: Scene) -> None:
    scene.stage.openai_faults({"kind": "status", "body": "insufficient_quota", "code": 429})
    job = scene.upload(1_000)
    job.wait_status("blocked")
    with scene.stage.redis() as client:
        client.flushall()
    scene.hold(3)
    assert job.status == "blocked"
    scene.stage.openai_faults()
    scene.lifted()
    scene.finish(job)


# Whoever cannot renew a lease for as long as it lasts may lose what is in hand: so much, and no more, may be bought
# again where Valkey is silent or slow for about a lease. Seldom it is: the living have a heartbeat to renew first.
CELLS = [
    Cell("Valkey: FLUSHALL in mid task", amid(flush), twice=ALL_IN_HAND, fast=True),
    Cell("Valkey: FLUSHALL while the account is blocked", flush_while_blocked),
    Cell("Valkey: killed and restarted without AOF", amid(restart), twice=ALL_IN_HAND),
    Cell("Valkey: killed and restarted with AOF", amid(restart_with_aof), twice=ALL_IN_HAND),
    Cell("Valkey: hung for 60 s", amid(hang(60)), twice=ALL_IN_HAND, patient=True),
    Cell("Valkey: out of memory for 4 s", amid(out_of_memory)),
    Cell("Valkey: READONLY for 4 s", amid(read_only), twice=ALL_IN_HAND),
    Cell("Valkey: failover to its replica, and back", failover, twice=2 * ALL_IN_HAND),
    Cell("Valkey: connections reset for 4 s", amid(connections(proxy.Kind.RESET, 4)), twice=ALL_IN_HAND),
    Cell("Valkey: 0.7 s late for 6 s", amid(connections(proxy.Kind.LATENCY, 6, seconds=0.7)), twice=ALL_IN_HAND),
    Cell("Valkey: away when the task is submitted", down_at_submit),
    Cell("Valkey: an entry deleted while pending", amid(delete_pending), twice=3 * stages.CHUNK_ROWS),
    Cell("Valkey: entries deleted before delivery", amid(delete_waiting)),
    Cell("Valkey: consumers removed while they read", amid(delete_consumers), twice=ALL_IN_HAND),
    Cell("Valkey: the group destroyed", amid(destroy_group), twice=ALL_IN_HAND),
    Cell("one chunk delivered ten times at once", ten_at_once, twice=9 * stages.CHUNK_ROWS),
]
