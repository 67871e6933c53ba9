"""DynamoDB: the ledger's table with its indexes, its capacity, and whether this process may use it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from services.doctor import amazon, finding, told
from services.indexer import provision, settings
from services.indexer.ledger import items
from services.indexer.storage import table
from services.runtime import aws

ABOUT = finding.About("dynamodb")
SECTIONS = (aws.CallerSettings, settings.LedgerSettings)
PROBE_KEY = "doctor"
# One throttled call of a few says that more would be.
PROBES = 5


async def check(knows: told.Told, _services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Look at the table, and use it as the indexer does."""
    client = aws.dynamodb(knows.of(aws.CallerSettings))
    name = knows.of(settings.LedgerSettings).dynamodb_table_name
    try:
        described = (await amazon.call(client.describe_table, TableName=name))["Table"]
    except amazon.Refused as error:
        if error.code not in amazon.DENIED:
            yield ABOUT.broken("table", f"{name}: {error.message}", error.remedy)
            return
        yield ABOUT.warning(
            "table",
            f"{name}: this process may not describe it, so its keys, indexes and capacity were not seen",
            "Look from where `vectorline init` runs, or allow dynamodb:DescribeTable.",
        )
        described = None
    if described is not None:
        for found in (*_shape(name, described), _capacity(name, described)):
            yield found
    async for found in _used(client, name):
        yield found


def _shape(name: str, described: Any) -> Iterator[finding.Finding]:
    status = described.get("TableStatus")
    if status not in ("ACTIVE", "UPDATING"):
        yield ABOUT.broken("table", f"{name} is {status}", "Wait until it is ACTIVE; then run this again.")
        return
    try:
        provision.compare_table(name, described)
    except provision.Unusable as unusable:
        yield ABOUT.broken("table", f"{name} is not as the ledger needs it", str(unusable))
        return
    yield ABOUT.ok("table", f"{name} is {status}, with the keys that the ledger needs")
    there = {each["IndexName"]: each.get("IndexStatus", "ACTIVE") for each in described["GlobalSecondaryIndexes"]}
    for index in table.INDEXES:
        found = there.get(index.name)
        if found is None:
            yield ABOUT.warning("index", f"{index.name} is missing: lists are slow", "`vectorline init --migrate`.")
        elif found != "ACTIVE":
            yield ABOUT.warning("index", f"{index.name} is {found}: lists lack tasks", "Wait until it is ACTIVE.")
        else:
            yield ABOUT.ok("index", f"{index.name} is ACTIVE")


def _capacity(name: str, described: Any) -> finding.Finding:
    mode = described.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    if mode == "PAY_PER_REQUEST":
        most = described.get("OnDemandThroughput", {})
        limits = {kind: most.get(f"Max{kind}RequestUnits", -1) for kind in ("Read", "Write")}
        if all(limit < 0 for limit in limits.values()):
            return ABOUT.ok("capacity", "on demand")
        shown = ", ".join(f"{limit} {kind.lower()}s/s" for kind, limit in limits.items() if limit >= 0)
        return ABOUT.warning("capacity", f"on demand, but at most {shown}", f"Take the maximum off the table {name}.")
    given = described.get("ProvisionedThroughput", {})
    units = f"{given.get('ReadCapacityUnits')} reads/s and {given.get('WriteCapacityUnits')} writes/s are provisioned"
    return ABOUT.warning("capacity", units, "Set the billing mode to on demand: a load comes in bursts.")


async def _used(client: Any, name: str) -> AsyncIterator[finding.Finding]:
    """Read, write and list, some times over."""
    key = {table.KEY: {"S": PROBE_KEY}}
    asked: Any = {
        "TableName": name,
        "KeyConditionExpression": "#partition = :open",
        "ExpressionAttributeValues": {":open": {"S": str(items.Listing.OPEN)}},
        "Limit": 1,
    }
    uses: dict[str, list[tuple[Any, dict[str, Any]]]] = {
        "write": [(client.put_item, {"TableName": name, "Item": {**key, "kind": {"S": "doctor"}}})],
        "read": [(client.get_item, {"TableName": name, "Key": key, "ConsistentRead": True})],
        "list": [
            (
                client.query,
                {**asked, "IndexName": table.ALL.name, "ExpressionAttributeNames": {"#partition": table.ALL.partition}},
            )
        ],
    }
    for part, calls in uses.items():
        try:
            for method, arguments in calls * PROBES:
                await amazon.call(method, **arguments)
        except amazon.Refused as error:
            yield ABOUT.broken(part, f"{name}: {error.message}", error.remedy)
        else:
            yield ABOUT.ok(part, f"{name}: {PROBES} of {PROBES} were answered, none was throttled")
    try:
        mark: Any = {table.KEY: {"S": items.INDEXED_KEY}}
        found = await amazon.call(client.get_item, TableName=name, Key=mark, ConsistentRead=True)
    except amazon.Refused:
        return  # said above
    if "Item" not in found:
        words = "the table is of an earlier version: lists of one caller's tasks are slow"
        yield ABOUT.warning("version", words, "`vectorline init --migrate`, while the line runs.")
