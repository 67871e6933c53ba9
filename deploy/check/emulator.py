"""ministack that writes down what it answers for IAM: run by the emulator's own Python, which has nothing of ours.

A line of JSON in the file `DECISIONS` for each question that an assumed role brings: role, action, resource, and
whether it was allowed. Root's are left out. And an index of a table that CloudFormation made has a status, as it has at
DynamoDB; ministack forgets it there.
"""

import json
import os
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_evaluator  # type: ignore[import-untyped]
from ministack.services import dynamodb  # type: ignore[import-untyped]
from ministack.services.cloudformation import provisioners  # type: ignore[import-untyped]

ACCOUNT = "000000000000"


def _watched(enforce: Any, path: str) -> Any:
    said = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (for as long as the process lives)

    def watched(access_key_id: str, iam_action: str, service: str, region: str, **more: Any) -> Any:
        denied = enforce(access_key_id, iam_action, service, region, **more)
        principal = str(getattr(iam_evaluator.resolve_principal(access_key_id, ACCOUNT), "arn", ""))
        if ":assumed-role/" in principal:
            resource = more.get("resource_arn", "*")
            decision = {"role": principal.split("/")[1], "action": iam_action, "resource": resource}
            said.write(json.dumps({**decision, "allowed": not denied}) + "\n")
        return denied

    return watched


def _with_status(create: Any) -> Any:
    def made(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        answer = create(logical_id, props, stack_name)
        table = dynamodb._tables[props["TableName"]]  # noqa: SLF001 - it has no other
        indexes = table["GlobalSecondaryIndexes"]
        table["GlobalSecondaryIndexes"] = [{"IndexStatus": "ACTIVE", **each} for each in indexes]
        return answer

    return made


if __name__ == "__main__":
    tables = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]  # noqa: SLF001 - it has no other
    tables["create"] = _with_status(tables["create"])
    iam_evaluator.enforce = _watched(iam_evaluator.enforce, os.environ["DECISIONS"])
    app.main()
