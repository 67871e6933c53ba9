"""``vectorline migrate``: the predecessor's environment file and its table, only read."""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest
from typer import testing

from cli import main
from cli.commands import migrate
from cli.predecessor import envfile, names
from tests.unit.deployment import code

# The names that the API promises to keep (shared API, §3), as a production file of the predecessor had them.
OLD = """\
ENVIRONMENT=production
API_KEY="canary-of-a-key"
API_HOST=0.0.0.0
API_PORT=8000
METABASE_URL=https://metabase.example.com
METABASE_API_KEY=canary-of-metabase
METABASE_QUESTION_ID=232
OPENAI_API_KEY=sk-canary
OPENAI_MODEL=text-embedding-3-small
OPENAI_RATE_LIMIT=5
PINECONE_API_KEY=canary-of-pinecone
PINECONE_INDEX_NAME=vectors
PINECONE_NAMESPACE=v2
PINECONE_BATCH_SIZE=100
AWS_REGION=us-east-1
DYNAMODB_TABLE_NAME=old-tasks
S3_BUCKET_NAME=exports
USE_LOCAL_FILES=false
LOCAL_CSV_FOLDER=.
REDIS_HOST=redis
REDIS_PORT=6379
REDIS_DB=0
REDIS_PASSWORD=canary-of-redis
CHUNK_SIZE=1000
BATCH_SIZE=1000
MAX_WORKERS=4
TASK_TIMEOUT=1800
LOG_LEVEL=INFO
"""


def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    done = testing.CliRunner().invoke(main.app, ["--json", "migrate", *arguments])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.exit_code, lines, done.output


def checked(folder: pathlib.Path, text: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    file = folder / ".env.production"
    file.write_text(text)
    exit_code, lines, said = run("check", str(file))
    assert file.read_text() == text
    return exit_code, {line["name"]: line for line in lines}, said


def test_each_name_of_the_predecessor_is_known_and_only_what_it_had_no_word_for_is_missing(
    tmp_path: pathlib.Path,
) -> None:
    exit_code, found, said = checked(tmp_path, OLD)

    assert exit_code == 1
    assert {name for name, line in found.items() if line["verdict"] == "missing"} == {"INTERNAL_TOKEN"}
    assert {line["verdict"] for line in found.values()} == {"kept", "changed", "dropped", "missing"}
    assert all(line["word"] for line in found.values() if line["verdict"] != "kept")
    assert "canary" not in said


def test_with_what_is_missing_the_file_is_good(tmp_path: pathlib.Path) -> None:
    exit_code, found, _ = checked(tmp_path, OLD + "INTERNAL_TOKEN=long-and-random\n")

    assert exit_code == 0, found


@pytest.mark.parametrize(
    ("line", "verdict", "words"),
    [
        ("CELERY_BROKER_URL=redis://r:6379/0", "renamed", "REDIS_URL"),
        ("CELERYD_CONCURRENCY=4", "unknown", "not known"),
        ("CELERY_TASK_ACKS_LATE=1", "dropped", "Celery"),
        ("AWS_DEFAULT_REGION=eu-west-1", "renamed", "AWS_REGION"),
        ("OPENAI_APIKEY=x", "unknown", "OPENAI_API_KEY"),
        ("CORS_ORIGINS=*", "refused", "proxy"),
        ("ENVOY_TRUSTED_HOPS=1", "kept", ""),
        ("LEASE_SECONDS=30", "kept", ""),
    ],
)
def test_other_names_get_a_word_each(tmp_path: pathlib.Path, line: str, verdict: str, words: str) -> None:
    exit_code, found, _ = checked(tmp_path, f"{OLD}INTERNAL_TOKEN=x\n{line}\n")
    told = found[line.partition("=")[0]]

    assert told["verdict"] == verdict
    assert words in told["word"]
    assert exit_code == (1 if verdict == "refused" else 0)


def test_a_value_that_would_stop_a_service_is_wrong_by_its_name(tmp_path: pathlib.Path) -> None:
    exit_code, found, _ = checked(tmp_path, OLD.replace("MAX_WORKERS=4", "MAX_WORKERS=four") + "INTERNAL_TOKEN=x\n")

    assert exit_code == 1
    assert [name for name, line in found.items() if line["wrong"]] == ["MAX_WORKERS"]


def test_a_line_that_is_no_assignment_is_named_by_its_number_and_not_repeated(tmp_path: pathlib.Path) -> None:
    exit_code, _, said = checked(tmp_path, "A=1\ncanary without a sign\n")

    assert exit_code == 2
    assert "line 2" in said
    assert "canary" not in said


def test_a_file_that_is_not_there_is_a_matter_of_usage(tmp_path: pathlib.Path) -> None:
    assert run("check", str(tmp_path / "none"))[0] == 2


def test_every_rule_that_says_a_new_name_names_a_variable_of_ours() -> None:
    ours = migrate._ours()

    assert ours >= set(code.defaults())
    for rule in names._RULES.values():
        if rule.verdict is names.Verdict.RENAMED:
            named = re.match(r"[A-Z0-9_]+", rule.word)
            assert named, rule
            assert named[0] in ours, rule
    assert set(names._KEPT) <= ours | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("export A = b ", "b"),
        ("A='b # c' # d", "b # c"),
        ('A="b"', "b"),
        ("A=b#c # d", "b#c"),
        ("A=", ""),
        ("A=x\nA=b", "b"),
        ("\ufeffA=b\r\n", "b"),
        ("A='b", "'b"),
    ],
)
def test_an_environment_file_is_read_as_others_read_it(text: str, value: str) -> None:
    assert [(each.name, each.value) for each in envfile.parse(text)] == [("A", value)]


# ---- the table


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """DynamoDB with the predecessor's table, of which nothing may be written once it is there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with moto.mock_aws():
        client: Any = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="old-tasks",
            KeySchema=[{"AttributeName": "task_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "task_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def put(client: Any, **item: Any) -> None:
    client.put_item(TableName="old-tasks", Item=item)


def test_old_tasks_are_listed_as_they_stand_there(dynamodb: Any) -> None:
    put(
        dynamodb,
        task_id={"S": "one"},
        status={"S": "completed"},
        task_type={"S": "s3_csv"},
        created_at={"S": "2025-01-01"},
        progress={"M": {"processed_records": {"N": "90"}, "total_records": {"N": "100"}}},
    )
    put(dynamodb, task_id={"S": "two"}, status={"S": "PROCESSING"}, progress={"N": "50"})
    put(dynamodb, task_id={"S": "not-a-task"}, note={"S": "x"})
    put(dynamodb, task_id={"S": "ours"}, status={"S": "completed"}, kind={"S": "task"})
    before = dynamodb.scan(TableName="old-tasks")["Items"]

    exit_code, found, _ = run("tasks", "--table", "old-tasks")
    told = {each["task_id"]: each for each in found}

    assert exit_code == 0
    assert told.keys() == {"one", "two"}
    assert (told["one"]["kind"], told["one"]["processed"], told["one"]["total"]) == ("s3_csv", 90, 100)
    assert (told["two"]["processed"], told["two"]["created"]) == (None, "")
    assert [each["task_id"] for each in run("tasks", "--table", "old-tasks", "--open")[1]] == ["two"]
    assert dynamodb.scan(TableName="old-tasks")["Items"] == before


def test_a_table_that_cannot_be_read_says_what_to_look_at(dynamodb: Any) -> None:
    exit_code, _, said = run("tasks", "--table", "none-such")

    assert exit_code == 3
    assert "none-such" in said
    assert "AWS_REGION" in said
