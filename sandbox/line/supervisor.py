"""Keeps a plan running: ``python -m sandbox.line.supervisor RUN_DIR``.

SIGHUP: the plan was replaced; what changed is stopped and started. SIGTERM: everything stops, in reverse order.
Its phase is in ``state.json``: starting, running, stopping, stopped or failed (then with the reason).
"""

import asyncio
import contextlib
import itertools
import logging
import os
import pathlib
import signal
import sys

from sandbox.line import ports, run_dir, runner, specs

logger = logging.getLogger(__name__)


class Supervisor:
    """All processes of one line."""

    def __init__(self, run: run_dir.RunDir) -> None:
        self._run = run
        self._plan = specs.Plan(())
        self._runners: dict[str, runner.Runner] = {}  # in the order of their start
        self._phase = "starting"
        self._failure = ""

    async def run(self) -> int:
        """Run until SIGTERM; return the exit code."""
        stop, reload = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload.set)
        reload.set()
        keeping = asyncio.create_task(self._keep_ports())
        stopped = asyncio.create_task(stop.wait())
        while not stop.is_set():
            reloaded = asyncio.create_task(reload.wait())
            await asyncio.wait({stopped, reloaded}, return_when=asyncio.FIRST_COMPLETED)
            reloaded.cancel()
            if stop.is_set():
                break
            reload.clear()
            applied = asyncio.create_task(self._apply())
            await asyncio.wait({stopped, applied}, return_when=asyncio.FIRST_COMPLETED)
            if not applied.done():
                applied.cancel()
                await asyncio.wait({applied})
            elif (error := applied.exception()) is not None:
                if not isinstance(error, runner.StartError):
                    logger.error("The supervisor itself failed.", exc_info=error)
                self._failure = str(error) or repr(error)
                break
        keeping.cancel()
        await self._stop_all()
        return 1 if self._failure else 0

    async def _keep_ports(self) -> None:
        """A process that dies finds its port free when it is back, also while other lines start on this machine."""
        while True:
            await asyncio.sleep(ports.KEEP_SECONDS)
            try:
                await asyncio.to_thread(ports.keep, self._run)
            except OSError as error:
                logger.warning("The line's ports are not kept from others: %s", error)

    async def _apply(self) -> None:
        """Make what runs equal to the plan."""
        self._phase = "starting"
        self._plan = specs.load((self._run.path / "plan.json").read_text(encoding="utf-8"))
        self._write_state()
        wanted = self._plan.fingerprints
        await self._stop([name for name, each in self._runners.items() if wanted.get(name) != each.fingerprint])
        for _, stage in itertools.groupby(self._plan.processes, key=lambda process: process.stage):
            await self._start([process for process in stage if process.name not in self._runners])
        self._runners = {process.name: self._runners[process.name] for process in self._plan.processes}
        self._phase = "running"
        self._write_state()

    async def _start(self, processes: list[specs.Process]) -> None:
        for process in processes:
            self._runners[process.name] = runner.Runner(
                process=process,
                environment=self._plan.environment_of(process),
                fingerprint=self._plan.fingerprint_of(process),
                folder=self._plan.folder,
                run=self._run,
                changed=self._write_state,
            )
        starts = [asyncio.create_task(self._runners[process.name].start()) for process in processes]
        try:
            for done in asyncio.as_completed(starts):
                await done
        finally:
            for start in starts:
                start.cancel()
            if starts:
                await asyncio.wait(starts)
                for start in starts:
                    _ = start.cancelled() or start.exception()  # looked at: the first one was raised

    async def _stop(self, names: list[str]) -> None:
        """Role by role, backwards; the processes of one role together."""
        roles: dict[str, list[str]] = {}
        for name in names:
            roles.setdefault(self._runners[name].process.role, []).append(name)
        for members in reversed(roles.values()):
            await asyncio.gather(*(self._runners[name].stop() for name in members))
            for name in members:
                del self._runners[name]

    async def _stop_all(self) -> None:
        self._phase = "stopping"
        self._write_state()
        await self._stop(list(self._runners))
        self._phase = "failed" if self._failure else "stopped"
        self._write_state()

    def _write_state(self) -> None:
        self._run.write_json(
            "state.json",
            {
                "phase": self._phase,
                "failure": self._failure,
                "pid": os.getpid(),
                "fingerprints": self._plan.fingerprints,
                "processes": {name: each.describe() for name, each in self._runners.items()},
            },
        )


def main() -> None:
    """Supervise the line of the given folder; a second supervisor of it does not start."""
    run = run_dir.RunDir(pathlib.Path(sys.argv[1]).resolve())
    with run.lock("supervisor.lock", wait=False) as held:
        if not held:
            sys.exit("Another supervisor runs this line.")
        run.write_pid("supervisor", os.getpid())
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
        logger.info("The supervisor %d starts.", os.getpid())
        try:
            code = asyncio.run(Supervisor(run).run())
        finally:
            with contextlib.suppress(OSError):
                run.pid_file("supervisor").unlink(missing_ok=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
