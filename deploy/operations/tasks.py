"""A task of ECS that runs once, in the subnets and group of a service: the migration, the doctor."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploy.operations import account as accounts

# Less than a service's task reserves, so that no host has to be started for it.
SMALL: Final = {"cpu": "256", "memory": "512"}


class NotRun(Exception):
    """A task could not be started; the message has ECS's reasons."""


@dataclasses.dataclass(frozen=True)
class Ended:
    """A task that is over.

    Attributes:
        codes: Exit codes of its containers; None: one did not start.
        reason: ECS's words.
        said: What it wrote, as far as CloudWatch has it.
    """

    codes: Sequence[int | None]
    reason: str
    said: Sequence[str]


class Tasks:
    """Tasks of a line.

    Args:
        account: Where it is.
        cluster: Its name, which is the line's.
        network: Outputs of the stack of that name.
    """

    def __init__(self, account: accounts.Account, cluster: str, network: Mapping[str, str]) -> None:
        self._containers = account.client("ecs")
        self._logs = account.client("logs")
        self._cluster = cluster
        self._network = network

    def begin(self, definition: str, group: str, command: Sequence[str] = ()) -> str:
        """Start one; answers its ARN.

        Args:
            definition: Family or ARN of its definition.
            group: Whose security group it is in: IndexerGroup, say.
            command: In place of the definition's, of the container that is called as the family is.

        Raises:
            NotRun: It cannot be started.
        """
        where = {
            "subnets": [self._network["PrivateSubnetA"], self._network["PrivateSubnetB"]],
            "securityGroups": [self._network[group]],
            "assignPublicIp": "DISABLED",
        }
        container = definition.rpartition("/")[2].partition(":")[0].removeprefix(f"{self._cluster}-")
        instead = {**SMALL, "containerOverrides": [{"name": container, "command": list(command)}]} if command else {}
        begun = self._containers.run_task(
            cluster=self._cluster,
            taskDefinition=definition,
            count=1,
            networkConfiguration={"awsvpcConfiguration": where},
            overrides=instead,
        )
        if begun.get("failures"):
            raise NotRun(f"ECS does not start {definition}: {begun['failures']}")
        return str(begun["tasks"][0]["taskArn"])

    def wait(self, arn: str, group: str, stream: str) -> Ended:
        """Wait for its end.

        Args:
            arn: The task.
            group: The log group that it writes to.
            stream: Its stream there, but for the task's id.
        """
        self._containers.get_waiter("tasks_stopped").wait(cluster=self._cluster, tasks=[arn])
        about: dict[str, Any] = self._containers.describe_tasks(cluster=self._cluster, tasks=[arn])["tasks"][0]
        codes = [each.get("exitCode") for each in about["containers"]]
        return Ended(codes, about.get("stoppedReason", ""), self._said(group, f"{stream}/{arn.rpartition('/')[2]}"))

    def _said(self, group: str, stream: str) -> list[str]:
        try:
            found = self._logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        except self._logs.exceptions.ResourceNotFoundException:  # it ended before it said anything
            return []
        return [str(each["message"]) for each in found["events"]]
