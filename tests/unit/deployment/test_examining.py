"""What a doctor on the line said, as `deploy` takes it. `make deploy-check` has one look under the stacks' roles."""

import dataclasses
import json
from typing import Any

import pytest

from deploy.operations import examining, tasks
from deploy.operations import line as lines

OK = json.dumps({"check": "s3", "part": "bucket", "level": "ok", "message": "it is there", "remedy": ""})
WARNING = json.dumps({"check": "valkey", "part": "policy", "level": "warning", "message": "lru", "remedy": "Set it."})
BROKEN = json.dumps(
    {"check": "pinecone", "part": "key", "level": "broken", "message": "refused", "remedy": "Renew it."}
)


@dataclasses.dataclass
class Runner:
    """Tasks that end as told."""

    codes: list[int | None]
    said: list[str]
    refused: bool = False

    def begin(self, definition: str, group: str, command: Any = ()) -> str:
        if self.refused:
            raise tasks.NotRun("ECS does not start it: RESOURCE:MEMORY")
        assert command[:3] == ("python", "-m", "services.doctor")
        assert definition.endswith(command[4])
        assert group == f"{command[4].title()}Group"
        return definition

    def wait(self, arn: str, group: str, stream: str) -> tasks.Ended:
        service = arn.rpartition("-")[2]
        assert (group, stream) == (f"/vectorline/{service}", f"{service}/{service}")
        return tasks.Ended(self.codes, "Essential container exited", self.said)


class Stacks:
    def outputs(self, _name: str) -> dict[str, str]:
        return {}


def looked(monkeypatch: pytest.MonkeyPatch, runner: Runner) -> list[examining.Finding]:
    line = lines.load(lines.ROOT / "parameters" / "production.json")
    monkeypatch.setattr(tasks, "Tasks", lambda *_: runner)
    made: Any = Stacks()
    account: Any = None
    return examining.Doctor(line, account, made).look()


@pytest.mark.parametrize(
    ("codes", "said", "broken", "words"),
    [
        ([0], [OK], 0, ""),
        ([0], [OK, WARNING, "no JSON", "3"], 0, "valkey, policy: lru. Set it."),
        ([1], [OK, BROKEN], 1, "pinecone, key: refused. Renew it."),
        ([1], [], 1, "the doctor ended with 1 (Essential container exited; its log is in /vectorline/"),
        ([137], [WARNING], 1, "the doctor ended with 137"),
        ([None], [], 1, "the doctor did not start"),
    ],
)
def test_what_is_broken_stops_and_what_was_not_seen_counts_as_broken(
    monkeypatch: pytest.MonkeyPatch, codes: list[int | None], said: list[str], broken: int, words: str
) -> None:
    found = looked(monkeypatch, Runner(codes, said))

    assert sum(each.broken for each in found) == broken * len(examining.SERVICES)
    assert not words or any(words in str(each) for each in found)


def test_a_task_that_cannot_be_started_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = looked(monkeypatch, Runner([0], [], refused=True))

    assert found.broken
    assert "RESOURCE:MEMORY" in str(found)
