"""What is done to the containers, one step after the other; each answers what it found, or fails."""

import dataclasses
import json
import time
from collections.abc import Callable

import pytest

from tests.containers import bases, calls, project, run
from tests.support import line as lines

ROWS = 20_000
FIRST, SECOND = "first", "second"
LIMIT_MEGABYTES = 350
PROBE_MILLISECONDS = 30
# Above what an embedder holds at rest, and below what it needs for 8 chunks of 1,000 vectors.
SPARE_BYTES = 4 << 20
BUSY_ROWS = 20_000

# Run within a container: the probe's own cost, and what this process may do.
PROBE_COST = """
import json, resource, subprocess, sys
def cost():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(sys.argv[1:], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
json.dump(sorted(cost() for _ in range(20)), sys.stdout)
"""
RIGHTS = """
import json, os, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def refused(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
    os.unlink(path)
    return ""
json.dump({"uid": os.getuid(), "capabilities": int(status["CapEff"], 16), "no_new_privileges": status["NoNewPrivs"],
           "app": refused("/app/x"), "venv": refused("/opt/venv/x"), "tmp": refused("/tmp/x")}, sys.stdout)
"""


@dataclasses.dataclass
class Row:
    """A line of the table."""

    step: str
    found: str
    seconds: float


class Run:
    """The steps over one project."""

    def __init__(self, where: project.Project, told: Callable[[Row], None]) -> None:
        self.where = where
        self.rows: list[Row] = []
        self._told = told

    def step(self, name: str, act: Callable[[], str]) -> None:
        began = time.monotonic()
        found = act()
        self.rows.append(Row(name, found, time.monotonic() - began))
        self._told(self.rows[-1])

    # ---- images

    def build(self) -> str:
        self.where.build(SECOND, own_authorities=self.where.where.ours)
        self.where.build(FIRST, own_authorities=self.where.where.ours)
        sizes = {image: self._size(f"{image}:{FIRST}") for image in ("vectorline", "vectorline-sandbox")}
        assert sizes["vectorline"] <= LIMIT_MEGABYTES, f"{sizes['vectorline']} MB, {LIMIT_MEGABYTES} are allowed"
        config = self._image(f"vectorline:{FIRST}")["Config"]
        assert config["User"] == "10001", config["User"]
        labels = config["Labels"]
        assert labels["org.opencontainers.image.version"] == FIRST, labels
        bom = json.loads(
            self.where.where.docker(
                "run", "--rm", "--network", "none", f"vectorline:{FIRST}", "cat", "/opt/sbom.cdx.json"
            )
        )
        base = self._size(bases.named()["python"])
        return (
            f"services {sizes['vectorline']} MB, sandbox {sizes['vectorline-sandbox']} MB, "
            f"of each Python's base {base} MB; {len(bom['components'])} packages in the list"
        )

    def _image(self, name: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self.where.where.docker("image", "inspect", name))[0]
        return found

    def _size(self, name: str) -> int:
        return int(self.where.where.docker("image", "inspect", "--format", "{{.Size}}", name)) // 1_000_000

    # ---- the line

    def up(self) -> str:
        self.where.up()
        for service in project.SERVICES:
            found = json.loads(self.where.python(service, RIGHTS))
            assert found["uid"] == 10001, found
            assert found["capabilities"] == 0, found
            assert found["no_new_privileges"] == "1", found
            assert "Read-only" in found["app"], found
            assert "Read-only" in found["venv"], found
            assert found["tmp"] == "", found
        return f"{len(project.CONTAINERS)} containers healthy; uid 10001, no capability, nothing writable but /tmp"

    def probe(self) -> str:
        costs = []
        for service in project.SERVICES:
            (container,) = self.where.ids(service)
            command = self.where.inspect(container)["Config"]["Healthcheck"]["Test"][1:]
            costs.append(json.loads(self.where.python(service, PROBE_COST, *command)))
        best = max(each[0] for each in costs) * 1000
        middle = max(each[len(each) // 2] for each in costs) * 1000
        assert best <= PROBE_MILLISECONDS, f"{best:.0f} ms, {PROBE_MILLISECONDS} are allowed"
        return f"{best:.0f} ms of CPU (median {middle:.0f})"

    def load(self) -> str:
        began = time.monotonic()
        load = calls.upload(self.where, ROWS)
        calls.whole(self.where, load)
        speed = ROWS / (time.monotonic() - began)
        return f"{ROWS:,} rows through the published port, {speed:,.0f} rows/s, every vector compared"

    def scale(self) -> str:
        load = calls.upload(self.where, ROWS)
        with calls.going_on(self.where, load) as called:
            for replicas in (3, 1):
                self.where.compose(
                    *("up", "--detach", "--no-build", "--no-recreate", "--wait"),
                    "--scale",
                    f"embedder={replicas}",
                    "embedder",
                )
                assert self.where.healthy("embedder", replicas)
            calls.whole(self.where, load)
        for small in called.uploads:
            calls.whole(self.where, small)
        assert not called.failed, called.failed[:3]
        return f"{called.answered} calls, none failed; {ROWS + 10 * len(called.uploads):,} rows whole"

    def kills(self) -> str:
        slowest = 0.0
        load = calls.upload(self.where, ROWS)
        with calls.going_on(self.where, load) as called:
            for service in project.CONTAINERS:
                began = time.monotonic()
                self.where.kill(service)
                lines.wait_for(
                    f"{service} is healthy", lambda name=service: self.where.healthy(name), project.HEALTHY_SECONDS
                )
                slowest = max(slowest, time.monotonic() - began)
        calls.whole(self.where, load)
        for small in called.uploads:
            calls.whole(self.where, small)
        return (
            f"{len(project.CONTAINERS)} killed, each healthy again within {slowest:.0f} s; nothing lost; callers met "
            f"{len(called.failed)} errors in {called.answered + len(called.failed)} calls"
        )

    def memory(self) -> str:
        """An embedder is given little more memory than it holds, and work: the kernel ends it, and it comes back."""
        (container,) = self.where.ids("embedder")
        self.where.where.docker(
            "restart", container
        )  # one that has worked keeps what it once needed, and needs no more
        lines.wait_for("the embedder is healthy", lambda: self.where.healthy("embedder"), project.HEALTHY_SECONDS)
        before = self.where.inspect(container)
        limit = self._held(container) + SPARE_BYTES
        self._limit(container, limit)
        load = calls.upload(self.where, BUSY_ROWS, chunk_rows=1000)
        lines.wait_for("the kernel ends the embedder", lambda: self._ended(container, before["RestartCount"]), 90)
        self._limit(container, before["HostConfig"]["Memory"])
        lines.wait_for("the embedder is healthy", lambda: self.where.healthy("embedder"), project.HEALTHY_SECONDS)
        calls.whole(self.where, load)
        return f"embedder ended at {limit >> 20} MiB, started again, {BUSY_ROWS:,} rows whole"

    def _held(self, container: str) -> int:
        said = self.where.where.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container)
        number, unit = said.split("/")[0].strip()[:-3], said.split("/")[0].strip()[-3:]
        return int(float(number) * {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit])

    def _limit(self, container: str, limit: int) -> None:
        self.where.where.docker("update", "--memory", str(limit), "--memory-swap", str(limit), container)

    def _ended(self, container: str, restarts: int) -> bool:
        return bool(self.where.inspect(container)["RestartCount"] > restarts)

    def roll(self) -> str:
        load = calls.upload(self.where, ROWS)
        rolled = {}
        with calls.going_on(self.where, load) as called:
            for tag, flags in ((SECOND, ()), (FIRST, ("--back",))):
                began = time.monotonic()
                self.where.roll(tag, *flags)
                rolled[tag] = time.monotonic() - began
                self._all_run(tag)
        calls.whole(self.where, load)
        for small in called.uploads:
            calls.whole(self.where, small)
        assert not called.failed, called.failed[:3]
        return (
            f"there in {rolled[SECOND]:.0f} s, back in {rolled[FIRST]:.0f} s; {called.answered} calls, none failed, "
            f"longest wait {called.longest_gap_seconds:.1f} s; {ROWS + 10 * len(called.uploads):,} rows whole"
        )

    def _all_run(self, tag: str) -> None:
        wanted = self.where.where.docker("image", "inspect", "--format", "{{.Id}}", f"vectorline:{tag}").strip()
        for service in project.SERVICES:
            assert [self.where.inspect(each)["Image"] for each in self.where.ids(service)] == [wanted], service

    def spoiled(self) -> str:
        """An image that does not start replaces nothing."""
        broken = f'FROM vectorline:{FIRST}\nENTRYPOINT ["python", "-c", "raise SystemExit(1)"]\n'
        self.where.where.build("vectorline:broken", "-", stdin=broken.encode())
        before = {service: self.where.ids(service) for service in project.SERVICES}
        with pytest.raises(run.Failed, match="what ran before runs on"):
            self.where.roll("broken")
        self.where.told["VECTORLINE_TAG"] = FIRST
        assert before == {service: self.where.ids(service) for service in project.SERVICES}
        return "exit code 1, nothing was replaced"

    def down(self) -> str:
        self.where.down()
        left = self.where.where.docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project.NAME}"
        )
        volumes = self.where.where.docker(
            "volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project.NAME}"
        )
        assert not left.split(), left
        assert not volumes.split(), volumes
        return "no container, no volume is left"

    def all(self) -> None:
        """Every step, in this order."""
        self.step("build", self.build)
        self.step("`up --wait`", self.up)
        self.step("probe", self.probe)
        self.step("load", self.load)
        self.step("embedder 1 → 3 → 1 under load", self.scale)
        self.step("kill each container", self.kills)
        self.step("memory limit", self.memory)
        self.step("roll to a second tag and back under load", self.roll)
        self.step("roll to an image that does not start", self.spoiled)
        self.step("`down`", self.down)
