"""What must hold of tasks that are no loads: when each of them is over, and at the end."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vectorline.v1 import task_pb2

from services.indexer.ledger import items
from services.indexer.ledger import records as task_records
from services.indexer.storage import table
from services.ingest.driving import removing as removals
from services.ingest.jobs import findings
from services.ingest.manifest import comparison, header, records, store
from tests.simulation import files, jobs, providers

if TYPE_CHECKING:
    from tests.simulation.world import World

# Why a job may fail.
FAILURES = {
    "verify": {"NOTHING_KNOWN", "MANIFEST_CHANGED", "REPAIR_REFUSED"},
    "adopt": {
        "ALREADY_KNOWN",
        "WRITTEN_LATELY",
        "NOTHING_THERE",
        "NOTHING_TO_ADOPT",
        "ADOPT_DISAGREES",
        "MANIFEST_CHANGED",
    },
    "remove": {"NOTHING_KNOWN", "MANIFEST_CHANGED", "SUPERSEDED", "REMOVE_SHARED"},
}
# Besides, where an older release drives.
OLDER = {"TASK_TYPE_UNKNOWN", "SKIP_UNCHANGED_OFF"}


class Removing(NamedTuple):
    """What a task removes: under which fence all of it (0: not for sure), and whether it may have done some of it."""

    clears: Callable[[str], bool]
    fence: int
    partly: bool


class Drift(NamedTuple):
    """What of a manifest differs from the index, by id; `vague`: what shows in the vectors alone."""

    missing: set[str]
    strange: set[str]
    differing: set[str]
    vague: set[str]
    unknown: int


# ---- at the moment


def on_status(world: "World", job: jobs.Job, task_id: str, status: str) -> Iterator[str]:
    """What a job's new status says that is not so."""
    if status == items.Status.PROCESSING and job.seen is None:
        job.seen = _there(world, job.question_id)
    if status == items.Status.PROCESSING_CHUNKS and not job.looked_under:
        job.looked_under = world.shared.table.items[task_id]["fence"]
    if status != items.Status.COMPLETED:
        return
    task = world.shared.table.items[task_id]
    if job.kind == "remove":
        yield from _removed(world, job, task)
    elif job.seen == _there(world, job.question_id):  # or nobody can say what it should have seen
        yield from _verified(world, job, task) if job.kind == "verify" else _adopted(world, job, task)


def _there(world: "World", question_id: int) -> dict[str, tuple[bytes, bytes]]:
    """The question's records: vector and metadata by id."""
    pinecone, prefix = world.shared.pinecone, f"{question_id}."
    return {
        key[1]: (values, pinecone.metadata[key].SerializeToString(deterministic=True))
        for key, values in pinecone.vectors.items()
        if key[1].startswith(prefix)
    }


def _removed(world: "World", job: jobs.Job, task: table.Item) -> Iterator[str]:
    """All that it had to remove is gone, but what somebody else has put there since."""
    gone = gone_of(world, task)
    there = {name for name in _there(world, job.question_id) if world.touched.get(name, -1.0) < job.submitted_at}
    there -= world.shared.pinecone.late.keys()
    if left := there & set(gone):
        yield f"{job.name} is completed, and {sorted(left)} are there"
    if task.get("removed", 0) != len(gone):
        yield f"{job.name} says that it removed {task.get('removed', 0)} of {len(gone)}"
    if job.of_load:
        rows = {row.vector_id for row in job.after.rows}
        if strangers := set(gone) - rows:
            yield f"{job.name} removes {sorted(strangers)}, which are not in {job.after.name}"
        there &= {row.vector_id for row in job.after.rows if row.outcome == "indexed"}
        if world.status(job.after) == items.Status.CANCELLED or job.voided:
            return  # of some rows it is not known whether they were written
    # Nobody lists the ids where the count is as it should be: what was swapped behind our back may stay.
    if left := {name for name in there if name not in world.touched}:
        yield f"{job.name} is completed, and knew nothing of {sorted(left)}"


