"""A mirror's end: what left the file leaves the index, once all of the file is in, and where nothing speaks against it.

Nothing is deleted where a row that was sent failed, where another task has had the turn since the rows were compared,
or where nothing certain is known of what the namespace holds. It is held for a person where much would go, and where an
id of the file cannot be read, or none is there: then what is missing in the file may be missing by mistake.
"""

import dataclasses

import structlog
from vectorline.v1 import task_pb2

from services.ingest import ledger_client, warning
from services.ingest.driving import comparisons, lease_watch, removing
from services.ingest.manifest import comparison
from services.ingest.planning import plan
from services.runtime import failpoints

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a task is sealed with: all its chunks, and what is to be said."""

    chunks: int
    warnings: tuple[warning.Warning, ...] = ()


class Mirrors:
    """Ends mirrors; see the module's docstring.

    Args:
        ledger: Knows what became of rows, and holds mirrors.
        compares: Marks runs.
        remover: Deletes.
        guard_percent: Of the ids that are there: where more would go, a person is asked.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        compares: comparisons.Comparisons,
        remover: removing.Remover,
        *,
        guard_percent: float,
    ) -> None:
        self._ledger = ledger
        self._comparisons = compares
        self._remover = remover
        self._guard_percent = guard_percent

    async def finish(
        self,
        task_id: str,
        known: comparison.Comparison | None,
        made: plan.Plan,
        stand: lease_watch.Standing,
    ) -> Finished | None:
        """Delete what is to be deleted, all of whose rows were published; None: not yet, they are not all settled.

        Raises:
            ledger_client.LedgerUnavailable: Not now.
            lease_watch.Stopped: The driver must not go on: the mirror is held, or not the task's turn.
        """
        record = await self._ledger.get(task_id)
        begun = record.removal if record.HasField("removal") else None
        goes_on = begun is not None and known is not None and begun.comparison == known.name and not record.overtaken
        first = made.task_chunks
        if begun is not None and not goes_on:
            await self._remover.leave(record, stand)
            first = begun.first_chunk + begun.chunks
        if record.overtaken:
            return Finished(first, (_overtaken(),))
        if known is None or known.gone is None:
            return Finished(first, (_uncertain(),))
        gone = known.gone
        told = (_kept(gone.kept_rows),) if gone.kept_rows else ()
        if not gone.rows:
            return Finished(first, told)
        if begun is not None and goes_on:
            first = begun.first_chunk
        else:
            failed = await self._failed(task_id, known, made)
            if failed is None:
                return None
            if failed:
                return Finished(first, (*told, _failed(failed)))
            await self._hold(record, gone)
            await self._comparisons.mark(known, stand.fence)
        await self._remover.run(known, gone, first, stand)
        return Finished(first + gone.deletes, told)

    async def _failed(self, task_id: str, known: comparison.Comparison, made: plan.Plan) -> int | None:
        """Rows that were sent and failed; None: not all are settled."""
        settled = failed = 0
        for number in range(-(-made.task_chunks // plan.SHARD_CHUNKS)):
            shard = await self._ledger.shard(task_id, number)
            settled += sum(chunk < made.task_chunks for chunk in shard.settled_chunks)
            failed += shard.failed_rows
        # Those that the row contract rejects were never sent.
        return max(0, failed - int(known.chunks["rejected"].sum())) if settled == made.task_chunks else None

    async def _hold(self, record: ledger_client.Record, gone: comparison.Gone) -> None:
        why = held(gone, self._guard_percent)
        if not why or record.confirmed == gone.checksum:
            return
        failpoints.hit("ingest.before_hold")
        told = task_pb2.HeldMirror(gone=gone.rows, entries=gone.entries, checksum=gone.checksum, why=why)
        await self._ledger.hold(record.task_id, ledger_client.HELD, _question(record.task_id, told), told)
        failpoints.hit("ingest.after_hold")
        raise lease_watch.Stopped(f"the mirror is held: {why}")


def held(gone: comparison.Gone, guard_percent: float) -> str:
    """Why a person is to look at what would be deleted; empty: nobody need."""
    if not gone.rows:
        return ""
    if not gone.file_rows:
        return "the file has no rows"
    if gone.unreadable_rows:
        return f"the id of {gone.unreadable_rows:,} rows of the file cannot be read"
    if gone.rows * 100 > guard_percent * gone.entries:
        share = 100 * gone.rows / gone.entries
        return f"that is {share:.1f} % of what is there, and MIRROR_GUARD_PERCENT is {guard_percent:g}"
    return ""


def _question(task_id: str, told: task_pb2.HeldMirror) -> str:
    return (
        f"All rows of the file are in. {told.gone:,} of {told.entries:,} ids are not in the file and would be removed "
        f"from the index; {told.why}. Look at them (GET /api/v1/status/{task_id}/rejects?include=gone) and confirm "
        f"them by their checksum {told.checksum} (POST /api/v1/task/{task_id}/confirm, or `vectorline confirm`), or "
        f"cancel the task: the rows that are in stay. Once another task over this question begins, nothing is removed."
    )


def _overtaken() -> warning.Warning:
    return warning.Warning(
        "mirror_overtaken",
        "Another task has had its turn on this question and namespace since the rows were compared: nothing more was "
        "removed. Submit the mirror again.",
    )


def _uncertain() -> warning.Warning:
    return warning.Warning(
        "mirror_uncertain",
        "Nothing was removed: what the namespace holds is not known for certain in this turn (another release had a "
        "part in it, or what was known was given up meanwhile). Submit the mirror again.",
    )


def _failed(rows: int) -> warning.Warning:
    return warning.Warning(
        "mirror_rows_failed",
        f"Nothing was removed, since {rows:,} rows that were sent failed. A retry loads them, and removes nothing; "
        "submit the mirror again once they are mended.",
        count=rows,
    )


def _kept(ids: int) -> warning.Warning:
    return warning.Warning(
        "mirror_kept",
        f"Of {ids:,} ids that the namespace holds no row of the file could be loaded (the rejects say why); what the "
        "index has of them stays as it is.",
        count=ids,
    )
