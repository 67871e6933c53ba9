"""Creates what the line keeps its data in, where it is absent: table, bucket, index. Alters nothing that is there.

``python -m services.indexer.provision`` says what it did, a line each, and ends with 1 if something that is there
cannot be used. With ``--migrate`` it also brings a table of an earlier version up to this one; see `migration`.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pinecone
import pinecone.errors
from botocore import exceptions

from services.indexer import migration, settings
from services.indexer.pinecone import shape
from services.indexer.storage import table
from services.runtime import aws, secrets

if TYPE_CHECKING:  # the stubs are there for mypy only
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

Say = Callable[[str], object]

READY_SECONDS: Final = 300.0
POLL_SECONDS: Final = 0.5
DEFAULT_DIMENSION: Final = 1536
UNFINISHED_UPLOADS: Any = {
    "ID": "unfinished-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
}
KEYS: Final = [{"AttributeName": table.KEY, "KeyType": "HASH"}]


class Unusable(Exception):
    """Something is there, but not as the line needs it; a person must decide."""


def ensure_table(client: "DynamoDBClient", name: str, say: Say) -> None:
    """Create the ledger's table and wait until it is active.

    Raises:
        Unusable: A table of this name has other keys.
    """
    found = _describe_table(client, name)
    created = found is None and _create_table(client, name)
    if found is not None:
        compare_table(name, found)
    _wait(f"table {name}", lambda: (_describe_table(client, name) or {}).get("TableStatus") == "ACTIVE")
    if created:
        migration.mark(client, name)
    older = not created and not migration.marked(client, name)
    more = "; of an earlier version: `vectorline init --migrate` makes its lists fast" if older else ""
    say(f"DynamoDB table {name}: {'created' if created else 'there already'}{more}")


def _describe_table(client: "DynamoDBClient", name: str) -> Any:
    try:
        return client.describe_table(TableName=name)["Table"]
    except exceptions.ClientError as error:
        if aws.code(error) != "ResourceNotFoundException":
            raise
        return None


def _create_table(client: "DynamoDBClient", name: str) -> bool:
    """Create it with both indexes; False: somebody else does at this moment."""
    keys: Any = KEYS
    try:
        client.create_table(
            TableName=name,
            KeySchema=keys,
            AttributeDefinitions=migration.attributes(*table.INDEXES),
            GlobalSecondaryIndexes=[migration.definition(index) for index in table.INDEXES],
            BillingMode="PAY_PER_REQUEST",
        )
    except exceptions.ClientError as error:
        if aws.code(error) != "ResourceInUseException":
            raise
        return False
    return True


def compare_table(name: str, found: Any) -> None:
    """Hold a table, as DynamoDB describes it, to what the ledger needs.

    Raises:
        Unusable: It has other keys, or lacks an index.
    """
    if found["KeySchema"] != KEYS:
        raise Unusable(f"Table {name} has other keys than {table.KEY}; set DYNAMODB_TABLE_NAME to another name.")
    indexes = {index["IndexName"]: index for index in found.get("GlobalSecondaryIndexes", [])}
    for index in table.INDEXES:
        there = indexes.get(index.name)
        if there is None and index is table.OF_CLIENT:
            continue  # a table of an earlier version: its lists take longer until it is migrated
        if there is None or not _serves(there, migration.definition(index)):
            raise Unusable(
                f"Table {name} lacks the index {index.name} on {index.partition} and {index.sort} with at least "
                f"{', '.join(table.PROJECTED)}; add it, or set DYNAMODB_TABLE_NAME to another name."
            )


def _serves(there: Any, wanted: Any) -> bool:
    """Whether an index has the keys and the attributes that lists need."""
    projection = there.get("Projection", {})
    whole = projection.get("ProjectionType") == "ALL"
    kept = set(projection.get("NonKeyAttributes", []))
    same = sorted(there["KeySchema"], key=str) == sorted(wanted["KeySchema"], key=str)
    return same and (whole or set(wanted["Projection"]["NonKeyAttributes"]) <= kept)


def ensure_bucket(client: "S3Client", name: str, region: str, say: Say) -> None:
    """Create the bucket with versions, so that a source can be pinned, and closed to the public.

    An ingest that is killed while it stores an upload leaves parts that no listing shows; they are removed after a day.

    Raises:
        Unusable: The name belongs to another account.
    """
    try:
        client.head_bucket(Bucket=name)
    except exceptions.ClientError as error:
        if aws.code(error) not in {"404", "NoSuchBucket"}:
            raise Unusable(f"Bucket {name} is not ours to use ({aws.code(error)}); set S3_BUCKET_NAME.") from error
    else:
        say(f"S3 bucket {name}: there already" + "".join(f", but {lack}" for lack in lacks(client, name)))
        return
    where: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        client.create_bucket(Bucket=name, **where)
    except exceptions.ClientError as error:
        if aws.code(error) != "BucketAlreadyOwnedByYou":
            raise
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    client.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    client.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [UNFINISHED_UPLOADS]})
    say(f"S3 bucket {name}: created, with versions")


def lacks(client: "S3Client", name: str) -> Iterator[str]:
    """What a bucket that is there had better have; that is its owner's to decide."""
    if client.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
        yield "without versions: sources pin by ETag only"
    try:
        rules = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    except exceptions.ClientError as error:
        if aws.code(error) != "NoSuchLifecycleConfiguration":
            return  # we may not see it
        rules = []
    if not any(rule["Status"] == "Enabled" and "AbortIncompleteMultipartUpload" in rule for rule in rules):
        yield "without a lifecycle rule that aborts incomplete multipart uploads: what is broken off is paid for ever"


