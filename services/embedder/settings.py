"""What the embedder is told."""

import urllib.parse
from typing import Annotated, Self

import pydantic

from services.runtime import settings


def _without_user(url: str) -> str:
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise ValueError("must not name a user or a password: the key is sent, which is OPENAI_API_KEY")
    return url


class EmbeddingSettings(settings.Section):
    """The account, the model and its quota."""

    openai_api_key: settings.HeaderSecret = pydantic.Field(description="Key of the account that pays.")
    openai_base_url: Annotated[settings.HttpUrl, pydantic.AfterValidator(_without_user)] | None = pydantic.Field(
        None, description="Any server with OpenAI's API (docs/providers.md); default OpenAI's."
    )
    openai_model: settings.Word = pydantic.Field("text-embedding-3-small", description="Embedding model.")
    openai_rate_limit: float = pydantic.Field(
        5.0, ge=0, description="Requests a second, for all embedders together; 0: none."
    )
    openai_tokens_per_minute: float = pydantic.Field(
        0.0, ge=0, description="Tokens a minute, for all embedders together; 0: none."
    )
    openai_timeout_seconds: float = pydantic.Field(60.0, gt=0, description="Deadline of one request.")
    openai_batch_inputs: int = pydantic.Field(
        2_048, ge=1, le=2_048, description="Texts in one request, at most; what a server takes less is learned."
    )
    openai_max_tokens_per_request: int = pydantic.Field(
        300_000, ge=1, le=300_000, description="Tokens in one request, at most; likewise."
    )
    openai_send_dimensions: bool | None = pydantic.Field(
        None, description="Whether requests name the dimension; default: where it changes something."
    )
    openai_api_version: settings.Word | None = pydantic.Field(
        None, description="Of Azure's API, for a base URL that ends with the deployment; its key is then api-key."
    )
    embedding_dimensions: int | None = pydantic.Field(
        None, ge=1, le=20_000, description="Values a vector; default: the index's."
    )


class WorkSettings(settings.Section):
    """How much is in work at once."""

    max_workers: int = pydantic.Field(
        8,
        ge=1,
        le=256,
        description="Chunks of 1,000 rows in work at once in an embedder, at most (or so many more smaller ones); "
        "fewer where the processors are full.",
    )
    lease_seconds: float = pydantic.Field(30.0, gt=0, description="A chunk without heartbeat goes to another then.")
    heartbeat_seconds: float = pydantic.Field(10.0, gt=0, description="Between two heartbeats of a lease.")
    reclaim_seconds: float = pydantic.Field(10.0, gt=0, description="Between two looks for chunks of the dead.")
    task_timeout: float = pydantic.Field(
        1800.0, gt=0, description="Seconds of work on a chunk without any progress, then it passes on."
    )
    probe_seconds: float = pydantic.Field(60.0, gt=0, description="Between two probes of a refused account.")
    pinecone_namespace: settings.Namespace = pydantic.Field("v2", description="Namespace searched when none is named.")
    indexer_addr: settings.Addresses = pydantic.Field(
        "127.0.0.1:50053", description="host:port of the indexer, or several by comma."
    )

    @pydantic.model_validator(mode="after")
    def _lease_outlasts_heartbeats(self) -> Self:
        settings.check_lease(self.lease_seconds, self.heartbeat_seconds)
        return self
