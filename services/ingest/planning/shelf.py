"""Plans in the bucket, each beside its sidecar of duplicates."""

import asyncio
import contextlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.ingest import failures
from services.ingest.planning import duplicates, plan, scan
from services.ingest.sources import object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Shelf:
    """The plans of tasks.

    Args:
        client: Answers soon or not at all.
        bucket: Its name.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def plan_uri(self, task_id: str) -> str:
        """Where a task's plan lies."""
        return f"s3://{self._bucket}/plans/{task_id}/plan.json"

    async def keep_restricted(self, task_id: str, made: plan.Plan, parent_plan_uri: str) -> str:
        """Store the plan of a retry, with its parent's sidecar beside it; answers the plan's URI."""
        uri = self.plan_uri(task_id)
        if made.duplicates_total:
            with _expiring():
                await object_store.call(
                    self._client.copy_object,
                    Bucket=self._bucket,
                    Key=self._sidecar(uri),
                    CopySource={"Bucket": self._bucket, "Key": self._sidecar(parent_plan_uri)},
                )
        await object_store.call(_put, client=self._client, bucket=self._bucket, key=self._key(uri), made=made)
        return uri

    async def keep_plan(self, task_id: str, scanned: scan.Scan) -> str:
        """Store a plan and its sidecar; answers the plan's URI."""
        uri = self.plan_uri(task_id)
        if scanned.plan.duplicates_total:
            await object_store.call(self._put_file, key=self._sidecar(uri), path=scanned.duplicates)
        await object_store.call(_put, client=self._client, bucket=self._bucket, key=self._key(uri), made=scanned.plan)
        return uri

    async def plan(self, plan_uri: str) -> plan.Plan:
        """Read a plan.

        Raises:
            failures.FileFailure: It is of another splitter's version.
            failures.StoreFailure: PLAN_EXPIRED, it is gone; or the bucket refuses.
            errors.Unavailable: S3 does not answer.
        """
        with _expiring():
            data = await object_store.call(_get, client=self._client, bucket=self._bucket, key=self._key(plan_uri))
        return await asyncio.to_thread(plan.Plan.from_json, data)

    def pairs(self, plan_uri: str) -> duplicates.Slices:
        """Reads slices of a plan's sidecar, in the splitting thread; raises as the rest does."""
        key = self._sidecar(plan_uri)

        def read(start: int, count: int) -> bytes:
            span = f"bytes={start}-{start + count - 1}"
            with _expiring(), object_store.translated():
                answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=span)
                with answer["Body"] as body:
                    data: bytes = body.read()
            partial = answer["ResponseMetadata"]["HTTPStatusCode"] == 206
            return data if partial else data[start : start + count]

        return read

    def _sidecar(self, plan_uri: str) -> str:
        return self._key(plan_uri).replace("plan.json", "duplicates.bin")

    def _key(self, uri: str) -> str:
        return uri.removeprefix(f"s3://{self._bucket}/")

    def _put_file(self, key: str, path: pathlib.Path) -> None:
        self._client.upload_file(str(path), self._bucket, key)


def _put(client: "S3Client", bucket: str, key: str, made: plan.Plan) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=made.to_json())


def _get(client: "S3Client", bucket: str, key: str) -> bytes:
    with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
        data: bytes = body.read()
    return data


@contextlib.contextmanager
def _expiring() -> Iterator[None]:
    """A plan that is missing was there once: the bucket's lifecycle took it."""
    try:
        yield
    except failures.StoreFailure as failure:
        if failure.reason != "STORE_MISSING":
            raise
        raise failures.StoreFailure(
            "PLAN_EXPIRED",
            "The task's plan is no longer in the bucket, whose lifecycle removes plans with time; submit the source "
            "anew.",
        ) from failure
