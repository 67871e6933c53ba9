"""A request as the domain wants it: every default filled in, every field known to be good (API.md §1)."""

import codecs
import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Callable, Iterable

from vectorline.v1 import ingest_pb2

from services.ingest.request import template, types
from services.runtime import errors, index_names

DATA_SOURCES = ("s3_csv", "metabase", "upload", "local_csv")
PRIORITIES = ("normal", "low", "high")
MODES = ("upsert", "mirror", "force")
SANITIZERS = ("clean", "legacy", "none")
METADATA = ("typed", "legacy")
ON_DUPLICATE = ("first", "fail")
ON_LONG_TEXT = ("reject", "truncate")
QUOTING = ("auto", "csv", "none", "backslash")
ON_RAGGED = ("reject", "pad")
SKIP_LINES = range(101)
HEADER = ("first", "none")
DATE_ORDER = ("auto", "ymd", "mdy", "dmy")
ON_BAD_ID = ("reject", "escape")
STORE_TEXT = ("fit", "none")
NULL_VALUES = 100
DELIMITERS = (",", ";", "|", "\t")
DELIMITER_NAMES = {"tab": "\t", "\\t": "\t"}
BATCH_SIZE = range(100, 10_001)
CHUNK_SIZE = range(100, 100_001)
KEY_BYTES = 1_024  # S3's own limit of a key
NAME_BYTES = 1_024
# Of a column; a header may have names as long as a question of a survey.
COLUMN_NAME_BYTES = 65_536
REQUEST_ID_BYTES = 256
COLUMN_NAMES = 10_000
# Python knows them as text encodings, yet no file is written in them, or reading one can be made to hang.
REFUSED_ENCODINGS = frozenset(
    {"idna", "punycode", "undefined", "utf-7", "unicode-escape", "raw-unicode-escape", "mbcs", "oem"}
)

# What else is wrong with a request here and now: what this deployment does not serve, or does not let a caller name.
Also = Callable[[ingest_pb2.ProcessRequest], Iterable[errors.FieldViolation]]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_S3_URI = re.compile(r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]/.+", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What a deployment sets for requests that leave it open."""

    namespace: str = "v2"
    chunk_size: int = 1_000
    batch_size: int = 1_000
    # What is in the index is kept track of (SKIP_UNCHANGED): a mirror can tell what left its file.
    mirrors: bool = True
    # METABASE_QUESTION_ID; None: the request must name one.
    metabase_question_id: int | None = None


