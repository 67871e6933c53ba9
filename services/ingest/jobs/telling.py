"""A run of no rows, which tells of entries: kept, marked and merged as any other."""

import asyncio

import numpy as np

from services.ingest import failures, manifest_client
from services.ingest.contract import rules
from services.ingest.manifest import comparison, parts
from services.ingest.manifest import store as objects_store
from services.runtime import failpoints


def comparison_of(
    task_id: str, fence: int, version: int, folder: str, told: tuple[parts.Part, ...]
) -> comparison.Comparison:
    """What is kept of it.

    Args:
        task_id: The task.
        fence: Of its turn.
        version: Of the manifest.
        folder: Nobody else's.
        told: Entries that are from now on as they stand there.
    """
    return comparison.Comparison(
        task_id=task_id,
        fence=fence,
        version=version,
        contract=rules.version(),
        folder=folder,
        counts=comparison.Counts(),
        flags=np.zeros(0, dtype=np.uint8),
        chunks=np.zeros(0, dtype=comparison.CHUNK),
        told=told,
        told_rows=sum(part.rows for part in told),
    )


async def keep_and_mark(
    manifests: manifest_client.Manifests, objects: objects_store.Store, made: comparison.Comparison, fence: int
) -> None:
    """Store it, once a turn (one that was stored in it before counts), and mark it.

    Raises:
        failures.Failure: MANIFEST_CHANGED.
    """
    await keep(manifests, objects, made)
    await mark(manifests, made.task_id, fence)


async def keep(manifests: manifest_client.Manifests, objects: objects_store.Store, made: comparison.Comparison) -> None:
    """Store it, once a turn: one that was stored in it before counts."""
    data = made.to_bytes()
    await asyncio.to_thread(objects.put, made.name, data)
    failpoints.hit("ingest.before_keep")
    await manifests.keep(made, objects_store.checksum_of(data), None)


async def mark(manifests: manifest_client.Manifests, task_id: str, fence: int) -> None:
    """Mark a task's run.

    Raises:
        failures.Failure: MANIFEST_CHANGED.
    """
    failpoints.hit("ingest.before_mark")
    if not await manifests.mark(task_id, fence):
        raise changed()
    failpoints.hit("ingest.after_mark")


def marked(manifest: manifest_client.Manifest, task_id: str, version: int) -> bool:
    """Whether a task has marked its run; if not, what it looked at still is what counts.

    Args:
        manifest: As it is now, in the task's turn.
        task_id: The task.
        version: That it looked at: it may have been blocked since, and another have had the turn.

    Raises:
        failures.Failure: MANIFEST_CHANGED.
    """
    own = manifest.HasField("pending") and manifest.pending.task_id == task_id
    if not own and (manifest.HasField("pending") or manifest.version != version):
        raise changed()
    return own


def changed() -> failures.Failure:
    """The failure of a task whose turn was another's since it looked."""
    return failures.Failure(
        "MANIFEST_CHANGED", "Another task loaded this question since it was looked at; ask for this anew."
    )
