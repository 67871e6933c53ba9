"""The options of a load, each defined once: every command that loads has them all."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import typer

from cli import fields

_INT32: Final = 2**31 - 1
_UINT32: Final = 2**32 - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """The options of a load as they stand on the command line, named as the fields of ``ProcessRequest``.

    What is None, empty or blank was not given, and the line's own default holds.
    """

    question_id: Annotated[
        int | None,
        typer.Option(metavar="N", min=-_INT32 - 1, max=_INT32, help="Part of every vector id; needed for a CSV."),
    ] = None
    namespace: Annotated[str, typer.Option(help="Pinecone namespace. Default: v2.")] = ""
    id_column: Annotated[str, typer.Option(help="Column with the row's id. Default: id.")] = ""
    text_column: Annotated[str, typer.Option(help="Column with the text. Default: formatted_text.")] = ""
    text_template: Annotated[str, typer.Option(help="Text from columns, e.g. '{title}. {description}'.")] = ""
    metadata_columns: Annotated[str, typer.Option(metavar="A,B", help="Only these columns become metadata.")] = ""
    exclude_columns: Annotated[str, typer.Option(metavar="A,B", help="These columns never become metadata.")] = ""
    metadata: Annotated[
        Literal["typed", "legacy"] | None, typer.Option(help="Types of metadata values. Default: typed.")
    ] = None
    column_types: Annotated[
        list[str] | None,
        typer.Option(
            "--column-type",
            metavar="NAME:TYPE",
            help="string, number, boolean, timestamp or list(separator); once for each column.",
        ),
    ] = None
    null_values: Annotated[
        list[str] | None,
        typer.Option("--null", metavar="TEXT", help='A cell that means "no value", e.g. NULL; may be repeated.'),
    ] = None
    sanitizer: Annotated[
        Literal["clean", "legacy", "none"] | None, typer.Option(help="How text is cleaned. Default: clean.")
    ] = None
    store_text: Annotated[
        Literal["fit", "none"] | None, typer.Option(help="The copy of the text in the metadata. Default: fit.")
    ] = None
    start_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day to keep.")] = ""
    end_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day to keep.")] = ""
    date_column: Annotated[str, typer.Option(help="Column of the dates. Default: created_at.")] = ""
    date_order: Annotated[
        Literal["auto", "ymd", "mdy", "dmy"] | None,
        typer.Option(help="Order of day, month and year. Default: auto, from the whole column."),
    ] = None
    time_zone: Annotated[str, typer.Option(metavar="ZONE", help="Of days without one. Default: UTC.")] = ""
    mode: Annotated[
        Literal["upsert", "mirror", "force"] | None,
        typer.Option(
            help="mirror: what left the file leaves the namespace, too; force: unchanged rows are bought again. "
            "Default: upsert."
        ),
    ] = None
    on_duplicate: Annotated[
        Literal["first", "fail"] | None,
        typer.Option(help="Skip later rows of an id, or fail the task. Default: first."),
    ] = None
    on_long_text: Annotated[
        Literal["reject", "truncate"] | None, typer.Option(help="Text over 8,192 tokens. Default: reject.")
    ] = None
    on_bad_id: Annotated[
        Literal["reject", "escape"] | None,
        typer.Option(help="Ids that the index refuses; escape: percent-encode them. Default: reject."),
    ] = None
    on_ragged: Annotated[
        Literal["reject", "pad"] | None, typer.Option(help="Rows with too few cells. Default: reject.")
    ] = None
    delimiter: Annotated[str, typer.Option(help="One of , ; | or 'tab'. Default: detected.")] = ""
    quoting: Annotated[
        Literal["auto", "csv", "none", "backslash"] | None, typer.Option(help="How cells are quoted. Default: auto.")
    ] = None
    encoding: Annotated[str, typer.Option(help="For example cp1252. Default: detected.")] = ""
    header: Annotated[
        Literal["first", "none"] | None, typer.Option(help="none: columns are column_1, column_2 …. Default: first.")
    ] = None
    skip_lines: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=_UINT32, help="Lines before the header. Default: it is looked for."),
    ] = None
    chunk_size: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=_UINT32, help="Rows a chunk, 100 to 100000. Default: 1000.")
    ] = None

    def options(self) -> dict[str, Any]:
        """The same as the client takes them, without a source."""
        given: dict[str, Any] = {
            **dataclasses.asdict(self),
            "metadata_columns": list(fields.parsed(self.metadata_columns)),
            "exclude_columns": list(fields.parsed(self.exclude_columns)),
            "delimiter": "\t" if self.delimiter in ("tab", r"\t") else self.delimiter,
        }
        return {name: value for name, value in given.items() if value not in (None, "", [])}


def taken_by(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a load: its parameter ``load`` becomes one option for each field of Load."""
    hints = typing.get_type_hints(Load, include_extras=True)
    own = inspect.signature(command, eval_str=True).parameters.values()
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(Load)
    ]

    def loading(context: typer.Context, source: str, **given: Any) -> None:
        load = Load(**{field.name: given.pop(field.name) for field in dataclasses.fields(Load)})
        command(context, source, load=load, **given)

    loading.__name__, loading.__doc__ = command.__name__, command.__doc__
    kept = [parameter for parameter in own if parameter.name != "load"]
    signature = inspect.Signature(sorted([*kept, *options], key=lambda parameter: parameter.kind))
    loading.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
    return loading
