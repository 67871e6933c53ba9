"""What jobs that look at the index work with."""

import dataclasses
import pathlib
from collections.abc import AsyncIterator

from services.ingest import ledger_client, manifest_client, threads
from services.ingest.driving import lease_watch
from services.ingest.jobs import believing, findings, folder, sampling
from services.ingest.manifest import records, spool
from services.ingest.manifest import store as objects_store


@dataclasses.dataclass(frozen=True)
class Tools:
    """See the module's docstring.

    Args:
        ledger: The ledger.
        manifests: What is known of the index, and the index.
        objects: The line's own bucket.
        believed: Finds a manifest that may be believed.
        buying: Buys vectors again.
        scratch: For temporary files; None: where the system wants them.
        work: Where manifests are read.
    """

    ledger: ledger_client.Ledger
    manifests: manifest_client.Manifests
    objects: objects_store.Store
    believed: believing.Believing
    buying: sampling.Buying
    scratch: pathlib.Path | None
    work: threads.Pool

    async def listed(
        self,
        found: manifest_client.Manifest,
        task_id: str,
        hashes: records.Hashes,
        temporary: pathlib.Path,
        stand: lease_watch.Standing,
    ) -> tuple[spool.Spool, int]:
        """All ids that the index lists of a question, on disk, and how many came; the task pays for it."""
        listed, count = spool.Spool(temporary, "listed"), 0
        async for ids in self.manifests.ids(found.namespace, f"{found.question_id}.", task_id):
            stand.check()
            names = [each.encode() for each in ids]
            listed.add(await self.work.run(spool.unknown, hashes, names), names)
            count += len(names)
        return listed, count

    async def found(self, record: ledger_client.Record) -> AsyncIterator[findings.Finding]:
        """What a task found so far: by itself, then by its chunks."""
        if not record.plan_uri:
            return
        found = await folder.fields_of(self.objects, record.plan_uri)
        async for part in self.work.iterate(findings.read(self.objects, found["findings"])):
            for each in part:
                yield each
        async for each in self.buying.differing(record, found["chunks"]):
            yield each
