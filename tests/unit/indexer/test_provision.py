"""What is absent is created; what is there is left alone, and named when it cannot be used."""

from collections.abc import Iterator
from typing import Any

import moto
import pinecone.errors
import pytest

from services.indexer import provision, settings
from services.runtime import aws

WHERE = aws.CallerSettings(aws_endpoint_url=None)


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(provision, "POLL_SECONDS", 0.0)
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


def test_a_bucket_is_created_once_with_versions() -> None:
    client, said = aws.s3(WHERE), list[str]()
    for _ in range(2):
        provision.ensure_bucket(client, "vectorline", "us-east-1", said.append)
    assert said == ["S3 bucket vectorline: created, with versions", "S3 bucket vectorline: there already"]
    assert client.get_bucket_versioning(Bucket="vectorline")["Status"] == "Enabled"
    (rule,) = client.get_bucket_lifecycle_configuration(Bucket="vectorline")["Rules"]
    assert (rule["Status"], rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]) == ("Enabled", 1)


def test_a_bucket_without_versions_stays_so_and_is_mentioned() -> None:
    client, said = aws.s3(WHERE), list[str]()
    client.create_bucket(Bucket="old")
    provision.ensure_bucket(client, "old", "us-east-1", said.append)
    assert "without versions" in said[0]
    assert "Status" not in client.get_bucket_versioning(Bucket="old")


class Index:
    """An index that is ready at the second look."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
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


def test_two_at_once_are_one() -> None:
    client: Any = Client(raced=True)
    said: list[str] = []
    provision.ensure_index(client, settings.PineconeSettings(), said.append)
    assert "there already" in said[0]
