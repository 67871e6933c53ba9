"""The account: while it refuses, one probe a minute for the whole line; when it is good again, everything goes on."""

import asyncio

import structlog

from services.embedder import indexer_client, limiter, openai_client, purchasing

log = structlog.get_logger()

REASON = "ACCOUNT_REFUSED"
PROBE_TEXT = "Is this account good again?"


class Account:
    """Watches whether the account is blocked, by Valkey's key or, should that be lost, by the ledger's tasks."""

    def __init__(
        self,
        limits: limiter.Limiter,
        source: purchasing.Embeddings,
        indexer: indexer_client.Indexer,
        probe_seconds: float,
    ) -> None:
        self._limiter = limits
        self._source = source
        self._indexer = indexer
        self._probe_seconds = probe_seconds

    async def run(self) -> None:
        """Look for ever; a round that fails is repeated in the next."""
        while True:
            try:
                await self._round()
            except (limiter.LimiterUnavailable, indexer_client.IndexerUnavailable) as error:
                log.warning("The account could not be looked at.", action="account_unknown", error=str(error))
            await asyncio.sleep(self._probe_seconds / 4)

    async def _round(self) -> None:
        blocked = await self._limiter.blocked()
        tasks = await self._indexer.blocked_tasks(REASON)
        if not (blocked or tasks) or not await self._limiter.claim_probe(self._probe_seconds):
            return
        try:
            await self._source.embed([PROBE_TEXT])
        except openai_client.AccountRefused as refusal:
            await self._limiter.block(str(refusal))
            log.warning("The account still refuses.", action="account_refused", why=str(refusal), tasks=len(tasks))
            return
        except (openai_client.Failed, openai_client.Throttled, openai_client.Refused) as error:
            log.warning("The probe came to nothing.", action="probe_failed", error=str(error))
            return
        await self._limiter.unblock()
        for task_id in tasks:
            await self._indexer.resume_task(task_id)
        log.info("The account is good again.", action="account_good", resumed=len(tasks))
