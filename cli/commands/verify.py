"""``vectorline verify``: is in the index what was written there?"""

from __future__ import annotations

from typing import Annotated

import typer

from cli import arguments, jobs, session
from cli.commands import watch


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        "verify --question-id 232 --dry-run",
        "verify --question-id 232 --namespace v2 --sample 100 --yes --watch",
        "verify --question-id 232 --fetch 1000000 --repair --yes",
    )
    app.command("verify", epilog=epilog)(verify)


def verify(
    context: typer.Context,
    *,
    question_id: Annotated[int, typer.Option(metavar="N", help="The question.")],
    namespace: Annotated[
        str, typer.Option(help="Where. Default: the line's own.", autocompletion=arguments.namespaces)
    ] = "",
    sample: Annotated[
        int, typer.Option(metavar="N", help="Vectors that are bought again and compared, at most 10000.")
    ] = 0,
    fetch: Annotated[
        int | None, typer.Option(metavar="N", help="Records whose metadata and text are compared. Default: 1000.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Buy what is missing or differs again, by a load afterwards.")
    ] = False,
    repair_task_id: Annotated[
        str,
        typer.Option(
            metavar="TASK", help="The load whose source repairs. Default: the last.", autocompletion=arguments.tasks
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it costs, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Follow the task until it is over.")] = False,
) -> None:
    """Hold what is known of a question against what the index says: ids, metadata, and a sample of vectors.

    Its price comes first, and you are asked. What is missing, strange or differs is in the task's rejects.
    """
    here = session.of(context)
    asked = {"namespace": namespace or None, "sample": sample, "fetch": fetch}
    with here.line() as line:
        price = line.verify_price(question_id, **asked)  # type: ignore[arg-type]  # each by its own name
        if not jobs.agreed(here, price, dry_run=dry_run, yes=yes):
            return
        handle = line.verify(
            question_id,
            **asked,  # type: ignore[arg-type]  # likewise
            repair=repair,
            repair_task_id=repair_task_id or None,
        )
    watch.begun(here, handle, follow=follow)