def _verified(world: "World", job: jobs.Job, task: table.Item) -> Iterator[str]:
    """It found exactly what differs."""
    found = json.loads(world.shared.bucket.objects[task["plan_uri"]])
    item = world.shared.table.items[items.manifest_key("idx", files.NAMESPACE, job.question_id)]
    if item["version"] != found["version"] or "uri" not in item:
        return  # it was given up meanwhile
    drift, result = _drift(world, job, item), task_pb2.TaskResult.FromString(task["result"])
    told: dict[str, set[str]] = {findings.MISSING: set(), findings.STRANGE: set(), findings.DIFFERING: set()}
    for part in findings.read(_objects(world), found["findings"]):
        for each in part:
            told[each.reason].add(each.vector_id)
    for reason, expected in ((findings.MISSING, drift.missing), (findings.STRANGE, drift.strange)):
        if told[reason] != expected or getattr(result, reason) != len(expected):
            yield f"{job.name} calls {sorted(told[reason])} {reason}, and {sorted(expected)} are: {result}"
    if result.unknown != drift.unknown:
        yield f"{job.name} says that {result.unknown} are unknown, and {drift.unknown} are"
    least = len(drift.differing) if job.fetch == jobs.WHOLE or job.sample == jobs.WHOLE else 0
    if job.sample == jobs.WHOLE:
        least = len(drift.differing | drift.vague)
    most = len(drift.differing | drift.vague) if job.sample else len(drift.differing)
    if not least <= result.differing <= most or told[findings.DIFFERING] - drift.differing:
        yield f"{job.name} finds {result.differing} that differ, {sorted(told[findings.DIFFERING])}: {drift}"
    if job.repair != bool(result.repair_task_id) and result.missing + result.differing:
        yield f"{job.name} is to repair: {job.repair}, and has {result.repair_task_id!r}"


def _adopted(world: "World", job: jobs.Job, task: table.Item) -> Iterator[str]:
    """It knows all whose text is whole, and nothing else."""
    result = task_pb2.TaskResult.FromString(task["result"])
    pinecone = world.shared.pinecone
    there = [key for key in pinecone.vectors if key[1].startswith(f"{job.question_id}.")]
    whole = [key for key in there if "text_truncated" not in pinecone.metadata[key]]
    if (result.known, result.unknown) != (len(whole), len(there) - len(whole)):
        yield f"{job.name} knows {result.known}, not {result.unknown}, and {len(whole)} of {len(there)} hold their text"
    wrong = [key for key in whole if pinecone.vectors[key] != providers.vector_of(pinecone.metadata[key]["text"])]
    if wrong and job.sample == jobs.WHOLE:
        yield f"{job.name} believes {wrong}, which hold other vectors"


def _drift(world: "World", job: jobs.Job, item: table.Item) -> Drift:
    hashes, there = records.Hashes(item["key"]), _there(world, job.question_id)
    pinecone = world.shared.pinecone
    known: dict[str, tuple[bytes, bytes]] = {}
    unknown = set()
    objects = _objects(world)
    for block in header.Header.from_json(objects.get(item["uri"]), item["checksum"]).entries(objects, ids=True):
        for name, entry, standing in zip(block.ids, block.entries, records.standing(block.entries), strict=True):
            if standing == records.KNOWN:
                known[name.decode()] = (entry["text"].tobytes(), entry["metadata"].tobytes())
            elif standing == records.UNKNOWN:
                unknown.add(name.decode())
    differing, vague = set(), set()
    for name in known.keys() & there.keys():
        told = pinecone.metadata[files.NAMESPACE, name]
        # What others write has a text only, or says that it is cut.
        if "question_id" not in told or "text_truncated" in told or hashes.text(_text(told)) != known[name][0]:
            differing.add(name)
        elif providers.vector_of(told["text"]) != there[name][0]:
            vague.add(name)
    return Drift(
        missing=known.keys() - there.keys(),
        strange=there.keys() - known.keys() - unknown,
        differing=differing,
        vague=vague,
        unknown=len(unknown & there.keys()),
    )


def _text(told: Any) -> bytes:
    return str(told["text"]).encode()


def _objects(world: "World") -> store.Store:
    return store.Store(world.shared.bucket.client(world.loop.fate), "")


def gone_of(world: "World", task: table.Item) -> list[str]:
    """The ids that a task was to remove."""
    kept = task.get("comparison")
    if kept is None:
        return []
    made = comparison.Comparison.from_bytes(world.shared.bucket.objects[kept["uri"]], kept["checksum"])
    if made.gone is None:
        return []
    return [name for chunk in removals.chunks(_objects(world), made.gone) for name in chunk.ids]


# ---- at the end


def unfinished(world: "World") -> list[str]:
    """Jobs that are still to come to their end."""
    return [
        f"{job.name} is {world.status(job)!r}"
        for job in world.jobs
        if not job.refused and world.status(job) not in items.TERMINAL
    ]


