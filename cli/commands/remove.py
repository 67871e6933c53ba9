"""``vectorline remove``: take a load back."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import arguments, failures, jobs, session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "remove --namespace v2 --question-id 232 --dry-run",
        "remove --namespace v2 --question-id 232 --yes --watch",
        "remove --task TASK --yes",
    )
    app.command("remove", epilog=epilog)(remove)


def remove(
    context: typer.Context,
    *,
    question_id: Annotated[int | None, typer.Option(metavar="N", help="The question, all of it.")] = None,
    namespace: Annotated[
        str, typer.Option(help="Where. Default: the line's own.", autocompletion=arguments.namespaces)
    ] = "",
    task: Annotated[
        str,
        typer.Option(
            metavar="TASK",
            help="In place of both: what this load wrote, if nobody else's rows are there.",
            autocompletion=arguments.tasks,
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many and what it costs, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
) -> None:
    """Delete the vectors of a question from a namespace, or those of one load.

    How many, and what it costs, comes first, and you are asked. The next load of the file buys all of it again.
    """
    here = session.of(context)
    if (question_id is None) == (not task) or (task and namespace):
        raise failures.CommandError(
            "Name a question or a load.",
            exit_code=failures.ExitCode.USAGE,
            hint="--question-id N, with --namespace; or --task TASK alone.",
        )
    with here.line() as line:
        price = line.remove_price(question_id, namespace=namespace or None, task_id=task or None)
        if not jobs.agreed(here, price, dry_run=dry_run, yes=yes, removes=True):
            return
        handle = line.remove(question_id, namespace=namespace or None, task_id=task or None)
    watch.begun(here, handle, follow=follow)
