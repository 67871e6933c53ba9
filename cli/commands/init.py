"""``vectorline init``: create what the line needs and does not have."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    *,
    migrate: Annotated[
        bool,
        typer.Option("--migrate", help="Also bring a table of an earlier version up to this one; the line may run."),
    ] = False,
) -> None:
    """Create the table, the bucket and the index where they are absent. Alters nothing that exists, but with --migrate.

    Speaks to AWS and Pinecone directly, with the services' own settings from the environment.
    """
    raise typer.Exit(session.service("services.indexer.provision", "init").main(migrate=migrate))