def violated(world: "World") -> Iterator[str]:
    """What does not hold of jobs."""
    for job in world.jobs:
        made = [item for item in world.shared.table.items.values() if _is(item, job)]
        if len(made) > 1 or (made and job.refused):
            yield f"{job.name} was asked for again, and is {len(made)} tasks, refused: {job.refused!r}"
        if job.task_id and not made:
            yield f"{job.name} was lost"
        for task in made:
            yield from _over(world, job, task)


def _is(item: table.Item, job: jobs.Job) -> bool:
    return items.is_task(item) and "job" in item and task_records.request(item).request_id == job.key


def _over(world: "World", job: jobs.Job, task: table.Item) -> Iterator[str]:
    """It ended as it may, has no row too many, and removed nothing in another's turn."""
    status, reason = task["status"], task.get("error_reason", "")
    if status == items.Status.CANCELLED and job.cancelled_after is None:
        yield f"{job.name} was cancelled by nobody"
    if status == items.Status.FAILED:
        if reason not in FAILURES[job.kind] and not (reason in OLDER and world.fate.releases):
            yield f"{job.name} failed: {reason} {task.get('error')}"
        if reason == "ADOPT_DISAGREES" and not world.touched:
            yield f"{job.name} failed, and nobody changed anything: {task['error']}"
    elif status == items.Status.PARTIALLY_COMPLETED:
        yield f"{job.name} is {status}"
    if status == items.Status.COMPLETED and job.kind != "remove":
        # One that wrote nothing has left all as it was seen.
        yield from _overtaken(world, job, task, job.looked_under, task["fence"], wrote="i")
    if status == items.Status.COMPLETED and task["rows_total"] != task["indexed"] + task["skipped"] + task["failed"]:
        yield f"{job.name} counts otherwise: {task}"
    deletes = [outcome["n"] for outcome in _outcomes(world, str(task[table.KEY])) if outcome.get("d")]
    if deletes and job.kind != "remove":
        yield f"{job.name} removes: {deletes}"
    if deletes:
        load = world.shared.table.items[job.after.task_id]
        since = load.get("fence", 0) if job.of_load else task["comparison"]["fence"]
        yield from _overtaken(world, job, task, since, max(deletes))


def _outcomes(world: "World", task_id: str) -> list[dict[str, Any]]:
    """Of a task's chunks."""
    shards = [item for item in world.shared.table.items.values() if item.get("kind") == "shard"]
    return [outcome for shard in shards if shard["task"] == task_id for outcome in shard["c"].values()]


def _overtaken(
    world: "World", job: jobs.Job, task: table.Item, since: int, last: int, wrote: str = ""
) -> Iterator[str]:
    """Nobody who may write (or, if so named, has written) had the turn between what it goes by and what it does."""
    stored = world.shared.table.items
    for fence, holder in world.shared.table.holders[items.turn_key("idx", files.NAMESPACE, job.question_id)]:
        other = holder != task[table.KEY] and stored[holder]["task_type"] not in items.READING
        if wrote:
            other = other and any(outcome[wrote] for outcome in _outcomes(world, holder))
        if other and since < fence < last:
            yield f"{job.name} goes by {since}, ends under {last}, and another had the turn: {fence}"
            return


def removing(world: "World") -> Iterator[Removing]:
    """What removals removed, for those who look at the index."""
    for job in world.jobs:
        task = world.shared.table.items.get(job.task_id)
        if job.kind != "remove" or task is None or "removal" not in task:
            continue
        gone = frozenset(gone_of(world, task))
        done = task["status"] == items.Status.COMPLETED
        yield Removing(gone.__contains__, task["fence"] if done else 0, not done)


def finds_all(job: jobs.Job, *, vague: bool = False) -> bool:
    """Whether a job looks at every record, `vague`: also at its vector."""
    return job.sample == jobs.WHOLE or (not vague and (job.kind == "adopt" or job.fetch == jobs.WHOLE))


def seen_at(world: "World", vector_id: str) -> float:
    """When a job was last asked for after which what is known of an id is so, whatever others did to it before."""
    question, vague = int(vector_id.partition(".")[0]), vector_id in world.vague
    return max(
        (
            job.submitted_at
            for job in world.jobs
            if job.question_id == question
            and (job.kind == "adopt" or job.repair)
            and world.status(job) == items.Status.COMPLETED
            and finds_all(job, vague=vague)
        ),
        default=-1.0,
    )
