"""``vectorline search``: the rows nearest in meaning to a text."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from cli import arguments, render, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = session.examples(
        'search "something for a child to ride"',
        """search "a bike" --namespace v2 --top-k 3 --filter '{"price": {"$lt": 500}}'""",
        'search "a bike" --json --fields id,score,metadata.price',
    )
    app.command("search", epilog=epilog)(search)


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What to look for, in words.")],
    namespace: Annotated[str, typer.Option(help="Default: the line's.", autocompletion=arguments.namespaces)] = "",
    top_k: Annotated[int | None, typer.Option(min=1, max=1000, help="How many matches. Default: 10.")] = None,
    metadata_filter: Annotated[
        str, typer.Option("--filter", metavar="JSON", help="""For example '{"price": {"$lt": 10}}'.""")
    ] = "",
) -> None:
    """Search by meaning."""
    here = session.of(context)
    chosen = _filter(metadata_filter) if metadata_filter else None
    with here.line() as line:
        matches = line.search(text, namespace=namespace or None, top_k=top_k, filter=chosen)
    for match in matches:
        here.screen.emit(match)
    if matches:
        here.screen.show(render.matches(matches))
    else:
        here.screen.say("Nothing found.")


def _filter(document: str) -> dict[str, Any]:
    try:
        found = json.loads(document)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise typer.BadParameter("""a JSON object is needed, e.g. '{"price": {"$lt": 10}}'""", param_hint="--filter")
    return found
