"""The ledger's table in DynamoDB: the only file that speaks its expressions."""

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore import exceptions

from services.indexer.storage import limits, table
from services.runtime import aws, errors

if TYPE_CHECKING:  # the stubs are there for mypy only
    from mypy_boto3_dynamodb import DynamoDBClient


# Some of a batch may come back unread when the table is throttled.
BATCH_ATTEMPTS: Final = 8


class DynamoTable:
    """A `table.Table` in DynamoDB. Every write is conditional or carries a token, so that repeating it is safe."""

    def __init__(self, client: "DynamoDBClient", name: str, caller: aws.Caller) -> None:
        self._client = client
        self._name = name
        self._caller = caller

    async def get(self, key: str) -> table.Item | None:
        """Read an item, consistently."""
        answer = await self._call(
            self._client.get_item, TableName=self._name, Key={table.KEY: {"S": key}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return None if item is None else unmarshal_item(item)

    async def get_many(self, keys: Sequence[str], paths: Sequence[table.Path] = ()) -> dict[str, table.Item]:
        """Read items, each consistently, 100 a call."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, table.Item] = {}
        for start in range(0, len(wanted), limits.BATCH_KEYS):
            found.update(await self._get_batch(wanted[start : start + limits.BATCH_KEYS], paths))
        return found

    async def _get_batch(self, keys: Sequence[str], paths: Sequence[table.Path]) -> dict[str, table.Item]:
        words = _Words()
        asked: dict[str, Any] = {"Keys": [{table.KEY: {"S": key}} for key in keys], "ConsistentRead": True}
        if paths:
            asked["ProjectionExpression"] = ", ".join(words.path(path) for path in (table.KEY, *paths))
            asked["ExpressionAttributeNames"] = words.names
        found: dict[str, table.Item] = {}
        left: Any = {self._name: asked}
        for attempt in range(BATCH_ATTEMPTS):
            answer = await self._call(self._client.batch_get_item, RequestItems=left)
            for raw in answer["Responses"].get(self._name, []):
                item = unmarshal_item(raw)
                found[item[table.KEY]] = item
            left = answer.get("UnprocessedKeys")
            if not left:
                return found
            aws.CALLS.labels(self._caller.name, "batch_get_item", "throttled").inc()  # a part of it, and no error
            await asyncio.sleep(min(1.0, 0.05 * 2**attempt) * random.random())  # noqa: S311 (jitter)
        raise errors.Unavailable("DynamoDB is throttled. Nothing is lost; try again.", retry_seconds=2.0)

    async def put(self, write: table.Put) -> None:
        """Put an item."""
        words = _Words()
        await self._conditional(
            self._client.put_item,
            Item=marshal_item(write.item),
            **words.condition(write.when),
            **words.attributes(),
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    async def update(self, write: table.Update) -> table.Item:
        """Change an item and return what the write asks for."""
        words = _Words()
        answer = await self._conditional(
            self._client.update_item,
            Key={table.KEY: {"S": write.key}},
            UpdateExpression=words.update(write),
            **words.condition(write.when),
            **words.attributes(),
            ReturnValues="ALL_NEW" if write.answer is table.Answer.WHOLE else "UPDATED_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return unmarshal_item(answer.get("Attributes", {}))

    async def transact(self, writes: Sequence[table.Write]) -> None:
        """Apply all writes or none."""
        try:
            await self._call(
                self._client.transact_write_items,
                TransactItems=[self._transact_item(write) for write in writes],
                # The same on every attempt: DynamoDB then answers a repeated one as it did the first.
                ClientRequestToken=uuid.uuid4().hex,
            )
        except exceptions.ClientError as error:
            if aws.code(error) != "TransactionCanceledException":
                raise
            reasons = error.response.get("CancellationReasons", [])
            if any(reason.get("Code") == "ValidationError" for reason in reasons):
                raise table.Invalid(str(error)) from error
            raise table.Cancelled from error

    def _transact_item(self, write: table.Write) -> Any:
        words = _Words()
        if isinstance(write, table.Check):
            body = {"TableName": self._name, "Key": {table.KEY: {"S": write.key}}, **words.condition(write.when)}
            return {"ConditionCheck": {**body, **words.attributes()}}
        if isinstance(write, table.Put):
            body = {"Item": marshal_item(write.item), **words.condition(write.when)}
            return {"Put": {"TableName": self._name, **body, **words.attributes()}}
        body = {"UpdateExpression": words.update(write), **words.condition(write.when)}
        return {"Update": {"TableName": self._name, "Key": {table.KEY: {"S": write.key}}, **body, **words.attributes()}}

    async def query(
        self,
        index: table.Index,
        partition: str,
        *,
        after: str = "",
        newest_first: bool,
        equal: Mapping[str, table.Value],
        limit: int,
    ) -> table.Page:
        """Read a page of an index."""
        words = _Words()
        condition = f"{words.path(index.partition)} = {words.value(partition)}"
        if after:
            condition += f" AND {words.path(index.sort)} {'<' if newest_first else '>'} {words.value(after)}"
        asked: dict[str, Any] = {
            "KeyConditionExpression": condition,
            "ProjectionExpression": ", ".join(words.path(name) for name in (table.KEY, index.sort, *table.PROJECTED)),
        }
        if equal:
            asked["FilterExpression"] = " AND ".join(
                f"{words.path(name)} = {words.value(value)}" for name, value in equal.items()
            )
        answer = await self._call(
            self._client.query,
            TableName=self._name,
            IndexName=index.name,
            ScanIndexForward=not newest_first,
            Limit=limit,
            **asked,
            **words.attributes(),
        )
        last = answer.get("LastEvaluatedKey")
        return table.Page(
            [unmarshal_item(item) for item in answer["Items"]],
            str(last[index.sort]["S"]) if last else "",
        )

    async def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return await self._caller.call(method, **arguments)
        except exceptions.ClientError as error:
            if aws.code(error) != "ValidationException":
                raise
            raise table.Invalid(str(error)) from error

    async def _conditional(self, method: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return await self._call(method, TableName=self._name, **arguments)
        except exceptions.ClientError as error:
            if aws.code(error) != "ConditionalCheckFailedException":
                raise
            old: Any = error.response.get("Item")
            raise table.ConditionFailed(unmarshal_item(old) if old else None) from error


class _Words:
    """Collects the names and values of one call's expressions."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def path(self, path: table.Path) -> str:
        """An attribute's path, every step as a name of its own: reserved words and dots do not matter."""
        return ".".join(self._name(part) for part in table.parts(path))

    def _name(self, part: str) -> str:
        if part not in self._aliases:
            self._aliases[part] = f"#n{len(self._aliases)}"
            self.names[self._aliases[part]] = part
        return self._aliases[part]

    def value(self, value: table.Value) -> str:
        """A value's placeholder."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = marshal(value)
        return placeholder

    def attributes(self) -> dict[str, Any]:
        """What stands behind the placeholders; to be asked for after the expressions."""
        given: dict[str, Any] = {}
        if self.names:
            given["ExpressionAttributeNames"] = self.names
        if self._values:
            given["ExpressionAttributeValues"] = self._values
        return given

    def condition(self, when: Sequence[table.Condition]) -> dict[str, str]:
        """All conditions as one expression."""
        return {"ConditionExpression": " AND ".join(self._condition(one) for one in when)} if when else {}

    def _condition(self, one: table.Condition) -> str:  # noqa: PLR0911 (one line a condition)
        path = self.path(one.path)
        match one:
            case table.Exists():
                return f"attribute_exists({path})"
            case table.Missing():
                return f"attribute_not_exists({path})"
            case table.Equals(value=value):
                return f"{path} = {self.value(value)}"
            case table.OneOf(values=values):
                return f"{path} IN ({', '.join(self.value(value) for value in values)})"
            case table.Below(value=value):
                return f"{path} < {self.value(value)}"
            case table.Lacks(value=value):
                return f"NOT contains({path}, {self.value(value)})"
            case table.Same(other=other):
                return f"attribute_exists({path}) AND {path} = {self.path(other)}"

    def update(self, write: table.Update) -> str:
        """The update expression."""
        sets = [f"{self.path(path)} = {self.value(value)}" for path, value in write.set.items()]
        for path, value in write.keep.items():
            sets.append(f"{self.path(path)} = if_not_exists({self.path(path)}, {self.value(value)})")
        for path, value in write.append.items():
            old = f"if_not_exists({self.path(path)}, {self.value([])})"
            sets.append(f"{self.path(path)} = list_append({old}, {self.value([value])})")
        sets += [f"{self.path(name)} = {self.path(name)}" for name in write.told]
        adds = []
        for path, number in write.add.items():
            if len(table.parts(path)) == 1:
                adds.append(f"{self.path(path)} {self.value(number)}")
            else:  # ADD takes top-level attributes only
                sets.append(
                    f"{self.path(path)} = if_not_exists({self.path(path)}, {self.value(0)}) + {self.value(number)}"
                )
        removes = [self.path(path) for path in write.remove]
        clauses = {"SET": sets, "ADD": adds, "REMOVE": removes}
        return " ".join(f"{verb} {', '.join(terms)}" for verb, terms in clauses.items() if terms)


def marshal_item(item: table.Item) -> dict[str, Any]:
    """An item as DynamoDB's JSON."""
    return {name: marshal(value) for name, value in item.items()}


def unmarshal_item(item: Mapping[str, Any]) -> table.Item:
    """An item out of DynamoDB's JSON."""
    return {name: unmarshal(value) for name, value in item.items()}


def marshal(value: table.Value) -> dict[str, Any]:  # noqa: PLR0911 (one line a type)
    """A value as DynamoDB's JSON.

    Raises:
        TypeError: A type that the ledger does not use.
    """
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": str(value)}
        case bytes():
            return {"B": value}
        case list() | tuple():
            return {"L": [marshal(one) for one in value]}
        case dict():
            return {"M": marshal_item(value)}
    raise TypeError(f"The ledger keeps no {type(value).__name__}.")


def unmarshal(value: Mapping[str, Any]) -> table.Value:
    """A value out of DynamoDB's JSON."""
    ((kind, content),) = value.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(content)
        case "B":
            return bytes(content)
        case "L":
            return [unmarshal(one) for one in content]
        case "M":
            return unmarshal_item(content)
    return content