@dataclasses.dataclass(frozen=True)
class Options:
    """A ProcessRequest with its defaults filled in; the fields are named as there."""

    data_source: str
    question_id: int
    s3_key: str = ""
    start_date: datetime.date | None = None
    end_date: datetime.date | None = None
    batch_size: int = 1_000
    chunk_size: int = 1_000
    namespace: str = "v2"
    priority: str = "normal"
    mode: str = "upsert"
    sanitizer: str = "clean"
    metadata: str = "typed"
    id_column: str = "id"
    text_column: str = "formatted_text"
    text_template: str = ""
    metadata_columns: tuple[str, ...] = ()
    exclude_columns: tuple[str, ...] = ()
    on_duplicate: str = "first"
    on_long_text: str = "reject"
    # Empty: detected. "\t" for a tab.
    delimiter: str = ""
    # Empty: detected. Otherwise Python's name of the codec.
    encoding: str = ""
    date_column: str = "created_at"
    upload_id: str = ""
    request_id: str = ""
    quoting: str = "auto"
    on_ragged: str = "reject"
    # None: the header is looked for.
    skip_lines: int | None = None
    header: str = "first"
    # Without outer blanks.
    null_values: tuple[str, ...] = ()
    # name:type, as the request has them; ``declared_types`` reads them.
    column_types: tuple[str, ...] = ()
    date_order: str = "auto"
    time_zone: str = "UTC"
    on_bad_id: str = "reject"
    store_text: str = "fit"

    @classmethod
    def from_request(
        cls, request: ingest_pb2.ProcessRequest, defaults: Defaults, also: Also = lambda _request: ()
    ) -> "Options":
        """Check every field at once and fill in the defaults.

        Args:
            request: As the caller sent it.
            defaults: For what it leaves open.
            also: Further checks, of fields that are good in themselves.

        Raises:
            errors.InvalidArgument: Names every bad field.
        """
        return _Checks(request).options(defaults, also)

    @property
    def dated(self) -> bool:
        """Rows are filtered by date; those of a Metabase question are by its own query."""
        return self.data_source != "metabase" and (self.start_date or self.end_date) is not None

    def to_request(self) -> ingest_pb2.ProcessRequest:
        """Return the request with the defaults filled in, as the ledger stores it."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("start_date", "end_date"):
            values[name] = values[name].isoformat() if values[name] else ""
        return ingest_pb2.ProcessRequest(**values)


class _Checks:
    """Collects what is wrong with one request."""

    def __init__(self, request: ingest_pb2.ProcessRequest) -> None:
        self.request = request
        self.violations: list[errors.FieldViolation] = []

    def options(self, defaults: Defaults, also: Also) -> Options:
        request = self.request
        dates = self.date("start_date"), self.date("end_date")
        if dates[0] and dates[1] and dates[0] > dates[1]:
            self.bad("end_date", f"{dates[1]} is before start_date {dates[0]}")
        data_source = self.choice("data_source", DATA_SOURCES, required=True)
        self.source(data_source)
        made = Options(
            data_source=data_source,
            question_id=self.question_id(data_source, defaults),
            s3_key=self.key(),
            start_date=dates[0],
            end_date=dates[1],
            batch_size=self.number("batch_size", BATCH_SIZE, defaults.batch_size),
            chunk_size=self.number("chunk_size", CHUNK_SIZE, defaults.chunk_size),
            namespace=self.namespace(defaults),
            priority=self.choice("priority", PRIORITIES),
            mode=self.mode(defaults),
            sanitizer=self.choice("sanitizer", SANITIZERS),
            metadata=self.choice("metadata", METADATA),
            id_column=self.column("id_column", "id"),
            text_column=self.column("text_column", "formatted_text"),
            text_template=self.template(),
            metadata_columns=self.names("metadata_columns"),
            exclude_columns=self.names("exclude_columns"),
            on_duplicate=self.choice("on_duplicate", ON_DUPLICATE),
            on_long_text=self.choice("on_long_text", ON_LONG_TEXT),
            delimiter=self.delimiter(),
            encoding=self.encoding(),
            date_column=self.column("date_column", "created_at"),
            upload_id=self.text("upload_id", "", NAME_BYTES),
            request_id=self.text("request_id", "", REQUEST_ID_BYTES),
            quoting=self.choice("quoting", QUOTING),
            on_ragged=self.choice("on_ragged", ON_RAGGED),
            skip_lines=self.skip_lines(),
            header=self.choice("header", HEADER),
            null_values=self.null_values(),
            column_types=self.column_types(),
            date_order=self.choice("date_order", DATE_ORDER),
            time_zone=self.time_zone(),
            on_bad_id=self.choice("on_bad_id", ON_BAD_ID),
            store_text=self.choice("store_text", STORE_TEXT),
        )
        both = sorted(set(made.metadata_columns) & set(made.exclude_columns))
        if both:
            self.bad("exclude_columns", f"{', '.join(both[:5])} is in metadata_columns too; name it in one of the two")
        named = {violation.field for violation in self.violations}
        self.violations += [violation for violation in also(request) if violation.field not in named]
        self.raise_if_bad()
        return made

    def raise_if_bad(self) -> None:
        if not self.violations:
            return
        names = ", ".join(dict.fromkeys(violation.field for violation in self.violations))
        said = self.violations[0].description if len(self.violations) == 1 else "see field_violations"
        raise errors.InvalidArgument(f"The request is not valid: {names} ({said})", violations=tuple(self.violations))

    def bad(self, field: str, description: str) -> None:
        self.violations.append(errors.FieldViolation(field, description))

    def choice(self, field: str, allowed: tuple[str, ...], *, required: bool = False) -> str:
        value: str = getattr(self.request, field)
        if not value and not required:
            return allowed[0]
        if value not in allowed:
            self.bad(field, f"is {value[:50]!r}; must be one of {', '.join(allowed)}" if value else _needed(allowed))
        return value

    def key(self) -> str:
        """Any key that S3 takes: blanks of every kind and signs of every script are characters like others."""
        value = self.request.s3_key
        if len(value.encode("utf-8")) > KEY_BYTES:
            self.bad("s3_key", f"is longer than {KEY_BYTES:,} bytes of UTF-8")
        elif "\0" in value:
            self.bad("s3_key", "has a NUL character, which no key or path has; leave it out")
        return value

    def text(self, field: str, default: str, limit: int) -> str:
        value: str = getattr(self.request, field) or default
        if len(value.encode("utf-8")) > limit:
            self.bad(field, f"is longer than {limit:,} bytes of UTF-8")
        elif not value.isprintable():
            self.bad(field, "has characters that cannot be printed; leave them out")
        elif default and not value.strip():
            self.bad(field, f"is blank; leave it out for {default!r}")
        return value

    def namespace(self, defaults: Defaults) -> str:
        value = self.request.namespace or defaults.namespace
        if problem := index_names.problem(value):
            self.bad("namespace", problem)
        return value

    def column(self, field: str, default: str) -> str:
        """Any name that a header can have, line ends and other controls included."""
        value: str = getattr(self.request, field) or default
        if len(value.encode("utf-8")) > COLUMN_NAME_BYTES:
            self.bad(field, f"is longer than {COLUMN_NAME_BYTES:,} bytes of UTF-8")
        elif not value.strip():
            self.bad(field, f"is blank; leave it out for {default!r}")
        return value.strip()

    def number(self, field: str, allowed: range, default: int) -> int:
        if not self.request.HasField(field):  # type: ignore[arg-type]  # the name of an optional field
            return default
        value: int = getattr(self.request, field)
        if value not in allowed:
            self.bad(field, f"is {value}; must be {allowed[0]} to {allowed[-1]}")
        return value

    def date(self, field: str) -> datetime.date | None:
        value: str = getattr(self.request, field)
        if not value:
            return None
        try:
            # fromisoformat alone takes other forms of ISO 8601 too.
            return datetime.date.fromisoformat(value if _DATE.fullmatch(value) else "")
        except ValueError:
            self.bad(field, f"is {value[:50]!r}; must be a day of the calendar as YYYY-MM-DD")
            return None

    def source(self, data_source: str) -> None:
        key = self.request.s3_key
        if data_source in ("s3_csv", "local_csv") and not key:
            what = "an S3 key or s3://bucket/key" if data_source == "s3_csv" else "a path in the local folder"
            self.bad("s3_key", f"is needed for {data_source}: {what}")
        elif data_source == "s3_csv" and "://" in key and not _S3_URI.fullmatch(key):
            self.bad("s3_key", "is neither a key nor s3://bucket/key")
        if data_source == "upload" and not self.request.upload_id:
            self.bad("upload_id", "is needed for data_source upload")
        if data_source == "metabase" and not self.request.start_date:
            self.bad("start_date", "is needed for data_source metabase")

    def question_id(self, data_source: str, defaults: Defaults) -> int:
        if self.request.HasField("question_id"):
            if self.request.question_id < 0:
                self.bad("question_id", f"is {self.request.question_id}; must be 0 or more")
            return self.request.question_id
        if data_source == "metabase" and defaults.metabase_question_id is not None:
            return defaults.metabase_question_id
        self.bad("question_id", "is needed: it is part of every vector id")
        return 0

    def mode(self, defaults: Defaults) -> str:
        value = self.choice("mode", MODES)
        dated = self.request.start_date or self.request.end_date
        if value == "mirror" and dated and self.request.data_source != "metabase":
            words = (
                "mirror takes all of a file: with start_date or end_date whatever lies outside of them would be "
                "removed; leave them out, or use upsert"
            )
            self.bad("mode", words)
        elif value == "mirror" and not defaults.mirrors:
            self.bad("mode", "mirror needs SKIP_UNCHANGED of this line: what is in the index is not kept track of")
        return value

    def template(self) -> str:
        value = self.request.text_template
        if value:
            try:
                template.parse(value)
            except template.TemplateError as error:
                self.bad("text_template", str(error))
        return value

    def names(self, field: str) -> tuple[str, ...]:
        names: list[str] = list(getattr(self.request, field))
        if len(names) > COLUMN_NAMES:
            self.bad(field, f"names {len(names):,} columns; {COLUMN_NAMES:,} are the limit")
        elif any(not name.strip() for name in names):
            self.bad(field, "has an empty name")
        return tuple(dict.fromkeys(name.strip() for name in names))

    def skip_lines(self) -> int | None:
        return self.number("skip_lines", SKIP_LINES, 0) if self.request.HasField("skip_lines") else None

    def null_values(self) -> tuple[str, ...]:
        values = list(self.request.null_values)
        if len(values) > NULL_VALUES:
            self.bad("null_values", f"has {len(values):,} values; {NULL_VALUES} are the limit")
        return tuple(dict.fromkeys(value.strip() for value in values))

    def column_types(self) -> tuple[str, ...]:
        declared = tuple(dict.fromkeys(self.request.column_types))
        if len(declared) > COLUMN_NAMES:
            self.bad("column_types", f"has {len(declared):,} entries; {COLUMN_NAMES:,} are the limit")
            return ()
        try:
            types.parse(declared)
        except types.TypesError as error:
            self.bad("column_types", str(error))
        return declared

    def time_zone(self) -> str:
        value = self.request.time_zone or "UTC"
        try:
            zoneinfo.ZoneInfo(value)
        except (
            KeyError,
            ValueError,
            OSError,
        ):  # ZoneInfoNotFoundError is a KeyError; a folder of the database an OSError
            self.bad("time_zone", f"{value[:50]!r} is no zone of the IANA database; e.g. UTC or Europe/Zurich")
        return value

    def delimiter(self) -> str:
        value = DELIMITER_NAMES.get(self.request.delimiter.lower(), self.request.delimiter)
        if value and value not in DELIMITERS:
            self.bad("delimiter", f"is {value[:10]!r}; must be one of , ; | or a tab")
        return value

    def encoding(self) -> str:
        value = self.request.encoding.strip()
        if not value:
            return ""
        name = codec_name(value)
        if name is None:
            self.bad(
                "encoding", f"{value[:50]!r} is no text encoding that is known here; e.g. utf-8, cp1252, shift_jis"
            )
        return name or value


def codec_name(encoding: str) -> str | None:
    """Return Python's name of a text encoding, or None where there is none by that name."""
    if not encoding.isascii() or not encoding.isprintable() or len(encoding) > 50:
        return None
    try:
        info = codecs.lookup(encoding)
    except (LookupError, ValueError):
        return None
    text = getattr(info, "_is_text_encoding", True)  # CodecInfo has no public way to tell utf-8 from base64
    name = info.name.replace("_", "-")
    return info.name if text and name not in REFUSED_ENCODINGS else None


def _needed(allowed: tuple[str, ...]) -> str:
    return f"is needed: one of {', '.join(allowed)}"
