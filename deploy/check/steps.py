"""What callers do with a line, in small steps; each raises where the line does not do as it promises."""

import dataclasses
import socket
import time
import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

import httpx

from deploy.check import report, roles
from deploy.operations import smoke

ROWS: Final = b"id,formatted_text\n1,a red bicycle\n2,a blue one\n2,twice\n,no id\n5,a green helmet\n"
COUNTS: Final = {"processed_records": 3, "skipped_records": 1, "failed_records": 1}
PAUSE_SECONDS: Final = 0.05
MULTIPART_BYTES: Final = 10 << 20  # over a part of an upload

Found = TypeVar("Found")


@dataclasses.dataclass
class Caller:
    """A caller of a line, and an owner of its account who can look behind it.

    Args:
        here: The line.
        patience_seconds: How long a step may take.
    """

    here: roles.Standing
    patience_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Open what it calls with."""
        self.rest = httpx.Client(
            base_url=self.here.gateway_url, headers={"X-API-Key": self.here.shared["API_KEY"]}, timeout=30.0
        )
        self.objects: Any = self.here.account.client("s3")
        self.bucket = self.here.shared["S3_BUCKET_NAME"]

    # ---- the steps

    def loads(self) -> None:
        """A file is uploaded; each of its rows is accounted for."""
        self._finished(self._upload(), COUNTS)

    def exports_rejects(self) -> None:
        """The rejects of a load can be had."""
        task = self._finished(self._upload(), COUNTS)
        lines = self._ok(self.rest.get(f"/api/v1/status/{task}/rejects", params={"format": "jsonl"})).text.splitlines()
        report.expect(len(lines) == 1, f"{len(lines)} rejects")

    def tells_missing_rejects(self) -> None:
        """Rejects that somebody deleted are missed by name, not waited for."""
        task = self._finished(self._upload(), COUNTS)
        for each in self.objects.list_object_versions(Bucket=self.bucket, Prefix=f"rejects/{task}/")["Versions"]:
            self.objects.delete_object(Bucket=self.bucket, Key=each["Key"], VersionId=each["VersionId"])
        answer = self.rest.get(f"/api/v1/status/{task}/rejects", params={"format": "jsonl"})
        report.expect("REJECTS_MISSING" in answer.text, f"missing rejects are answered {answer.text[:300]}")

    def lists(self) -> None:
        """Tasks are listed."""
        self._ok(self.rest.get("/api/v1/tasks"))

    def tells_progress(self) -> None:
        """A finished task's views can be had, of which some read many items at once."""
        task = self._finished(self._upload(), COUNTS)
        for path in (f"/api/v1/monitoring/tasks/{task}/progress", "/api/v1/tasks", "/api/v1/monitoring/dashboard"):
            self._ok(self.rest.get(path))

    def loads_from_the_bucket(self) -> None:
        """A file of the bucket is loaded."""
        key = f"exports/{uuid.uuid4().hex}.csv"
        self.objects.put_object(Bucket=self.bucket, Key=key, Body=ROWS)
        self._finished(self._process(data_source="s3_csv", s3_key=key), COUNTS)

    def tells_a_missing_file(self) -> None:
        """A file that is not there is missing, not forbidden."""
        task = self._process(data_source="s3_csv", s3_key=f"exports/none-{uuid.uuid4().hex}.csv")
        found = self._until_over(task)
        report.expect(found.get("error_reason") == "SOURCE_NOT_FOUND", f"a missing file is {found.get('error_reason')}")

    def loads_what_was_estimated(self) -> None:
        """An upload that was estimated is loaded by its id."""
        answer = self._ok(self._post_upload(estimate="true"))
        self._finished(self._process(data_source="upload", upload_id=answer.json()["upload_id"]), COUNTS)

    def retries(self) -> None:
        """The rejects of a load are tried again, with the plan that was kept of it."""
        task = self._finished(self._upload(), COUNTS)
        answer = self.rest.post(f"/api/v1/task/{task}/retry", params={"all": "true"})
        report.expect(answer.status_code == 202, answer.text[:300])
        self._until_over(answer.json()["task_id"])

    def takes_back_an_upload_that_was_sent_twice(self) -> None:
        """Of two uploads under one key one is kept, in the bucket too."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        options = self._fresh()
        tasks = [self._ok(self._post_upload(headers=headers, **options), 202).json()["task_id"] for _ in range(2)]
        report.expect(tasks[0] == tasks[1], "one key made two tasks")
        before = self._uploads()
        third = self._ok(self._post_upload(headers=headers, **options), 202).json()["task_id"]
        report.expect(third == tasks[0], "one key made another task")
        self._until("the upload is taken back", lambda: self._uploads() == before)

    def ends_an_upload_that_breaks_off(self) -> None:
        """Nothing of an upload is left whose caller goes away."""
        where = urllib.parse.urlsplit(self.here.gateway_url)
        with socket.create_connection((where.hostname or "", where.port or 80), timeout=10) as caller:
            head = (
                "POST /api/v1/upload/broken.csv?question_id=1 HTTP/1.1\r\nhost: line\r\n"
                f"x-api-key: {self.here.shared['API_KEY']}\r\ncontent-length: {10 * MULTIPART_BYTES}\r\n\r\n"
            )
            caller.sendall(
                head.encode() + b"id,formatted_text\n" + b"1,a text of some length\n" * (MULTIPART_BYTES // 24)
            )
            self._until("a part is stored", lambda: bool(self._unfinished()))
        self._until("the parts are gone", lambda: not self._unfinished())

    # ---- parts

    def _fresh(self) -> dict[str, str]:
        """Options of a load that waits for no other."""
        return {"question_id": str(uuid.uuid4().int % 10**8 + 1), "namespace": f"check-{uuid.uuid4().hex}"}

    def _post_upload(self, headers: dict[str, str] | None = None, **options: str) -> httpx.Response:
        return self.rest.post(
            "/api/v1/upload/rows.csv", params={**self._fresh(), **options}, content=ROWS, headers=headers or {}
        )

    def _upload(self) -> str:
        return str(self._ok(self._post_upload(), 202).json()["task_id"])

    def _process(self, **request: str) -> str:
        fresh = self._fresh()
        body = {**fresh, "question_id": int(fresh["question_id"]), **request}
        return str(self._ok(self.rest.post("/api/v1/process", json=body), 202).json()["task_id"])

    def _ok(self, answer: httpx.Response, status: int = 200) -> httpx.Response:
        report.expect(answer.status_code == status, f"{answer.status_code}: {answer.text[:300]}")
        return answer

    def _until_over(self, task: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            found: dict[str, Any] = self._ok(self.rest.get(f"/api/v1/status/{task}")).json()
            return found if found["status"] in smoke.TERMINAL else None

        return self._until("the task is over", over)

    def _finished(self, task: str, counts: dict[str, int]) -> str:
        found = self._until_over(task)
        progress = {name: found["progress"][name] for name in counts}
        report.expect(progress == counts, f"{found['status']} {found.get('error_reason')}: {progress}, not {counts}")
        return task

    def _uploads(self) -> int:
        found = self.objects.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="uploads/")
        return sum(page["KeyCount"] for page in found)

    def _unfinished(self) -> list[Any]:
        found: list[Any] = self.objects.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return found

    def _until(self, what: str, look: Callable[[], Found | None]) -> Found:
        deadline = time.monotonic() + self.patience_seconds
        while True:
            found = look()
            if found:
                return found
            report.expect(time.monotonic() < deadline, f"{what}: not within {self.patience_seconds:.0f} s")
            time.sleep(PAUSE_SECONDS)
