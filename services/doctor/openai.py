"""OpenAI (or a server with its API): one token is bought, and its answer's headers are held against our limits."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from services.doctor import finding, peers, told
from services.embedder import settings
from services.embedder.openai import client, errors
from services.indexer import provision
from services.indexer import settings as indexer_settings
from services.indexer.pinecone import client as pinecone_client
from services.runtime import errors as runtime_errors
from services.runtime import settings as runtime_settings

ABOUT = finding.About("openai")
SECTIONS = (settings.EmbeddingSettings,)
ONE_TOKEN = "."  # noqa: S105 (a text, no secret)
# The client leaves out, one after the other, what a server does not take.
TRIES = 4


async def check(knows: told.Told, _services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Buy one token as the embedder would."""
    embedding = knows.of(settings.EmbeddingSettings)
    headers: dict[str, str] = {}
    source = client.OpenAI(embedding, connections=1, heard=headers.update)
    source.dimension = source.dimension or await _width(knows)
    try:
        began = time.perf_counter()
        refusal = await _buy(source)
        took_ms = (time.perf_counter() - began) * 1000
    finally:
        await source.close()
    if refusal is not None:
        yield refusal
        return
    words = f"one token of {embedding.openai_model} was bought in {took_ms:.0f} ms, {source.dimension} values a vector"
    yield ABOUT.ok("answer", words)
    for kind, setting, ours in (
        ("requests", "OPENAI_RATE_LIMIT", embedding.openai_rate_limit * 60),
        ("tokens", "OPENAI_TOKENS_PER_MINUTE", embedding.openai_tokens_per_minute),
    ):
        yield _limit(kind, setting, ours, headers)


async def _width(knows: told.Told) -> int:
    """What the index takes: from Pinecone where its key is known, else from the indexer, as the embedder learns it."""
    with contextlib.suppress(runtime_settings.Wrong, runtime_errors.Unavailable):
        wanted = knows.of(indexer_settings.PineconeSettings)
        if wanted.pinecone_api_key.get_secret_value():
            index = pinecone_client.Pinecone(wanted)
            try:
                return (await index.index()).dimension or provision.DEFAULT_DIMENSION
            finally:
                await index.close()
    with contextlib.suppress(runtime_settings.Wrong, peers.Away):
        return await peers.index_dimension(knows) or provision.DEFAULT_DIMENSION
    return provision.DEFAULT_DIMENSION


async def _buy(source: client.OpenAI) -> finding.Finding | None:
    """What is wrong, if anything."""
    try:
        for _ in range(TRIES):
            with contextlib.suppress(errors.Adapted):
                await source.embed([ONE_TOKEN])
                return None
    except errors.AccountRefused as error:
        remedy = "Look at OPENAI_API_KEY, OPENAI_MODEL, OPENAI_BASE_URL, and at the account's billing."
        return ABOUT.broken("account", str(error), remedy)
    except errors.Throttled as error:
        return ABOUT.warning("answer", f"429: {error}", "Others use the account too; lower OPENAI_RATE_LIMIT here.")
    except (errors.Refused, errors.Invalid) as error:
        words = f"{error} ({source.dimension} values a vector were asked for)"
        remedy = "The model must make the index's width: OPENAI_MODEL, EMBEDDING_DIMENSIONS, OPENAI_SEND_DIMENSIONS."
        return ABOUT.broken("dimensions", words, remedy)
    except errors.Failed as error:
        remedy = "Look at OPENAI_BASE_URL, the way out of here, and https://status.openai.com."
        return ABOUT.broken("answer", str(error), remedy)
    return ABOUT.broken("answer", "it refuses one parameter after the other", "Look at OPENAI_SEND_DIMENSIONS.")


def _limit(kind: str, setting: str, ours: float, headers: Mapping[str, str]) -> finding.Finding:
    """Both a minute, as OpenAI counts."""
    try:
        account = float({name.lower(): value for name, value in headers.items()}[f"x-ratelimit-limit-{kind}"])
    except (KeyError, ValueError):
        return ABOUT.ok(f"limit of {kind}", "the answer names none")
    words = f"the account has {account:,.0f} {kind} a minute"
    # In the setting's own unit, and below the limit.
    fitting = f"{account / 60:.6g}" if kind == "requests" else f"{account:.0f}"
    if not ours:
        more = f"{words}, {setting} names none: the line learns it by being refused"
        return ABOUT.warning(f"limit of {kind}", more, f"Set {setting}={fitting}.")
    if ours > account:
        more = f"{words}, {setting} comes to {ours:,.0f}: the line is refused until it has slowed down"
        return ABOUT.warning(f"limit of {kind}", more, f"Set {setting}={fitting} or less.")
    return ABOUT.ok(f"limit of {kind}", f"{words}, {setting} comes to {ours:,.0f}")
