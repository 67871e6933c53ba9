"""What the ledger answers is sorted: later, over, or a defect that ends the task by name."""

import asyncio
from typing import Any

import grpc
import pytest

from services.ingest import ledger_client
from services.ingest.driving import driver, refusals, waiting
from tests.support import virtual_time
from tests.unit.ingest import driven

LATER = {
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
}
OVER = {"ABORTED", "NOT_FOUND"}


class Stub:
    """A ledger that answers one code to everything but a failing of the task."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = code
        self.failed: list[Any] = []
        self.noted: list[str] = []

    async def GetTaskRecord(self, request: Any) -> Any:
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(self.code, nothing, nothing, details="Incident 77.")

    async def FailTask(self, request: Any) -> Any:
        self.failed.append(request)
        return ledger_client.Record()

    async def NoteWait(self, request: Any) -> Any:
        self.noted.append(request.why)


class Lease:
    async def release(self) -> None: ...

    async def renew(self) -> bool:
        return True


class Splitting:
    async def acquire(self, task_id: str) -> Lease:
        return Lease()


def driving(stub: Stub) -> driver.Driver:
    ledger = ledger_client.Ledger.__new__(ledger_client.Ledger)
    ledger._stub = stub  # type: ignore[assignment]
    made = driven.made(ledger, None)
    made._splitting = Splitting()  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_code_means_later_over_or_a_failed_task(code: grpc.StatusCode) -> None:
    stub = Stub(code)

    async def drives() -> list[driver.End]:
        drive, ends = driving(stub), []
        drive._refusals = refusals.Refusals(clock=asyncio.get_running_loop().time)
        for _ in range(10):
            ends.append(await drive.drive("t"))
            await asyncio.sleep(10.0)
        return ends

    ends = virtual_time.run(drives())
    if code.name in LATER:
        assert set(ends) == {driver.End.LATER}
        assert stub.failed == []
        assert stub.noted == [f"{code.name}: Incident 77."]  # once
    elif code.name in OVER:
        assert set(ends) == {driver.End.OVER}
        assert stub.failed == []
    else:
        assert ends[:6] == [driver.End.LATER] * 6  # not before a minute has passed
        assert driver.End.OVER in ends
        assert stub.failed[0].reason == "LEDGER_REFUSED"
        assert "Incident 77." in stub.failed[0].message


async def test_a_wait_is_told_when_it_changes_and_again_when_it_was_not_heard() -> None:
    heard: list[str] = []
    deaf = [True]

    class Ledger:
        async def note_wait(self, task_id: str, why: str) -> bool:
            heard.append(why)
            return not deaf[0]

    ledger: Any = Ledger()
    notes = waiting.Notes(ledger)
    await notes.tell("t", "")
    await notes.tell("t", "S3")
    deaf[0] = False
    for why in ("S3", "S3", "Valkey", "", ""):
        await notes.tell("t", why)
    assert heard == ["S3", "S3", "Valkey", ""]
