"""The command on a real line, as a person calls it: in a process of its own, in a folder of its own."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.support import csvs
from tests.support.line import ROOT, Line


class Shell:
    """Runs the command with what the line's environment says."""

    def __init__(self, line: Line, folder: pathlib.Path) -> None:
        wanted = ("GATEWAY_URL", "API_KEY")
        foreign = ("INGEST_", "EMBEDDER_", "INDEXER_", "VECTORLINE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environment = kept | {name: line.endpoints[name] for name in wanted}
        self.environment |= {"XDG_CONFIG_HOME": str(folder / "config"), "PYTHONPATH": str(ROOT)}
        self.folder = folder

    def run(self, *arguments: str, code: int = 0, text: str | None = None, **changes: str) -> str:
        """What it prints; its exit code is to be `code`."""
        run = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env=self.environment | changes,
            cwd=self.folder,
        )
        assert run.returncode == code, f"{arguments}: {run.returncode}\n{run.stdout}\n{run.stderr}"
        return run.stdout + run.stderr

    def lines(self, *arguments: str, code: int = 0) -> list[dict[str, object]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.run(*arguments, code=code).splitlines()]


@pytest.fixture
def shell(line: Line, tmp_path: pathlib.Path) -> Shell:
    return Shell(line, tmp_path)


def test_a_day_with_the_command(shell: Shell, tmp_path: pathlib.Path) -> None:
    rows: list[tuple[str, ...]] = csvs.rows(300)
    rows[7] = ("", "no id", "1", "true", "1")
    (tmp_path / "items.csv").write_bytes(csvs.of(rows))
    load = ("--question-id", "801", "--namespace", "by-command")

    assert "299 usable" in shell.run("estimate", "items.csv", *load)
    loaded = shell.run("process", "items.csv", *load, "--watch", code=1)
    assert "partially_completed" in loaded
    (task,) = shell.lines(
        "tasks", "--failed", "--question-id", "801", "--namespace", "by-command", "--fields", "task_id,status"
    )
    task_id = str(task["task_id"])
    assert "missing_id" in shell.run("status", task_id, code=1)
    shell.run("rejects", task_id, "-o", "rejects.csv")
    assert (tmp_path / "rejects.csv").read_text().count("\n") == 2

    outlook = shell.run("retry", "--question-id", "801", "--since", "1h", "--yes", code=1)
    assert "1 tasks match; 0 would be retried" in outlook
    assert "NOTHING_TO_RETRY" in outlook
    assert "are retried" in shell.run("retry", "--question-id", "801", "--since", "1h", "--all", "--yes")

    found = shell.lines(
        "search", csvs.text_of(4), "--namespace", "by-command", "--top-k", "1", "--fields", "id,metadata.zip"
    )
    assert found == [{"id": "801.i4", "metadata.zip": "00004"}]


def test_every_view_of_a_real_line_is_shown(shell: Shell) -> None:
    assert "chunks wait" in shell.run("queue")
    assert "slots free" in shell.run("workers")
    assert "Model text-embedding-3-small" in shell.run("limits")
    assert "open tasks." in shell.run("pace")
    assert "hours" in shell.run("statistics")
    assert "hours" in shell.run("overview", "--hours", "2")
    assert "vectorline_" in shell.run("metrics")
    assert "healthy" in shell.run("health", "--detailed")
    assert "looked at" in shell.run("cleanup")
    assert shell.lines("call", "GetTaskOverview", "hours=2", "limit=1", "--fields", "hours") == [{"hours": 2}]


def test_a_named_line_is_called_by_its_name(shell: Shell, line: Line) -> None:
    shell.run("profile", "add", "here", line.endpoints["GATEWAY_URL"], "--no-keyring", text=line.endpoints["API_KEY"])
    away = {"GATEWAY_URL": "http://127.0.0.1:1", "API_KEY": "wrong"}
    assert "healthy" in shell.run("--profile", "here", "health", **away)
    assert "cannot be reached" in shell.run("health", code=3, **away)
    assert line.endpoints["GATEWAY_URL"] in shell.run("open", "--print", "--profile", "here", **away)


def test_a_mistake_is_told_with_its_remedy(shell: Shell) -> None:
    told = shell.run("process", "-", "--chunk-size", "5", text="id,formatted_text\n1,a\n", code=2)
    assert "chunk_size" in told
    assert "question_id" in told
    assert "Give the key" in shell.run("tasks", "--api-key", "wrong", code=2)
