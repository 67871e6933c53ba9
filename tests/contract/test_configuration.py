"""API §3: a wrong value of any variable stops every process that reads it, with one line that names the variable."""

import importlib
import pathlib

import pytest

from gateway import render
from services.runtime import server
from tests.unit.deployment import code

# What a process needs to get as far as the value in question.
NEEDED = {"OPENAI_API_KEY": "sk-good", "API_KEY_PEPPER": "pepper-pepper-pepper"}
# ENVIRONMENT and REDIS_PASSWORD are free text: no value of theirs is wrong by itself.
WRONG = [
    *(("API_KEY", value) for value in ("two\nlines", "blank behind ", "ключ")),
    *(("API_KEYS", value) for value in ("[{}]", "no/such/file", '[{"id": "a", "hash": "x", "scopes": ["read"]}]')),
    *(("INTERNAL_TOKEN", value) for value in ("line end\n", "\x01")),
    *(("METABASE_URL", value) for value in ("metabase", "ftp://metabase", "http://m:port")),
    *(("METABASE_API_KEY", value) for value in ("line end\n",)),
    *(("METABASE_QUESTION_ID", value) for value in ("-1", "two", "1.5")),
    *(("OPENAI_API_KEY", value) for value in ("sk line end\n",)),
    *(("OPENAI_MODEL", value) for value in (" ", "two words")),
    *(("OPENAI_RATE_LIMIT", value) for value in ("-1", "fast", "inf", "nan")),
    *(("OPENAI_TOKENS_PER_MINUTE", value) for value in ("-1", "many", "nan")),
    *(("OPENAI_BASE_URL", value) for value in ("localhost:9000", "ftp://x", "http://")),
    *(("EMBEDDING_DIMENSIONS", value) for value in ("0", "-1", "20001", "wide")),
    *(("PINECONE_API_KEY", value) for value in ("line end\n",)),
    *(("PINECONE_INDEX_NAME", value) for value in ("My Index", "a" * 46, "-a")),
    *(("PINECONE_NAMESPACE", value) for value in (" ", "n" * 513, "a\tb")),
    *(("PINECONE_BATCH_SIZE", value) for value in ("0", "1001", "all")),
    *(("PINECONE_CONTROLLER_HOST", value) for value in ("ftp://x", "http://", "a host", "http://h:port")),
    *(("AWS_REGION", value) for value in ("us east", "US-EAST-1")),
    *(("AWS_ENDPOINT_URL", value) for value in ("localhost:4566", "s3://x", "http://h:0")),
    *(("DYNAMODB_TABLE_NAME", value) for value in ("ab", "a table", "t" * 256)),
    *(("S3_BUCKET_NAME", value) for value in ("ab", "My_Bucket", "s3://bucket")),
    *(("USE_LOCAL_FILES", value) for value in ("perhaps", "2")),
    *(("LOCAL_CSV_FOLDER", value) for value in ("no/such/folder", __file__)),
    *(("REDIS_HOST", value) for value in (" ", "two words")),
    *(("REDIS_PORT", value) for value in ("-1", "65536", "http")),
    *(("REDIS_DB", value) for value in ("-1", "first")),
    *(("REDIS_URL", value) for value in ("http://x:1", "redis://", "redis://h:port", "redis://h:1/first", "h:6379")),
    *(("CHUNK_SIZE", value) for value in ("99", "100001", "1e3")),
    *(("BATCH_SIZE", value) for value in ("99", "10001", "all")),
    *(("MAX_WORKERS", value) for value in ("0", "257", "all")),
    *(("TASK_TIMEOUT", value) for value in ("0", "-1", "30m")),
    *(("LOG_LEVEL", value) for value in ("LOUD", "3")),
    *(("LEASE_SECONDS", value) for value in ("0", "19", "long")),
    *(("HEARTBEAT_SECONDS", value) for value in ("0", "16", "often")),
    *(("RECLAIM_SECONDS", value) for value in ("0", "-1", "often")),
    *(("RESUBMIT_SECONDS", value) for value in ("0", "-1", "often")),
]


def readers(variable: str) -> list[str]:
    """The services that read a variable."""
    return [name for name in code.SERVICES if variable in code.variables(name)]


@pytest.fixture
def _nothing_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """A process gets as far as authentication, and fails the test if it would go on from there."""

    def run(name: str, process: server.settings.ProcessSettings, *_rest: object) -> None:
        server._authentication(process)
        pytest.fail(f"{name} starts with it")

    monkeypatch.setattr(server, "run", run)
    for variable in {variable for name in code.SERVICES for variable in code.variables(name)}:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in NEEDED.items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("LOCAL_CSV_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("USE_LOCAL_FILES", "true")


@pytest.mark.usefixtures("_nothing_starts")
@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_stops_every_process_that_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    assert readers(variable)
    for name in readers(variable):
        with pytest.raises(SystemExit) as caught:
            importlib.import_module(f"services.{name}.__main__").main()
        said = capsys.readouterr().err
        assert caught.value.code == 2
        assert said.count("\n") == 1
        assert variable in said
        assert "sk-good" not in said


@pytest.mark.usefixtures("_nothing_starts")
@pytest.mark.parametrize("missing", ["API_KEY", "INTERNAL_TOKEN"])
def test_production_does_not_start_without_authentication(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    for variable, value in {"ENVIRONMENT": "production", "API_KEY": "a-key", "INTERNAL_TOKEN": "a-token"}.items():
        monkeypatch.setenv(variable, "" if variable == missing else value)

    for name in code.SERVICES:
        with pytest.raises(SystemExit):
            importlib.import_module(f"services.{name}.__main__").main()
        assert missing in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("API_HOST", value) for value in ("localhost", "0.0.0.256")),
        *(("API_PORT", value) for value in ("0", "65536", "-1", "http", "8000.5")),
    ],
)
def test_a_wrong_address_stops_the_gateway(variable: str, value: str) -> None:
    with pytest.raises(render.WrongValueError, match=variable):
        render.render({variable: value})


def test_every_variable_of_the_contract_is_here_or_free_text() -> None:
    contract = (
        "API_KEY METABASE_URL METABASE_API_KEY METABASE_QUESTION_ID OPENAI_API_KEY OPENAI_MODEL OPENAI_RATE_LIMIT "
        "PINECONE_API_KEY PINECONE_INDEX_NAME PINECONE_NAMESPACE PINECONE_BATCH_SIZE AWS_REGION DYNAMODB_TABLE_NAME "
        "S3_BUCKET_NAME USE_LOCAL_FILES LOCAL_CSV_FOLDER REDIS_HOST REDIS_PORT REDIS_DB REDIS_URL CHUNK_SIZE "
        "BATCH_SIZE MAX_WORKERS TASK_TIMEOUT LOG_LEVEL OPENAI_TOKENS_PER_MINUTE OPENAI_BASE_URL EMBEDDING_DIMENSIONS "
        "PINECONE_CONTROLLER_HOST AWS_ENDPOINT_URL API_KEYS INTERNAL_TOKEN LEASE_SECONDS HEARTBEAT_SECONDS "
        "RECLAIM_SECONDS RESUBMIT_SECONDS"
    )

    assert {variable for variable, _ in WRONG} == set(contract.split())
