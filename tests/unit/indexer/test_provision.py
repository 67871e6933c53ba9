"""What is absent is created; what is there is left alone, and named when it cannot be used."""

from collections.abc import Iterator
from typing import Any

import moto
import pinecone.errors
import pytest
from botocore import exceptions
from pinecone.models.indexes import schema

from services.indexer import ledger, migration, provision, settings
from services.indexer.ledger import items, listing
from services.indexer.storage import clock, dynamodb, table
from services.runtime import aws
from tests.support import ledgers

WHERE = aws.CallerSettings(aws_endpoint_url=None)


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(provision, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(migration, "POLL_SECONDS", 0.0)
    with moto.mock_aws():
        yield


def test_a_table_is_created_once() -> None:
    client, said = aws.dynamodb(WHERE), list[str]()
    for _ in range(2):
        provision.ensure_table(client, "vectorline", said.append)
    assert said == ["DynamoDB table vectorline: created", "DynamoDB table vectorline: there already"]


def test_a_table_without_our_index_or_with_other_keys_is_named_and_left_alone() -> None:
    client = aws.dynamodb(WHERE)
    for name, key in (("plain", "task_id"), ("other", "id")):
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        with pytest.raises(provision.Unusable, match=name):
            provision.ensure_table(client, name, lambda line: line)


def older_table(client: Any, projection: str = "ALL") -> None:
    """As the first version made it."""
    client.create_table(
        TableName="vectorline",
        KeySchema=[{"AttributeName": "task_id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("task_id", "listing", "created")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "listing",
                "KeySchema": [
                    {"AttributeName": "listing", "KeyType": "HASH"},
                    {"AttributeName": "created", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": projection},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def test_an_index_that_holds_too_little_is_named() -> None:
    client = aws.dynamodb(WHERE)
    older_table(client, "KEYS_ONLY")
    with pytest.raises(provision.Unusable, match="listing"):
        provision.ensure_table(client, "vectorline", lambda line: line)


async def test_an_older_table_is_migrated_while_tasks_move(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a table of the first version, with tasks as that stored them
    client, said = aws.dynamodb(WHERE), list[str]()
    older_table(client)
    caller = aws.Caller("DynamoDB", WHERE)
    storage = dynamodb.DynamoTable(client, "vectorline", caller)
    book = ledger.Ledger(storage, clock.Clock(), index="idx")
    made = [await ledgers.create(book, client="ann#1" if number % 2 else "bob") for number in range(8)]
    await book.tasks.cancel(made[0])
    await book.tasks.block(made[1], "R", "m")
    for number, task_id in enumerate(made):
        changes: dict[table.Path, Any] = {"listing": "closed"} if number == 0 else {}
        await storage.update(table.Update(task_id, set={"x": 1, **changes}, remove=("client_listing",)))
    # The next look finds it moved: by a turn, which lists nothing
    task_ids = iter(made[3:4])
    listing_one = migration._list

    def moved(*arguments: Any) -> None:
        if arguments[2] == next(task_ids, ""):
            client.update_item(
                TableName="vectorline",
                Key={"task_id": {"S": arguments[2]}},
                UpdateExpression="SET #s = :s",
                ExpressionAttributeNames={"#s": "status"},
                ExpressionAttributeValues={":s": {"S": "queued"}},
            )
        listing_one(*arguments)

    monkeypatch.setattr(migration, "_list", moved)
    mine = listing.Query(client="ann#1")

    # When it is looked at, migrated, and migrated again
    provision.ensure_table(client, "vectorline", said.append)
    before = await book.listing.newest(mine, limit=9)
    migration.migrate(client, "vectorline", said.append)
    migration.migrate(client, "vectorline", said.append)
    fresh = ledger.Ledger(storage, clock.Clock(), index="idx")
    after = await fresh.listing.newest(mine, limit=9)

    # Then every task is in both indexes, and the lists are the same
    assert "--migrate" in said[0]
    assert said[-1] == "DynamoDB table vectorline: nothing to migrate"
    assert before.ids == after.ids == made[7::-2]
    for task_id in made:
        task = await book.tasks.get(task_id)
        assert items.listed(task["client"], items.Status(task["status"])).items() <= task.items()
    assert (await fresh.listing.newest(listing.Query(status="cancelled"), limit=9)).ids == [made[0]]
    provision.ensure_table(client, "vectorline", said.append)
    assert said[-1] == "DynamoDB table vectorline: there already"
    caller.close()


def test_a_bucket_is_created_once_with_versions_and_aborts_what_was_broken_off() -> None:
    client, said = aws.s3(WHERE), list[str]()
    for _ in range(2):
        provision.ensure_bucket(client, "vectorline", "us-east-1", said.append)
    assert said == ["S3 bucket vectorline: created, with versions", "S3 bucket vectorline: there already"]
    assert client.get_bucket_versioning(Bucket="vectorline")["Status"] == "Enabled"
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket="vectorline")["Rules"]
    assert (rule["Status"], rule["AbortIncompleteMultipartUpload"]) == ("Enabled", {"DaysAfterInitiation": 1})


def test_a_bucket_without_versions_stays_so_and_is_mentioned() -> None:
    client, said = aws.s3(WHERE), list[str]()
    client.create_bucket(Bucket="old")
    provision.ensure_bucket(client, "old", "us-east-1", said.append)
    assert "without versions" in said[0]
    assert "incomplete multipart uploads" in said[0]
    with pytest.raises(exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        client.get_bucket_lifecycle_configuration(Bucket="old")
    assert "Status" not in client.get_bucket_versioning(Bucket="old")


class Index:
    """An index that is ready at the second look."""

    def __init__(self, dimension: int) -> None:
        self.name = "idx"
        field = schema.DenseVectorField(dimension=dimension, metric="cosine")
        self.schema = schema.IndexSchema(fields={"_values": field})
        self.looks = 0

    @property
    def status(self) -> Any:
        self.looks += 1
        return type("Status", (), {"ready": self.looks > 1})


class Client:
    """A Pinecone of one account."""

    def __init__(self, *, raced: bool = False) -> None:
        self.kept: dict[str, Index] = {}
        self.raced = raced
        self.indexes = self

    def exists(self, name: str) -> bool:
        return name in self.kept

    def describe(self, name: str) -> Index:
        return self.kept[name]

    def create(self, *, name: str, dimension: int, **_: Any) -> None:
        self.kept[name] = Index(dimension)
        if self.raced:
            raise pinecone.errors.ConflictError("exists")


def test_an_index_is_created_once() -> None:
    client: Any = Client()
    said: list[str] = []
    for _ in range(2):
        provision.ensure_index(client, settings.PineconeSettings(pinecone_index_name="idx"), said.append)
    assert said == [
        "Pinecone index idx: created, 1536 values a vector",
        "Pinecone index idx: there already, 1536 values a vector",
    ]


def test_an_index_of_another_dimension_is_named() -> None:
    client: Any = Client()
    client.create(name="vectorline", dimension=512)
    with pytest.raises(provision.Unusable, match="512"):
        provision.ensure_index(client, settings.PineconeSettings(embedding_dimensions=1536), lambda line: line)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"_sparse_values": schema.SparseVectorField()}, "keeps sparse vectors"),
        ({"title": schema.StringField()}, "keeps documents"),
    ],
)
def test_an_index_that_takes_no_dense_vectors_is_named(fields: Any, words: str) -> None:
    client: Any = Client()
    client.create(name="vectorline", dimension=1536)
    client.kept["vectorline"].schema = schema.IndexSchema(fields=fields)
    with pytest.raises(provision.Unusable, match=f"{words}.*PINECONE_INDEX_NAME"):
        provision.ensure_index(client, settings.PineconeSettings(), lambda line: line)


def test_two_at_once_are_one() -> None:
    client: Any = Client(raced=True)
    said: list[str] = []
    provision.ensure_index(client, settings.PineconeSettings(), said.append)
    assert "there already" in said[0]
