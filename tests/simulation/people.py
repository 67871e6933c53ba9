"""Those who use the line: they submit, ask again, watch, cancel, confirm, and put right what a quota has stopped."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import grpc
from vectorline.v1 import indexer_pb2

from services.indexer.ledger import items, removals
from services.ingest.request import options
from services.runtime import errors, identity
from tests.simulation import files, invariants, jobs, line
from tests.simulation import loop as loops

if TYPE_CHECKING:
    from tests.simulation.world import World

# After the last fault everything must be over within this much virtual time.
BOUND_SECONDS = 900.0
# So often a job that is refused is asked for again.
TRIES = 3
# Why a job may be refused.
REFUSALS = {
    "verify": {"NOTHING_KNOWN", "REPAIR_SOURCE_UNKNOWN"},
    "adopt": {"ALREADY_KNOWN"},
    "remove": {"SUPERSEDED", "REMOVE_SHARED", "NOTHING_KNOWN"},
}


def given_up(world: "World") -> bool:
    """Whether nobody need go on."""
    return bool(world.broken) or world.loop.now > loops.START + BOUND_SECONDS


# ---- loads


async def submit(world: "World", file: files.File) -> None:
    """Submit, and repeat until there is an answer: with the same key, or after a look what came of it."""
    while file.waits and not _may_follow(world, file):
        if given_up(world):
            return
        await asyncio.sleep(1.0)
    await asyncio.sleep(file.submitted_after)
    if file.waits:
        world.fate.interfere(file)
    file.submitted_at = world.loop.now
    while not file.task_id:
        if world.loop.now > loops.START + BOUND_SECONDS:
            world.broken.append(f"{file.name} could not be submitted")
            return
        if world.broken:
            return
        if not file.key and file.submissions:
            await _look_for(world, file)
        if not file.task_id and (living := world.running["ingest"]):
            file.submissions += 1
            ingest = world.choice.choice(living)
            await _within(15.0, ingest, _tell(world, ingest, file))
        await asyncio.sleep(1.0)
    for _ in range(file.watchers):
        world.loop.fate.start(_watch(world, file))
    if file.mode == "mirror":
        world.loop.fate.start(_confirm(world, file))
    if file.cancelled_after is not None:
        await asyncio.sleep(file.cancelled_after)
        await cancel(world, file)


def _may_follow(world: "World", file: files.File) -> bool:
    """Whether what a file comes after is over."""
    behind = file.behind is None or bool(file.behind.refused) or world.status(file.behind) in items.TERMINAL
    return behind and (file.before is None or world.status(file.before) in items.TERMINAL)


async def _tell(world: "World", ingest: line.Ingest, file: files.File) -> None:
    request = options.Options(
        data_source="s3_csv",
        s3_key=file.name,
        question_id=file.question_id,
        chunk_size=file.chunk_size,
        priority=file.priority,
        mode=file.mode,
        request_id=file.key,
    ).to_request()
    try:
        task_id = await ingest.submit(request)
    except grpc.aio.AioRpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            world.broken.append(f"{file.name} is refused: {error.code()} {error.details()}")
        return
    if file.task_id and file.task_id != task_id:
        world.broken.append(f"one key made two tasks: {file.task_id}, {task_id}")
    file.task_id = task_id
    world.of_task[task_id] = file


async def _look_for(world: "World", file: files.File) -> None:
    """Without a key nobody can ask again: when nothing is under way any more, see whether the task is there."""
    while not world.fate.calm:
        await asyncio.sleep(1.0)
    await asyncio.sleep(60.0)
    if not file.task_id and (made := invariants.tasks_of(world, file)):
        file.task_id = made[0]
        world.of_task[made[0]] = file


# ---- jobs


async def ask(world: "World", job: jobs.Job) -> None:
    """Ask for a job once its load is over, and repeat until it is stored, or refused again and again."""
    while world.status(job.after) not in items.TERMINAL:
        if given_up(world):
            return
        await asyncio.sleep(1.0)
    await asyncio.sleep(job.asked_after)
    if job.voided:
        await _give_up(world, job)
    if job.harm:
        world.fate.harm(job)
    job.submitted_at = world.loop.now
    refusals: list[str] = []
    while not job.task_id and len(refusals) < TRIES:
        if world.loop.now > loops.START + BOUND_SECONDS:
            world.broken.append(f"{job.name} could not be asked for")
        if world.broken:
            return
        able = [room for room in world.running["ingest"] if room.merges]
        if able:
            ingest = world.choice.choice(able)
            await _within(15.0, ingest, _tell_job(world, ingest, job, refusals))
        elif world.fate.calm:
            refusals += ["an older release alone is there"] * TRIES
        await asyncio.sleep(1.0)
    if not job.task_id:
        job.refused = refusals[-1]
        return
    if job.cancelled_after is not None:
        await asyncio.sleep(job.cancelled_after)
        await cancel(world, job)


async def _tell_job(world: "World", ingest: line.Ingest, job: jobs.Job, refusals: list[str]) -> None:
    try:
        task_id = await ingest.ask(job)
    except grpc.aio.AioRpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            world.broken.append(f"{job.name} is refused: {error.code()} {error.details()}")
    except errors.Unavailable:
        pass
    except errors.ServiceError as error:
        refusals.append(error.reason)
        if error.reason not in REFUSALS[job.kind]:
            world.broken.append(f"{job.name} is refused: {error.reason} {error.message}")
    else:
        if job.task_id and job.task_id != task_id:
            world.broken.append(f"one key made two tasks: {job.task_id}, {task_id}")
        job.task_id = task_id


async def _give_up(world: "World", job: jobs.Job) -> None:
    """What the runbook says after a restore of the ledger: nothing of a manifest is believed any more."""
    key = items.manifest_key("idx", files.NAMESPACE, job.question_id)
    while (living := _indexers(world)) and not given_up(world):
        item = world.shared.table.items.get(key)
        if item is None or ("uri" not in item and "pending_task" not in item):
            return
        indexer = world.choice.choice(living)
        await _within(10.0, indexer, indexer.book.manifests.void(key, item["version"], "the ledger was restored"))
        await asyncio.sleep(1.0)


# ---- everybody


def _indexers(world: "World") -> list[line.Indexer]:
    """Those that serve."""
    return [room for room in world.running["indexer"] if room.process in world.shared.indexers.live]


async def _within(seconds: float, room: Any, work: Coroutine[Any, Any, Any]) -> None:
    """Let a process do something, and wait so long for its answer; what came of it is seen by what is stored."""
    told = room.process.start(work)
    with contextlib.suppress(TimeoutError, errors.Unavailable, errors.Conflict):
        async with asyncio.timeout(seconds):
            await asyncio.shield(told)


async def cancel(world: "World", task: files.File | jobs.Job) -> None:
    """Cancel a task, again and again until it is over."""
    while True:
        if living := _indexers(world):
            indexer = world.choice.choice(living)
            await _within(10.0, indexer, indexer.book.tasks.cancel(task.task_id))
        if world.status(task) in items.TERMINAL:
            return
        await asyncio.sleep(1.0)


async def resume(world: "World") -> None:
    """A person who resumes, now and then, what a quota has stopped."""
    while not given_up(world):
        await asyncio.sleep(10.0)
        if world.shared.pinecone.exhausted:
            continue
        for key, item in list(world.shared.table.items.items()):
            stopped = item.get("status") == items.Status.BLOCKED and item.get("error_reason") == "INDEX_QUOTA_EXCEEDED"
            if stopped and (living := _indexers(world)):
                indexer = world.choice.choice(living)
                await _within(10.0, indexer, indexer.book.resume(key))


async def _confirm(world: "World", file: files.File) -> None:
    """A person who looks at held mirrors now and then, and confirms what is told."""
    chance = random.Random(f"{world.seed} confirms {file.number}")
    while not world.broken and world.status(file) not in items.TERMINAL:
        await asyncio.sleep(chance.choice((1.0, 5.0, 45.0)))
        held = removals.shown(world.shared.table.items[file.task_id])
        living = _indexers(world)
        if held is not None and living:
            indexer = world.choice.choice(living)
            await _within(10.0, indexer, indexer.book.confirm(file.task_id, held["checksum"]))


async def _watch(world: "World", file: files.File) -> None:
    """A caller that watches, and follows when its watch breaks, until it hears how the task ended."""
    while not world.broken:
        if living := _indexers(world):
            indexer = world.choice.choice(living)
            hearing = indexer.process.start(_hear(world, indexer, file))
            with contextlib.suppress(TimeoutError, asyncio.CancelledError, errors.Unavailable):
                async with asyncio.timeout(120.0):
                    file.heard.append(await asyncio.shield(hearing))
                    return
        await asyncio.sleep(1.0)


async def _hear(world: "World", indexer: line.Indexer, file: files.File) -> str:
    identity.bind(identity.Caller("ann", frozenset({"read"})))
    context: Any = None
    counts, status = [0, 0, 0], ""
    async for task in indexer.watched.WatchTask(indexer_pb2.WatchTaskRequest(task_id=file.task_id), context):
        told = task.progress
        now = [told.processed_records, told.failed_records, told.skipped_records]
        if any(after < before for before, after in zip(counts, now, strict=True)):
            world.broken.append(f"a watcher of {file.name} heard {counts} and then {now}")
        if status in items.TERMINAL:
            world.broken.append(f"a watcher of {file.name} heard {task.status} after {status}")
        counts, status = now, task.status
    return status
