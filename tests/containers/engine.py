"""A Docker engine: the one that DOCKER_HOST names, one that runs, or Debian's, started here as root.

Ours has a network namespace of its own, so that it touches neither the addresses nor the firewall of this machine. Its
containers reach out through slirp4netns, but nothing on this machine's loopback; ports that they publish are reached
from within the namespace (`inside`). It ends with the run, and leaves nothing behind.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping

from tests.containers import debian, run

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class NoEngine(Exception):
    """There is none and none can be started; says why in a sentence."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine that answers."""

    said: str
    environment: Mapping[str, str]
    # What a command is begun with, to be where published ports are.
    inside: tuple[str, ...] = ()
    ours: bool = False

    def docker(self, *arguments: str) -> str:
        return run.output("docker", *arguments, environment=self.environment)

    def build(self, image: str, context: str, *, stdin: bytes | None = None) -> None:
        """Build a small image of the run's own. Debian's engine has no buildx; what Compose builds needs none."""
        classic = {"DOCKER_BUILDKIT": "0"} if self.ours else {}
        command = ("docker", "build", "--quiet", "--tag", image, context)
        run.output(*command, environment={**self.environment, **classic}, stdin=stdin)


@contextlib.contextmanager
def found_or_started(folder: pathlib.Path) -> Iterator[Engine]:
    """An engine for the length of a block; one of ours is stopped at its end.

    Args:
        folder: For what may be kept between runs, e.g. Compose.

    Raises:
        NoEngine: There is none.
    """
    if os.environ.get("DOCKER_HOST") and not _answers({}):
        raise NoEngine("DOCKER_HOST is set, and no engine answers there. Unset it, or start that one.")
    if _answers({}):
        yield _found(folder)
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None or os.uname().sysname != "Linux":
        raise NoEngine(
            "No Docker engine answers (`docker version`), and only root on Debian or Ubuntu can have one started here. "
            "Start yours, or name it: DOCKER_HOST=…"
        )
    with _started(folder) as engine:
        yield engine


def _answers(environment: Mapping[str, str]) -> bool:
    return run.works("docker", "version", environment=environment)


def _found(folder: pathlib.Path) -> Engine:
    environment: dict[str, str] = {}
    if not run.works("docker", "compose", "version"):
        if shutil.which("apt-get") is None:
            raise NoEngine("The engine has no Compose: install Docker Compose 2.24 or later.")
        environment["DOCKER_CONFIG"] = os.fspath(debian.compose(folder))
    said = run.output("docker", "compose", "version", "--short", environment=environment).strip()
    if not debian.compose_is_new_enough(said):
        raise NoEngine(f"Docker Compose {said} does not read our files: 2.24 or later is needed.")
    version = run.output("docker", "version", "--format", "{{.Server.Version}}").strip()
    return Engine(f"found: Docker {version}, Compose {said}", environment)


@contextlib.contextmanager
def _started(folder: pathlib.Path) -> Iterator[Engine]:
    try:
        debian.install()
        config = debian.compose(folder)
    except run.Failed as error:
        raise NoEngine(f"Debian's engine cannot be installed here: {error}") from None
    # Not below the folder: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="vectorline-engine-", ignore_cleanup_errors=True) as home:
        where = pathlib.Path(home)
        with _daemon(where) as pid, _way_out(where, pid):
            environment = {
                "DOCKER_HOST": f"unix://{where}/docker.sock",
                "DOCKER_CONFIG": os.fspath(config),
            }
            version = run.output(
                "docker", "version", "--format", "{{.Server.Version}}", environment=environment
            ).strip()
            compose = run.output("docker", "compose", "version", "--short", environment=environment).strip()
            inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
            yield Engine(f"started: Docker {version}, Compose {compose}", environment, inside, ours=True)
        for mount in sorted(_mounts(where), reverse=True):
            run.works("umount", "--lazy", mount)


@contextlib.contextmanager
def _daemon(where: pathlib.Path) -> Iterator[int]:
    """Dockerd in namespaces of its own; its process id."""
    pid_file, log = where / "docker.pid", where / "dockerd.log"
    dockerd = [
        *("dockerd", "--host", f"unix://{where}/docker.sock", "--pidfile", os.fspath(pid_file)),
        *("--data-root", f"{where}/data", "--exec-root", f"{where}/exec", "--storage-driver", "overlay2"),
        *("--bip", "10.211.0.1/24", "--default-address-pool", "base=10.212.0.0/16,size=24"),
    ]
    script = 'ip link set lo up && exec "$@"'
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *dockerd],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers({"DOCKER_HOST": f"unix://{where}/docker.sock"}):
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise NoEngine(f"Debian's engine does not start here. The end of what it says:\n{said}")
            time.sleep(0.2)  # between two looks, bounded by the deadline
        yield int(pid_file.read_text())
    finally:
        _end(process)


@contextlib.contextmanager
def _way_out(where: pathlib.Path, pid: int) -> Iterator[None]:
    """The namespace's way to the network of this machine, but for its loopback."""
    with (where / "slirp.log").open("wb") as out:
        process = subprocess.Popen(
            ["slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", str(pid), "tap0"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _mounts(where: pathlib.Path) -> list[str]:
    lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(os.fspath(where))]
