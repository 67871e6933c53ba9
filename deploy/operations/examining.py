"""`vectorline doctor` where the line is: with each service's own role, network and settings, before a release.

On ECS a task a service, of the definition that runs now; on the host of `small` in the containers that run, by Run
Command of Systems Manager. From anywhere else neither Valkey nor the services could be reached.
"""

import dataclasses
import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from botocore import exceptions

from deploy.operations import account as accounts
from deploy.operations import line as lines
from deploy.operations import stacks, tasks

SERVICES: Final = ("ingest", "embedder", "indexer")
WAIT_SECONDS: Final = 300.0
FOLDER: Final = "/opt/vectorline"
_CODE: Final = re.compile(r"exit (\d+)")


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a doctor found, and its remedy."""

    service: str
    broken: bool
    words: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.service}: {self.words}"


class Doctor:
    """Looks at what the services of a line need.

    Args:
        line: The line.
        account: Where it is.
        made: Its stacks.
        poll_seconds: Between two looks at a command on a host.
    """

    def __init__(
        self, line: lines.Line, account: accounts.Account, made: stacks.Stacks, poll_seconds: float = 2.0
    ) -> None:
        self._line = line
        self._account = account
        self._stacks = made
        self._poll_seconds = poll_seconds

    def calls(self) -> tuple[str, ...]:
        """What it calls that runs something."""
        if self._line.runs == "production":
            return tuple(f"ecs:RunTask {self._line.name}-{each} (services.doctor --for {each})" for each in SERVICES)
        return (f"ssm:SendCommand to the host of {self._line.name} (services.doctor --for {', '.join(SERVICES)})",)

    def look(self) -> list[Finding]:
        """Everything that is not as it should be, warnings too. What cannot be looked at is broken."""
        try:
            return list(self._on_ecs() if self._line.runs == "production" else self._on_the_host())
        except (tasks.NotRun, exceptions.ClientError, exceptions.WaiterError) as error:
            return [Finding("doctor", broken=True, words=f"it could not look: {error}")]

    def _on_ecs(self) -> Iterator[Finding]:
        network = self._stacks.outputs(self._line.stack_name("network"))
        runner = tasks.Tasks(self._account, self._line.name, network)
        begun = {
            each: runner.begin(f"{self._line.name}-{each}", f"{each.title()}Group", _command(each)) for each in SERVICES
        }
        for service, arn in begun.items():
            group = f"/{self._line.name}/{service}"
            ended = runner.wait(arn, group, f"{service}/{service}")
            code = ended.codes[0] if len(ended.codes) == 1 else None
            yield from _findings(service, code, ended.said, f"{ended.reason}; its log is in {group}")

    def _on_the_host(self) -> Iterator[Finding]:
        host = self._host()
        if not host:
            yield Finding("doctor", broken=True, words="no host is in service; look at the Auto Scaling group")
            return
        manager = self._account.client("ssm")
        for service in SERVICES:
            asked = f"cd {FOLDER} && docker compose exec -T {service} {' '.join(_command(service))}; echo exit $?"
            begun = manager.send_command(
                InstanceIds=[host], DocumentName="AWS-RunShellScript", Parameters={"commands": [asked]}
            )["Command"]["CommandId"]
            ended = self._until_over(manager, begun, host)
            said = str(ended.get("StandardOutputContent", "")).splitlines()
            codes = [found[1] for each in said if (found := _CODE.fullmatch(each.strip()))]
            words = f"{ended.get('Status')}: {ended.get('StandardErrorContent', '')}"
            yield from _findings(service, int(codes[-1]) if codes else None, said, words)

    def _host(self) -> str:
        scaling = self._account.client("autoscaling")
        groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self._line.name])["AutoScalingGroups"]
        there = [each for group in groups for each in group["Instances"] if each["LifecycleState"] == "InService"]
        return str(there[-1]["InstanceId"]) if there else ""

    def _until_over(self, manager: Any, command: str, host: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                found: dict[str, Any] = manager.get_command_invocation(CommandId=command, InstanceId=host)
            except manager.exceptions.InvocationDoesNotExist:  # not handed to the host yet
                found = {"Status": "Pending"}
            if found["Status"] not in ("Pending", "InProgress", "Delayed", "Cancelling"):
                return found
            if time.monotonic() > deadline:
                return {**found, "StandardErrorContent": f"not over within {WAIT_SECONDS:.0f} s"}
            time.sleep(self._poll_seconds)


def _command(service: str) -> tuple[str, ...]:
    return ("python", "-m", "services.doctor", "--for", service, "--json")


def _findings(service: str, code: int | None, said: Sequence[str], otherwise: str) -> Iterator[Finding]:
    """What a doctor wrote; one that said nothing of what is broken and did not end with 0 is itself broken."""
    found = []
    for each in said:
        try:
            told = json.loads(each)
        except ValueError:
            continue
        if isinstance(told, dict) and told.get("level") in ("warning", "broken"):
            words = f"{told['check']}, {told['part']}: {told['message']}. {told['remedy']}".strip()
            found.append(Finding(service, told["level"] == "broken", words))
    yield from found
    if code != 0 and not any(each.broken for each in found):
        ended = "did not start" if code is None else f"ended with {code}"
        yield Finding(service, broken=True, words=f"the doctor {ended} ({otherwise})")
