"""What every data plane call passes through, whichever transport it came by: key, faults, rates, work, journal."""

import time
from collections.abc import Sequence
from typing import Any

from sandbox.pinecone import catalog, errors, faults, journal, operations, rates, wire


class Service:
    """The one object that REST and gRPC share."""

    def __init__(self, indexes: catalog.Catalog, limits: rates.Rates, api_key: str | None = None) -> None:
        """Wire the parts; without `api_key` any key that is not empty will do."""
        self.indexes = indexes
        self.rates = limits
        self.faults = faults.Faults()
        self.journal = journal.Journal()
        self._api_key = api_key

    def check_key(self, api_key: str | None) -> None:
        """Refuse a call without the key.

        Raises:
            ApiError: UNAUTHENTICATED.

        """
        if not api_key or self._api_key not in (None, api_key):
            raise errors.ApiError(errors.Code.UNAUTHENTICATED, "Invalid API Key")

    async def upsert(self, port: int, batch: wire.Upsert, transport: str) -> dict[str, Any]:
        """Store vectors in the index that is dialled on `port`.

        Raises:
            ApiError: The upsert was refused; nothing was stored.
            ConnectionResetFault: The connection is to be dropped.

        """
        entry = _Entry("upsert", transport, batch.namespace, batch.ids, batch.size_bytes)
        with self._journalled(entry):
            index = self.indexes.on_port(port)
            entry.index = index.settings.name
            rule = self.faults.find("upsert", batch.namespace, batch.ids)
            keep = None
            if rule is not None and rule.kind == "partial":
                keep = len(batch.ids) // 2 if rule.keep is None else rule.keep
            if rule is not None and rule.when == "before":
                await self.faults.apply(rule, batch.ids)
            self.rates.check(index.settings.name, batch.namespace, batch.size_bytes)
            answer = operations.upsert(index, batch, keep)
            if rule is not None and rule.when == "after":
                await self.faults.apply(rule, batch.ids)
            return answer

    async def call(
        self, port: int, method: str, request: dict[str, Any], transport: str, size_bytes: int
    ) -> dict[str, Any]:
        """Do any other operation; `method` is the RPC's name. Raises what `upsert` raises."""
        op, operation = operations.OPERATIONS[method]
        ids = request.get("ids") or ([request["id"]] if request.get("id") else [])
        entry = _Entry(op, transport, request.get("namespace") or request.get("name") or "", ids, size_bytes)
        with self._journalled(entry):
            index = self.indexes.on_port(port)
            entry.index = index.settings.name
            rule = self.faults.find(op, entry.namespace, ids)
            if rule is not None and rule.when == "before":
                await self.faults.apply(rule, ids)
            answer = await operation(index, request)
            if rule is not None and rule.when == "after":
                await self.faults.apply(rule, ids)
            return answer

    async def control_fault(self, op: str, name: str) -> None:
        """Apply the faults to a control plane call."""
        rule = self.faults.find(op, "", [name])
        if rule is not None:
            await self.faults.apply(rule, [name])

    def _journalled(self, entry: "_Entry") -> "_Journalled":
        return _Journalled(self.journal, entry)


class _Entry:
    """A call under way."""

    def __init__(self, op: str, transport: str, namespace: str, ids: Sequence[str], size_bytes: int) -> None:
        self.op, self.transport, self.namespace = op, transport, namespace
        self.vectors, self.size_bytes = len(ids), size_bytes
        self.index = ""
        self.at, self.started = time.time(), time.perf_counter()


class _Journalled:
    """Writes the call into the journal when it ends, however it ends."""

    def __init__(self, target: journal.Journal, entry: _Entry) -> None:
        self._journal, self._entry = target, entry

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        entry = self._entry
        self._journal.add(
            journal.Call(
                time=entry.at,
                milliseconds=round((time.perf_counter() - entry.started) * 1000, 3),
                transport=entry.transport,
                op=entry.op,
                index=entry.index,
                namespace=entry.namespace,
                vectors=entry.vectors,
                bytes=entry.size_bytes,
                status=_status(error),
                message="" if error is None else str(error),
            )
        )


def _status(error: BaseException | None) -> str:
    if error is None:
        return "OK"
    if isinstance(error, errors.ApiError):
        return error.code.name
    if isinstance(error, faults.ConnectionResetFault):
        return "reset"
    return "cancelled" if type(error).__name__ == "CancelledError" else "INTERNAL"
