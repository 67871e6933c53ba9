"""What a job keeps in the bucket: what it found, and what it sends, named by one object that the ledger names."""

import asyncio
import json
import secrets
from typing import Any, Final

from services.ingest import failures
from services.ingest.manifest import store

FORMAT: Final = 1
_TOKEN_BYTES: Final = 8


class Folder:
    """The objects of one drive of a task: beside plans, and with their lifecycle. None is written twice.

    Args:
        objects: The line's own bucket.
        task_id: The task.
    """

    def __init__(self, objects: store.Store, task_id: str) -> None:
        self.objects = objects
        self._name = f"plans/{task_id}/{secrets.token_hex(_TOKEN_BYTES)}-"

    def put(self, name: str, data: bytes) -> str:
        """Store an object; its whole name. Blocking."""
        whole = f"{self._name}{name}"
        self.objects.put(whole, data)
        return whole

    async def finish(self, fields: dict[str, Any]) -> str:
        """Store what all is named by; its name, for the ledger."""
        return await asyncio.to_thread(self.put, "job", json.dumps({"format": FORMAT, **fields}).encode())


def get(objects: store.Store, name: str) -> bytes:
    """An object of a job. Blocking.

    Raises:
        failures.StoreFailure: PLAN_EXPIRED, it is gone; or the bucket refuses.
        errors.Unavailable: S3 does not answer.
    """
    try:
        return objects.get(name)
    except store.Broken as gone:
        raise failures.StoreFailure(
            "PLAN_EXPIRED",
            "What the task found is no longer in the bucket, whose lifecycle removes it with time; ask for it anew.",
        ) from gone


async def fields_of(objects: store.Store, name: str) -> dict[str, Any]:
    """What `Folder.finish` stored; raises as `get`, and failures.Failure for what a later release stored."""
    fields: dict[str, Any] = json.loads(await asyncio.to_thread(get, objects, name))
    if fields.pop("format") != FORMAT:
        raise failures.Failure("PLAN_UNKNOWN", "Another release began this task; ask for it anew.")
    return fields
