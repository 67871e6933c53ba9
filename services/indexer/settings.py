"""What the indexer is told: the ledger, rejects, Pinecone. How AWS is called is the runtime's."""

import urllib.parse
from typing import Annotated, Literal

import pydantic

from services.runtime import settings


def _controller(text: str) -> str:
    try:
        parts = urllib.parse.urlsplit(text if "://" in text else f"https://{text}")  # the SDK takes a bare host
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and " " not in text
    except ValueError:  # a port that is none
        good = False
    if not good:
        raise ValueError("must be a host, https://host or http://host, with :port where it is another than theirs")
    return text


class LedgerSettings(settings.Section):
    """The ledger and its rules of time."""

    dynamodb_table_name: str = pydantic.Field(
        "vectorline", pattern=r"^[A-Za-z0-9_.-]{3,255}$", description="Table of the ledger."
    )
    upsert_deadline_seconds: float = pydantic.Field(
        10.0, gt=0, description="Longest that one upsert may take; a turn passes on 3 s after it."
    )
    stall_seconds: float = pydantic.Field(
        120.0, gt=0, description="A task without a settled chunk for this long shows stalled_since."
    )
    watch_poll_seconds: float = pydantic.Field(0.7, gt=0, description="How often WatchTask looks at the ledger.")
    watch_beat_seconds: float = pydantic.Field(15.0, gt=0, description="WatchTask says something at least this often.")


class RejectSettings(settings.Section):
    """Where rejected rows are kept."""

    s3_bucket_name: settings.Bucket = pydantic.Field("vectorline", description="Bucket of sources, plans and rejects.")


class PineconeSettings(settings.Section):
    """The index, and what a new one is like."""

    pinecone_api_key: settings.HeaderSecret = pydantic.Field(pydantic.SecretStr(""), description="Key of the account.")
    pinecone_index_name: str = pydantic.Field(
        "vectorline", pattern=r"^[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?$", description="Index that vectors go to."
    )
    pinecone_controller_host: Annotated[str, pydantic.AfterValidator(_controller)] | None = pydantic.Field(
        None, description="A Pinecone-compatible control plane; http:// means plaintext, for gRPC too."
    )
    pinecone_transport: Literal["auto", "wire", "sdk"] = pydantic.Field(
        "auto",
        description="How vectors are written: wire (packed by hand, gRPC), sdk (Pinecone's, REST; five times the "
        "CPU), or auto: sdk where no gRPC is served.",
    )
    # Pinecone's own limit is 1,000; the predecessor's name and meaning.
    pinecone_batch_size: int = pydantic.Field(
        1_000, ge=1, le=1_000, description="Most vectors in one upsert; 2 MB are a limit too."
    )
    pinecone_cloud: str = pydantic.Field("aws", description="Cloud of an index that init creates.")
    pinecone_region: str = pydantic.Field("us-east-1", description="Region of an index that init creates.")
    pinecone_metric: Literal["cosine", "dotproduct", "euclidean"] = pydantic.Field(
        "cosine", description="Metric of an index that init creates."
    )
    embedding_dimensions: int | None = pydantic.Field(
        None, ge=1, le=20_000, description="Values a vector; default: the index's, 1536 for an index that init creates."
    )
