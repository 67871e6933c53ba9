"""S3: the line's bucket, its versions, and a probe object in each folder that the services use."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.doctor import amazon, finding, told
from services.indexer import provision
from services.ingest import settings
from services.runtime import aws

ABOUT = finding.About("s3")
SECTIONS = (aws.CallerSettings, settings.SourceSettings)
# Which folders a service writes, and whether it may delete there (see IAM in docs/production.md).
FOLDERS = {"ingest": (("uploads", True), ("plans", False)), "indexer": (("rejects", False),)}


async def check(knows: told.Told, services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Look at the bucket, and use it as the services do."""
    client = aws.s3(knows.of(aws.CallerSettings))
    bucket = knows.of(settings.SourceSettings).s3_bucket_name
    try:
        await amazon.call(client.head_bucket, Bucket=bucket)
    except amazon.Refused as error:
        if error.code not in amazon.DENIED:
            yield ABOUT.broken("bucket", f"{bucket}: {error.message}", error.remedy)
            return
        # The indexer need not list it.
        words = f"{bucket}: this process may not list it, or it belongs to another account"
        yield ABOUT.warning("bucket", words, "Look at S3_BUCKET_NAME; ingest needs s3:ListBucket.")
    else:
        yield ABOUT.ok("bucket", f"{bucket} is there")
    yield await _safety(client, bucket)
    for service in services:
        for folder, deletes in FOLDERS.get(service, ()):
            yield await _probe(client, bucket, folder, deletes=deletes)


async def _safety(client: Any, bucket: str) -> finding.Finding:
    def lacks(client: Any, name: str) -> list[str]:
        return list(provision.lacks(client, name))

    try:
        lack = await amazon.call(lacks, client=client, name=bucket)
    except amazon.Refused as error:
        words = f"{bucket}: its versioning was not seen ({error.message})"
        return ABOUT.warning("versioning", words, "Look from where `vectorline init` runs.")
    if lack:
        remedy = (
            "Turn versioning on, and add a lifecycle rule that aborts incomplete uploads; `init` does so for a new one."
        )
        return ABOUT.warning("versioning", f"{bucket} is {', and '.join(lack)}", remedy)
    return ABOUT.ok("versioning", f"{bucket} keeps versions, and aborts uploads that were broken off")


async def _probe(client: Any, bucket: str, folder: str, *, deletes: bool) -> finding.Finding:
    key, body = f"{folder}/doctor", secrets.token_hex(16).encode()
    where: Any = {"Bucket": bucket, "Key": key}
    try:
        await amazon.call(client.put_object, **where, Body=body)
        answer = await amazon.call(client.get_object, **where)
        read = await amazon.call(answer["Body"].read)
        if deletes:
            await amazon.call(client.delete_object, **where)
    except amazon.Refused as error:
        return ABOUT.broken(folder, f"s3://{bucket}/{key}: {error.message}", error.remedy)
    if read != body:
        words = f"s3://{bucket}/{key}: something else was read than was written"
        return ABOUT.broken(
            folder, words, "Look at what stands between here and S3 (a cache, a store of another kind)."
        )
    done = "written, read and deleted" if deletes else "written and read"
    return ABOUT.ok(folder, f"s3://{bucket}/{key} was {done}")
