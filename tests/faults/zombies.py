"""Whoever stood still wakes when everything is over: what it still says and writes changes and leaves nothing.

It finds its calls broken, its leases lost, and its tasks finished by others. After each cell the oracle looks at index,
counts, and every key of the queue.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

import httpx

from tests.faults import manifests, removals, valkey
from tests.faults import stage as stages
from tests.faults.cells import Cell
from tests.faults.scene import Scene, expected_of
from tests.support.line import wait_for

TWO_INGESTS = {"INGESTS": "2"}
TWO_INDEXERS = {"INDEXERS": "2"}
# For so long it is looked at what a process does once it is awake.
AWAKE_SECONDS = 4.0
# Searches that are asked while an embedder stands still, one after the other.
SEARCHES = 30


def state(pid: int) -> str:
    """As /proc has it: T is stopped."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def pids(scene: Scene) -> dict[str, int]:
    """Of all that may be stopped, by name."""
    return {name: scene.line.pid(name) for name in scene.stage.processes}


def stopped(processes: Mapping[str, int]) -> str:
    """The one that a rule has stopped; it says so a moment before it does it."""

    def look() -> list[str]:
        return [name for name, pid in processes.items() if state(pid) == "T"]

    (name,) = wait_for("a process that is stopped", look)
    return name


@contextlib.contextmanager
def asleep(scene: Scene, rule: str) -> Iterator[None]:
    """The rule stops a process within the block; it wakes at its end, and is given time to do what it was about to."""
    scene.arm(rule)
    processes = pids(scene)
    yield
    scene.line.kill(stopped(processes), signal.SIGCONT)
    scene.hold(AWAKE_SECONDS)


def zombie(rule: str, rows: int = 2_000) -> Callable[[Scene], None]:
    """A process stops at a place, loses its lease, and goes on when everything is over."""

    def act(scene: Scene) -> None:
        with asleep(scene, rule):
            job = scene.upload(rows)
            scene.fired()
            scene.finish(job)

    return act


def refused_zombie(scene: Scene) -> None:
    """An embedder stands still before an ack for 60 s: what it then says of the chunks that it held is refused."""
    scene.slow(400)
    scene.arm("embedder.before_ack:stop@3")
    processes = pids(scene)
    job = scene.upload(4_000)
    scene.fired()
    name = stopped(processes)
    held = valkey.chunks_held(scene, processes[name])
    assert held
    scene.hold(60)
    scene.finish(job)
    scene.line.kill(name, signal.SIGCONT)

    # Not of all: what it was just handed it never heard of, and what it could not say in a few tries it let go.
    wait_for(
        "the zombie hears that what it held is another's",
        lambda: held & {each["chunk"] for each in scene.logged(name, "ack_refused")},
    )


def merging(rule: str) -> Callable[[Scene], None]:
    """The merge of a first load stands still while another does it and a second load goes by; a third is told right."""

    def act(scene: Scene) -> None:
        with asleep(scene, rule):
            rows = manifests.first_load(scene)
            scene.fired()
            manifests.merged(scene, 2)
            changed = manifests.later(rows)
            manifests.second_load(scene, changed, manifests.same(rows, changed))
            manifests.merged(scene, 3)
        manifests.second_load(scene, changed, len(expected_of(changed, {}).vectors))

    return act


def mirroring(rule: str, *, late: bool = False) -> Callable[[Scene], None]:
    """Whoever removes what left a file stands still; when it wakes the rows are there again, and stay.

    `late`: it stood still between the ledger's word and its delete, which nobody can call back: then nothing that is
    known of the namespace is believed any more, and the next load writes all of it.
    """

    def act(scene: Scene) -> None:
        before = removals.loaded(scene, removals.ROWS)
        after = before[: removals.ROWS - removals.GONE]
        with asleep(scene, rule):
            job = scene.submit(after, mode="mirror")
            job.unchanged, job.removes, job.removed = len(after), True, removals.GONE
            scene.fired()
            scene.finish(job)
            manifests.merged(scene, 3)
            manifests.second_load(scene, before, len(after))
            manifests.merged(scene, 4)
        if late:
            wait_for("a manifest that is void", lambda: "uri" not in manifests.manifest(scene))
            manifests.second_load(scene, before, 0)
        else:
            item = manifests.manifest(scene)
            assert (int(item["known"]), int(item["unknown"])) == (removals.ROWS, 0), item

    return act


