"""What ingest is told."""

import pathlib
from typing import Annotated, Literal, Self

import pydantic
from pydantic_settings import NoDecode

from services.billing import prices
from services.ingest.estimating import estimate
from services.ingest.request import options
from services.ingest.sources import named
from services.ingest.sources.metabase import export as metabase_export
from services.runtime import settings


class SourceSettings(settings.Section):
    """Where sources may come from, and where they are staged."""

    s3_bucket_name: settings.Bucket = pydantic.Field(
        "vectorline", description="Bucket of uploads, plans and rejects, and of the keys of s3_csv."
    )
    s3_allowed_buckets: Annotated[tuple[str, ...], NoDecode] = pydantic.Field(
        (),
        description="Other buckets that s3:// keys may name, by comma; bucket/prefix: only keys with that prefix.",
    )
    s3_requester_pays: bool = pydantic.Field(
        False, description="Agree to pay for reading buckets whose owners let their readers pay."
    )
    use_local_files: bool = pydantic.Field(False, description="Allow data_source local_csv.")
    local_csv_folder: pathlib.Path = pydantic.Field(pathlib.Path("data"), description="Below it local_csv files lie.")
    scratch_folder: pathlib.Path | None = pydantic.Field(
        None, description="For the scan's temporary files, about 200 bytes a row; default the system's."
    )

    @pydantic.model_validator(mode="after")
    def _folder_is_there(self) -> Self:
        if self.use_local_files and not self.local_csv_folder.is_dir():
            raise ValueError(
                f"LOCAL_CSV_FOLDER: {str(self.local_csv_folder)!r} is no folder, and USE_LOCAL_FILES is on"
            )
        return self

    @property
    def allowed(self) -> named.Allowed:
        """The same as the domain wants it."""
        folder = self.local_csv_folder if self.use_local_files else None
        return named.Allowed(self.s3_bucket_name, self.s3_allowed_buckets, folder, self.s3_requester_pays)

    @pydantic.field_validator("s3_allowed_buckets", mode="before")
    @classmethod
    def _by_comma(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class RequestSettings(settings.Section):
    """What requests get that leave it open."""

    pinecone_namespace: settings.Namespace = pydantic.Field(
        "v2", description="Namespace when a request or a search names none."
    )
    chunk_size: int = pydantic.Field(1_000, ge=100, le=100_000, description="Rows a chunk, when none are named.")
    batch_size: int = pydantic.Field(
        1_000, ge=100, le=10_000, description="Kept for the predecessor's callers; no effect."
    )
    metabase_question_id: int | None = pydantic.Field(
        None, ge=0, description="The question of metabase requests that name none."
    )

    @property
    def defaults(self) -> options.Defaults:
        """The same as the domain wants it."""
        return options.Defaults(
            namespace=self.pinecone_namespace,
            chunk_size=self.chunk_size,
            batch_size=self.batch_size,
            metabase_question_id=self.metabase_question_id,
        )


class MetabaseSettings(settings.Section):
    """Where questions are exported from."""

    metabase_url: settings.HttpUrl | Literal[""] = pydantic.Field(
        "", description="Address of Metabase; none: no data_source metabase."
    )
    metabase_api_key: settings.HeaderSecret = pydantic.Field(
        pydantic.SecretStr(""), description="Its API key, sent as x-api-key."
    )
    metabase_timeout_seconds: float = pydantic.Field(
        1_200.0, gt=0, description="Silence of an export that ends it; a query may run long before its first row."
    )
    metabase_retry_seconds: float = pydantic.Field(
        600.0, ge=0, description="How long an export that Metabase does not answer, or breaks off, is tried again."
    )
    metabase_row_caps: Annotated[tuple[int, ...], NoDecode] = pydantic.Field(
        (2_000, 1_048_575), description="An export of exactly so many rows was cut by Metabase, and fails; by comma."
    )

    @property
    def metabase(self) -> metabase_export.Metabase:
        """The same as the domain wants it."""
        return metabase_export.Metabase(
            url=self.metabase_url,
            api_key=self.metabase_api_key,
            timeout_seconds=self.metabase_timeout_seconds,
            retry_seconds=self.metabase_retry_seconds,
            row_caps=self.metabase_row_caps,
        )

    @pydantic.field_validator("metabase_row_caps", mode="before")
    @classmethod
    def _by_comma(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class EstimateSettings(prices.PriceSettings):
    """What buying costs, as the embedders are told it, and how long an estimate may take."""

    openai_model: settings.Word = pydantic.Field("text-embedding-3-small", description="Embedding model.")
    openai_rate_limit: float = pydantic.Field(5.0, ge=0, description="Requests per second; 0: none.")
    openai_tokens_per_minute: float = pydantic.Field(0.0, ge=0, description="Tokens per minute; 0: none.")
    embedding_dimensions: int | None = pydantic.Field(
        None, ge=1, le=20_000, description="Values a vector; default: the index's."
    )
    estimate_seconds: float = pydantic.Field(
        270.0, gt=0, description="An estimate that takes longer is refused; below ENVOY_UNARY_SECONDS."
    )

    @property
    def terms(self) -> estimate.Terms:
        """The same as the domain wants it."""
        return estimate.Terms(
            model=self.openai_model,
            dimension=self.embedding_dimensions or 0,
            prices=self.prices,
            requests_per_second=self.openai_rate_limit,
            tokens_per_minute=self.openai_tokens_per_minute,
        )


class SplitSettings(settings.Section):
    """How tasks are driven."""

    splitters: int = pydantic.Field(16, ge=1, le=256, description="Tasks scanned or split at once in this process.")
    resubmit_seconds: float = pydantic.Field(15.0, gt=0, description="Between two looks for tasks nobody drives.")
    lease_seconds: float = pydantic.Field(
        30.0,
        gt=0,
        description="A chunk, or a task that is split, without heartbeat for so long passes to another; the same for "
        "ingest and embedder.",
    )
    heartbeat_seconds: float = pydantic.Field(10.0, gt=0, description="Between two heartbeats; also of presence.")
    skip_unchanged: bool = pydantic.Field(
        True,
        description="Rows that the index holds just so are neither bought nor written (manifests); the same for every "
        "ingest.",
    )
    mirror_guard_percent: float = pydantic.Field(
        20.0, ge=0, le=100, description="Of a question's vectors: a mirror that would remove more waits for a person."
    )
    indexer_addr: settings.Addresses = pydantic.Field(
        "127.0.0.1:50053", description="host:port of the indexer, or several by comma."
    )

    @pydantic.model_validator(mode="after")
    def _lease_outlasts_heartbeats(self) -> Self:
        settings.check_lease(self.lease_seconds, self.heartbeat_seconds)
        return self
