"""``vectorline open``: the console in a browser, at a task."""

from __future__ import annotations

import urllib.parse
import webbrowser
from typing import Annotated

import typer

from cli import arguments, failures, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("open", epilog=session.examples("open", "open TASK", "open --print"))(open_console)


def open_console(
    context: typer.Context,
    task_id: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="A task.", autocompletion=arguments.tasks)
    ] = None,
    *,
    print_it: Annotated[bool, typer.Option("--print", help="Print the address only.")] = False,
) -> None:
    """Open the console in a browser, at a task if one is named. The key is not in the address."""
    here = session.of(context)
    if not here.endpoints.gateway:
        raise failures.CommandError(
            "No gateway is known, which serves the console.",
            exit_code=failures.ExitCode.USAGE,
            hint="Set GATEWAY_URL or --gateway, or use a profile that has one.",
        )
    gateway = here.endpoints.gateway.rstrip("/")
    address = gateway if "://" in gateway else f"http://{gateway}"
    address += f"/#/task/{urllib.parse.quote(task_id, safe='')}" if task_id else "/"
    if print_it or not webbrowser.open(address):
        typer.echo(address)
