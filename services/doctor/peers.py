"""The indexer, which ingest and embedder call: does it serve, and does it take us for a service of the line?"""

import contextlib
from collections.abc import AsyncIterator, Sequence

import grpc

from services.doctor import finding, told
from services.embedder import indexer_client, settings
from services.runtime import channels, health, tls
from services.runtime import settings as runtime_settings

ABOUT = finding.About("peers")
SECTIONS = (runtime_settings.ProcessSettings, settings.WorkSettings)
SERVED = "vectorline.v1.IndexerService"


class Away(Exception):
    """The indexer does not answer, or not us."""


@contextlib.asynccontextmanager
async def _connected(knows: told.Told) -> AsyncIterator[grpc.aio.Channel]:
    process, work = knows.of(runtime_settings.ProcessSettings), knows.of(settings.WorkSettings)
    channel = channels.connect(work.indexer_addr, process.internal_token, name="indexer", files=tls.named(process))
    try:
        yield channel
    finally:
        await channel.close()


async def index_dimension(knows: told.Told) -> int:
    """Values a vector of the index, as the indexer says.

    Raises:
        Away: It does not answer, or not us.
    """
    token = knows.of(runtime_settings.ProcessSettings).internal_token
    async with _connected(knows) as channel:
        indexer = indexer_client.Indexer(channel, lambda: channels.internal_metadata(token))
        try:
            return await indexer.index_dimension()
        except indexer_client.IndexerUnavailable as error:
            raise Away(str(error)) from error


async def check(knows: told.Told, _services: Sequence[str]) -> AsyncIterator[finding.Finding]:
    """Ask for its health, and something that only a service of the line may ask."""
    where = knows.of(settings.WorkSettings).indexer_addr
    async with _connected(knows) as channel:
        try:
            await health.ask(channel, SERVED)
        except (grpc.aio.AioRpcError, ConnectionError) as error:
            said = error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)
            remedy = "Start the indexer, look at INDEXER_ADDR, and at the certificates where there is mTLS."
            yield ABOUT.broken("indexer", f"{SERVED} at {where}: {said}", remedy)
            return
        yield ABOUT.ok("indexer", f"serves at {where}")
    try:
        dimension = await index_dimension(knows)
    except Away as error:
        words = f"the indexer at {where} does not answer us: {error}"
        yield ABOUT.broken("identity", words, "Give all services the same INTERNAL_TOKEN, or certificates of one CA.")
    else:
        yield ABOUT.ok("identity", f"the indexer takes us for a service of the line; the index has {dimension} values")
