"""`make observe`: a line with Prometheus and Alertmanager beside it, a load, and OpenAI broken for two minutes."""

import argparse
import contextlib
import itertools
import json
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import httpx

from benchmarks import line as lines
from observe import dashboards, rules, servers, watch

GOOD_SECONDS: Final = 60.0
BROKEN_SECONDS: Final = 120.0
# By then whatever fired has resolved: rates look ten minutes back at most, and those of OpenAI two.
RESOLVED_SECONDS: Final = 420.0
# What else fired, for what callers were refused meanwhile, looks five minutes back.
QUIET_SECONDS: Final = 240.0
ROWS: Final = 2_000
BROKEN: Final = [{"kind": "status", "body": "server_error"}]
# A quota that is used, not exceeded: a request of 2,048 texts every two seconds, and searches beside it.
SETTINGS: Final = {"OPENAI_RATE_LIMIT": "5", "EMBEDDERS": "2"}
ABOUT: Final = "OpenAIFailing"  # what has to fire, and to resolve
TERMINAL: Final = lines.TERMINAL


class Callers:
    """Uploads of their own questions one after the other, searches, and looks at tasks."""

    def __init__(self, line: lines.Line) -> None:
        self._line = line
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.tasks: list[str] = []
        self.refused = 0

    def _run(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "items.csv"
            for number in itertools.count(1):
                file.write_text(_csv(number))
                try:
                    self.tasks.append(self._line.upload(file, question_id=number, namespace="observed"))
                    self._line.task(self.tasks[-1])
                    search = {"text": "a sturdy thing", "namespace": "observed"}
                    self._line.rest.post("/api/v1/search", json=search).raise_for_status()
                except (httpx.HTTPError, lines.BenchmarkFailed):
                    self.refused += 1  # a search that OpenAI's outage refuses, mostly
                if self._ended.wait(1.5):
                    return

    def end(self) -> None:
        """Let the last call end."""
        self._ended.set()
        self._thread.join()

    @contextlib.contextmanager
    def calling(self) -> Iterator["Callers"]:
        """Call for as long as the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self.end()


def _csv(number: int) -> str:
    rows = (
        f"i{row},Item {row} of file {number} is a sturdy thing for room {row % 13},{row / 4}" for row in range(ROWS)
    )
    return "\n".join(("id,formatted_text,price", *rows, ""))


class Story:
    """Prints what happens with the time since the beginning."""

    def __init__(self) -> None:
        self.began = time.time()
        self._told = 0

    def say(self, words: str, at: float | None = None) -> None:
        """One line."""
        seconds = (time.time() if at is None else at) - self.began
        print(f"  {int(seconds // 60)}:{int(seconds % 60):02}  {words}", flush=True)

    def hear(self, seen: watch.Watch) -> None:
        """What the webhook heard since the last time."""
        for notice in seen.notices[self._told :]:
            end = f": {notice.annotations['summary']}" if notice.status == "firing" else ""
            self.say(f"{notice.name} {'FIRES' if notice.status == 'firing' else 'is resolved'}{end}", notice.at)
            self._told += 1

    def wait(self, seen: watch.Watch, seconds: float, over: Callable[[], bool] = lambda: False) -> bool:
        """Go on telling what is heard until it is over, or the time is; answers whether it was."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.hear(seen)
            if over():
                return True
            time.sleep(0.2)
        return False

    def wait_for(self, seen: watch.Watch, name: str, status: str, seconds: float) -> bool:
        """The same until an alert is heard of."""
        return self.wait(
            seen, seconds, lambda: any((each.name, each.status) == (name, status) for each in seen.notices)
        )

    def wait_quiet(self, seen: watch.Watch, seconds: float) -> None:
        """The same until nothing fires any more."""
        self.wait(seen, seconds, lambda: not _firing(seen.notices))
        self.hear(seen)
        for name in sorted(_firing(seen.notices)):
            self.say(f"{name} still fires")


def _firing(notices: Sequence[watch.Notice]) -> set[str]:
    latest = {(each.name, tuple(sorted(each.labels.items()))): each.status for each in notices}
    return {name for (name, _), status in latest.items() if status == "firing"}


def run(pictures: pathlib.Path | None) -> int:
    """The whole show; answers the exit code: 0 when the outage was heard of, its end too, and no row was lost."""
    with lines.running(**SETTINGS) as line, contextlib.ExitStack() as stack:
        ports = json.loads((line.folder / "ports.json").read_text())
        seen = stack.enter_context(watch.watching(line.folder / "observe", ports, rules.alerts()))
        print(f"A line at {line.rest.base_url}, Prometheus at {seen.url}. About eight minutes:")
        story = Story()
        callers = stack.enter_context(Callers(line).calling())
        story.say("callers upload, search and look at their tasks")
        story.wait(seen, GOOD_SECONDS)
        faults = f"{line.openai}/_sandbox/faults"
        httpx.put(faults, json=BROKEN).raise_for_status()
        story.say("OpenAI is broken: it answers every request with 500")
        story.wait(seen, BROKEN_SECONDS)
        httpx.delete(faults).raise_for_status()
        story.say("OpenAI is well again")
        fired = story.wait_for(seen, ABOUT, "firing", 0.5)
        resolved = story.wait_for(seen, ABOUT, "resolved", RESOLVED_SECONDS)
        story.wait_quiet(seen, QUIET_SECONDS)
        callers.end()
        if pictures is not None:
            _draw(seen, story.began, pictures)
        lost = _unfinished(line, callers)
        story.hear(seen)
        story.say(f"{len(callers.tasks)} tasks, {lost} not completed; {callers.refused} calls were refused meanwhile")
    return 0 if fired and resolved and not lost else 1


def _unfinished(line: lines.Line, callers: Callers) -> int:
    """How many tasks have not indexed every row once all are over."""
    found = []
    deadline = time.monotonic() + RESOLVED_SECONDS
    for task_id in callers.tasks:
        task = line.task(task_id)
        while task["status"] not in TERMINAL and time.monotonic() < deadline:
            time.sleep(0.2)
            task = line.task(task_id)
        found.append(task["status"] == "completed" and task["progress"]["processed_records"] == ROWS)
    return found.count(False)


def _draw(seen: watch.Watch, began: float, folder: pathlib.Path) -> None:
    from observe import pictures  # noqa: PLC0415 (a drawing library for those who draw)

    folder.mkdir(parents=True, exist_ok=True)
    for made in dashboards.ALL:
        pictures.draw(made, seen, began, time.time(), folder / f"{made.name}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Show it; `--pictures FOLDER` draws the dashboards of it."""
    parser = argparse.ArgumentParser(prog="python -m observe.show", description=main.__doc__)
    parser.add_argument("--pictures", type=pathlib.Path, help="draw the dashboards into this folder")
    chosen = parser.parse_args(arguments)
    try:
        return run(chosen.pictures)
    except servers.MissingServer as missing:
        sys.stderr.write(f"{missing}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
