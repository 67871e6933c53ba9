"""``vectorline adopt``: take an index over that others filled."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import arguments, jobs, session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "adopt --namespace v2 --question-id 232 --dry-run", "adopt --namespace v2 --question-id 232 --yes --watch"
    )
    app.command("adopt", epilog=epilog)(adopt)


def adopt(
    context: typer.Context,
    *,
    question_id: Annotated[int, typer.Option(metavar="N", help='The question: its vectors\' ids begin with "N.".')],
    namespace: Annotated[
        str, typer.Option(help="Where. Default: the line's own.", autocompletion=arguments.namespaces)
    ] = "",
    sample: Annotated[
        int | None,
        typer.Option(metavar="N", help="Vectors that are bought again and must agree, at most 10000. Default: 100."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it costs, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
) -> None:
    """Take over what the predecessor or anybody else filled, so that the next load of the same file skips it.

    Its price comes first, and you are asked. Nothing may have written there for an hour.
    """
    here = session.of(context)
    with here.line() as line:
        price = line.adopt_price(question_id, namespace=namespace or None, sample=sample)
        if not jobs.agreed(here, price, dry_run=dry_run, yes=yes):
            return
        handle = line.adopt(question_id, namespace=namespace or None, sample=sample)
    watch.begun(here, handle, follow=follow)
