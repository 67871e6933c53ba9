"""``vectorline migrate``: what the predecessor left behind, looked at before it is taken over."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
from typing import Annotated, Any, Final

import typer
from rich import table

from cli import failures, screen, session
from cli.commands import config
from cli.predecessor import envfile, names, tasks

# What the predecessor had no word for, and production needs.
NEEDED: Final = {
    "INTERNAL_TOKEN": "the services prove their identity with it to each other; any long random text",
    "OPENAI_API_KEY": "embeddings are bought with it",
    "PINECONE_API_KEY": "vectors are written with it",
    "API_KEY": "callers send it; API_KEYS has several in its place",
}
STYLES: Final = {names.Verdict.REFUSED: "red", names.Verdict.UNKNOWN: "yellow", names.Verdict.RENAMED: "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command and what belongs to it."""
    migrate = typer.Typer(no_args_is_help=True, help="Take over from the predecessor: its variables, its tasks.")
    migrate.command("check")(check)
    migrate.command("tasks")(list_tasks)
    app.add_typer(migrate, name="migrate")


def check(
    context: typer.Context,
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="The predecessor's environment file.")],
) -> None:
    """Say of each variable of an environment file what becomes of it. Exits 1 if the line would not start with it.

    The file is only read, and no secret of it is shown.
    """
    here = session.of(context)
    try:
        entries = envfile.parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, envfile.Unreadable) as error:
        raise failures.CommandError(f"{file} cannot be read: {error}", exit_code=failures.ExitCode.USAGE) from error
    problems = _problems(entries)
    ours = _ours()
    rows = []
    for entry in entries:
        found = names.rule(entry.name, ours)
        problem = problems.get(entry.name, "")
        rows.append((entry, found, f"WRONG: {problem}" if problem else found.word, bool(problem)))
    missing = _missing(entries)
    if here.screen.json:
        for entry, found, word, wrong in rows:
            told = {"line": entry.line_number, "name": entry.name, "verdict": str(found.verdict), "word": word}
            typer.echo(json.dumps({**told, "wrong": wrong}, ensure_ascii=False))
        for name, word in missing.items():
            typer.echo(json.dumps({"line": 0, "name": name, "verdict": "missing", "word": word, "wrong": False}))
    else:
        here.screen.show(_table(rows, missing))
    stopped = missing or any(wrong or found.verdict is names.Verdict.REFUSED for _, found, _, wrong in rows)
    raise typer.Exit(failures.ExitCode.FAILED if stopped else failures.ExitCode.OK)


def list_tasks(
    context: typer.Context,
    name: Annotated[str, typer.Option("--table", metavar="NAME", help="The predecessor's table in DynamoDB.")],
    *,
    unfinished: Annotated[bool, typer.Option("--open", help="Only those that it never finished.")] = False,
) -> None:
    """List the predecessor's tasks. Its table is only read; AWS_REGION and credentials come from the environment."""
    here = session.of(context)
    found = [each for each in _read(name) if each.open or not unfinished]
    if here.screen.json:
        for each in found:
            typer.echo(json.dumps(dataclasses.asdict(each), ensure_ascii=False))
        return
    laid = table.Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("task", "status", "kind", "created", "rows"):
        laid.add_column(heading, overflow="fold")
    for each in found:
        rows = " of ".join("?" if count is None else str(count) for count in (each.processed, each.total))
        laid.add_row(*map(screen.printable, (each.task_id, each.status, each.kind, each.created, rows)))
    here.screen.show(laid)
    here.screen.say(f"{len(found)} tasks. Load the sources of open ones again: ids are the same, so nothing doubles.")


def _read(name: str) -> list[tasks.OldTask]:
    # By name and only here: no other command of this file needs them.
    boto3, errors = importlib.import_module("boto3"), importlib.import_module("botocore.exceptions")
    try:
        return list(tasks.read(boto3.client("dynamodb", region_name=os.environ.get("AWS_REGION") or None), name))
    except (errors.ClientError, errors.BotoCoreError) as error:
        raise failures.CommandError(
            f"The table {name} cannot be read: {error}. Look at its name, AWS_REGION and the credentials; it needs "
            f"dynamodb:Scan and no more.",
            exit_code=failures.ExitCode.UNREACHABLE,
        ) from error


def _ours() -> frozenset[str]:
    """Every variable that the line reads, Envoy's too."""
    services = {name.upper() for _, section in config.sections() for name in section.model_fields}
    return frozenset(services | set(importlib.import_module("gateway.render").DEFAULTS))


def _problems(entries: list[envfile.Entry]) -> dict[str, str]:
    """The values that would stop a service, by variable."""
    before = dict(os.environ)
    configuration = importlib.import_module("services.runtime.configuration")
    try:
        os.environ.clear()
        os.environ.update({entry.name: entry.value for entry in entries})
        found: list[Any] = configuration.effective(config.sections())
    finally:
        os.environ.clear()
        os.environ.update(before)
    given = {entry.name for entry in entries}
    return {setting.name: setting.problem for setting in found if setting.problem and setting.name in given}


def _missing(entries: list[envfile.Entry]) -> dict[str, str]:
    given = {entry.name for entry in entries if entry.value}
    if "API_KEYS" in given:
        given.add("API_KEY")
    if {"TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"} <= given:
        given.add("INTERNAL_TOKEN")
    return {name: word for name, word in NEEDED.items() if name not in given}


def _table(rows: list[tuple[envfile.Entry, names.Rule, str, bool]], missing: dict[str, str]) -> table.Table:
    laid = table.Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("line", "variable", "", "what to mind"):
        laid.add_column(heading, overflow="fold")
    for entry, found, word, wrong in rows:
        cells = (str(entry.line_number), entry.name, str(found.verdict), word)
        style = "red" if wrong else STYLES.get(found.verdict, "")
        laid.add_row(*map(screen.printable, cells), style=style)
    for name, word in missing.items():
        laid.add_row("", name, "missing", screen.printable(word), style="red")
    return laid
