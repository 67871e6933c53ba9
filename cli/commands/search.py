"""``vectorline search``: the rows nearest in meaning to a text."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf import json_format, struct_pb2
from vectorline.v1 import embedder_pb2

from cli import render, session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search", epilog=session.EPILOG)(search)


def search(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="What to look for, in words.")],
    namespace: Annotated[str, typer.Option(help="Default: the line's.")] = "",
    top_k: Annotated[int | None, typer.Option(min=1, max=1000, help="How many matches. Default: 10.")] = None,
    metadata_filter: Annotated[
        str, typer.Option("--filter", metavar="JSON", help="""For example '{"price": {"$lt": 10}}'.""")
    ] = "",
) -> None:
    """Search by meaning."""
    here = session.of(context)
    request = embedder_pb2.SearchRequest(text=text, namespace=namespace, top_k=top_k)
    if metadata_filter:
        request.filter.CopyFrom(_filter(metadata_filter))
    with here.line() as line:
        answer = line.search(request)
    for match in answer.matches:
        here.screen.emit(match)
    if answer.matches:
        here.screen.show(render.matches(answer.matches))
    else:
        here.screen.say("Nothing found.")


def _filter(document: str) -> struct_pb2.Struct:
    try:
        return json_format.Parse(document, struct_pb2.Struct())
    except json_format.ParseError as error:
        raise typer.BadParameter(
            """a JSON object is needed, e.g. '{"price": {"$lt": 10}}'""", param_hint="--filter"
        ) from error
