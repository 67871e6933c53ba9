"""One cell of the matrix on the stage: tasks are submitted, a fault happens, and what must be true is looked up."""

import contextlib
import dataclasses
import itertools
import json
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from services.embedder.openai import client as openai_client
from tests.faults import stage as stages
from tests.support import csvs, oracle
from tests.support import line as lines

QUESTION = 232
POLL_SECONDS = 0.1
CLEAR_SECONDS = 30.0
# From the end of a fault's cause to the next settled chunk (Celery: an hour; taskiq: ten minutes).
RECOVERY_SECONDS = 45.0
# A status answer that takes longer would be felt by who watches a task; a loaded machine is allowed for.
ANSWER_SECONDS = 5.0
_numbers = itertools.count(1)


def rows_with_flaws(count: int, first: int = 1) -> list[tuple[str, ...]]:
    """Rows of which, from 100 on, one has no text, one no id, and one the id of the first."""
    rows: list[tuple[str, ...]] = list(csvs.rows(count, first))
    if count >= 100:
        rows[6] = (rows[6][0], " ", *rows[6][2:])
        rows[56] = ("", *rows[56][1:])
        rows[59] = (rows[0][0], *rows[59][1:])
    return rows


def expected_of(rows: Sequence[tuple[str, ...]], refused: dict[int, str], question: int = QUESTION) -> oracle.Expected:
    """What must come of these rows; `refused`: those that a fault makes fail, with the reason."""
    failed, texts, skipped = dict(refused), dict[str, str](), 0
    for number, (id_, text, *_) in enumerate(rows, 1):
        if number in failed:
            continue
        if not id_:
            failed[number] = "missing_id"
        elif not text.strip():
            failed[number] = "empty_text"
        elif f"{question}.{id_}" in texts:
            skipped += 1
        else:
            texts[f"{question}.{id_}"] = text
    vectors = dict(zip(texts, oracle.vector_hashes(list(texts.values())), strict=True))
    return oracle.Expected(vectors, failed, skipped)


class Job:
    """A submitted task, watched by a thread until its scene ends."""

    def __init__(self, stage: stages.Stage, task_id: str, namespace: str, rows: Sequence[tuple[str, ...]]) -> None:
        self.task_id = task_id
        self.namespace = namespace
        self.rows = rows
        self.refused: dict[int, str] = {}  # rows that the fault makes fail, by number
        self.unchanged = 0  # rows that the index holds just so
        self.question = QUESTION
        self.removes = False  # of its question it leaves nothing but its own rows
        self.removed = 0  # vectors that it removes
        self.seen: list[tuple[float, dict[str, Any]]] = []
        self.unanswered: list[tuple[float, str]] = []
        self.finished = False
        self._stage = stage
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def status(self) -> str:
        return str(self.seen[-1][1]["status"]) if self.seen else ""

    @property
    def chunks(self) -> int:
        return int(self.seen[-1][1]["progress"]["chunks_completed"]) if self.seen else 0

    def wait_chunks(self, count: int, seconds: float = 60) -> None:
        """Until so many chunks are settled."""
        lines.wait_for(f"{count} settled chunks, not {self.chunks}", lambda: self.chunks >= count, seconds)

    def wait_status(self, status: str, seconds: float = 30) -> None:
        lines.wait_for(f"status {status}", lambda: self.status == status, seconds)

    def answered_throughout(self) -> None:
        """The status API did not notice: no answer was missing, and none was late."""
        assert not self.unanswered, self.unanswered[:3]
        waits = [after - before for (before, _), (after, _) in itertools.pairwise(self.seen)]
        assert max(waits) < ANSWER_SECONDS, f"an answer took {max(waits):.1f} s"

    def stood_still(self, moment: float) -> float:
        """The longest time from that moment to its end in which no chunk was settled and no status changed."""
        longest, since, before = 0.0, moment, (-1, "")
        for at, each in self.seen:
            now = (each["progress"]["chunks_completed"], each["status"])
            if now != before:
                longest, since, before = max(longest, at - max(since, moment)), at, now
            if each["status"] in lines.TERMINAL:
                break
        return longest

    def close(self) -> None:
        self._stop.set()
        self._thread.join(20)

    def _watch(self) -> None:
        headers = {"X-API-Key": self._stage.line.endpoints["API_KEY"]}
        url = f"{self._stage.line.endpoints['GATEWAY_URL']}/api/v1/status/{self.task_id}"
        with httpx.Client(headers=headers, timeout=15) as client:
            while not self._stop.wait(POLL_SECONDS):
                try:
                    answer = client.get(url)
                except httpx.TransportError as error:
                    self.unanswered.append((time.time(), repr(error)))
                    continue
                if answer.status_code == 200:
                    self.seen.append((time.time(), answer.json()))
                else:
                    self.unanswered.append((time.time(), f"{answer.status_code} {answer.text[:200]}"))


def _has(found: Mapping[str, Mapping[str, Any]], id_: str, sha256: str) -> bool:
    return id_ in found and found[id_]["sha256"] == sha256


