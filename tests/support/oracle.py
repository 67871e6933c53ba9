"""What must be true after every fault, looked up behind the line's back: in the index, the table and Valkey."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from sandbox.openai import catalogue, embeddings
from tests.support import line as lines

MODEL = catalogue.MODELS["text-embedding-3-small"]
CHUNKS_A_SHARD = 256
RANKS = {
    "pending": 0,
    "queued": 1,
    "processing": 2,
    "blocked": 3,
    "processing_chunks": 3,
    **dict.fromkeys(lines.TERMINAL, 9),
}


@dataclasses.dataclass(frozen=True)
class Expected:
    """What must come of a source: hash of each vector by id, reason of each failed row, how many are skipped."""

    vectors: Mapping[str, str]
    failed: Mapping[int, str]
    skipped: int

    @property
    def rows(self) -> int:
        return len(self.vectors) + len(self.failed) + self.skipped


@functools.cache
def _embedder() -> embeddings.Embedder:
    return embeddings.Embedder.load()


@functools.lru_cache(maxsize=200_000)
def _sha256(text: str) -> str:
    return hashlib.sha256(_embedder().embed([text], MODEL, MODEL.dimensions)[0].tobytes()).hexdigest()


def vector_hashes(texts: Sequence[str]) -> list[str]:
    """The hash of each text's float32 bytes, as the OpenAI stand-in would sell them."""
    return [_sha256(text) for text in texts]


def index_holds(found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, str], *, subset: bool = False) -> None:
    """The index has these ids with these vectors, and no other (`subset`: a part of them, and no other)."""
    missing, surplus = expected.keys() - found.keys(), found.keys() - expected.keys()
    assert not surplus, f"{len(surplus)} ids that nobody asked for, e.g. {sorted(surplus)[:3]}"
    assert subset or not missing, f"{len(missing)} ids are missing, e.g. {sorted(missing)[:3]}"
    wrong = [id_ for id_, each in found.items() if each["sha256"] != expected[id_]]
    assert not wrong, f"{len(wrong)} vectors are wrong, e.g. {wrong[:3]}"


def never_regressed(seen: Sequence[Mapping[str, Any]]) -> None:
    """Statuses only went up (blocked and back is allowed), counts only grew, and what was terminal stayed as it was."""
    for before, after in itertools.pairwise(seen):
        said = f"{before['status']} -> {after['status']}"
        assert RANKS[after["status"]] >= RANKS[before["status"]], f"the status went back: {said}"
        for name in ("processed_records", "failed_records", "skipped_records", "chunks_completed"):
            assert after["progress"][name] >= before["progress"][name], f"{name} went back at {said}"
        if before["status"] in lines.TERMINAL:
            assert after["status"] == before["status"], f"a terminal status changed: {said}"


def recounts(items: Mapping[str, Mapping[str, Any]], task_id: str, progress: Mapping[str, Any]) -> None:
    """The task's counts equal its shards', these equal their chunks', and each chunk has one outcome."""
    task = items[task_id]
    shards = {int(key.rpartition("#")[2]): item for key, item in items.items() if key.startswith(f"{task_id}#shard#")}
    sums = {"i": 0, "s": 0, "f": 0}
    chunks: list[int] = []
    for number, shard in shards.items():
        outcomes = shard["c"]
        assert shard["settled"] == len(outcomes), f"shard {number} says {shard['settled']}, holds {len(outcomes)}"
        for name, count in (("i", "indexed"), ("s", "skipped"), ("f", "failed")):
            recount = sum(outcome[name] for outcome in outcomes.values())
            assert shard[count] == recount, f"shard {number}: {count} is {shard[count]}, recount {recount}"
            sums[name] += recount
        chunks += [int(name) for name in outcomes]
        assert all(name // CHUNKS_A_SHARD == number for name in map(int, outcomes))
    told = ("processed_records", "skipped_records", "failed_records")
    assert [progress[name] for name in told] == [sums["i"], sums["s"], sums["f"]], (progress, sums)
    if task["status"] in ("completed", "partially_completed"):
        assert sorted(chunks) == list(range(int(task["chunks_total"])))
        assert task["shards_settled"] == task["shards_total"] == len(shards)
        assert [task[name] for name in ("indexed", "skipped", "failed")] == [sums["i"], sums["s"], sums["f"]]


def leftovers(client: redis.Redis) -> dict[str, Any]:
    """What is left in the queue; empty when nothing is."""
    left: dict[str, Any] = {}
    for key in client.scan_iter("{vectorline}:*", count=1000):
        name = key.decode()
        kind = name.split(":")[1]
        if kind == "chunks":
            pending = sum(group["pending"] for group in client.xinfo_groups(name))
            if client.xlen(name) or pending:
                left[name] = {"entries": client.xlen(name), "pending": pending}
        elif kind in ("inflight", "strikes", "split") or (kind == "bytes" and client.hlen(name)):
            left[name] = kind
    return left


def limit_was_kept(visits: Iterable[Mapping[str, Any]], requests_per_second: float) -> None:
    """No window of 1, 5 or 20 s holds more requests than the limit allows.

    By the stand-in's clock at arrival: a request may be under way for up to the age at which a grant is dropped (0.5 s)
    plus what a loaded machine adds, which widens the window by as much.
    """
    times = [visit["monotonic"] for visit in visits]
    for seconds in (1.0, 5.0, 20.0):
        most = requests_per_second * (seconds + 0.02 + 0.6) + 1
        start = 0
        for end, at in enumerate(times):
            while times[start] < at - seconds:
                start += 1
            held = end - start + 1
            assert held <= most, f"{held} requests within {seconds} s; {most:.0f} are allowed"
