"""A catalogue through the whole line: upload, watch, rejects, search. Every number is checked, not only shown."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from typing import Any, Final

from rich import console, text

from sandbox.demo import gateway, problems, sample, stage

NAMESPACE: Final = "demo"
QUESTION_ID: Final = 232
MATCHES: Final = 3  # a search


@dataclasses.dataclass(frozen=True)
class Question:
    """A search, and the shelf on which its best answer must stand."""

    text: str
    category: str
    below_price: float | None = None

    def document(self) -> dict[str, Any]:
        """The body of POST /api/v1/search."""
        body: dict[str, Any] = {"text": self.text, "namespace": NAMESPACE, "top_k": MATCHES}
        if self.below_price is not None:
            body["filter"] = {"price": {"$lt": self.below_price}}
        return body


QUESTIONS: Final = (
    Question("my back hurts after a day at the desk", "office"),
    Question("a present for a child who loves trains", "toys"),
    Question("keep warm while camping in the snow", "travel", below_price=100),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0 if everything came out as it must, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--rows", type=int, default=sample.DEFAULT_ROWS, help="default: %(default)s")
    options = parser.parse_args(arguments)
    out = stage.open_console()
    try:
        found = gateway.endpoints()
        with gateway.Gateway(found["GATEWAY_URL"], found["API_KEY"]) as line:
            run(out, line, options.rows)
    except problems.ProblemError as problem:
        out.print()
        out.print(text.Text(f"✗ {problem.message}", "bold red"))
        hint = problem.hint or f"The logs of every process are in {gateway.run_folder() / 'logs'}."
        out.print(text.Text(f"  {hint}", "dim"))
        return 1
    except KeyboardInterrupt:
        out.print(text.Text("Stopped.", "yellow"))
        return 130
    return 0


def run(out: console.Console, line: gateway.Gateway, rows: int) -> None:
    """The four acts.

    Raises:
        problems.ProblemError: Something did not come out as it must.
    """
    started = time.monotonic()
    out.print(text.Text.assemble(("Vectorline", "bold"), f" at {line.url} is {line.health()['status']}."))

    stage.step(out, 1, f"Load {rows:,} products through REST")
    task = load(out, line, rows)

    stage.step(out, 2, "Every row is accounted for")
    want = sample.expected(rows)
    stage.outcome(out, task, want)
    check_counts(task, want)

    stage.step(out, 3, "The rows that were made odd on purpose, each by name")
    rejects = line.rejects(task["task_id"])
    stage.rejects(out, rejects)
    if len(rejects) != want.skipped + want.failed:
        raise problems.ProblemError(
            f"{len(rejects)} rows are named, but {want.skipped + want.failed} were skipped or failed."
        )

    stage.step(out, 4, "Search by meaning")
    for question in QUESTIONS:
        matches = line.search(question.document(), at_least=MATCHES)
        stage.matches(out, question.document(), matches)
        check_matches(question, matches)

    out.print()
    seconds = time.monotonic() - started
    out.print(text.Text(f"✓ All as it should be, in {seconds:.1f} s. Where to look next:", "bold green"))
    stage.whereto(out, _places(line, task["task_id"]))


def load(out: console.Console, line: gateway.Gateway, rows: int) -> gateway.Document:
    """Upload the catalogue and follow its task to the end."""
    body = stage.counted(out, sample.blocks(rows))
    task_id = line.upload(
        "sample.csv", body, {"question_id": str(QUESTION_ID), "namespace": NAMESPACE, "mode": "force"}
    )
    out.print(f"Task {task_id}")
    task: gateway.Document = {}
    with stage.task_bar(out, rows) as show:
        for task in line.follow(task_id):
            show(task)
    return task


def check_counts(task: gateway.Document, want: sample.Expected) -> None:
    """Raise unless the task came to exactly what the sample holds."""
    status = "partially_completed" if want.failed else "completed"
    if task["status"] != status:
        why = f" ({task['error']})" if task.get("error") else ""
        raise problems.ProblemError(f"The task is {task['status']}{why}; it must be {status}.")
    counts = task["progress"]
    got = sample.Expected(
        rows_read=counts["total_records"],
        indexed=counts["processed_records"],
        skipped=counts["skipped_records"],
        failed=counts["failed_records"],
    )
    if got != want:
        raise problems.ProblemError(f"The counts are {got}; they must be {want}.")


def check_matches(question: Question, matches: list[gateway.Document]) -> None:
    """Raise unless the question is answered from the right shelf and within the price."""
    if len(matches) < MATCHES:
        raise problems.ProblemError(f"“{question.text}” found {len(matches)} rows; {MATCHES} were asked for.")
    best = matches[0].get("metadata", {})
    if best.get("category") != question.category:
        raise problems.ProblemError(
            f"“{question.text}” found {best.get('title')!r} ({best.get('category')}) first, not a row of"
            f" {question.category}."
        )
    prices = [match["metadata"]["price"] for match in matches]
    if question.below_price is not None and not all(price < question.below_price for price in prices):
        raise problems.ProblemError(f"“{question.text}” below {question.below_price:g} € found the prices {prices}.")


def _places(line: gateway.Gateway, task_id: str) -> list[tuple[str, str]]:
    run_folder: pathlib.Path = gateway.run_folder()
    return [
        ("keep it running", "make up        (what is loaded stays; make down stops it, make clean forgets it)"),
        ("this task", f"{line.url}/#/task/{task_id}  (the console; make up prints its key)"),
        ("its rejects", f"{line.url}/api/v1/status/{task_id}/rejects"),
        ("addresses, key", str(run_folder / "endpoints.env")),
        ("logs", str(run_folder / "logs")),
        ("then search", f".venv/bin/vectorline search 'a gift for a musician' --namespace {NAMESPACE}"),
        ("load your own", ".venv/bin/vectorline process FILE.csv --question-id 1 --namespace mine --watch"),
        ("again", "make demo"),
    ]