def _poisoned(job: Job) -> dict[str, str]:
    """The vectors, by id, of the rows that failed with their chunk and are bad in nothing else."""
    rows = [job.rows[number - 1] for number, reason in job.refused.items() if reason == "poison"]
    return dict(expected_of(rows, {}, job.question).vectors)


@dataclasses.dataclass
class Result:
    """A line of the table."""

    fault: str
    outcome: str
    seconds: float
    twice: int


class Scene:
    """The life of one cell."""

    def __init__(self, stage: stages.Stage, name: str) -> None:
        self.stage = stage
        self.line = stage.line
        self.name = name
        self.jobs: list[Job] = []
        self.namespace = f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')[:40]}-{next(_numbers)}"
        self.struck_at = 0.0
        self.lifted_at = 0.0
        self.outcome = ""
        self.passed = False
        self.either = False  # of two tasks on one id, either one's vector may stay

    # ---- submitting

    def upload(self, rows: int = 2_000, *, first: int = 1, namespace: str = "", **options: Any) -> Job:
        """Upload a file of so many rows."""
        return self.submit(rows_with_flaws(rows, first), namespace=namespace, **options)

    def submit(self, rows: Sequence[tuple[str, ...]], *, namespace: str = "", **options: Any) -> Job:
        """Upload these rows."""
        namespace = namespace or self.namespace
        wanted = {"chunk_size": stages.CHUNK_ROWS, "namespace": namespace, **options}
        key = f"{self.namespace}-{next(_numbers)}"
        options = {"question_id": QUESTION, "request_id": key, **wanted}

        def taken() -> str:
            """As a careful caller does: again with the same key while nobody answers."""
            answer = self.line.rest.post("/api/v1/upload/items.csv", params=options, content=csvs.of(rows))
            assert answer.status_code in (202, 503, 504), answer.text
            return str(answer.json()["task_id"]) if answer.status_code == 202 else ""

        job = self.watch(lines.wait_for("the upload is taken", taken, 60), rows, namespace)
        job.question = options["question_id"]
        return job

    def watch(self, task_id: str, rows: Sequence[tuple[str, ...]], namespace: str = "") -> Job:
        """Watch a task that was submitted in another way."""
        job = Job(self.stage, task_id, namespace or self.namespace, rows)
        self.jobs.append(job)
        lines.wait_for("the first status", lambda: job.seen or job.unanswered, 30)
        return job

    # ---- faults

    def slow(self, milliseconds: float = 250, *rules: dict[str, Any]) -> None:
        """OpenAI takes its time, so that a fault finds a task at work; `rules` come first."""
        self.stage.openai_faults(*rules, {"kind": "delay", "delay_ms": milliseconds})

    def kill(self, process: str, number: int = signal.SIGKILL) -> None:
        """Send a signal; the fault happens now and is over at once."""
        self.line.kill(process, number)
        self.struck()
        self.lifted()

    def arm(self, rules: str) -> None:
        self.stage.failpoints.arm(rules)

    def fired(self, times: int = 1, seconds: float = 60) -> None:
        """Wait until failpoints fired; that is when the fault happened and was over."""
        lines.wait_for("the failpoint", lambda: len(self.stage.failpoints.fired) >= times, seconds)
        self.struck_at = self.stage.failpoints.fired[0]
        self.lifted_at = self.stage.failpoints.fired[-1]

    def struck(self) -> None:
        self.struck_at = self.struck_at or time.time()

    def lifted(self) -> None:
        """The cause of the fault is gone: from here on recovery counts."""
        self.lifted_at = time.time()

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """The fault lasts for the block."""
        self.struck()
        yield
        self.lifted()

    def logged(self, process: str, action: str) -> list[dict[str, Any]]:
        """What a process said with that action since this scene began."""
        lines_ = (self.line.folder / "logs" / f"{process}.log").read_text().splitlines()
        said = [json.loads(line) for line in lines_ if f'"action": "{action}"' in line]
        tasks = {job.task_id for job in self.jobs}
        return [each for each in said if each.get("task_id") in tasks]

    def hold(self, seconds: float) -> None:
        """Let a fault last; what is waited for is the clock itself."""
        threading.Event().wait(seconds)

    # ---- what must be true

    def finish(self, job: Job, status: str = "", within: float = 60) -> dict[str, Any]:
        """Wait for its end, in bound, and check everything that can be checked of one task."""
        bound = max(0.0, (self.lifted_at or time.time()) + within - time.time())
        try:
            lines.wait_for(f"the end of {self.name}", lambda: job.status in lines.TERMINAL, bound)
        except AssertionError as error:
            raise AssertionError(f"{error}: {job.seen[-1:]} {job.unanswered[-1:]}") from None
        task: dict[str, Any] = self.line.task(job.task_id)
        expected = expected_of(job.rows, job.refused, job.question)
        status = status or ("partially_completed" if expected.failed else "completed")
        assert task["status"] == status, task
        progress = task["progress"]
        told = [progress[f"{name}_records"] for name in ("processed", "skipped", "failed", "unread")]
        assert progress["total_records"] == sum(told), progress
        whole = status in ("completed", "partially_completed")
        if whole:
            same = job.unchanged
            assert told == [len(expected.vectors) - same, expected.skipped + same, len(expected.failed), 0], progress
            assert (progress["unchanged_records"], progress["removed_records"]) == (same, job.removed), progress
            rejects = lines.wait_for("the rejects", lambda: self._rejects(job.task_id), 60)
            assert {each["row_number"]: each["reason"] for each in rejects[0]} == expected.failed
        job.finished = True
        self.outcome = self.outcome or status
        return task

    def _rejects(self, task_id: str) -> list[list[dict[str, Any]]]:
        """The rejects, in a list of one; an empty list while ingest is away."""
        answer = self.line.rest.get(f"/api/v1/status/{task_id}/rejects", params={"format": "jsonl"})
        assert answer.status_code in (200, 503), answer.text
        return [[json.loads(line) for line in answer.text.splitlines()]] if answer.status_code == 200 else []

    def check_index(self, namespace: str, *jobs: Job, subset: bool = False) -> None:
        """The namespace holds what these jobs leave there; of two with one id the later one's vector.

        Rows of a poisonous chunk may be there, too: those that were handed over before the one that kills.
        """
        expected: dict[str, str] = {}
        found = self.line.index(namespace)
        for job in jobs:
            if job.removes:
                prefix = f"{job.question}."
                expected = {id_: sha for id_, sha in expected.items() if not id_.startswith(prefix)}
            vectors = expected_of(job.rows, job.refused, job.question).vectors
            for id_, sha in vectors.items():
                if not self.either or id_ not in expected or _has(found, id_, sha):
                    expected[id_] = sha
        for job in jobs:
            for id_, sha in _poisoned(job).items():
                if id_ not in expected and _has(found, id_, sha):
                    expected[id_] = sha
        oracle.index_holds(found, expected, subset=subset)

    def check(self, *, twice: int) -> Result:
        """Everything that must be true after every cell."""
        assert self.jobs
        assert all(job.finished for job in self.jobs)
        for namespace in dict.fromkeys(job.namespace for job in self.jobs):
            jobs = [job for job in self.jobs if job.namespace == namespace]
            self.check_index(namespace, *jobs, subset=any(job.status in ("failed", "cancelled") for job in jobs))
        items = self.stage.ledger(*(job.task_id for job in self.jobs))
        for job in self.jobs:
            oracle.recounts(items, job.task_id, self.line.task(job.task_id)["progress"])
        with self.stage.redis() as client:
            left: dict[str, Any] = {}

            def clean() -> bool:
                left.clear()
                left.update(oracle.leftovers(client))
                return not left

            try:
                lines.wait_for("an empty queue", clean, CLEAR_SECONDS)
            except AssertionError as error:
                raise AssertionError(f"{error}: {left}") from None
        for job in self.jobs:
            final = self.line.task(job.task_id)
            job.close()
            oracle.never_regressed([each for _, each in job.seen] + [final])
        journal = self.stage.journal(None)
        if self.stage.rate:
            oracle.limit_was_kept(journal["requests"], self.stage.rate)
        repeated = journal["summary"]["repeated_inputs"] - max(0, self._probes(journal) - 1)
        assert repeated <= twice + self._spoiled(journal), f"{repeated} texts were bought again; {journal['summary']}"
        struck = self.lifted_at or self.struck_at
        recovered = max(job.stood_still(struck) for job in self.jobs) if struck else 0.0
        assert recovered < RECOVERY_SECONDS, f"nothing moved for {recovered:.0f} s after the fault"
        self.passed = True
        return Result(self.name, self.outcome, recovered, repeated)

    def _probes(self, journal: dict[str, Any]) -> int:
        """Purchases of the one text that asks whether the account, or a refused text's source, is good."""
        size = (1, openai_client.PROBE_TOKENS)
        return sum(each["bought"] and (each["inputs"], each["tokens"]) == size for each in journal["requests"])

    def _spoiled(self, journal: dict[str, Any]) -> int:
        """Texts whose answers the stand-in spoiled after it had sold them."""
        spoiling = {"truncate", "missing", "wrong_dimension", "nan", "zero_vector", "reset", "hang"}
        return sum(each["inputs"] for each in journal["requests"] if each["bought"] and each["fault"] in spoiling)

    def close(self) -> None:
        """Let go; what a failed cell left behind must not be the next one's: tasks are cancelled, Valkey is emptied."""
        for job in self.jobs:
            job.close()
        if self.passed:
            return
        open_jobs = [job for job in self.jobs if job.status not in lines.TERMINAL]
        self.stage.calm()  # the fault may still be there, and keep the cancel from its place
        for job in open_jobs:
            lines.wait_for("the cancel", lambda job=job: self._cancelled(job.task_id))
        with self.stage.redis() as client:
            client.flushall()

    def _cancelled(self, task_id: str) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.line.rest.delete(f"/api/v1/task/{task_id}").status_code in (204, 409)
        return False
