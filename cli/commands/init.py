"""``vectorline init``: create what the line needs and does not have."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from cli import failures


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
    # Imported by name and only here: no other command needs the services' code, nor boto3 and the Pinecone SDK.
    try:
        provision = importlib.import_module("services.indexer.provision")
    except ModuleNotFoundError as missing:
        raise failures.CommandError(
            f"{missing.name} is not installed: `init` needs the services beside the command.",
            exit_code=failures.ExitCode.USAGE,
        ) from missing
    raise typer.Exit(provision.main(migrate=migrate))
