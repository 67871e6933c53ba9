"""A question of Metabase ends up in the bucket whole, or not at all and with the reason's name."""

import csv
import io
import uuid
from typing import Any

import httpx
import pytest
from vectorline.v1 import ingest_pb2

from services.ingest import failures, sources
from services.ingest.request import options
from services.ingest.sources.metabase import export as metabase_export
from tests.integration.ingest.conftest import BUCKET


def order(**chosen: Any) -> options.Options:
    request = {"data_source": "metabase", "question_id": 232, "start_date": "2025-01-01", **chosen}
    return options.Options.from_request(ingest_pb2.ProcessRequest(**request), options.Defaults())


async def staged(asked: metabase_export.Questions, **chosen: Any) -> sources.Pinned:
    return await asked.stage(order(**chosen), str(uuid.uuid4()), "ann")


def content(s3: Any, pinned: sources.Pinned) -> bytes:
    found: bytes = s3.get_object(Bucket=BUCKET, Key=pinned.uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    return found


def uploads(s3: Any) -> set[str]:
    return {each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix="uploads/").get("Contents", ())}


async def test_the_whole_answer_is_staged_past_the_2000_rows_of_query(
    s3: Any, asked: metabase_export.Questions
) -> None:
    pinned = await staged(asked)

    rows = list(csv.DictReader(io.StringIO(content(s3, pinned).decode())))
    assert len(rows) == 3_650
    assert rows[-1]["created_at"] == "2025-12-31T00:00:00Z"
    assert pinned.size_bytes == len(content(s3, pinned))
    assert pinned.display_name == "question-232.csv"


async def test_numbers_and_days_come_as_they_are(
    s3: Any, asked: metabase_export.Questions, scripted: httpx.AsyncClient
) -> None:
    rows = [["1234", "1234.5", "-0.125", "2025-01-01", "2025-03-04T15:06:07Z"]]
    columns = ["id", "formatted_text", "price", "day", "created_at"]
    await scripted.put("/_sandbox/questions", json=[{"id": 77, "columns": columns, "rows": rows}])

    found = content(s3, await staged(asked, question_id=77)).decode()
    assert list(csv.reader(io.StringIO(found))) == [columns, *rows]
    shown = await scripted.post("/api/card/77/query/csv", headers={"x-api-key": "right"})
    assert '1234,"1,234.50",-0.12,"January 1, 2025","March 4, 2025, 3:06 PM"' in shown.text


async def test_the_dates_go_to_the_template_tags(
    s3: Any, asked: metabase_export.Questions, scripted: httpx.AsyncClient
) -> None:
    pinned = await staged(asked, start_date="2025-03-01", end_date="2025-03-02")
    seen = (await scripted.get("/_sandbox/requests")).json()

    assert len(list(csv.reader(io.StringIO(content(s3, pinned).decode())))) == 21
    assert [each["value"] for each in seen[0]["parameters"]] == ["2025-03-01", "2025-03-02"]
    assert seen[0]["parameters"][0]["target"] == ["variable", ["template-tag", "Start_Date"]]


@pytest.mark.parametrize(
    ("fault", "reason", "times_asked"),
    [
        ({"kind": "error"}, "METABASE_REFUSED", 1),
        ({"kind": "error_behind"}, "METABASE_REFUSED", 1),
        ({"kind": "status", "code": 400}, "METABASE_REFUSED", 1),
        ({"kind": "status", "code": 403}, "METABASE_REFUSED", 1),
        ({"kind": "login"}, "METABASE_LOGIN", 1),
        ({"kind": "redirect"}, "METABASE_LOGIN", 1),
        ({"kind": "reset"}, "METABASE_TRUNCATED", metabase_export.ATTEMPTS),
        ({"kind": "cut"}, "METABASE_TRUNCATED", metabase_export.ATTEMPTS),
        ({"kind": "empty"}, "METABASE_TRUNCATED", metabase_export.ATTEMPTS),
        ({"kind": "status", "code": 502}, "METABASE_UNAVAILABLE", metabase_export.ATTEMPTS),
    ],
)
async def test_a_bad_answer_fails_by_name_and_leaves_nothing(
    s3: Any,
    asked: metabase_export.Questions,
    scripted: httpx.AsyncClient,
    fault: dict[str, Any],
    reason: str,
    times_asked: int,
) -> None:
    (await scripted.put("/_sandbox/faults", json=[fault])).raise_for_status()
    before = uploads(s3)

    with pytest.raises(failures.SourceFailure) as caught:
        await staged(asked)

    assert caught.value.reason == reason
    assert len((await scripted.get("/_sandbox/requests")).json()) == times_asked
    assert uploads(s3) == before


@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "cut"}, {"kind": "status", "code": 503}])
async def test_what_passes_by_is_tried_again(
    s3: Any, asked: metabase_export.Questions, scripted: httpx.AsyncClient, fault: dict[str, Any]
) -> None:
    await scripted.put("/_sandbox/faults", json=[{**fault, "times": 2}])

    pinned = await staged(asked)

    assert len(list(csv.reader(io.StringIO(content(s3, pinned).decode())))) == 3_651


async def test_an_unknown_question_and_a_missing_tag_are_refused_in_metabases_words(
    asked: metabase_export.Questions, scripted: httpx.AsyncClient
) -> None:
    await scripted.put("/_sandbox/questions", json=[{"id": 5, "tags": {"Start_Date": True, "End_Date": True}}])

    with pytest.raises(failures.SourceFailure, match="no question 77"):
        await staged(asked, question_id=77)
    with pytest.raises(failures.SourceFailure, match="You'll need to pick a value for 'End_Date'"):
        await staged(asked, question_id=5)


@pytest.mark.parametrize(("rows", "cut"), [(2_000, True), (1_048_575, True), (2_001, False), (0, False)])
def test_an_export_that_ends_where_metabase_cuts_is_not_believed(
    asked: metabase_export.Questions, rows: int, cut: bool
) -> None:
    if not cut:
        asked.check_rows(rows)
        return
    with pytest.raises(failures.SourceFailure) as caught:
        asked.check_rows(rows)
    assert caught.value.reason == "METABASE_TRUNCATED"
