"""What stands here for the engines below: ECS's, and the host of `small`. Commands run as processes of this machine.

A task runs the command, variables and role of its definition, as the emulator keeps it; only addresses inside of the
line's network, which there is none of, are those of the line that stands. It writes to its log group as awslogs does.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
import types
import uuid
from collections.abc import Iterator
from typing import Any, Final

from deploy.check import account as accounts
from deploy.check import roles
from deploy.operations import account as own
from deploy.operations import examining

HOST: Final = "i-0123456789abcdef0"
SECONDS: Final = 400
# A `docker` that knows one command: `docker compose exec -T SERVICE COMMAND ...`.
DOCKER: Final = """#!{python}
import json, os, sys
assert sys.argv[1:4] == ["compose", "exec", "-T"], sys.argv
environment = json.load(open({environments!r}))[sys.argv[4]]
os.chdir({root!r})
os.execvpe({python!r}, [{python!r}, *sys.argv[6:]], environment)
"""


class Account(own.Account):
    """The account of the check in place of the environment's, with engines below it."""

    def __init__(self, here: roles.Standing, folder: pathlib.Path) -> None:
        self._here = here
        self._containers = _Containers(here)
        self._folder = folder

    @property
    def region(self) -> str:
        return accounts.REGION

    def client(self, service: str) -> Any:
        if service == "ecs":
            return self._containers
        if service == "autoscaling":
            return _Groups()
        real = self._here.account.client(service)
        return _Hosts(real, self._here, self._folder) if service == "ssm" else real


@dataclasses.dataclass
class _Task:
    process: "subprocess.Popen[str]"
    container: dict[str, Any]
    said: bool = False


class _Containers:
    """ECS: tasks that run once."""

    def __init__(self, here: roles.Standing) -> None:
        self._here = here
        self._tasks: dict[str, _Task] = {}

    def run_task(self, **request: Any) -> dict[str, Any]:
        """Start one."""
        client = self._here.account.client("ecs")
        definition = client.describe_task_definition(taskDefinition=request["taskDefinition"])["taskDefinition"]
        (container,) = definition["containerDefinitions"]
        command = container["command"]
        for override in request["overrides"].get("containerOverrides", []):
            assert override["name"] == container["name"], (
                f"{override['name']} is no container of {definition['family']}"
            )
            command = override["command"]
        told = {each["name"]: each["value"] for each in container["environment"]}
        role = self._here.account.credentials(definition["taskRoleArn"])
        credentials = {name.upper(): value for name, value in role.items()}
        process = subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=roles.ROOT,
            env={**self._here.environment("provision"), **told, **self._here.inside(), **credentials},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        arn = f"arn:aws:ecs:{accounts.REGION}:{'0' * 12}:task/{request['cluster']}/{uuid.uuid4().hex}"
        self._tasks[arn] = _Task(process, container)
        return {"tasks": [{"taskArn": arn}], "failures": []}

    def get_waiter(self, name: str) -> Any:
        """The one that waits for the end of tasks."""
        assert name == "tasks_stopped"
        return types.SimpleNamespace(wait=self._wait)

    def describe_tasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        """How they ended."""
        codes = [self._tasks[each].process.returncode for each in tasks]
        return {"tasks": [{"containers": [{"exitCode": code}], "stoppedReason": cluster} for code in codes]}

    def _wait(self, *, cluster: str, tasks: list[str]) -> None:
        for each in tasks:
            assert f"/{cluster}/" in each
            self._end(each)

    def _end(self, arn: str) -> None:
        task = self._tasks[arn]
        said, _ = task.process.communicate(timeout=SECONDS)
        if task.said or not said:
            return
        task.said = True
        options = task.container["logConfiguration"]["options"]
        stream = f"{options['awslogs-stream-prefix']}/{task.container['name']}/{arn.rpartition('/')[2]}"
        logs = self._here.account.client("logs")
        logs.create_log_stream(logGroupName=options["awslogs-group"], logStreamName=stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in said.splitlines() if line]
        logs.put_log_events(logGroupName=options["awslogs-group"], logStreamName=stream, logEvents=events)


class _Groups:
    """Auto Scaling: the host of `small`."""

    def describe_auto_scaling_groups(self, **request: Any) -> dict[str, Any]:
        """It has one host."""
        (name,) = request["AutoScalingGroupNames"]
        instances = [{"InstanceId": HOST, "LifecycleState": "InService"}]
        return {"AutoScalingGroups": [{"AutoScalingGroupName": name, "Instances": instances}]}


class _Hosts:
    """Systems Manager: what it runs on a host; all else is the emulator's."""

    def __init__(self, real: Any, here: roles.Standing, folder: pathlib.Path) -> None:
        self._real = real
        self._here = here
        self._folder = folder
        self._said: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def send_command(self, **request: Any) -> dict[str, Any]:
        """Run a line of shell in the folder of the host."""
        assert (request["InstanceIds"], request["DocumentName"]) == ([HOST], "AWS-RunShellScript")
        tools = self._folder / "bin"
        tools.mkdir(parents=True, exist_ok=True)
        told = self._folder / "environments.json"
        told.write_text(json.dumps({each: self._here.environment(each) for each in examining.SERVICES}))
        docker = tools / "docker"
        docker.write_text(DOCKER.format(python=sys.executable, environments=str(told), root=str(roles.ROOT)))
        docker.chmod(0o755)
        (command,) = request["Parameters"]["commands"]
        done = subprocess.run(
            ["sh", "-c", command.replace(examining.FOLDER, str(self._folder))],
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        number = uuid.uuid4().hex
        self._said[number] = done.stdout
        return {"Command": {"CommandId": number}}

    def get_command_invocation(self, **request: Any) -> dict[str, Any]:
        """What it wrote."""
        assert request["InstanceId"] == HOST
        said = self._said[request["CommandId"]]
        return {"Status": "Success", "StandardOutputContent": said, "StandardErrorContent": ""}


@contextlib.contextmanager
def another_password(here: roles.Standing) -> Iterator[None]:
    """A secret that names another password of Valkey than the server has; what is connected stays so."""
    vault = here.account.client("secretsmanager")
    secret = here.environments["ingest"]["REDIS_URL"]
    vault.put_secret_value(SecretId=secret, SecretString=here.shared["REDIS_URL"].replace("//:", "//:another-"))
    try:
        yield
    finally:
        vault.put_secret_value(SecretId=secret, SecretString=here.shared["REDIS_URL"])
