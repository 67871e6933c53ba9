"""Which kind a task is of that is no load: the driver's one place for them."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from services.chunks import splitting
from services.ingest import failures, ledger_client
from services.ingest.driving import lease_watch
from services.ingest.jobs import findings


class Kind(Protocol):
    """How one kind is driven."""

    async def drive(
        self, record: ledger_client.Record, lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> bool:
        """Drive a task as far as it goes now; whoever was here before may have died anywhere.

        Returns:
            Whether it is done; else it waits for its chunks, and is to be driven again soon.

        Raises:
            failures.Failure: The task cannot be done.
            lease_watch.Stopped: The driver must not go on. Others as in a load.
        """

    def found(self, record: ledger_client.Record) -> AsyncIterator[findings.Finding]:
        """What it found so far, one by one."""


class Kinds:
    """All kinds by their words."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds

    async def drive(
        self, record: ledger_client.Record, lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> bool:
        """See `Kind.drive`."""
        return await self._of(record).drive(record, lease, stand)

    def found(self, record: ledger_client.Record) -> AsyncIterator[findings.Finding]:
        """See `Kind.found`."""
        return self._of(record).found(record)

    def _of(self, record: ledger_client.Record) -> Kind:
        word = record.job.WhichOneof("kind") or record.request.data_source
        if word not in self._kinds:
            raise failures.Failure(
                "TASK_TYPE_UNKNOWN",
                f"This release knows no task of type {word!r}; a later one stored it. Upgrade ingest, then ask anew.",
            )
        return self._kinds[word]
