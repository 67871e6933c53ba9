"""The Python client on a real line, by its gateway and by its services; and every example of its README."""

import asyncio
import itertools
import pathlib
import uuid
from collections.abc import Iterator

import pytest

import vectorline_client as vectorline
from tests.support import csvs, examples
from tests.support.line import ROOT, Line

README = ROOT / "clients" / "python" / "README.md"
QUESTIONS = itertools.count(50)  # of what counts the tasks of one question
BIKES = b"""id,formatted_text,price,colour
1,"A red bicycle for children, with stabilisers",120,red
2,"A blue mountain bike with 21 gears",640,blue
3,"A helmet that fits adults",35,black
"""


@pytest.fixture(params=["gateway", "services"])
def way(request: pytest.FixtureRequest) -> str:
    """A load by one way has a namespace apart from the other's: it would wait for the turn, and find the rows there."""
    return str(request.param)


@pytest.fixture
def client(line: Line, way: str) -> Iterator[vectorline.Client]:
    """A client by either way."""
    named = {service: line.endpoints[f"{service.upper()}_ADDR"] for service in ("ingest", "embedder", "indexer")}
    address = line.endpoints["GATEWAY_URL"] if way == "gateway" else named
    with vectorline.Client(address, api_key=line.endpoints["API_KEY"]) as made:
        yield made


def test_every_example_of_the_readme_does_what_it_says(
    line: Line, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bikes.csv").write_bytes(BIKES)
    for name in ("GATEWAY_URL", "API_KEY"):
        monkeypatch.setenv(name, line.endpoints[name])
    here = {"http://localhost:8000": line.endpoints["GATEWAY_URL"], '"..."': repr(line.endpoints["API_KEY"])}
    assert examples.run(README, here) >= 10
    assert (tmp_path / "rejects.csv").read_text().count("\n") == 2


def test_rows_of_a_generator_arrive_with_their_types(client: vectorline.Client, line: Line, way: str) -> None:
    rows = (
        {"id": f"i{number}", "formatted_text": f'Row {number}: "quoted",\nand a line', "price": number / 4, "new": True}
        for number in range(2_500)
    )
    task = client.load(rows, question_id=7, namespace=f"generated-{way}").wait()

    assert task.progress.processed_records == 2_500
    found = line.index(f"generated-{way}")
    assert set(found) == {f"7.i{number}" for number in range(2_500)}
    assert found["7.i3"]["metadata"]["price"] == 0.75
    assert found["7.i3"]["metadata"]["new"] is True
    assert found["7.i3"]["metadata"]["text"] == 'Row 3: "quoted", and a line'


def test_the_same_key_is_the_same_task(client: vectorline.Client) -> None:
    data = csvs.of(csvs.rows(10))
    march = str(uuid.uuid4())
    first = client.load(data, question_id=8, namespace="same", idempotency_key=march)
    again = client.load(data, question_id=8, namespace="same", idempotency_key=march)
    other = client.load(data, question_id=8, namespace="same")
    assert first.task_id == again.task_id != other.task_id
    with pytest.raises(vectorline.Conflict) as refused:
        client.load(data, question_id=9, namespace="same", idempotency_key=march)
    assert refused.value.reason == "IDEMPOTENCY_KEY_REUSED"


def test_what_the_line_refuses_is_a_type_with_all_bad_fields(client: vectorline.Client) -> None:
    with pytest.raises(vectorline.InvalidRequest) as refused:
        client.load(b"id\n1\n", chunk_size=1, priority="urgent")
    assert {"chunk_size", "priority", "question_id"} <= {bad.field for bad in refused.value.fields}
    with pytest.raises(vectorline.NotFound) as missing:
        client.task("00000000-0000-4000-8000-000000000000")
    assert missing.value.reason == "TASK_NOT_FOUND"


def test_a_source_that_cannot_be_used_is_told_by_name(client: vectorline.Client, way: str) -> None:
    with pytest.raises(vectorline.TaskFailed) as failed:
        client.load(b'id,formatted_text\n1,"open\n', question_id=9, namespace=f"broken-{way}").wait()
    assert failed.value.reason == "UNBALANCED_QUOTE"
    with pytest.raises(vectorline.InvalidRequest) as refused:
        client.estimate(b'id,formatted_text\n1,"open\n', question_id=9, namespace=f"broken-{way}")
    assert refused.value.reason == "UNBALANCED_QUOTE"


def test_a_wrong_key_is_told_as_such(line: Line) -> None:
    with (
        vectorline.Client(line.endpoints["GATEWAY_URL"], api_key="wrong") as stranger,
        pytest.raises(vectorline.Unauthenticated),
    ):
        stranger.load([{"id": 1, "formatted_text": "x" * 3_000_000}], question_id=1)


def test_what_a_filter_matches_is_counted_and_retried_once(client: vectorline.Client, line: Line) -> None:
    """Rows that are rejected for good are nothing to retry, but with `all`."""
    question = next(QUESTIONS)
    with pytest.raises(vectorline.RowsRejected):
        client.load([{"id": 1, "formatted_text": "a"}, {"id": 2}], question_id=question, namespace="retried").wait()

    outlook = client.retry_tasks(question_id=question, dry_run=True)
    assert (outlook.matched, outlook.retried, outlook.refused) == (1, 0, {"NOTHING_TO_RETRY": 1})
    outlook = client.retry_tasks(question_id=question, since="1h", all=True, dry_run=True)
    assert (outlook.matched, outlook.retried, outlook.rows) == (1, 1, 1)
    done = client.retry_tasks(question_id=question, since="1h", all=True)
    assert (done.dry_run, done.retried) == (False, 1)
    retry_id = done.tasks[0].retry_task_id
    assert retry_id is not None
    assert client.wait(retry_id, check=False).metadata.parent_task_id == done.tasks[0].task_id
    again = client.retry_tasks(question_id=question, since="1h", all=True, task_ids=[done.tasks[0].task_id])
    assert again.refused == {"RETRIED_BEFORE": 1}


def test_the_asynchronous_client_does_many_things_at_once(line: Line) -> None:
    async def source(number: int):
        for row in range(200):
            yield {"id": row, "formatted_text": f"Row {row} of load {number}"}

    async def main() -> list[int]:
        async with vectorline.AsyncClient(line.endpoints["GATEWAY_URL"], api_key=line.endpoints["API_KEY"]) as client:
            handles = await asyncio.gather(
                *(client.load(source(number), question_id=300 + number, namespace="many") for number in range(5))
            )
            tasks = await asyncio.gather(*(handle.wait() for handle in handles))
            return [task.progress.processed_records for task in tasks]

    assert asyncio.run(main()) == [200] * 5
    assert len(line.index("many")) == 1_000
