"""DynamoDB and S3 in memory: what is written is watched, and answers get lost."""

import asyncio
import email.utils
import io
from collections.abc import Callable, Iterator
from typing import Any

from botocore import exceptions

from services.indexer.ledger import items
from services.indexer.storage import clock, memory, table
from services.ingest import failures, sources
from services.ingest.sources import memory as memory_source
from services.runtime import errors
from tests.simulation import loop as loops
from tests.simulation.network import Network


class Watched(memory.MemoryTable):
    """The ledger's table, which notices what must never be written."""

    def __init__(
        self,
        network: Network,
        broken: list[str],
        on_status: Callable[[str, str], None],
        on_settled: Callable[[str, int, dict[str, Any]], None],
    ) -> None:
        super().__init__(network.pause)
        self._broken = broken
        self._on_status = on_status
        self._on_settled = on_settled
        # The fence of the task's turn when each chunk was settled.
        self.settled_under: dict[tuple[str, int], int] = {}
        # Manifests that were made void at some time, or begun when an older release had had the turn already.
        self.voided: set[str] = set()
        # Of each turn, who had it under which fence.
        self.holders: dict[str, list[tuple[int, str]]] = {}

    def _apply(self, write: table.Put | table.Update) -> None:
        old = self.items.get(write.key, {})
        status, outcomes, version = old.get("status"), dict(old.get("c", {})), old.get("version", 0)
        super()._apply(write)
        new = self.items[write.key]
        if status in items.TERMINAL and new["status"] != status:
            self._broken.append(f"{write.key} was {status} and became {new['status']}")
        if new.get("kind") == "manifest" and 0 < version < new["version"] and "uri" not in new:
            self.voided.add(write.key)
        if new.get("kind") == "manifest" and not version and new["opened_fence"] > 1:
            self.voided.add(write.key)
        if new.get("status") != status:
            self._on_status(write.key, str(new["status"]))
        for chunk in new.get("c", {}).keys() - outcomes.keys():
            self.settled_under[new["task"], int(chunk)] = self.items[new["task"]].get("fence", 0)
            self._on_settled(new["task"], int(chunk), new["c"][chunk])
        if new.get("kind") == "turn" and new["fence"] != old.get("fence"):
            self.holders.setdefault(write.key, []).append((new["fence"], new["holder"]))
        changed = [chunk for chunk, outcome in outcomes.items() if new["c"].get(chunk) != outcome]
        if changed:
            self._broken.append(f"{write.key}: the outcomes of {changed} changed")


class Table:
    """One indexer's way to the table. As `aws.Caller` does, it repeats a call whose answer was lost; not for ever.

    A transaction's token is the same on every attempt, so that the table carries it out once.
    """

    def __init__(self, shared: Watched, process: loops.Process, network: Network, watch: clock.Clock) -> None:
        self._shared = shared
        self._process = process
        self._network = network
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._shared, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            result, done = None, False
            for _ in range(3):
                if not self._process.alive:
                    await loops.for_ever()
                sent = self._watch.wall()
                if self._network.reaches(self._process, "dynamodb"):
                    if not (done and name == "transact"):
                        result, done = await operation(*arguments, **named), True
                    if not self._network.happens(self._network.weather.table_loses):
                        if self._process.clock_off:
                            now = asyncio.get_running_loop().time()
                            self._watch.observe(email.utils.formatdate(now, usegmt=True), sent)
                        return result
                if self._network.happens(0.3):
                    break
                await asyncio.sleep(0.5)
            raise errors.Unavailable("The ledger's table does not answer.")

        return call


class Caller:
    """An indexer's `aws.Caller` for S3."""

    def __init__(self, process: loops.Process, network: Network) -> None:
        self._process = process
        self._network = network

    async def call(self, method: Any, **arguments: Any) -> Any:
        if not self._process.alive:
            await loops.for_ever()
        await self._network.pause()
        if self._network.happens(self._network.weather.s3_fails):
            raise errors.Unavailable("S3 does not answer.")
        return method(**arguments)


class Bucket:
    """The objects, and a boto3 client for one process."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def client(self, process: loops.Process, network: Network | None = None) -> "Client":
        """Without a network it never fails: somebody else lets it."""
        return Client(self.objects, process, network)


class Client:
    """The calls of boto3 that the services make."""

    def __init__(self, objects: dict[str, bytes], process: loops.Process, network: Network | None) -> None:
        self._objects = objects
        self._process = process
        self._network = network

    def _fate(self) -> None:
        network = self._network
        if not self._process.alive or (network and network.happens(network.weather.s3_fails)):
            raise exceptions.EndpointConnectionError(endpoint_url="memory:")

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        self._fate()
        self._objects[Key] = bytes(Body)
        return {"ETag": "e"}

    def upload_file(self, path: str, bucket: str, key: str) -> None:
        self._fate()
        with open(path, "rb") as file:
            self._objects[key] = file.read()

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self._fate()
        if Key not in self._objects:
            answer: Any = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise exceptions.ClientError(answer, "GetObject")
        return {"Body": io.BytesIO(self._objects[Key]), "ResponseMetadata": {"HTTPStatusCode": 200}}

    def get_paginator(self, _name: str) -> "Client":
        return self

    def paginate(self, *, Prefix: str, Delimiter: str = "", **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        self._fate()
        if not Delimiter:
            yield {"Contents": [{"Key": name} for name in sorted(self._objects) if name.startswith(Prefix)]}
            return
        below = {name[len(Prefix) :].partition(Delimiter)[0] for name in self._objects if name.startswith(Prefix)}
        yield {"CommonPrefixes": [{"Prefix": f"{Prefix}{name}{Delimiter}"} for name in sorted(below)]}


class Source(memory_source.MemorySource):
    """A file, under a name."""

    def __init__(self, name: str, data: bytes, network: Network) -> None:
        super().__init__(data)
        self._name = name
        self._network = network

    def pin(self) -> sources.Pinned:
        self._fate()
        return sources.Pinned(uri=f"memory:{self._name}", etag=self._etag(), size_bytes=len(self.data))

    def open(self, pinned: sources.Pinned, offset: int = 0) -> memory_source.MemoryStream:
        self._fate()
        return super().open(pinned, offset)

    def _fate(self) -> None:
        if self._network.happens(self._network.weather.s3_fails):
            raise failures.SourceUnavailable("S3 does not answer.")


class Files:
    """Stands in for `finding.Sources`."""

    def __init__(self, files: dict[str, bytes], network: Network) -> None:
        self._files = files
        self._network = network

    def require(self, request: Any) -> None:
        """Anybody may use any."""

    def of_request(self, chosen: Any) -> Source:
        return Source(chosen.s3_key, self._files[chosen.s3_key], self._network)

    def of_pin(self, pinned: sources.Pinned) -> Source:
        name = pinned.uri.removeprefix("memory:")
        return Source(name, self._files[name], self._network)
