"""Brings a table of an earlier version up to this one, while the line runs: `vectorline init --migrate`.

The index of clients is added, and every task gets the attributes by which it is listed there. Only then an item says
that the index holds them all, and readers turn to it; until then they look among everybody's tasks. Whatever is stored
or moved meanwhile has the attributes already, so long as every indexer is of this version.

Everything may be repeated, and may be broken off at any point.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import tenacity
from botocore import exceptions

from services.indexer.ledger import items
from services.indexer.storage import table
from services.runtime import aws

if TYPE_CHECKING:  # the stubs are there for mypy only
    from mypy_boto3_dynamodb import DynamoDBClient

Say = Callable[[str], object]

INDEX_SECONDS: Final = 6 * 3600.0  # DynamoDB fills a new index at its own pace
POLL_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 300.0
SAID_EVERY: Final = 1_000


class Unfinished(Exception):
    """The table is not as it should be yet; running it again goes on."""


def definition(index: table.Index) -> Any:
    """An index as DynamoDB is asked for it: of each item what lists filter by, and no more to write on each change."""
    keys = {index.partition, index.sort, table.KEY}
    return {
        "IndexName": index.name,
        "KeySchema": [
            {"AttributeName": index.partition, "KeyType": "HASH"},
            {"AttributeName": index.sort, "KeyType": "RANGE"},
        ],
        "Projection": {
            "ProjectionType": "INCLUDE",
            "NonKeyAttributes": [name for name in table.PROJECTED if name not in keys],
        },
    }


def attributes(*indexes: table.Index) -> Any:
    """The definitions of the keys of a table and these of its indexes."""
    names = dict.fromkeys((table.KEY, *(name for index in indexes for name in (index.partition, index.sort))))
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def mark(client: "DynamoDBClient", name: str) -> None:
    """Store that the index of clients holds every task."""
    _again(client.put_item, TableName=name, Item={table.KEY: {"S": items.INDEXED_KEY}, "kind": {"S": "index"}})


def marked(client: "DynamoDBClient", name: str) -> bool:
    """Whether it does."""
    key: Any = {table.KEY: {"S": items.INDEXED_KEY}}
    return "Item" in _again(client.get_item, TableName=name, Key=key, ConsistentRead=True)


def migrate(client: "DynamoDBClient", name: str, say: Say) -> None:
    """Do all of it.

    Raises:
        Unfinished: DynamoDB is still filling the new index after hours.
    """
    if marked(client, name):
        say(f"DynamoDB table {name}: nothing to migrate")
        return
    _add_index(client, name, say)
    total = 0
    while listed := _list_all(client, name, say):  # until a look at the whole table finds none left
        total += listed
    mark(client, name)
    say(f"DynamoDB table {name}: migrated, {total} tasks were added to the index {table.OF_CLIENT.name}")


def _add_index(client: "DynamoDBClient", name: str, say: Say) -> None:
    if _status(client, name) is None:
        say(f"DynamoDB table {name}: adding the index {table.OF_CLIENT.name}; large tables take their time")
        updates: Any = [{"Create": definition(table.OF_CLIENT)}]
        _again(
            client.update_table,
            TableName=name,
            AttributeDefinitions=attributes(*table.INDEXES),
            GlobalSecondaryIndexUpdates=updates,
        )
    deadline = time.monotonic() + INDEX_SECONDS
    while _status(client, name) != "ACTIVE":
        if time.monotonic() > deadline:
            raise Unfinished(f"The index {table.OF_CLIENT.name} of {name} is still being filled; run this again later.")
        time.sleep(POLL_SECONDS)


def _status(client: "DynamoDBClient", name: str) -> str | None:
    found = _again(client.describe_table, TableName=name)["Table"].get("GlobalSecondaryIndexes", [])
    return next((each["IndexStatus"] for each in found if each["IndexName"] == table.OF_CLIENT.name), None)


def _list_all(client: "DynamoDBClient", name: str, say: Say) -> int:
    """List every task that is not; how many those were."""
    done = 0
    for task_id, owner, status in _unlisted(client, name):
        _list(client, name, task_id, owner, status)
        done += 1
        if done % SAID_EVERY == 0:
            say(f"DynamoDB table {name}: {done} tasks so far")
    return done


def _unlisted(client: "DynamoDBClient", name: str) -> Iterator[tuple[str, str, str]]:
    asked: Any = {
        "TableName": name,
        "FilterExpression": "#kind = :task AND (attribute_not_exists(#mine) OR #all = :closed)",
        "ProjectionExpression": "#key, #client, #status",
        "ExpressionAttributeNames": {
            "#kind": "kind",
            "#mine": table.OF_CLIENT.partition,
            "#all": table.ALL.partition,
            "#key": table.KEY,
            "#client": "client",
            "#status": "status",
        },
        "ExpressionAttributeValues": {":task": {"S": "task"}, ":closed": {"S": str(items.Listing.CLOSED)}},
        "ConsistentRead": True,
    }
    while True:
        page = _again(client.scan, **asked)
        for item in page["Items"]:
            yield item[table.KEY]["S"], item["client"]["S"], item["status"]["S"]
        if "LastEvaluatedKey" not in page:
            return
        asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _list(client: "DynamoDBClient", name: str, task_id: str, owner: str, status: str) -> None:
    """Give a task the attributes of its status, unless it has another by now."""
    where = items.listed(owner, items.Status(status))
    try:
        _again(
            client.update_item,
            TableName=name,
            Key={table.KEY: {"S": task_id}},
            UpdateExpression="SET #all = :all, #mine = :mine",
            ConditionExpression="#status = :status",
            ExpressionAttributeNames={
                "#all": table.ALL.partition,
                "#mine": table.OF_CLIENT.partition,
                "#status": "status",
            },
            ExpressionAttributeValues={
                ":all": {"S": where[table.ALL.partition]},
                ":mine": {"S": where[table.OF_CLIENT.partition]},
                ":status": {"S": status},
            },
        )
    except exceptions.ClientError as error:
        if aws.code(error) != "ConditionalCheckFailedException":
            raise
        # It moved meanwhile; if that did not list it, the next look finds it.


def _again(method: Callable[..., Any], **arguments: Any) -> Any:
    """Call DynamoDB, again while it is throttled or broken."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(aws.transient),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=5.0),
        stop=tenacity.stop_after_delay(RETRY_SECONDS),
        reraise=True,
    )
    return retrying(method, **arguments)
