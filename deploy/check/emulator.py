"""ministack that writes down what it answers for IAM: run by the emulator's own Python, which has nothing of ours.

A line of JSON in the file `DECISIONS` for each question that an assumed role brings: role, action, resource, and
whether it was allowed. Root's are left out.
"""

import json
import os
from typing import Any

from ministack import app  # type: ignore[import-untyped]
from ministack.core import iam_evaluator  # type: ignore[import-untyped]

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


if __name__ == "__main__":
    iam_evaluator.enforce = _watched(iam_evaluator.enforce, os.environ["DECISIONS"])
    app.main()
