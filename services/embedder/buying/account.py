"""The account: while it refuses, one probe a minute for the whole line; when it is good again, everything goes on."""

import asyncio

import structlog

from services.embedder import indexer_client
from services.embedder.buying import proof, shared_backoff
from services.embedder.limiter import promise
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors

log = structlog.get_logger()

REASON = "ACCOUNT_REFUSED"
LOOKS_A_PROBE = 4


class Account:
    """Watches whether the account is blocked, by Valkey's key or, should that be lost, by the ledger's tasks."""

    def __init__(
        self,
        limiter: promise.Limiter,
        source: shared_backoff.Embeddings,
        indexer: indexer_client.Indexer,
        probe_seconds: float,
    ) -> None:
        self._limiter = limiter
        self._source = shared_backoff.SharedBackoff(source, limiter)
        self._indexer = indexer
        self._probe_seconds = probe_seconds

    async def run(self) -> None:
        """Look for ever; a round that fails is repeated in the next."""
        while True:
            try:
                await self._round()
            except (promise.LimiterUnavailable, indexer_client.IndexerUnavailable) as error:
                log.warning("The account could not be looked at.", action="account_unknown", error=str(error))
            await asyncio.sleep(self._probe_seconds / LOOKS_A_PROBE)

    async def _round(self) -> None:
        blocked = await self._limiter.blocked()
        tasks = await self._indexer.blocked_tasks(REASON)
        if not (blocked or tasks) or not await self._limiter.claim_probe(self._probe_seconds):
            return
        try:
            await proof.probe(self._source, self._permit)
        except openai_errors.AccountRefused as refusal:
            await self._source.block(refusal)
            log.warning("The account still refuses.", action="account_refused", why=str(refusal), tasks=len(tasks))
            return
        except (openai_errors.Failed, openai_errors.Throttled) as error:
            log.warning(
                "A probe of the account came to no verdict; another follows.", action="probe_failed", error=str(error)
            )
            return
        await self._limiter.unblock()
        resumed = [task_id for task_id in tasks if await self._resume(task_id)]
        log.info("The account is good again.", action="account_good", resumed=len(resumed), blocked=len(tasks))

    async def _permit(self) -> None:
        """The probe is a request like others, only that the block does not hold it."""
        while True:
            answer = await self._limiter.acquire(openai_client.PROBE_TOKENS, promise.Asker.PROBE)
            if answer.verdict is promise.Verdict.START:
                return
            await asyncio.sleep(max(answer.seconds, 0.001))

    async def _resume(self, task_id: str) -> bool:
        """One that cannot be resumed (cancelled meanwhile?) must not keep back the others; the next round sees it."""
        try:
            await self._indexer.resume_task(task_id)
        except (indexer_client.IndexerUnavailable, indexer_client.ChunkRefused) as error:
            log.warning("A task could not be resumed.", action="resume_failed", task_id=task_id, error=str(error))
            return False
        return True
