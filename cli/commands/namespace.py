"""``vectorline namespace``: what the line remembers of Pinecone's namespaces."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import arguments, session

namespaces = typer.Typer(no_args_is_help=True, help="What the line remembers of Pinecone's namespaces.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    namespaces.command("release", epilog=session.examples("namespace release v2"))(release)
    app.add_typer(namespaces, name="namespace", epilog=session.examples("namespace release v2"))


def release(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="NAMESPACE", help="An empty namespace.", autocompletion=arguments.namespaces),
    ],
) -> None:
    """Let the next task decide which model's vectors an empty namespace holds. Needs a key with the scope admin.

    Takes about a quarter of a minute: as long as an upsert may still be on its way.
    """
    here = session.of(context)
    with here.line() as line:
        released = line.release_namespace(name)
    here.screen.emit(released)
    here.screen.say(
        f"Namespace {released.namespace} is free; it was held for {released.model} ({released.dimension} values)."
    )
