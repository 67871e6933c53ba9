"""Stacks of CloudFormation: each change is a change set that can be looked at before it is made."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore import exceptions

Client = Any  # boto3 clients; the stubs of CloudFormation are larger than all the rest of them

WAIT_SECONDS: Final = 3600.0
POLL_SECONDS: Final = 2.0
CAPABILITIES: Final = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
_NOTHING: Final = ("didn't contain changes", "No updates are to be performed")


class Failed(Exception):
    """CloudFormation did not do what it was asked; the message has its reasons, one a line."""


class Stacks:
    """The stacks of an account and region.

    Args:
        client: A boto3 client of CloudFormation.
        tags: On every stack, and so on every resource that can have tags.
        poll_seconds: Between two looks at what CloudFormation does.
    """

    def __init__(self, client: Client, tags: Mapping[str, str], poll_seconds: float = POLL_SECONDS) -> None:
        self._client = client
        self._tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._poll_seconds = poll_seconds

    def status(self, name: str) -> str:
        """Its status; empty: there is no such stack."""
        return str((self._describe(name) or {}).get("StackStatus", ""))

    def outputs(self, name: str) -> dict[str, str]:
        """Its outputs by name."""
        found = self._describe(name) or {}
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}

    def parameters(self, name: str) -> dict[str, str]:
        """The parameters that it has now."""
        found = self._describe(name) or {}
        return {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}

    def plan(self, name: str, body: str, parameters: Mapping[str, str]) -> "Change | None":
        """What would change, not made yet; None: nothing.

        Raises:
            Failed: The template or a parameter is refused.
        """
        there = self.status(name)
        kind = "UPDATE" if there not in ("", "REVIEW_IN_PROGRESS") else "CREATE"
        made = self._client.create_change_set(
            StackName=name,
            ChangeSetName=f"change-{uuid.uuid4().hex[:12]}",
            ChangeSetType=kind,
            TemplateBody=body,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=CAPABILITIES,
            Tags=self._tags,
        )
        about = self._until_planned(made["Id"])
        if about["Status"] == "FAILED":
            self._client.delete_change_set(ChangeSetName=made["Id"])
            if kind == "CREATE" and self.status(name) == "REVIEW_IN_PROGRESS":
                self._client.delete_stack(StackName=name)  # else an empty one is left
            if any(words in about.get("StatusReason", "") for words in _NOTHING):
                return None
            raise Failed(f"{name}: {about.get('StatusReason', 'the change set failed')}")
        lines = [_line(each["ResourceChange"]) for each in about.get("Changes", []) if "ResourceChange" in each]
        return Change(self, name, kind, made["Id"], lines)

    def apply(self, name: str, body: str, parameters: Mapping[str, str], say: Callable[[str], object]) -> bool:
        """Create a stack, or bring it to this template and these parameters; answers whether anything changed.

        Raises:
            Failed: It could not; CloudFormation has put back what was there before.
        """
        change = self.plan(name, body, parameters)
        if change is None:
            say(f"{name}: nothing to change")
            return False
        say(f"{name}: {'creating' if change.kind == 'CREATE' else 'changing'} {len(change.lines)} resources")
        change.make()
        say(f"{name}: {self.status(name)}")
        return True

    def execute(self, change: "Change") -> None:
        """Make a change, and wait for its end."""
        begun = self._newest_event(change.stack)
        self._client.execute_change_set(ChangeSetName=change.id)
        self._until(change.stack, ("CREATE_COMPLETE", "UPDATE_COMPLETE"), begun)

    def delete(self, name: str) -> None:
        """Delete a stack; what its template retains stays.

        Raises:
            Failed: Something of it could not be deleted.
        """
        found = self._describe(name)
        if found is None:
            return
        begun = self._newest_event(name)
        self._client.delete_stack(StackName=name)
        self._until(found["StackId"], ("DELETE_COMPLETE",), begun)

    def drift(self, name: str) -> dict[str, list[str]]:
        """Resources that are no longer as the template made them: their properties that differ, or "deleted"."""
        detection = self._client.detect_stack_drift(StackName=name)["StackDriftDetectionId"]
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            about = self._client.describe_stack_drift_detection_status(StackDriftDetectionId=detection)
            if about["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                break
            self._pause(deadline, name)
        found = self._client.describe_stack_resource_drifts(
            StackName=name, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"]
        )
        return {
            each["LogicalResourceId"]: [each["PropertyPath"] for each in each.get("PropertyDifferences", [])]
            or ["deleted"]
            for each in found["StackResourceDrifts"]
        }

    # ---- parts

    def _describe(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.describe_stacks(StackName=name)["Stacks"][0]
        except exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found

    def _until_planned(self, change: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            about: dict[str, Any] = self._client.describe_change_set(ChangeSetName=change)
            if about["Status"] in ("CREATE_COMPLETE", "FAILED"):
                return about
            self._pause(deadline, about["StackName"])

    def _until(self, name: str, wanted: Sequence[str], begun: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            status = self.status(name)
            if status in wanted or (not status and "DELETE_COMPLETE" in wanted):
                return
            if status and not status.endswith("_IN_PROGRESS"):
                raise Failed("\n".join([f"{name}: {status}", *self._reasons(name, begun)]))
            self._pause(deadline, name)

    def _pause(self, deadline: float, name: str) -> None:
        if time.monotonic() > deadline:
            raise Failed(f"{name}: not done within {WAIT_SECONDS:.0f} s; look at its events.")
        time.sleep(self._poll_seconds)

    def _newest_event(self, name: str) -> str:
        try:
            events = self._client.describe_stack_events(StackName=name)["StackEvents"]
        except exceptions.ClientError:
            return ""  # a stack that is not there yet has none
        return str(events[0]["EventId"]) if events else ""

    def _reasons(self, name: str, begun: str) -> list[str]:
        """Why it failed: the events since `begun` that say so, the first one first."""
        found = []
        for event in self._client.describe_stack_events(StackName=name)["StackEvents"]:
            if event["EventId"] == begun:
                break
            if event["ResourceStatus"].endswith("_FAILED"):
                found.append(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'failed')}")
        return found[::-1]


class Change:
    """A change that may be made: what it would do, a line each."""

    def __init__(self, stacks: Stacks, stack: str, kind: str, change_id: str, lines: list[str]) -> None:
        self._stacks = stacks
        self.stack = stack
        self.kind = kind  # CREATE or UPDATE
        self.id = change_id
        self.lines = lines

    def make(self) -> None:
        """Make it, and wait for its end.

        Raises:
            Failed: CloudFormation put everything back.
        """
        self._stacks.execute(self)


def _line(change: dict[str, Any]) -> str:
    replaced = " (replaced)" if change.get("Replacement") == "True" else ""
    return f"{change['Action']} {change['LogicalResourceId']} ({change['ResourceType']}){replaced}"
