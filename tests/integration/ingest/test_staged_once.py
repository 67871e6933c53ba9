"""A question is asked once for a task, however often the task is driven."""

import uuid
from typing import Any

import httpx
import pytest
from vectorline.v1 import ingest_pb2, ledger_pb2

from services.ingest import failures, settings
from services.ingest.driving import driver
from services.ingest.request import options
from services.ingest.sources import uploads
from services.ingest.sources.metabase import export as metabase_export
from tests.unit.ingest import driven

ORDER = ingest_pb2.ProcessRequest(data_source="metabase", question_id=232, start_date="2025-12-01")


class Ledger:
    """Notes what the scan was begun with."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.waits: list[str] = []

    async def note_wait(self, _task_id: str, why: str) -> bool:
        self.waits.append(why)
        return True

    async def begin_scan(self, _task_id: str, pinned: Any) -> None:
        self.begun.append(pinned)


class Standing:
    """Nothing ever stops the driver."""

    async def during(self, work: Any) -> Any:
        return await work


def made(ledger: Ledger, asked: metabase_export.Questions) -> driver.Driver:
    return driven.made(ledger, object(), defaults=options.Defaults(), asked=asked)


async def pinned(drive: driver.Driver, record: ledger_pb2.TaskRecord) -> Any:
    standing: Any = Standing()
    return await drive._pinned(record, options.Options.from_request(record.request, options.Defaults()), standing)


async def test_what_is_pinned_is_not_asked_again(asked: metabase_export.Questions, scripted: httpx.AsyncClient) -> None:
    ledger = Ledger()
    record = ledger_pb2.TaskRecord(task_id=str(uuid.uuid4()), client="ann", request=ORDER)

    first = await pinned(made(ledger, asked), record)
    record.source.CopyFrom(first.to_proto())
    again = await pinned(made(ledger, asked), record)

    assert again == first
    assert len((await scripted.get("/_sandbox/requests")).json()) == 1
    assert ledger.waits == ["for Metabase's export of question 232."]
    assert ledger.begun == [None]  # the task shows that it is worked on before the export has come


async def test_a_task_whose_metabase_was_taken_out_of_the_configuration_fails_by_name_at_once(s3: Any) -> None:
    record = ledger_pb2.TaskRecord(task_id=str(uuid.uuid4()), client="ann", request=ORDER)
    nowhere = settings.MetabaseSettings(metabase_url="", metabase_api_key="").metabase

    async with metabase_export.connect(nowhere) as client:
        gone = metabase_export.Questions(client, uploads.Uploads(s3, "vectorline"), nowhere, sleep=_never)
        with pytest.raises(failures.SourceFailure, match="no Metabase here any more") as caught:
            await pinned(made(Ledger(), gone), record)
    assert caught.value.reason == "METABASE_UNAVAILABLE"


async def _never(_seconds: float) -> None:
    raise AssertionError("It was tried again.")
