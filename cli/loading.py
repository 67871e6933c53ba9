"""What ``process`` and ``estimate`` have in common: the options of a load, and where its source is."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeVar

import typer
from vectorline.v1 import ingest_pb2

from cli import failures, progress, session, upload

S3_PREFIX: Final = "s3://"
UPLOAD_PREFIX: Final = "upload:"
_LOOKS_LOCAL: Final = ("./", "../", "/", "~")

Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE|s3://BUCKET/KEY|KEY|upload:ID",
        help="A local file (uploaded), an object in S3, an earlier upload.",
    ),
]
QuestionId = Annotated[int | None, typer.Option(help="Part of every vector id; needed for a CSV.")]
Namespace = Annotated[str, typer.Option(help="Pinecone namespace. Default: v2.")]
IdColumn = Annotated[str, typer.Option(help="Column with the row's id. Default: id.")]
TextColumn = Annotated[str, typer.Option(help="Column with the text. Default: formatted_text.")]
TextTemplate = Annotated[str, typer.Option(help="Text from columns, e.g. '{title}. {description}'.")]
MetadataColumns = Annotated[str, typer.Option(metavar="A,B", help="Only these columns become metadata.")]
ExcludeColumns = Annotated[str, typer.Option(metavar="A,B", help="These columns never become metadata.")]
Metadata = Annotated[Literal["typed", "legacy"] | None, typer.Option(help="Types of metadata values. Default: typed.")]
Sanitizer = Annotated[
    Literal["clean", "legacy", "none"] | None, typer.Option(help="How text is cleaned. Default: clean.")
]
StartDate = Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day to keep.")]
EndDate = Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day to keep.")]
DateColumn = Annotated[str, typer.Option(help="Column of the dates. Default: created_at.")]
OnDuplicate = Annotated[
    Literal["first", "fail"] | None,
    typer.Option(help="Skip later rows of an id, or fail the task. Default: first."),
]
OnLongText = Annotated[
    Literal["reject", "truncate"] | None, typer.Option(help="Text over 8,192 tokens. Default: reject.")
]
Delimiter = Annotated[str, typer.Option(help="One of , ; | or 'tab'. Default: detected.")]
Encoding = Annotated[str, typer.Option(help="For example cp1252. Default: detected.")]
ChunkSize = Annotated[int | None, typer.Option(help="Rows a chunk, 100 to 100000. Default: 1000.")]

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Load:
    """The options of a load, as they stand on the command line."""

    question_id: int | None
    namespace: str
    id_column: str
    text_column: str
    text_template: str
    metadata_columns: str
    exclude_columns: str
    metadata: str | None
    sanitizer: str | None
    start_date: str
    end_date: str
    date_column: str
    on_duplicate: str | None
    on_long_text: str | None
    delimiter: str
    encoding: str
    chunk_size: int | None

    def request(self) -> ingest_pb2.ProcessRequest:
        """The same as the line takes it, without a source.

        Raises:
            typer.BadParameter: A number does not fit into its field.
        """
        if self.question_id is not None and not -(2**31) <= self.question_id < 2**31:
            raise typer.BadParameter("a 32-bit number is needed", param_hint="--question-id")
        if self.chunk_size is not None and not 0 <= self.chunk_size < 2**32:
            raise typer.BadParameter("100 to 100000", param_hint="--chunk-size")
        return ingest_pb2.ProcessRequest(
            question_id=self.question_id,
            namespace=self.namespace,
            id_column=self.id_column,
            text_column=self.text_column,
            text_template=self.text_template,
            metadata_columns=_names(self.metadata_columns),
            exclude_columns=_names(self.exclude_columns),
            metadata=self.metadata or "",
            sanitizer=self.sanitizer or "",
            start_date=self.start_date,
            end_date=self.end_date,
            date_column=self.date_column,
            on_duplicate=self.on_duplicate or "",
            on_long_text=self.on_long_text or "",
            delimiter="\t" if self.delimiter in ("tab", r"\t") else self.delimiter,
            encoding=self.encoding,
            chunk_size=self.chunk_size,
        )


def submit(
    here: session.Session,
    source: str,
    options: ingest_pb2.ProcessRequest,
    *,
    file: Callable[[pathlib.Path], Answer],
    stored: Callable[[], Answer],
) -> Answer:
    """Do what there is to do for a source.

    Args:
        here: The session.
        source: As it stands on the command line.
        options: Told where the source is, unless it is a local file.
        file: Sends a local file.
        stored: Sends the options of what is stored already.
    """
    if source.startswith(UPLOAD_PREFIX):
        options.data_source = "upload"
        options.upload_id = source.removeprefix(UPLOAD_PREFIX)
        return stored()
    path = pathlib.Path(source).expanduser()
    if not source.startswith(S3_PREFIX):
        if path.is_file():
            return file(path)
        if path.is_dir():
            raise typer.BadParameter(f"{source} is a folder; name one file.", param_hint="FILE")
        if source.startswith(_LOOKS_LOCAL):
            raise typer.BadParameter(f"There is no file {source}.", param_hint="FILE")
        here.screen.say(f"There is no file {source} here: taking it as a key of the line's bucket.", "dim")
    options.data_source = "s3_csv"
    options.s3_key = source
    return stored()


def send(
    here: session.Session, file: pathlib.Path, options: ingest_pb2.ProcessRequest, *, estimate: bool = False
) -> ingest_pb2.ProcessResponse:
    """Upload a local file, with a bar on a terminal."""
    # Fields 1 to 24 and 33 to 42 of both are the same on the wire (ingest.proto), so nothing is copied by name.
    first = ingest_pb2.UploadRequest.FromString(options.SerializeToString())
    first.estimate = estimate
    try:
        with (
            here.line() as line,
            progress.upload_display(here.screen, file.name, file.stat().st_size) as display,
        ):
            sending = upload.Upload(file, first, on_sent=display.sent)
            try:
                return line.upload(sending.messages())
            except failures.CommandError as failure:
                if sending.read_error:
                    raise _unreadable(file, sending.read_error) from failure
                raise
    except KeyboardInterrupt:
        here.screen.say("Upload stopped before its end; the line drops what it got.", "yellow")
        raise


def _unreadable(file: pathlib.Path, error: OSError) -> failures.CommandError:
    reason = error.strerror or str(error)
    return failures.CommandError(
        f"{file} cannot be read: {reason}. No task was made.", exit_code=failures.ExitCode.USAGE
    )


def _names(comma_separated: str) -> list[str]:
    return [name.strip() for name in comma_separated.split(",") if name.strip()]
