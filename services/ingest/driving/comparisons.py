"""What of a task's rows travels: compared once a turn with what is known to be in the index, stored, and kept to.

Where nothing is known there is nothing to compare: every row travels, written down before it does (`write_ahead`).
Where a turn has no comparison that stands (an older release had it in between, or the manifest was made void in
mid turn), everything travels and nothing is marked: then nothing is believed of the manifest after it either.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import structlog
from vectorline.v1 import ledger_pb2

from services.ingest import failures, ledger_client, manifest_client, threads, warning
from services.ingest.contract import context, rules
from services.ingest.driving import lease_watch, merging, removing, trust
from services.ingest.manifest import comparing, comparison, header, records, runs, standing, store, write_ahead
from services.ingest.planning import plan, scratch
from services.ingest.splitting import early, task_source
from services.runtime import errors, failpoints, stages

log = structlog.get_logger()

COMPARE = stages.Stage("compare")
# Comparisons that a drive begins because the manifest changed under it, before it comes back later.
TRIES = 4


@dataclasses.dataclass(frozen=True)
class Found:
    """What a task's rows came to.

    Args:
        made: The comparison; None: everything travels, unmarked.
        warnings: What was found out about the manifest.
        ahead: Writes down what travels; None: that is in the comparison, or nobody wants to know.
    """

    made: comparison.Comparison | None
    warnings: tuple[warning.Warning, ...] = ()
    ahead: write_ahead.Writer | None = None


class Comparisons:
    """Finds or makes the comparison of a task's turn, and acts on it.

    Args:
        ledger: Settles quiet chunks.
        manifests: What is known of the index.
        objects: Where that lies.
        merger: Merges what another's run has left.
        skips: Rows that are known are skipped. If not, everything travels, unmarked, and nothing is known any more.
        folder: For temporary files.
        work: Where rows are compared.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        manifests: manifest_client.Manifests,
        objects: store.Store,
        merger: merging.Merger,
        *,
        skips: bool,
        folder: pathlib.Path | None,
        work: threads.Pool,
    ) -> None:
        self._skips = skips
        self._ledger = ledger
        self._manifests = manifests
        self._objects = objects
        self._merger = merger
        self._scratch = folder
        self._work = work

    async def witness(self, task: context.Context, folder: pathlib.Path) -> early.Early | None:
        """What judges a task's rows while they are scanned; None: they will not be compared, as far as is known now.

        Args:
            task: Whose rows.
            folder: For a file; the caller removes it.
        """
        if not self._skips:
            return None
        manifest = await self._manifests.of_task(task.task_id)
        mirrors = task_source.mirrors(task)
        if not manifest.uri and not mirrors:
            return None
        return early.Early(task, records.Hashes(manifest.hash_key), folder / "early", held=mirrors)

    async def of(
        self,
        task_id: str,
        opened: task_source.Opened,
        stand: lease_watch.Standing,
        seen: early.Early | None = None,
    ) -> Found:
        """The comparison of a task's turn.

        Args:
            task_id: The task.
            opened: Its rows.
            stand: The turn.
            seen: What its scan saw of its rows.

        Raises:
            failures.Failure: The source or the scratch folder cannot be used; PLAN_UNKNOWN: another row contract.
            errors.Unavailable: Something does not answer now, and the turn waits for it.
            lease_watch.Stopped: The driver must not go on.
        """
        if not self._skips:
            return Found(None)
        told: list[warning.Warning] = []
        for _ in range(TRIES):
            manifest = await self._manifests.of_task(task_id)
            if (manifest.opened_task, manifest.opened_fence) != (task_id, stand.fence):
                log.warning("An older release had a part in this turn: everything travels.", action="unmarked")
                return Found(None, tuple(told))
            if manifest.HasField("pending") and manifest.pending.task_id != task_id:
                await stand.during(self._merger.merge(manifest))
                continue
            kept = manifest.comparison
            if manifest.HasField("comparison") and stands(manifest):
                if (made := await self._loaded(manifest, kept)) is not None:
                    return self._found(manifest, made, told)
                continue
            if manifest.HasField("comparison") and kept.fence == stand.fence:
                log.warning("The manifest changed in mid turn: everything travels.", action="unmarked")
                return Found(None, tuple(told))
            try:
                made = await stand.during(self._compared(manifest, task_id, opened, stand, seen))
            except trust.Distrusted as why:
                told.append(_distrusted(manifest, str(why)))
                await self._manifests.void(manifest, str(why), past=why.past)
                continue
            if made is not None:
                return self._found(manifest, made, told)
        raise lease_watch.Stopped("the manifest changes all the time")

    async def merge_before(self, task_id: str, stand: lease_watch.Standing) -> None:
        """Merge what the task before has left, whose turn this was.

        Raises:
            errors.Unavailable: S3 does not answer now, and the turn waits for it.
            lease_watch.Stopped: The driver must not go on.
        """
        manifest = await self._manifests.of_task(task_id) if self._skips else manifest_client.Manifest()
        if manifest.HasField("pending") and manifest.pending.task_id != task_id:
            await stand.during(self._merger.merge(manifest))

    async def kept(self, task_id: str) -> comparison.Comparison | None:
        """What a task kept to; None: all of it travelled, or that is not known any more."""
        manifest = await self._manifests.of_task(task_id)
        if not manifest.HasField("comparison"):
            return None
        kept = manifest.comparison
        try:
            return await asyncio.to_thread(merging.loaded, self._objects, kept.uri, kept.checksum)
        except (store.Broken, failures.StoreFailure):
            return None

    async def gone(self, task_id: str) -> AsyncIterator[Sequence[str]]:
        """The ids that a task removes, or would, delete by delete; none where it is no mirror, or was never compared.

        Raises:
            errors.NotFound: They were known, and are not kept any more.
            errors.Unavailable: S3 does not answer.
        """
        made = await self.kept(task_id)
        if made is None or made.gone is None:
            return
        try:
            async with contextlib.aclosing(self._work.iterate(removing.chunks(self._objects, made.gone))) as chunks:
                async for chunk in chunks:
                    yield chunk.ids
        except store.Broken as error:
            raise errors.NotFound("The list of these ids is not kept any more.", reason="LIST_EXPIRED") from error

    async def mark(self, made: comparison.Comparison, fence: int) -> None:
        """Before the first row travels: say that the run begins to write.

        Raises:
            lease_watch.Stopped: The manifest changed since the comparison.
        """
        failpoints.hit("ingest.before_mark")
        if not await self._manifests.mark(made.task_id, fence):
            raise lease_watch.Stopped("the manifest changed since the comparison")
        failpoints.hit("ingest.after_mark")

    async def settle_quiet(self, made: comparison.Comparison, fence: int, missing: frozenset[int]) -> frozenset[int]:
        """Settle the missing chunks of which nothing travels; the others."""
        quiet = made.quiet
        shards: dict[int, list[ledger_pb2.QuietChunk]] = {}
        for chunk in sorted(missing):
            if quiet[chunk]:
                found = made.chunks[chunk]
                told = ledger_pb2.QuietChunk(chunk=chunk, skipped=int(found["rows"]), unchanged=int(found["unchanged"]))
                shards.setdefault(chunk // plan.SHARD_CHUNKS, []).append(told)
        for shard, chunks in shards.items():
            await self._ledger.settle_quiet(made.task_id, shard, fence, made.name, chunks)
        return frozenset(chunk for chunk in missing if not quiet[chunk])

    def _found(
        self, manifest: manifest_client.Manifest, made: comparison.Comparison, told: Iterable[warning.Warning]
    ) -> Found:
        hashes = records.Hashes(manifest.hash_key)
        return Found(made, tuple(told), write_ahead.Writer(self._objects, hashes, made) if made.ahead else None)

    async def _loaded(
        self, manifest: manifest_client.Manifest, kept: manifest_client.Kept
    ) -> comparison.Comparison | None:
        """The comparison that the turn keeps to; None: it is gone, and so is what it was about."""
        try:
            made = await asyncio.to_thread(merging.loaded, self._objects, kept.uri, kept.checksum)
        except (store.Broken, failures.StoreFailure) as error:
            await self._manifests.void(manifest, f"a comparison cannot be read: {error}")
            return None
        if made.contract != rules.version():
            raise failures.FileFailure(
                "PLAN_UNKNOWN",
                f"The task's rows were compared by row contract {made.contract}, here is {rules.version()}; submit it "
                "anew.",
            )
        return made

    async def _compared(
        self,
        manifest: manifest_client.Manifest,
        task_id: str,
        opened: task_source.Opened,
        stand: lease_watch.Standing,
        seen: early.Early | None,
    ) -> comparison.Comparison | None:
        """Compare anew, and store it; None: another comparison was stored first."""
        hashes = records.Hashes(manifest.hash_key)
        old = await trust.read(self._manifests, self._objects, manifest)
        if old is not None:
            await trust.placed(self._manifests, manifest, old, task_id)
        force = opened.task.options.mode == "force"
        believed = old is not None and not force
        counted = await trust.counted(self._manifests, manifest, believed=believed, mirrors=opened.mirrors)
        place = store.new_comparison(merging.folder_of(manifest), task_id, stand.fence)
        name = comparing.Run(task_id, stand.fence, manifest.version, rules.version(), place)
        if old is None and not counted.listing:
            every, chunks = opened.plan.rows_total, opened.plan.task_chunks
            return await self._kept(comparing.nothing_known(name, rows_total=every, chunks_total=chunks), counted.look)
        with scratch.folder(self._scratch) as folder:
            listed = None
            if counted.listing:
                listed = standing.Listed(folder, hashes)
                async for ids in self._manifests.ids(manifest.namespace, f"{manifest.question_id}.", task_id):
                    await self._work.run(listed.add, ids)
            task = _Task(opened, hashes, folder, stand, seen)
            try:
                made, sampled = await COMPARE.during(self._joined(task, old, listed, name, force=force))
            except store.Broken as error:
                raise trust.Distrusted(f"it cannot be read: {error}") from error
        await trust.Sample(self._manifests, manifest.namespace, task_id, hashes).check(sampled)
        # Where something is missing, the next comparison lists the ids again, until a merge has put that right.
        look = None if made.missing_rows or made.missed_rows else counted.look
        return await self._kept(made, look)

    async def _joined(
        self,
        task: "_Task",
        old: header.Header | None,
        listed: standing.Listed | None,
        name: comparing.Run,
        *,
        force: bool,
    ) -> tuple[comparison.Comparison, list[comparing.Sampled]]:
        return await self._work.run(stages.helping(task.compare), self._objects, old, listed, name, force=force)

    async def _kept(
        self, made: comparison.Comparison, look: manifest_client.Look | None
    ) -> comparison.Comparison | None:
        data = await self._work.run(made.to_bytes)
        await asyncio.to_thread(self._objects.put, made.name, data)
        failpoints.hit("ingest.before_keep")
        kept = await self._manifests.keep(made, store.checksum_of(data), look)
        log.info("Compared.", action="compared", nothing_known=made.ahead, **dataclasses.asdict(made.counts))
        return made if kept.uri == made.name else None


class _Task:
    """A task's rows, compared in a thread."""

    def __init__(
        self,
        opened: task_source.Opened,
        hashes: records.Hashes,
        folder: pathlib.Path,
        stand: lease_watch.Standing,
        seen: early.Early | None,
    ) -> None:
        self._seen = seen
        self._opened = opened
        self._hashes = hashes
        self._folder = folder
        self._stand = stand

    def compare(
        self,
        objects: store.Store,
        old: header.Header | None,
        listed: standing.Listed | None,
        name: comparing.Run,
        *,
        force: bool,
    ) -> tuple[comparison.Comparison, list[comparing.Sampled]]:
        made = self._opened.plan
        rows = comparing.Rows(self._folder, made.rows_total, made.task_chunks)
        for chunk in self._opened.survey(self._hashes, self._seen):
            self._stand.check()
            rows.add(chunk)
        mirror = self._opened.mirrors
        entries = old.entries(objects, ids=mirror) if old is not None else ()
        return comparing.compare(rows, self._watched(entries), listed, objects, name, force=force, mirror=mirror)

    def _watched(self, entries: Iterable[runs.Block]) -> Iterator[runs.Block]:
        for block in entries:
            self._stand.check()
            yield block


def stands(manifest: manifest_client.Manifest) -> bool:
    """Whether a task's comparison still says what the index holds but for what the task itself has written since."""
    if manifest.HasField("pending"):  # its own: another's was merged before
        return bool(manifest.pending.uri == manifest.comparison.uri)
    return bool(manifest.comparison.version == manifest.version)


def _distrusted(manifest: manifest_client.Manifest, why: str) -> warning.Warning:
    return warning.Warning(
        "manifest_distrusted",
        f"What the line knew of this question in namespace {manifest.namespace!r} is not believed any more, and all "
        f"rows are bought: {why}.",
    )