def ensure_index(client: pinecone.Pinecone, wanted: settings.PineconeSettings, say: Say) -> None:
    """Create the Pinecone index and wait until it is ready.

    Raises:
        Unusable: The index that is there takes no dense vectors, or has another dimension than EMBEDDING_DIMENSIONS.
    """
    name = wanted.pinecone_index_name
    there = client.indexes.exists(name)
    if not there:
        try:
            client.indexes.create(
                name=name,
                dimension=wanted.embedding_dimensions or DEFAULT_DIMENSION,
                metric=wanted.pinecone_metric,
                spec=pinecone.ServerlessSpec(cloud=wanted.pinecone_cloud, region=wanted.pinecone_region),
                timeout=-1,  # _wait does
            )
        except pinecone.errors.ConflictError:
            there = True  # somebody else created it at this moment
    _wait(f"index {name}", lambda: bool(client.indexes.describe(name).status.ready))
    kind = shape.of(client.indexes.describe(name))
    if kind.problem:
        raise Unusable(kind.problem)
    dimension = kind.dimension
    if wanted.embedding_dimensions and dimension != wanted.embedding_dimensions:
        raise Unusable(
            f"Index {name} takes {dimension} values a vector, EMBEDDING_DIMENSIONS is {wanted.embedding_dimensions}; "
            f"make them agree, or set PINECONE_INDEX_NAME to another name."
        )
    say(f"Pinecone index {name}: {'there already' if there else 'created'}, {dimension} values a vector")


def _wait(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise Unusable(f"The {what} is still not ready after {READY_SECONDS:.0f} s; look at its console.")
        time.sleep(POLL_SECONDS)


def main(*, migrate: bool = False) -> int:
    """Create what is absent; the exit code is 1 if something cannot be used or does not answer.

    Args:
        migrate: Also bring a table of an earlier version up to this one.
    """
    vault = secrets.Vault()
    where = vault.load(aws.CallerSettings)
    ledger = vault.load(settings.LedgerSettings)
    kept = vault.load(settings.RejectSettings)
    wanted = vault.load(settings.PineconeSettings)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        tables = aws.dynamodb(where)
        ensure_table(tables, ledger.dynamodb_table_name, say)
        if migrate:
            migration.migrate(tables, ledger.dynamodb_table_name, say)
        ensure_bucket(aws.s3(where), kept.s3_bucket_name, where.aws_region, say)
        client = pinecone.Pinecone(
            api_key=wanted.pinecone_api_key.get_secret_value(), host=wanted.pinecone_controller_host
        )
        with client:
            ensure_index(client, wanted, say)
    except (
        Unusable,
        migration.Unfinished,
        exceptions.ClientError,
        exceptions.BotoCoreError,
        pinecone.errors.PineconeError,
    ) as error:
        sys.stderr.write(f"Not provisioned: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(migrate="--migrate" in sys.argv[1:]))
