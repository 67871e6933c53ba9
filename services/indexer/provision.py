"""Creates what the line keeps its data in, where it is absent: table, bucket, index. Alters nothing that is there.

``python -m services.indexer.provision`` says what it did, a line each, and ends with 1 if something that is there
cannot be used.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pinecone
import pinecone.errors
from botocore import exceptions

from services.indexer import settings
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
INDEX_KEYS: Final = [
    {"AttributeName": table.INDEX_PARTITION, "KeyType": "HASH"},
    {"AttributeName": table.INDEX_SORT, "KeyType": "RANGE"},
]


class Unusable(Exception):
    """Something is there, but not as the line needs it; a person must decide."""


def ensure_table(client: "DynamoDBClient", name: str, say: Say) -> None:
    """Create the ledger's table and wait until it is active.

    Raises:
        Unusable: A table of this name has other keys.
    """
    found = _describe_table(client, name)
    if found is None:
        _create_table(client, name)
    else:
        _compare_table(name, found)
    _wait(f"table {name}", lambda: (_describe_table(client, name) or {}).get("TableStatus") == "ACTIVE")
    say(f"DynamoDB table {name}: {'created' if found is None else 'there already'}")


def _describe_table(client: "DynamoDBClient", name: str) -> Any:
    try:
        return client.describe_table(TableName=name)["Table"]
    except exceptions.ClientError as error:
        if aws.code(error) != "ResourceNotFoundException":
            raise
        return None


def _create_table(client: "DynamoDBClient", name: str) -> None:
    attributes = (table.KEY, table.INDEX_PARTITION, table.INDEX_SORT)
    index: Any = {"IndexName": table.INDEX, "KeySchema": INDEX_KEYS, "Projection": {"ProjectionType": "ALL"}}
    keys: Any = KEYS
    try:
        client.create_table(
            TableName=name,
            KeySchema=keys,
            AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in attributes],
            GlobalSecondaryIndexes=[index],
            BillingMode="PAY_PER_REQUEST",
        )
    except exceptions.ClientError as error:
        if aws.code(error) != "ResourceInUseException":  # somebody else creates it at this moment
            raise


def _compare_table(name: str, found: Any) -> None:
    if found["KeySchema"] != KEYS:
        raise Unusable(f"Table {name} has other keys than {table.KEY}; set DYNAMODB_TABLE_NAME to another name.")
    indexes = {index["IndexName"]: index["KeySchema"] for index in found.get("GlobalSecondaryIndexes", [])}
    if sorted(indexes.get(table.INDEX, []), key=str) != sorted(INDEX_KEYS, key=str):
        raise Unusable(
            f"Table {name} lacks the index {table.INDEX} ({table.INDEX_PARTITION}, {table.INDEX_SORT}); "
            f"add it, or set DYNAMODB_TABLE_NAME to another name."
        )


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
        kept = client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled"
        say(f"S3 bucket {name}: there already" + ("" if kept else ", but without versions: sources pin by ETag only"))
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


def ensure_index(client: pinecone.Pinecone, wanted: settings.PineconeSettings, say: Say) -> None:
    """Create the Pinecone index and wait until it is ready.

    Raises:
        Unusable: The index that is there has another dimension than EMBEDDING_DIMENSIONS.
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
    dimension = client.indexes.describe(name).dimension
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


def main() -> int:
    """Create what is absent; the exit code is 1 if something cannot be used or does not answer."""
    vault = secrets.Vault()
    where = vault.load(aws.CallerSettings)
    ledger = vault.load(settings.LedgerSettings)
    kept = vault.load(settings.RejectSettings)
    wanted = vault.load(settings.PineconeSettings)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        ensure_table(aws.dynamodb(where), ledger.dynamodb_table_name, say)
        ensure_bucket(aws.s3(where), kept.s3_bucket_name, where.aws_region, say)
        client = pinecone.Pinecone(
            api_key=wanted.pinecone_api_key.get_secret_value(), host=wanted.pinecone_controller_host
        )
        with client:
            ensure_index(client, wanted, say)
    except (Unusable, exceptions.ClientError, exceptions.BotoCoreError, pinecone.errors.PineconeError) as error:
        sys.stderr.write(f"Not provisioned: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
