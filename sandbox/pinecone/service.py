"""What every data plane call passes through, whichever transport it came by: key, faults, rates, work, journal."""

import time
from collections.abc import Sequence
from typing import Any

from sandbox.pinecone import catalog, errors, faults, journal, operations, rates, units, wire

_WRITES = ("update", "delete")


class Service:
    """The one object that REST and gRPC share."""

    def __init__(
        self,
        indexes: catalog.Catalog,
        limits: rates.Rates,
        api_key: str | None = None,
        month: units.Month | None = None,
    ) -> None:
        """Wire the parts; without `api_key` any key that is not empty will do."""
        self.indexes = indexes
        self.rates = limits
        self.month = month or units.Month()
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

    async def upsert(self, port: int, batch: wire.Upsert, transport: str, version: str) -> dict[str, Any]:
        """Store vectors in the index that is dialled on `port`, asked for by an API version that is served.

        Raises:
            ApiError: The upsert was refused; nothing was stored.
            ConnectionResetFault: The connection is to be dropped.

        """
        entry = _Entry("upsert", transport, batch.namespace, batch.ids, size_bytes=batch.size_bytes, version=version)
        with self._journalled(entry):
            index = self.indexes.on_port(port)
            entry.index = index.settings.name
            rule = self.faults.find("upsert", batch.namespace, batch.ids)
            keep = None
            if rule is not None and rule.kind == "partial":
                keep = len(batch.ids) // 2 if rule.keep is None else rule.keep
            if rule is not None and rule.when == "before":
                await self.faults.apply(rule, batch.ids)
            namespace = catalog.canonical(batch.namespace)
            self.rates.check(rates.Asked("upsert", index.settings.name, namespace, size_bytes=batch.size_bytes))
            self.month.check()
            answer = operations.upsert(index, batch, keep)
            self._count(entry, answer)
            if rule is not None and rule.when == "after":
                await self.faults.apply(rule, batch.ids)
            return answer

    async def call(
        self, port: int, method: str, request: dict[str, Any], transport: str, *, size_bytes: int, version: str
    ) -> dict[str, Any]:
        """Do any other operation; `method` is the RPC's name. Raises what `upsert` raises."""
        op, operation = operations.OPERATIONS[method]
        ids = request.get("ids") or ([request["id"]] if request.get("id") else [])
        name = request.get("namespace") or request.get("name") or ""
        entry = _Entry(op, transport, name, ids, size_bytes=size_bytes, version=version)
        with self._journalled(entry):
            index = self.indexes.on_port(port)
            entry.index = index.settings.name
            rule = self.faults.find(op, entry.namespace, ids)
            if rule is not None and rule.when == "before":
                await self.faults.apply(rule, ids)
            by_filter = op in _WRITES and not ids and not request.get("deleteAll")
            asked = rates.Asked(op, index.settings.name, catalog.canonical(name), records=len(ids), by_filter=by_filter)
            self.rates.check(asked)
            if op in _WRITES:
                self.month.check()
            answer = await operation(index, request)
            self._count(entry, answer)
            if rule is not None and rule.when == "after":
                await self.faults.apply(rule, ids)
            return answer

    def _count(self, entry: "_Entry", answer: dict[str, Any]) -> None:
        entry.write_units, entry.read_units = answer.pop(operations.UNITS, (0, 0))
        self.month.add(entry.write_units)

    async def control_fault(self, op: str, name: str) -> None:
        """Apply the faults to a control plane call."""
        rule = self.faults.find(op, "", [name])
        if rule is not None:
            await self.faults.apply(rule, [name])

    def _journalled(self, entry: "_Entry") -> "_Journalled":
        return _Journalled(self.journal, entry)


class _Entry:
    """A call under way."""

    def __init__(
        self, op: str, transport: str, namespace: str, ids: Sequence[str], *, size_bytes: int, version: str
    ) -> None:
        self.op, self.transport, self.namespace, self.version = op, transport, namespace, version
        self.vectors, self.size_bytes = len(ids), size_bytes
        self.write_units, self.read_units = 0.0, 0.0
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
                write_units=entry.write_units,
                read_units=entry.read_units,
                version=entry.version,
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
