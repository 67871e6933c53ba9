"""One process: started, started again when it dies, and stopped."""

import asyncio
import collections
import contextlib
import dataclasses
import logging
import os
import pathlib
import signal
import time
from collections.abc import Callable, Mapping

from sandbox.line import probes, run_dir, specs

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1  # before the first new start
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 10.0  # a process that lived so long begins again with the first pause
START_ATTEMPTS = 3  # of a process that has never been ready
ONCE_ATTEMPTS = 5
ONCE_PAUSE_SECONDS = 1.0
LOG_BYTES = 64 * 1024 * 1024  # a longer log is set aside at the next start
LOG_TAIL_LINES = 15


class StartError(RuntimeError):
    """A process cannot be brought to work; the message says which, why and what it said last."""


@dataclasses.dataclass
class Runner:
    """The life of one process.

    Args:
        process: What to run.
        environment: Its whole environment.
        fingerprint: Of what is run; see `specs.Plan.fingerprint_of`.
        folder: Working directory.
        run: Where its pid and log go.
        changed: Called after each change of what `describe` tells.
    """

    process: specs.Process
    environment: Mapping[str, str]
    fingerprint: str
    folder: str
    run: run_dir.RunDir
    changed: Callable[[], None]

    def __post_init__(self) -> None:
        """Nothing runs yet."""
        self.ready = False
        self.done = False  # a process that runs once has succeeded
        self.starts = 0
        self.exit_code: int | None = None
        self._started_at = 0.0
        self._child: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # --- what others see

    def describe(self) -> dict[str, object]:
        """For ``status``: pid, times and how often it was started."""
        state = "done" if self.done else "running" if self.ready else "starting"
        if not self.done and (self._child is None or self._child.returncode is not None):
            state = "waiting"
        pid = self._child.pid if self._child is not None and self._child.returncode is None else None
        return {
            "state": state,
            "pid": pid,
            "born": birth(pid) if pid else None,
            "started_at": self._started_at,
            "restarts": max(0, self.starts - 1),
            "exit_code": self.exit_code,
        }

    async def start(self) -> None:
        """Start it and return once it is ready; from then on it is kept alive.

        Raises:
            StartError: It ends again and again, or is not ready in time.
        """
        self._task = asyncio.create_task(self._once() if self.process.once else self._keep_alive())
        ready = asyncio.create_task(self._until_ready())
        try:
            await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            await asyncio.wait({ready})
        if self._task.done():
            self._task.result()
        else:
            ready.result()

    async def stop(self) -> None:
        """SIGTERM, time to finish, then SIGKILL."""
        self._stopping.set()
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()
            try:
                await asyncio.wait_for(asyncio.shield(self._child.wait()), self.process.stop_seconds)
            except TimeoutError:
                logger.warning(
                    "%s did not stop within %.0f s; it is killed.", self.process.name, self.process.stop_seconds
                )
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
                await self._child.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self.run.pid_file(self.process.name).unlink(missing_ok=True)
        self.changed()

    # --- its life

    async def _until_ready(self) -> None:
        if self.process.once:
            await self._stopping.wait()  # its end counts, not its probe
            return
        try:
            async with asyncio.timeout(self.process.ready_seconds):
                while self._child is None:  # noqa: ASYNC110 - a tenth of a second, once
                    await asyncio.sleep(probes.PAUSE_SECONDS)
                await probes.wait(self.process.probe)
        except TimeoutError:
            raise StartError(self._why(f"is not ready after {self.process.ready_seconds:.0f} s")) from None
        self.ready = True
        self.changed()

    async def _keep_alive(self) -> None:
        quick_deaths = 0
        while not self._stopping.is_set():
            try:
                await self._spawn()
                end = ending(await self._wait())
            except OSError as error:
                end = f"no start at all ({error})"
            if self._stopping.is_set():
                return
            lived = time.time() - self._started_at
            quick_deaths = 1 if lived >= STEADY_SECONDS else quick_deaths + 1
            if not self.ready and quick_deaths >= START_ATTEMPTS:
                raise StartError(self._why(f"ended {quick_deaths} times while it started, at last with {end}"))
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (quick_deaths - 1))
            logger.warning("%s ended with %s after %.1f s; new start in %.1f s.", self.process.name, end, lived, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _once(self) -> None:
        for attempt in range(1, ONCE_ATTEMPTS + 1):
            try:
                await self._spawn()
                code = await asyncio.wait_for(self._wait(), self.process.ready_seconds)
            except TimeoutError:
                os.killpg(self._running().pid, signal.SIGKILL)
                await self._running().wait()
                raise StartError(self._why(f"is not done after {self.process.ready_seconds:.0f} s")) from None
            except OSError as error:
                raise StartError(f"{self.process.name} cannot be run: {error}") from error
            if code == 0:
                self.done = True
                self.run.pid_file(self.process.name).unlink(missing_ok=True)
                self.changed()
                return
            logger.warning("%s failed with %s, attempt %d.", self.process.name, ending(code), attempt)
            if attempt < ONCE_ATTEMPTS:
                await asyncio.sleep(ONCE_PAUSE_SECONDS)
        raise StartError(self._why(f"failed {ONCE_ATTEMPTS} times"))

    async def _spawn(self) -> None:
        name = self.process.name
        log = self.run.log(name)
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))
        self._started_at = time.time()
        with log.open("ab") as output:
            self._child = await asyncio.create_subprocess_exec(
                *self.process.command,
                env=dict(self.environment),
                cwd=self.folder or None,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in a terminal is for `up`, not for the line
            )
        self.starts += 1
        self.run.write_pid(name, self._child.pid)
        self.changed()

    async def _wait(self) -> int:
        self.exit_code = await self._running().wait()
        self.changed()
        return self.exit_code

    def _running(self) -> asyncio.subprocess.Process:
        assert self._child is not None
        return self._child

    def _why(self, what: str) -> str:
        lines = tail(self.run.log(self.process.name))
        said = "".join(f"\n  {line}" for line in lines) or " (nothing)"
        return f"{self.process.name} {what}. Its log ends with:{said}"


def ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def tail(log: pathlib.Path, lines: int = LOG_TAIL_LINES) -> list[str]:
    """The last lines of a log."""
    try:
        with log.open(encoding="utf-8", errors="replace") as file:
            return [line.rstrip() for line in collections.deque(file, lines)]
    except FileNotFoundError:
        return []


def birth(pid: int) -> str | None:
    """When a process was started, in the system's own count: with the pid it names a process for ever.

    None when it does not exist, is a zombie that its parent forgot, or where there is no /proc.
    """
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
