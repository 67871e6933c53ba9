"""``vectorline call``: any method of the API by its name."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

import vectorline_client
from cli import failures, session
from vectorline_client import messages, wire


def methods(incomplete: str) -> list[str]:
    """The methods that take one request and whose names begin so."""
    return sorted(name for name in wire.METHODS if name.startswith(incomplete) and name != "Upload")


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "call GetTaskOverview hours=2 limit=5", "call ListTasks status_filter=failed page_size=3 --fields tasks"
    )
    app.command("call", epilog=epilog)(call)


def call(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="As openapi.json names it, e.g. GetTask.", autocompletion=methods)],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="Of its request; a value is JSON, or text.")
    ] = None,
) -> None:
    """Call any method of the API that takes one request, and print what it answers as JSON lines."""
    here = session.of(context)
    given = dict(_field(each) for each in fields or ())
    known = wire.METHODS.get(method)
    if known is None or method == "Upload":
        raise typer.BadParameter(f"There is no method {method!r}: {', '.join(methods(''))}.", param_hint="METHOD")
    kind = getattr(messages, known.answer.DESCRIPTOR.name, None)
    if known.answer.DESCRIPTOR.name == "HttpBody":
        raise typer.BadParameter(f"{method} answers a file: vectorline rejects.", param_hint="METHOD")
    try:
        with here.line() as line:
            _emit(here, line, known, kind, given)
    except TypeError as error:
        raise failures.CommandError(str(error), exit_code=failures.ExitCode.USAGE) from error


def _emit(
    here: session.Session,
    line: vectorline_client.Client,
    method: wire.Method,
    kind: Any,
    given: dict[str, Any],
) -> None:
    screen = here.screen.as_lines()
    if method.streams:
        for each in line.stream(method.name, kind, **given):
            screen.emit(each)
    elif kind is None:  # Empty
        line.call(method.name, None, **given)
    else:
        screen.emit(line.call(method.name, kind, **given))


def _field(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is no FIELD=VALUE.", param_hint="FIELD=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
