"""The life of one process, with shell commands in its place."""

import asyncio
import contextlib
import os
import pathlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sandbox.line import orphans, run_dir, runner, specs

Start = Callable[[specs.Process], Awaitable[runner.Runner]]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> run_dir.RunDir:
    folder = run_dir.RunDir(tmp_path / "run")
    folder.create()
    return folder


@pytest.fixture
async def start(run: run_dir.RunDir) -> AsyncIterator[Start]:
    running: list[runner.Runner] = []

    async def begin(process: specs.Process) -> runner.Runner:
        one = runner.Runner(
            process=process,
            environment={**os.environ, orphans.MARK: str(run.path)},
            fingerprint="",
            folder="",
            run=run,
            changed=lambda: None,
        )
        running.append(one)
        await one.start()
        return one

    yield begin
    for each in running:
        await each.stop()
    assert orphans.find(run) == []


def shell(script: str, **more: object) -> specs.Process:
    return specs.Process(name="it", role="it", stage=1, command=("/bin/sh", "-c", script), **more)  # type: ignore[arg-type]


async def eventually(holds: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(OSError, ValueError):
                if holds():
                    return
            await asyncio.sleep(0.01)


def pauses(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Seconds before each new start, as the runner told them."""
    return [float(record.args[-1]) for record in caplog.records if isinstance(record.args, tuple) and record.args]  # type: ignore[arg-type]


async def test_a_killed_process_is_started_again_in_a_moment(
    start: Start, run: run_dir.RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start(shell("exec sleep 60"))
    pid = one.describe()["pid"]
    assert run.pid_file("it").read_text() == f"{pid}\n"

    os.kill(int(str(pid)), signal.SIGKILL)

    await eventually(lambda: int(run.pid_file("it").read_text()) != pid)
    assert pauses(caplog) == [0.1]
    assert one.describe()["restarts"] == 1
    assert one.exit_code == -signal.SIGKILL


async def test_pauses_grow_while_a_process_keeps_dying(
    start: Start, run: run_dir.RunDir, caplog: pytest.LogCaptureFixture
) -> None:
    starts = run.path / "starts"
    flag = run.path / "up"
    one = await start(shell(f"echo >> {starts}; test -e {flag} && exit 1; touch {flag}; exec sleep 60"))
    await eventually(flag.exists)
    killed = time.monotonic()
    os.kill(int(str(one.describe()["pid"])), signal.SIGKILL)

    await eventually(lambda: len(starts.read_text()) >= 5)

    assert time.monotonic() - killed >= 0.1 + 0.2 + 0.4 + 0.8
    assert pauses(caplog)[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])


async def test_a_process_that_never_comes_up_is_given_up_with_its_last_words(start: Start) -> None:
    with pytest.raises(runner.StartError, match=r"(?s)it ended 3 times.*exit code 7.*CHUNK_SIZE: too large"):
        await start(shell("echo CHUNK_SIZE: too large; exit 7", probe=specs.Probe("http", "http://127.0.0.1:9/")))


async def test_a_process_that_is_not_ready_in_time_is_named(start: Start) -> None:
    with pytest.raises(runner.StartError, match="it is not ready after 0 s"):
        await start(shell("exec sleep 60", probe=specs.Probe("http", "http://127.0.0.1:9/"), ready_seconds=0.3))


async def test_a_program_that_does_not_exist_is_named(start: Start) -> None:
    with pytest.raises(runner.StartError, match="no-such-program"):
        await start(
            specs.Process("it", "it", 1, ("no-such-program",), probe=specs.Probe("http", "http://127.0.0.1:9/"))
        )


async def test_what_runs_once_is_tried_again(
    start: Start, run: run_dir.RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ONCE_PAUSE_SECONDS", 0.01)
    count = run.path / "count"

    one = await start(shell(f"echo >> {count}; test $(wc -l < {count}) = 3", once=True))

    assert one.describe()["state"] == "done"
    assert one.starts == 3
    assert not run.pid_file("it").exists()


async def test_what_runs_once_and_fails_shows_its_output(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ONCE_PAUSE_SECONDS", 0.01)

    with pytest.raises(runner.StartError, match=r"(?s)it failed 5 times.*the table is not mine"):
        await start(shell("echo the table is not mine >&2; exit 1", once=True))


async def test_stopping_waits_for_what_a_process_finishes(start: Start, run: run_dir.RunDir) -> None:
    last = run.path / "last"
    ready = run.path / "ready"
    one = await start(
        shell(f"trap 'sleep 0.3; echo done > {last}; exit 0' TERM; touch {ready}; while :; do sleep 0.05; done")
    )
    await eventually(ready.exists)

    await one.stop()

    assert last.read_text() == "done\n"
    assert not run.pid_file("it").exists()


async def test_a_process_that_does_not_stop_is_killed(start: Start, run: run_dir.RunDir) -> None:
    ready = run.path / "ready"
    deaf = "import signal, pathlib, time; signal.signal(15, signal.SIG_IGN)"
    script = f"{deaf}; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    one = await start(specs.Process("it", "it", 1, (sys.executable, "-c", script), stop_seconds=0.3))
    await eventually(ready.exists)

    await one.stop()

    assert one.exit_code == -signal.SIGKILL


async def test_only_processes_of_this_line_are_orphans(
    start: Start, run: run_dir.RunDir, tmp_path: pathlib.Path
) -> None:
    one = await start(shell("exec sleep 60"))
    # The number of a living process that is not ours: a pid alone proves nothing.
    run.write_json("state.json", {"processes": {"x": {"pid": os.getppid(), "born": "1"}}})

    await eventually(lambda: orphans.find(run) == [one.describe()["pid"]])
    assert orphans.find(run_dir.RunDir(tmp_path / "another")) == []
