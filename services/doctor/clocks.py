"""The clock of this machine against those of Valkey and DynamoDB."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from email import utils
from typing import Any

from services.doctor import amazon, finding, told
from services.indexer import settings as indexer_settings
from services.runtime import aws, secrets
from services.runtime import settings as runtime_settings
from services.valkey import connection, errors, settings

ABOUT = finding.About("clocks")
SECTIONS: Sequence[type[runtime_settings.Section]] = ()
# The line corrects itself by DynamoDB's clock; keys and certificates end by this one's.
OFF_SECONDS = 2.0
# AWS refuses what was signed five minutes off.
REFUSED_SECONDS = 240.0
REMEDY = "Let this machine follow a time server (chrony; on AWS 169.254.169.123)."


async def check(knows: told.Told, services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Ask each server for the time, as far as it can be asked from here; who cannot is another check's matter."""
    if not {"ingest", "embedder"}.isdisjoint(services):
        with contextlib.suppress(runtime_settings.Wrong, errors.NotNow):
            yield _judged("valkey", await _behind_valkey(knows.of(settings.ValkeySettings)))
    if "indexer" in services:
        with contextlib.suppress(runtime_settings.Wrong):
            where, rules = knows.of(aws.CallerSettings), knows.of(indexer_settings.LedgerSettings)
            if (off := await _behind_dynamodb(where, rules.dynamodb_table_name)) is not None:
                yield _judged("dynamodb", off)


async def _behind_valkey(where: settings.ValkeySettings) -> float:
    client = connection.connect(where.url, proof=where.proof(secrets.renewed))
    try:
        with errors.translated():
            await client.ping()  # connects
            sent = time.time()
            seconds, microseconds = await client.time()
            served = seconds + microseconds / 1e6
            return _behind(served - time.time(), served - sent)
    finally:
        await client.aclose()


async def _behind_dynamodb(where: aws.CallerSettings, table: str) -> float | None:
    """None: it cannot be asked."""
    client = aws.dynamodb(where)
    sent = time.time()
    try:
        answer: Any = await amazon.call(
            client.get_item, TableName=table, Key={"task_id": {"S": "doctor"}}, ConsistentRead=True
        )
    except amazon.Refused as refused:
        answer = getattr(refused.__cause__, "response", {})  # a refusal has a date too
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "date" not in headers:
        return None
    served = utils.parsedate_to_datetime(headers["date"]).timestamp()  # whole seconds, cut off
    return _behind(served - time.time(), served + 1.0 - sent)


def _behind(least: float, most: float) -> float:
    """How many seconds this clock is behind, of the possible ones the nearest to none."""
    return min(max(0.0, least), most)


def _judged(part: str, behind: float) -> finding.Finding:
    words = f"this clock is {abs(behind):.1f} s {'behind' if behind > 0 else 'ahead of'} {part}'s"
    if abs(behind) >= REFUSED_SECONDS:
        return ABOUT.broken(part, f"{words}; AWS refuses what is signed with it", REMEDY)
    if abs(behind) >= OFF_SECONDS:
        return ABOUT.warning(part, words, REMEDY)
    return ABOUT.ok(part, f"this clock agrees with {part}'s")
