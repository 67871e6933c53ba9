"""The ledger over ministack, with callers that really run at once."""

import asyncio
import urllib.parse

import pytest
from vectorline.v1 import chunk_pb2

from services.indexer import ledger
from services.indexer.ledger import gate, items, listing, namespaces
from services.indexer.storage import clock, dynamodb, rejects, table
from services.runtime import aws, errors
from tests.support import ledgers, proxy

ROUNDS = 500


async def test_identical_requests_at_once_make_one_task(book: ledger.Ledger) -> None:
    calls = [book.creation.create(ledgers.new_task(request_id="k", body=b"x")) for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert len({task[table.KEY] for task, _ in answers}) == 1
    assert sum(not existed for _, existed in answers) == 1
    page = await book.listing.newest(listing.Query(), limit=10)
    assert len(page.tasks) == 1


async def test_the_last_two_chunks_settled_at_the_same_instant_close_once(book: ledger.Ledger) -> None:
    template = await ledgers.scanned(book, rows=2)

    async def once(number: int) -> None:
        # Two chunks in one shard, or in two of them: the last of each rolls up.
        task_id = await ledgers.scanned(book, rows=2, question_id=number)
        await book.shards.open(task_id, 0)
        settles = [book.closing.settle(task_id, chunk, ledgers.good()) for chunk in (0, 1)]
        sealing = book.closing.seal(task_id, 2, 2)
        if number % 2:
            await sealing
            await asyncio.gather(*settles)
        else:
            await asyncio.gather(*settles, sealing)
        task = await book.tasks.get(task_id)
        assert task["status"] == "completed"
        assert (task["indexed"], task["shards_settled"]) == (2, 1)

    for start in range(0, ROUNDS, 20):
        await asyncio.gather(*(once(number) for number in range(start, start + 20)))
    assert (await book.tasks.get(template))["status"] == "processing_chunks"


async def test_many_shards_filled_at_once_are_counted_exactly(
    book: ledger.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "CHUNKS_PER_SHARD", 4)
    chunks = 30
    task_id = await ledgers.scanned(book, rows=chunks)
    for shard in range(8):
        await book.shards.open(task_id, shard)
    work = [
        book.closing.settle(task_id, chunk, ledgers.bad() if chunk % 3 == 0 else ledgers.good())
        for chunk in range(chunks)
        for _ in range(3)
    ]
    settled = await asyncio.gather(*work, book.closing.seal(task_id, chunks, chunks))
    assert sum(not one.already for one in settled[:-1]) == chunks
    task = await book.tasks.get(task_id)
    assert task["status"] == "partially_completed"
    assert (task["indexed"], task["failed"], task["shards_settled"]) == (20, 10, 8)
    (progress,) = await book.progress([task])
    assert progress.reasons == {"empty_text": 10}


async def test_a_turn_asked_for_at_once_is_given_once(book: ledger.Ledger) -> None:
    tasks = [await ledgers.create(book) for _ in range(5)]
    answers = await asyncio.gather(*(book.turns.acquire(task_id) for task_id in tasks for _ in range(2)))
    holders = {answer.holder for answer in answers}
    assert len(holders) == 1
    assert {answer.fence for answer in answers if answer.held} == {1}
    waiting = [task_id for task_id in tasks if task_id not in holders]
    for task_id in waiting:
        assert (await book.tasks.get(task_id))["status"] == "queued"


async def test_the_gate_and_a_claim_raced_for(book: ledger.Ledger) -> None:
    one, two = await ledgers.scanned(book, question_id=1), await ledgers.scanned(book, question_id=2)
    for task_id in (one, two):
        await book.turns.acquire(task_id)
        await book.shards.open(task_id, 0)
    models = {one: "ada", two: "small"}
    begun = [(await book.gate.begin(task_id, [0], 1, model, 3))[0] for task_id, model in models.items()]
    assert begun == [gate.Answer.GO] * 2  # nothing is claimed before the first vector
    wanted = [namespaces.Wanted("v2", namespaces.Kind(model, 3)) for model in models.values()]
    answers = await asyncio.gather(book.gate.check_write(one, 1, wanted[0]), book.gate.check_write(two, 1, wanted[1]))
    assert sorted(answers) == [gate.Answer.BLOCKED, gate.Answer.GO]
    assert await book.gate.check_write(one if answers[0] == gate.Answer.GO else two, 1) == gate.Answer.GO


async def test_a_namespace_is_released_and_claimed_anew(book: ledger.Ledger) -> None:
    async def empty() -> int:
        return 0

    book.namespaces._writes_seconds = 0.0
    await book.namespaces.claim("v2", "ada", 3)
    assert await book.namespaces.release("v2", empty) == namespaces.Kind("ada", 3)
    assert await book.namespaces.holds("v2") is None
    await book.namespaces.claim("v2", "small", 3)
    assert await book.namespaces.holds("v2") == namespaces.Kind("small", 3)


async def test_listing_follows_the_status(book: ledger.Ledger) -> None:
    made = [await ledgers.create(book, client="ann" if number % 2 else "bob") for number in range(7)]
    await book.tasks.cancel(made[0])
    await book.tasks.block(made[1], "CAP", "m")
    seen: list[str] = []
    token = ""
    while True:
        page = await book.listing.newest(listing.Query(), limit=3, page_token=token)
        seen += page.ids
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    page = await book.listing.newest(listing.Query(client="ann"), limit=9)
    assert page.ids == [made[5], made[3], made[1]]
    assert (await book.listing.open()).ids == made[2:]
    assert await book.listing.blocked("CAP") == [made[1]]


async def test_rejects_are_kept_in_the_bucket(where: aws.CallerSettings) -> None:
    client = aws.s3(where)
    client.create_bucket(Bucket="kept")
    caller = aws.Caller("S3", where)
    store = rejects.RejectStore(client, "kept", caller)
    row = chunk_pb2.Reject(row_number=1, reason="empty_text", message="m", cells=["", "é"])
    assert await store.read(await store.write("task", 0, [row])) == [row]
    caller.close()
    client.close()


@pytest.mark.parametrize("request_id", ["k", ""])
async def test_a_task_whose_answer_is_lost_is_unavailable_and_found_when_it_is_stored_again(
    where: aws.CallerSettings, storage: dynamodb.DynamoTable, book: ledger.Ledger, request_id: str
) -> None:
    behind = proxy.Proxy(urllib.parse.urlsplit(where.aws_endpoint_url or "").port or 0)
    cut = where.model_copy(update={"aws_endpoint_url": f"http://127.0.0.1:{behind.port}", "aws_retry_seconds": 0.2})
    caller, client = aws.Caller("DynamoDB", cut), aws.dynamodb(cut)
    deaf = ledger.Ledger(dynamodb.DynamoTable(client, storage._name, caller), clock.Clock(), index=ledgers.INDEX)
    new = ledgers.new_task(request_id=request_id)
    with behind.toxic(proxy.Kind.RESET_ANSWER), pytest.raises(errors.Unavailable):
        await deaf.creation.create(new)

    task, existed = await book.creation.create(new)
    assert existed, "it was stored, and its answer was lost"
    page = await book.listing.newest(listing.Query(), limit=10)
    assert [each.task_id for each in page.tasks] == [task[table.KEY]]
    caller.close()
    client.close()
    behind.close()


async def test_the_clock_knows_the_servers_time(where: aws.CallerSettings, storage: dynamodb.DynamoTable) -> None:
    wrong = clock.Clock(lambda: 0.0)
    caller = aws.Caller("DynamoDB", where, wrong)
    client = aws.dynamodb(where)
    answer = await caller.call(client.list_tables)
    assert answer["TableNames"]
    assert abs((wrong.now() - clock.Clock().now()).total_seconds()) < 3
    caller.close()
    client.close()