def searching(scene: Scene) -> None:
    """An embedder stands still amid searches and purchases: the other answers, and none is bought when it wakes."""
    scene.slow(100)
    job = scene.upload(stages.MID_WORK)
    job.wait_chunks(3)
    codes: list[int] = []
    over = threading.Event()

    def search() -> None:
        body = {"namespace": scene.namespace, "top_k": 1}
        headers = {"X-API-Key": scene.line.endpoints["API_KEY"]}
        with httpx.Client(base_url=scene.line.endpoints["GATEWAY_URL"], headers=headers, timeout=60) as client:
            while not over.is_set():
                answer = client.post("/api/v1/search", json={**body, "text": f"What is told of {len(codes)}?"})
                codes.append(answer.status_code)

    thread = threading.Thread(target=search, daemon=True)
    thread.start()
    with scene.fault():
        scene.line.kill("embedder-1", signal.SIGSTOP)
        scene.hold(9)
        before = len(codes)
        wait_for("searches are answered by the other", lambda: codes[before:].count(200) >= 3, 60)
        scene.line.kill("embedder-1", signal.SIGCONT)
    wait_for("searches once both are awake", lambda: codes[-SEARCHES:].count(200) == SEARCHES, 60)
    over.set()
    thread.join(60)
    assert set(codes) <= {200, 429, 503, 504}, set(codes)
    scene.finish(job)


CELLS = [
    Cell(
        "embedder stopped for 60 s, a zombie: heartbeat and ack are refused",
        refused_zombie,
        twice=stages.IN_HAND,
        patient=True,
    ),
    *(
        Cell(f"embedder stopped {place}, a zombie afterwards", zombie(rule), twice=stages.IN_HAND)
        for place, rule in (
            ("while it decodes", "embedder.decode:stop@2"),
            ("before its ack", "embedder.before_ack:stop@2"),
            ("before settling", "embedder.after_index_sent:stop"),
            ("with a bought answer", "embedder.after_openai:stop"),
        )
    ),
    Cell("embedder stopped for 9 s amid searches", searching, twice=stages.IN_HAND),
    *(
        Cell(f"two indexers: one stopped {place}, a zombie afterwards", zombie(rule), settings=TWO_INDEXERS)
        for place, rule in (
            ("while it decodes", "indexer.decode:stop@3"),
            ("before settling", "indexer.before_settle:stop@3"),
            ("between settle and roll up", "indexer.after_settle:stop@3"),
        )
    ),
    *(
        Cell(f"two ingests: the splitter stopped {place}, a zombie afterwards", zombie(rule), settings=TWO_INGESTS)
        for place, rule in (
            ("before its scan", "ingest.before_scan:stop"),
            ("between scan and plan", "ingest.before_end_scan:stop"),
            ("in mid publish", "ingest.mid_publish:stop@7"),
            ("before the seal", "ingest.before_seal:stop"),
        )
    ),
    *(
        Cell(f"two ingests: one stopped {place}, a zombie afterwards", merging(rule), settings=TWO_INGESTS)
        for place, rule in (
            ("in mid merge", "ingest.mid_merge:stop"),
            ("between merge and commit", "ingest.before_commit:stop"),
        )
    ),
    Cell(
        "two ingests: one stopped before a mirror's deletes, a zombie afterwards",
        mirroring("ingest.before_removal:stop"),
        twice=removals.GONE,
        settings=TWO_INGESTS,
    ),
    Cell(
        "two indexers: one stopped before a mirror's delete, a zombie afterwards",
        mirroring("indexer.before_delete:stop", late=True),
        twice=removals.GONE + removals.ROWS,
        settings=TWO_INDEXERS,
    ),
]
