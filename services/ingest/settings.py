"""What ingest is told."""

import pathlib
from typing import Annotated

import pydantic
from pydantic_settings import NoDecode

from services.ingest import options
from services.runtime import settings


class SourceSettings(settings.Section):
    """Where sources may come from, and where they are staged."""

    s3_bucket_name: str = pydantic.Field(
        "vectorline", min_length=3, description="Bucket of sources, plans and rejects."
    )
    s3_allowed_buckets: Annotated[tuple[str, ...], NoDecode] = pydantic.Field(
        (), description="Other buckets that s3:// keys may name, by comma."
    )
    use_local_files: bool = pydantic.Field(False, description="Allow data_source local_csv.")
    local_csv_folder: pathlib.Path = pydantic.Field(pathlib.Path("data"), description="Folder of local_csv files.")
    scratch_folder: pathlib.Path | None = pydantic.Field(
        None, description="For the scan's temporary files, about 24 bytes a row; default the system's."
    )

    @pydantic.field_validator("s3_allowed_buckets", mode="before")
    @classmethod
    def _by_comma(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class RequestSettings(settings.Section):
    """What requests get that leave it open."""

    pinecone_namespace: str = pydantic.Field("v2", description="Namespace when none is named.")
    chunk_size: int = pydantic.Field(1_000, ge=100, le=100_000, description="Rows a chunk.")
    batch_size: int = pydantic.Field(1_000, ge=100, le=10_000, description="Kept for the predecessor's callers.")
    metabase_question_id: int | None = pydantic.Field(None, ge=0, description="The question of metabase requests.")

    @property
    def defaults(self) -> options.Defaults:
        """The same as the domain wants it."""
        return options.Defaults(
            namespace=self.pinecone_namespace,
            chunk_size=self.chunk_size,
            batch_size=self.batch_size,
            metabase_question_id=self.metabase_question_id,
        )


class SplitSettings(settings.Section):
    """How tasks are driven."""

    splitters: int = pydantic.Field(16, ge=1, le=256, description="Tasks scanned or split at once in this process.")
    resubmit_seconds: float = pydantic.Field(15.0, gt=0, description="Between two looks for tasks nobody drives.")
    lease_seconds: float = pydantic.Field(30.0, gt=0, description="A splitter that is silent so long loses its task.")
    heartbeat_seconds: float = pydantic.Field(10.0, gt=0, description="Between two heartbeats; also of presence.")
    indexer_addr: str = pydantic.Field("127.0.0.1:50053", description="host:port of the indexer, or several by comma.")
