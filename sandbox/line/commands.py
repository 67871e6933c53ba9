"""What people type: up, down, status, clean."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich import console

from sandbox.line import orphans, plan, ports, run_dir, runner, servers, specs

START_SECONDS = 240.0  # for the whole line; each process has a limit of its own as well
STOP_SECONDS = 180.0
PAUSE_SECONDS = 0.05

out = console.Console(highlight=False, soft_wrap=True)


class CommandError(RuntimeError):
    """The command failed; the message is for people."""


def up(run: run_dir.RunDir, environment: Mapping[str, str] = os.environ) -> None:
    """Start the line, or change the running one to what is asked for now.

    Raises:
        CommandError: It cannot; then nothing runs.
    """
    run.create()
    with run.lock("command.lock", wait=True):
        running = run.supervised()
        if not running:
            orphans.end(run)  # what a crash left behind holds the ports
            run.remove_pids()
        try:
            line = plan.make(environment, run, running=running)
        except (plan.WrongSettingError, ports.PortTakenError, servers.MissingServerError) as error:
            raise CommandError(str(error)) from error
        for note in line.notes:
            out.print(note)
        before = run.read_json("state.json")
        if running and before.get("phase") == "running" and before.get("fingerprints") == line.plan.fingerprints:
            out.print("The line is already up.")
        else:
            changes = _changes(before.get("fingerprints", {}), line.plan) if running else ""
            out.print(f"Changing {changes} ..." if changes else "Starting the line ...")
            _write(run, line)
            try:
                _begin(run, running=running)
                _wait_until_running(run, line.plan)
            except BaseException:
                _end(run)
                raise
        _tell(run, line)


def down(run: run_dir.RunDir) -> None:
    """Stop the line; what it has stored stays."""
    if not run.path.is_dir():
        out.print("Nothing runs.")
        return
    with run.lock("command.lock", wait=True):
        out.print("The line is down. What it has stored is kept." if _end(run) else "Nothing runs.")


def status(run: run_dir.RunDir) -> bool:
    """Print what runs; return whether all of it does."""
    state = run.read_json("state.json") if run.supervised() else {}
    if not state:
        left = orphans.find(run)
        out.print(
            f"No supervisor, but {len(left)} of its processes: `make down` ends them." if left else "Nothing runs."
        )
        return False
    rows = [("process", "state", "pid", "for", "restarts")]
    for name, each in state["processes"].items():
        age = _age(time.time() - each["started_at"]) if each["pid"] else ""
        rows.append((name, each["state"], str(each["pid"] or ""), age, str(each["restarts"])))
    for row in rows:
        out.print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, (12, 9, 8, 12, 8), strict=True)).rstrip())
    out.print(f"The line is {state['phase']}. {state['failure']}".rstrip())
    return bool(state["phase"] == "running" and all(each["state"] != "waiting" for each in state["processes"].values()))


def clean(run: run_dir.RunDir) -> None:
    """Stop the line and forget everything it has stored."""
    if not run.path.is_dir():
        out.print("There is nothing to remove.")
        return
    with run.lock("command.lock", wait=True):
        _end(run)
        run.remove_state()
    out.print(f"Removed what was in {run.path}.")


# --- parts


def _write(run: run_dir.RunDir, line: plan.Line) -> None:
    run.write("envoy.yaml", line.gateway_config)
    run.write("plan.json", line.plan.dump())
    run.write("endpoints.env", line.endpoints)


def _begin(run: run_dir.RunDir, *, running: bool) -> None:
    if running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(_supervisor_pid(run), signal.SIGHUP)
        return
    run.write_json("state.json", {})
    with run.log("supervisor").open("ab") as log:
        # The shell ends at once, so that the supervisor is nobody's child and never a zombie of ours.
        subprocess.run(
            ["/bin/sh", "-c", '"$0" "$@" &', sys.executable, "-m", "sandbox.line.supervisor", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=plan.ROOT,
            start_new_session=True,
            check=True,
        )


def _supervisor_pid(run: run_dir.RunDir) -> int:
    deadline = time.monotonic() + 10
    while True:  # it takes its lock a moment before it writes its pid
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(run.pid_file("supervisor").read_text(encoding="utf-8"))
        if time.monotonic() > deadline:
            raise CommandError("The supervisor runs, but its pid file is gone. Run `make down` first.")
        time.sleep(PAUSE_SECONDS)


def _wait_until_running(run: run_dir.RunDir, wanted: specs.Plan) -> None:
    deadline = time.monotonic() + START_SECONDS
    seen_alive = False
    while time.monotonic() < deadline:
        state = run.read_json("state.json")
        if state.get("phase") == "running" and state.get("fingerprints") == wanted.fingerprints:
            return
        if state.get("phase") == "failed":
            raise CommandError(state["failure"])
        alive = run.supervised()
        if seen_alive and not alive:
            state = run.read_json("state.json")  # it may have written a last word
            said = "\n  ".join(runner.tail(run.log("supervisor")))
            raise CommandError(state.get("failure") or f"The supervisor ended. Its log ends with:\n  {said}")
        seen_alive = seen_alive or alive
        time.sleep(PAUSE_SECONDS)
    raise CommandError(f"The line is not up after {START_SECONDS:.0f} s. {run.logs} tells more.")


def _end(run: run_dir.RunDir) -> bool:
    """End the supervisor and everything else of this line; return whether there was anything."""
    supervised = run.supervised()
    if supervised:
        pid = _supervisor_pid(run)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while run.supervised():
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(PAUSE_SECONDS)
    left = orphans.end(run)
    run.remove_pids()
    (run.path / "endpoints.env").unlink(missing_ok=True)
    return supervised or bool(left)


def _changes(before: Mapping[str, str], wanted: specs.Plan) -> str:
    after = wanted.fingerprints
    return ", ".join(name for name in (*before, *(after.keys() - before)) if before.get(name) != after.get(name))


def _tell(run: run_dir.RunDir, line: plan.Line) -> None:
    shown: dict[str, Any] = {
        "console": f"{line.addresses['GATEWAY_URL']}/ (it asks for the API key)",
        "REST and gRPC": line.addresses["GATEWAY_URL"],
        "API key": line.plan.environment["API_KEY"],
        "addresses": run.path / "endpoints.env",
        "logs": run.logs,
    }
    for name, value in shown.items():
        out.print(f"  {name:<14} {value}", markup=False)
    out.print("\nTry it:")
    file = run.path / "endpoints.env"
    out.print(f"  source {min(os.path.relpath(file), str(file), key=len)}", markup=False)
    out.print('  curl -H "X-API-Key: $API_KEY" $GATEWAY_URL/api/v1/health')
    out.print("  make status · make down · make clean", markup=False)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
