"""What a job's request meets: the same call again answers the same task, whatever that task has changed since."""

from collections.abc import Iterator
from typing import Any

import pytest
from vectorline.v1 import job_pb2, ledger_pb2, manifest_pb2

from services.ingest import threads
from services.ingest.jobs import requests
from services.ingest.request import options
from services.runtime import errors, identity

ASKED = {"namespace": "v2", "question_id": 232}


class Ledger:
    """Stores tasks by their idempotency keys."""

    def __init__(self) -> None:
        self._stored: dict[str, ledger_pb2.TaskRecord] = {}

    async def create(self, client: str, request: Any, _pinned: None, **named: Any) -> ledger_pb2.TaskRecord:
        if request.request_id in self._stored or named["validate_only"]:
            return self._stored.get(request.request_id, ledger_pb2.TaskRecord())
        record = ledger_pb2.TaskRecord(task_id=f"task-{len(self._stored)}", client=client, request=request)
        return self._stored.setdefault(request.request_id, record)


class Manifests:
    """One question."""

    def __init__(self, **found: Any) -> None:
        self.found = manifest_pb2.Manifest(**ASKED | {"question_id": "232"}, **found)

    async def about(self, *_: Any) -> manifest_pb2.Manifest:
        return self.found


def made(manifests: Manifests) -> requests.Requests:
    nobody: Any = None
    ledger: Any = Ledger()
    known: Any = manifests
    return requests.Requests(
        ledger,
        known,
        objects=nobody,
        find=nobody,
        prices=nobody,
        defaults=options.Defaults(),
        skips=True,
        tokens=nobody,
        work=threads.Pool(),
    )


@pytest.fixture(autouse=True)
def caller() -> Iterator[None]:
    token = identity.bind(identity.Caller("ann", frozenset({"ingest"})))
    yield
    identity.unbind(token)  # or each later test of this process would be called by ann


async def test_an_adoption_that_is_asked_for_again_is_the_one_that_made_the_question_known() -> None:
    manifests = Manifests()
    asks = made(manifests)
    first = await asks.adopt(job_pb2.AdoptRequest(**ASKED), "key")
    manifests.found.pending.task_id = "task-0"

    again = await asks.adopt(job_pb2.AdoptRequest(**ASKED), "key")
    assert first.record is not None
    assert again.record == first.record
    with pytest.raises(errors.Conflict) as refused:
        await asks.adopt(job_pb2.AdoptRequest(**ASKED), "another")
    assert refused.value.reason == "ALREADY_KNOWN"


async def test_a_verify_that_is_asked_for_again_is_the_same_though_nothing_is_known_any_more() -> None:
    manifests = Manifests(uri="manifests/header")
    asks = made(manifests)
    first = await asks.verify(job_pb2.VerifyRequest(**ASKED), "key")
    manifests.found.uri = ""

    again = await asks.verify(job_pb2.VerifyRequest(**ASKED), "key")
    assert again == first
    with pytest.raises(errors.Conflict) as refused:
        await asks.verify(job_pb2.VerifyRequest(**ASKED), "another")
    assert refused.value.reason == "NOTHING_KNOWN"
