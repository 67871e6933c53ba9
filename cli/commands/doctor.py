"""``vectorline doctor``: look at everything that the line depends on, from here."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CHECK",
            help="valkey, dynamodb, s3, pinecone, openai, peers, clocks, certificates or keys; may be repeated.",
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="SERVICE", help="Only what ingest, embedder or indexer needs, as in its container."
        ),
    ] = None,
) -> None:
    """Look at every dependency with the services' own settings: ok, warning or broken, with the remedy.

    Buys one token, writes one vector and removes it. Exits 1 if anything is broken. Never prints a secret.
    """
    examined = session.service("services.doctor.__main__", "doctor")
    asked = [argument for name in only or () for argument in ("--only", name)]
    asked += ["--for", service] if service else []
    asked += ["--json"] if session.of(context).screen.json else []
    raise typer.Exit(examined.main(asked))
