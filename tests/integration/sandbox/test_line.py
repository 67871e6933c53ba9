"""The whole line on this machine, with the real Valkey, ministack and Envoy, and stubs in place of the services."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterator

import boto3
import httpx
import pytest
import redis

from sandbox.line import commands, orphans, plan, run_dir, runner, specs

STUB = """
import asyncio, os, pathlib, signal, sys
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set(sys.argv[1], health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(f"{os.environ['GRPC_HOST']}:{os.environ['GRPC_PORT']}")
    await server.start()
    told = pathlib.Path(os.environ["VECTORLINE_LINE"]) / f"{os.environ['PROCESS_NAME']}.told"
    told.write_text("\\n".join(f"{name}={value}" for name, value in os.environ.items()))
    await stop.wait()
    with open(told.with_name("stopped"), "a") as file:
        file.write(os.environ["PROCESS_NAME"] + "\\n")
    await server.stop(0)

asyncio.run(main())
"""
# The stand-ins for OpenAI and Pinecone have tests of their own; here they are somebody else's.
ELSEWHERE = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "PINECONE_CONTROLLER_HOST": "http://127.0.0.1:9"}
SYSTEM = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


@pytest.fixture(autouse=True)
def stubs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "stub.py"
    script.write_text(STUB)
    real = plan._service

    def stub(service: str, number: int, *rest: object) -> specs.Process:
        told = real(service, number, *rest)  # type: ignore[arg-type]
        return dataclasses.replace(told, command=(sys.executable, str(script), told.probe.service))

    def provisioned(_own: object) -> specs.Process:
        marker = tmp_path / "provisioned"
        # Fails at first, as it may while a dependency wakes up.
        shell = f"test -e {marker}.once || {{ touch {marker}.once; exit 1; }}; echo done > {marker}"
        return specs.Process(name="provision", role="provision", stage=2, command=("/bin/sh", "-c", shell), once=True)

    monkeypatch.setattr(plan, "_service", stub)
    monkeypatch.setattr(plan, "_provisioning", provisioned)


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Iterator[run_dir.RunDir]:
    folder = run_dir.RunDir(tmp_path / "run")
    yield folder
    commands.down(folder)
    assert orphans.find(folder) == []


def environment(**more: str) -> dict[str, str]:
    return {**SYSTEM, **ELSEWHERE, **more}


def pid_of(run: run_dir.RunDir, process: str) -> int:
    return int(run.pid_file(process).read_text())


def told(run: run_dir.RunDir, process: str) -> dict[str, str]:
    lines = (run.path / f"{process}.told").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def endpoints(run: run_dir.RunDir) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (run.path / "endpoints.env").read_text().splitlines())


def eventually(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, ValueError, httpx.TransportError):
            if holds():
                return
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_the_life_of_a_line(run: run_dir.RunDir, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given nothing, when it is brought up
    commands.up(run, environment(EMBEDDERS="2", OPENAI_RATE_LIMIT="0"))

    # Then everything runs, healthy, and says where, the console's address and its key among it
    first = endpoints(run)
    said = capsys.readouterr().out
    assert f"{first['GATEWAY_URL']}/ " in said
    assert first["API_KEY"] in said
    assert httpx.get(f"{first['GATEWAY_URL']}/healthz").status_code == 200
    assert redis.Redis.from_url(first["REDIS_URL"]).config_get("appendonly") == {"appendonly": "yes"}
    for process in ("valkey", "aws", "envoy", "ingest-1", "embedder-1", "embedder-2", "indexer-1", "supervisor"):
        os.kill(pid_of(run, process), 0)
    assert not run.pid_file("openai").exists()
    assert (tmp_path / "provisioned").exists()
    assert commands.status(run)
    for private in ("endpoints.env", "plan.json", "secrets.json", "state.json"):
        assert (run.path / private).stat().st_mode & 0o777 == 0o600

    # And the services are told what they need
    embedder = told(run, "embedder-2")
    assert embedder["PROCESS_NAME"] == "embedder-2"
    assert embedder["OPENAI_RATE_LIMIT"] == "0"
    assert embedder["OPENAI_BASE_URL"] == ELSEWHERE["OPENAI_BASE_URL"]
    assert embedder["INDEXER_ADDR"] == first["INDEXER_ADDR"]
    assert embedder["INTERNAL_TOKEN"] == first["INTERNAL_TOKEN"]
    assert embedder["GRPC_PORT"] != told(run, "embedder-1")["GRPC_PORT"]

    # When it is brought up again, nothing happens
    before = {name: pid_of(run, name) for name in ("valkey", "aws", "envoy", "embedder-1", "indexer-1")}
    capsys.readouterr()
    commands.up(run, environment(EMBEDDERS="2", OPENAI_RATE_LIMIT="0", SHLVL="7"))
    assert "already up" in capsys.readouterr().out
    assert {name: pid_of(run, name) for name in before} == before

    # When a process is killed, it is started again, with the same environment
    os.kill(before["embedder-1"], signal.SIGKILL)
    eventually(lambda: pid_of(run, "embedder-1") != before["embedder-1"])
    eventually(lambda: told(run, "embedder-1")["OPENAI_RATE_LIMIT"] == "0")
    eventually(lambda: httpx.get(f"{first['GATEWAY_URL']}/healthz").status_code == 200)

    # When another count is asked for, only what it concerns changes
    commands.up(run, environment(EMBEDDERS="3", OPENAI_RATE_LIMIT="0"))
    assert {name for name, pid in before.items() if pid_of(run, name) != pid} == {"embedder-1", "envoy"}
    os.kill(pid_of(run, "embedder-3"), 0)
    assert endpoints(run) == first

    # When it goes down, nothing is left, and the services stopped from left to right
    commands.down(run)
    assert orphans.find(run) == []
    assert list(run.path.glob("*.pid")) == []
    roles = [name.split("-")[0] for name in (run.path / "stopped").read_text().split()]
    assert list(dict.fromkeys(roles)) == ["ingest", "embedder", "indexer"]

    # When it comes back, it is where it was
    commands.up(run, environment())
    assert endpoints(run) == first


def test_a_killed_stand_in_for_aws_keeps_what_it_was_given(run: run_dir.RunDir) -> None:
    commands.up(run, environment())
    where = endpoints(run)
    client = boto3.client(
        "dynamodb",
        endpoint_url=where["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    client.create_table(
        TableName="ledger",
        KeySchema=[{"AttributeName": "task_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "task_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.put_item(TableName="ledger", Item={"task_id": {"S": "t-1"}})
    written = run.path / "aws" / "state" / "dynamodb.json"
    eventually(lambda: '"t-1"' in written.read_text())

    before = pid_of(run, "aws")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid_of(run, "aws") != before)
    eventually(lambda: httpx.get(f"{where['AWS_ENDPOINT_URL']}/_ministack/health").status_code == 200)

    assert client.get_item(TableName="ledger", Key={"task_id": {"S": "t-1"}})["Item"] == {"task_id": {"S": "t-1"}}
    client.close()


def test_a_killed_supervisor_leaves_nothing_that_down_does_not_find(run: run_dir.RunDir) -> None:
    commands.up(run, environment())
    processes = [pid_of(run, name) for name in ("valkey", "aws", "envoy", "embedder-1")]
    os.kill(pid_of(run, "supervisor"), signal.SIGKILL)
    eventually(lambda: not run.supervised())
    assert set(processes) <= set(orphans.find(run))

    commands.down(run)

    assert [runner.birth(pid) for pid in processes] == [None] * len(processes)


def test_a_line_comes_up_over_what_a_crash_left_behind(run: run_dir.RunDir) -> None:
    commands.up(run, environment())
    first = endpoints(run)
    os.kill(pid_of(run, "supervisor"), signal.SIGKILL)
    eventually(lambda: not run.supervised())
    run.write_pid("embedder-1", os.getpid())  # a stale file: the number is somebody else's now
    (run.path / "state.json").write_text("{cut o")

    commands.up(run, environment())

    assert endpoints(run) == first
    assert httpx.get(f"{first['GATEWAY_URL']}/healthz").status_code == 200


def test_two_lines_live_side_by_side(run: run_dir.RunDir, tmp_path: pathlib.Path) -> None:
    other = run_dir.RunDir(tmp_path / "other")
    try:
        commands.up(run, environment())
        commands.up(other, environment())
        here, there = endpoints(run), endpoints(other)

        assert not {here[name] for name in here if "ADDR" in name or "URL" in name} & {
            there[name] for name in there if ("ADDR" in name or "URL" in name) and name not in ELSEWHERE
        } - set(ELSEWHERE.values())
        commands.down(other)
        assert httpx.get(f"{here['GATEWAY_URL']}/healthz").status_code == 200
    finally:
        commands.down(other)


def test_a_process_that_cannot_start_is_named_with_its_last_words(
    run: run_dir.RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = plan._service

    def broken(service: str, number: int, *rest: object) -> specs.Process:
        process = stub(service, number, *rest)  # type: ignore[arg-type]
        if service != "embedder":
            return process
        script = "import sys; sys.exit('Wrong configuration: CHUNK_SIZE')"
        return dataclasses.replace(process, command=(sys.executable, "-c", script))

    monkeypatch.setattr(plan, "_service", broken)

    with pytest.raises(commands.CommandError, match=r"(?s)embedder-1 ended 3 times.*CHUNK_SIZE"):
        commands.up(run, environment())

    assert orphans.find(run) == []
    assert not run.supervised()
    assert not (run.path / "endpoints.env").exists()


def test_clean_forgets_everything(run: run_dir.RunDir) -> None:
    commands.up(run, environment())
    for stub in (*run.path.glob("*.told"),):
        stub.unlink()
    commands.down(run)
    (run.path / "stopped").unlink()

    commands.clean(run)

    assert not run.path.exists()


@pytest.mark.parametrize(
    ("variables", "named"),
    [({"EMBEDDERS": "none"}, "EMBEDDERS"), ({"INGESTS": "0"}, "INGESTS"), ({"API_PORT": "http"}, "API_PORT")],
)
def test_a_wrong_setting_is_named(run: run_dir.RunDir, variables: dict[str, str], named: str) -> None:
    with pytest.raises(commands.CommandError, match=named):
        commands.up(run, environment(**variables))
    assert not run.supervised()
