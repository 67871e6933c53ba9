"""The real line on a stage where each of its dependencies can be harmed."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import boto3
import httpx
import redis

from tests.support import failpoints, ports, proxy
from tests.support import line as lines
from tests.support import valkey as valkey_server

MAX_WORKERS = 2
EMBEDDERS = 2
CHUNK_ROWS = 100
# What one embedder has in hand at most, since rows fill a slot and not a chunk; two at once are EMBEDDERS times that.
IN_HAND = MAX_WORKERS * 1_000
# Rows of a task that is at work still when its first chunks are settled: three times what all have in hand.
MID_WORK = 3 * EMBEDDERS * IN_HAND
RATE = 40.0
START_SECONDS = 120
BASE = {
    "EMBEDDERS": str(EMBEDDERS),
    "INGESTS": "1",
    "INDEXERS": "1",
    "MAX_WORKERS": str(MAX_WORKERS),
    "OPENAI_RATE_LIMIT": str(RATE),
    "OPENAI_TOKENS_PER_MINUTE": "0",
    "OPENAI_TIMEOUT_SECONDS": "4",
    "LEASE_SECONDS": "3",
    "HEARTBEAT_SECONDS": "1",
    "RECLAIM_SECONDS": "1",
    "RESUBMIT_SECONDS": "2",
    "PROBE_SECONDS": "2",
    "UPSERT_DEADLINE_SECONDS": "3",
    "STALL_SECONDS": "5",
    "CLOCK_SHIFT": "none",
}
PRODUCTION = {"LEASE_SECONDS": "30", "HEARTBEAT_SECONDS": "10", "RECLAIM_SECONDS": "10", "RESUBMIT_SECONDS": "15"}
AWS_KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
TABLE = "vectorline"


class Stage:
    """Everything that runs. `close` ends it all."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.table = TABLE  # the services' own; a drill moves them to another
        self._exit = contextlib.ExitStack()
        self._settings: dict[str, str] = {}
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._exit.close()

    def _start(self) -> None:
        self.valkey = self._exit.enter_context(valkey_server.running())
        self.aws_port, openai_port, pinecone_port = ports.several(3)
        self.openai_url = f"http://127.0.0.1:{openai_port}"
        self.pinecone_url = f"http://127.0.0.1:{pinecone_port}"
        self._spawn("aws", "-c", "import ministack.app; ministack.app.main()", GATEWAY_PORT=str(self.aws_port))
        self._spawn("openai", "-m", "sandbox.openai", "--port", str(openai_port))
        self._spawn(
            "pinecone", "-m", "sandbox.pinecone", "--port", str(pinecone_port), "--data-dir", str(self.folder / "index")
        )
        self.http = self._exit.enter_context(httpx.Client(timeout=20))
        for url in (
            f"http://127.0.0.1:{self.aws_port}/_ministack/health",
            self._health(openai_port),
            self._health(pinecone_port),
        ):
            lines.wait_for(url, lambda url=url: self._answers(url))
        self.valkey_proxy = self._proxy(self.valkey.port)
        self.aws_proxy = self._proxy(self.aws_port)
        self.failpoints = failpoints.Failpoints(self.folder / "failpoints")
        self.line = lines.Line(
            self.folder / "line",
            {
                "REDIS_URL": f"redis://127.0.0.1:{self.valkey_proxy.port}/0",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.aws_proxy.port}",
                "AWS_REGION": "us-east-1",
                **AWS_KEYS,
                "OPENAI_BASE_URL": f"{self.openai_url}/v1",
                "OPENAI_API_KEY": "sandbox",
                "PINECONE_CONTROLLER_HOST": self.pinecone_url,
                "PINECONE_API_KEY": "sandbox",
                "PYTHONPATH": str(pathlib.Path(__file__).parent / "clock"),
                **self.failpoints.environment,
            },
        )
        self._exit.callback(self.line.down)
        self.dynamodb = boto3.resource(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{self.aws_port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self._exit.callback(self.dynamodb.meta.client.close)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Give the services these settings on top of the usual ones; restarts what that changes."""
        wanted = {**BASE, **settings}
        if wanted != self._settings:
            self._settings = {}
            self.line.up(**wanted)
            self._settings = wanted

    @property
    def rate(self) -> float:
        return float(self._settings["OPENAI_RATE_LIMIT"])

    # ---- to be harmed, and as it was

    def calm(self) -> None:
        """Take back every fault that a cell may have left."""
        self.failpoints.disarm()
        self.openai_faults()
        self.pinecone_faults()
        self.valkey.send_signal(signal.SIGCONT)
        for process in self.processes:
            with contextlib.suppress(OSError, ValueError):
                self.line.kill(process, signal.SIGCONT)
        with self.valkey.client() as client:
            client.config_set("maxmemory", 0)
            client.replicaof("NO", "ONE")

    def reset(self) -> None:
        """No fault, no memory of the cell before, everybody well."""
        self.calm()
        self.unlearn()
        self.http.delete(f"{self.openai_url}/_sandbox/requests").raise_for_status()
        self.http.delete(f"{self.pinecone_url}/_sandbox/requests").raise_for_status()
        lines.wait_for("a healthy line", self.healthy, 60)
        # What a cell that failed had bought must not be counted as the next one's.
        lines.wait_for("the end of all purchases", lambda: not self.journal()["summary"]["in_flight"], 30)
        self.http.delete(f"{self.openai_url}/_sandbox/requests").raise_for_status()

    def unlearn(self) -> None:
        """Nobody knows how much the server took in one request in the cells before."""
        with self.redis() as client:
            learned = client.keys("{vectorline}:request_*")
            if not learned:
                return
            client.delete(*learned)
        self.restart_embedders()

    def restart_embedders(self) -> None:
        """They begin anew, and know what Valkey does."""
        names = [name for name in self.processes if name.startswith("embedder-")]
        before = {name: self.line.pid(name) for name in names}
        for name in names:
            self.line.kill(name, signal.SIGKILL)
        for name in names:
            lines.wait_for(f"{name} anew", lambda name=name: self.began_anew(name, before[name]), START_SECONDS)
        lines.wait_for("the embedders", self.healthy, START_SECONDS)

    def began_anew(self, process: str, pid: int) -> bool:
        """Whether another process has its place."""
        try:
            return self.line.pid(process) != pid
        except (FileNotFoundError, ValueError):
            return False

    def starts(self, process: str) -> int:
        """How often a process of this name began to listen."""
        return (self.line.folder / "logs" / f"{process}.log").read_text().count('"action": "started"')

    def supervised(self) -> list[str]:
        """What was logged of the processes' ends, a line each."""
        return (self.line.folder / "logs" / "supervisor.log").read_text().splitlines()

    @property
    def processes(self) -> list[str]:
        """Names of the services' processes."""
        return sorted(
            file.stem
            for file in self.line.folder.glob("*.pid")
            if file.stem.startswith(("ingest-", "embedder-", "indexer-"))
        )

    def openai_faults(self, *rules: dict[str, Any]) -> None:
        self.http.put(f"{self.openai_url}/_sandbox/faults", json=list(rules)).raise_for_status()

    def pinecone_faults(self, *rules: dict[str, Any]) -> None:
        self.http.put(f"{self.pinecone_url}/_sandbox/faults", json=list(rules)).raise_for_status()

    def journal(self, limit: int | None = 0) -> dict[str, Any]:
        """What the OpenAI stand-in saw; with `limit` None, each request too."""
        params = {} if limit is None else {"limit": limit}
        found: dict[str, Any] = self.http.get(f"{self.openai_url}/_sandbox/requests", params=params).json()
        return found

    def redis(self) -> redis.Redis:
        """Valkey, not through the proxy; to be closed."""
        return self.valkey.client()

    def ledger(self, *task_ids: str) -> dict[str, dict[str, Any]]:
        """The table's items of these tasks, by key; all items without any."""
        items: dict[str, dict[str, Any]] = {}
        table = self.dynamodb.Table(self.table)
        more: dict[str, Any] = {}
        while True:
            page = table.scan(ConsistentRead=True, **more)
            items.update((str(item["task_id"]), item) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                break
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        if not task_ids:
            return items
        return {key: item for key, item in items.items() if key.partition("#")[0] in task_ids}

    # ---- parts

    def _health(self, port: int) -> str:
        return f"http://127.0.0.1:{port}/healthz"

    def _answers(self, url: str) -> bool:
        try:
            return self.http.get(url).status_code == 200
        except httpx.TransportError:
            return False

    def healthy(self) -> bool:
        """Everybody is there and well."""
        paths = ("/healthz/ingest", "/healthz/embedder", "/healthz/indexer", "/api/v1/health")
        try:
            answers = [self.line.rest.get(path) for path in paths]
        except httpx.TransportError:
            return False
        if any(answer.status_code != 200 for answer in answers):
            return False
        health = answers[-1].json()
        slots = health["workers"]["active"] + health["workers"]["available"]
        return health["status"] == "healthy" and slots == int(self._settings["EMBEDDERS"]) * MAX_WORKERS

    def _proxy(self, port: int) -> proxy.Proxy:
        made = proxy.Proxy(port)
        self._exit.callback(made.close)
        return made

    def _spawn(self, name: str, *arguments: str, **environment: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(lines.FOREIGN)}
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=lines.ROOT,
                env={**kept, "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", **environment},
                stdout=log,
                stderr=log,
            )
        self._exit.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(10)
