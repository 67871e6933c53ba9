"""A task's source and plan, opened: to split it, or to read rows again."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator

from services.ingest import ledger_client, sources
from services.ingest.contract import context
from services.ingest.manifest import comparing, records
from services.ingest.planning import duplicates, plan, shelf
from services.ingest.request import options
from services.ingest.sources import named
from services.ingest.splitting import early, reread, split, survey


@dataclasses.dataclass(frozen=True)
class Opened:
    """What every chunk of a task is a pure function of."""

    source: sources.Source
    pinned: sources.Pinned
    plan: plan.Plan
    task: context.Context
    pairs: duplicates.Slices
    # Says which rows do not travel; None: all do.
    unchanged: split.Unchanged | None = None
    # The rows that travel are hashed, so that they can be written down.
    hashes: records.Hashes | None = None

    def chunks(self, wanted: Collection[int]) -> Iterator[split.Chunk]:
        """Split these chunks of the task, in order. Blocking."""
        chosen = self.plan.selected
        numbers = {self.source_chunk(number): number for number in wanted}
        found = split.split(
            self.source,
            self.pinned,
            self.plan,
            self.task,
            self.pairs,
            first_chunk=min(numbers),
            only=numbers.__contains__,
            unchanged=self.unchanged,
            hashes=self.hashes,
        )
        if chosen is None:
            return found
        return (dataclasses.replace(chunk, number=numbers[chunk.number]) for chunk in found)

    @property
    def mirrors(self) -> bool:
        """Whether what its file does not hold is to be removed; a retry's rows are not all of a file."""
        return mirrors(self.task) and self.plan.selected is None

    def survey(self, hashes: records.Hashes, seen: early.Early | None = None) -> Iterator[comparing.Surveyed]:
        """Judge every row of the task, chunk by chunk, for a comparison; but for what was `seen` early. Blocking."""
        if seen is not None and seen.hashes == hashes:
            return seen.chunks(lambda wanted: self._surveyed(hashes, wanted))
        chosen = self.plan.selected
        if chosen is None:
            return self._surveyed(hashes, None)
        numbers = chosen.by_source_chunk
        found = self._surveyed(hashes, numbers.__contains__)
        return (chunk._replace(number=numbers[chunk.number]) for chunk in found)

    def _surveyed(self, hashes: records.Hashes, only: Callable[[int], bool] | None) -> Iterator[comparing.Surveyed]:
        given = self.source, self.pinned, self.plan, self.task, self.pairs
        return survey.survey(*given, hashes=hashes, held=self.mirrors, only=only)

    def compared(self, unchanged: split.Unchanged, *, replaced_known: bool) -> "Opened":
        """The same once it is known which rows do not travel, and perhaps what the others replace."""
        task = dataclasses.replace(self.task, replaced_known=replaced_known)
        return dataclasses.replace(self, task=task, unchanged=unchanged)

    def hashed(self, hashes: records.Hashes) -> "Opened":
        """The same where rows are written down before they travel."""
        return dataclasses.replace(self, hashes=hashes)

    def source_chunk(self, number: int) -> int:
        """The source's number of a chunk of the task."""
        return number if self.plan.selected is None else self.plan.selected.source_chunk(number)

    def rows_of_chunk(self, number: int, first_row: int, rows: int) -> Iterable[int]:
        """The rows of a chunk of the task, which begins at `first_row`."""
        if self.plan.selected is not None:
            return self.plan.selected.rows_of(number)
        return range(first_row, first_row + rows)

    def rereading(self) -> reread.Reread:
        """Reads rows again, with what became of them; to be closed."""
        return reread.Reread(self.source, self.pinned, self.plan, self.task, self.pairs, unchanged=self.unchanged)


def opened(
    record: ledger_client.Record,
    made: plan.Plan,
    find: named.Sources,
    plans: shelf.Shelf,
    defaults: options.Defaults,
) -> Opened:
    """Open a scanned task."""
    pinned = sources.Pinned.from_proto(record.source)
    task = context_of(record, pinned, options.Options.from_request(record.request, defaults))
    return Opened(find.of_pin(pinned), pinned, made, task, plans.pairs(record.plan_uri))


def context_of(record: ledger_client.Record, pinned: sources.Pinned, chosen: options.Options) -> context.Context:
    """What the rows of a task know of it."""
    return context.Context(
        task_id=record.task_id,
        options=chosen,
        source=record.request.data_source,
        s3_key=record.request.s3_key or pinned.display_name,
        processed_at=record.created_at.ToDatetime().strftime(context.TIME_FORMAT),
        replaces_nothing=record.replaces_nothing,
    )


def mirrors(task: context.Context) -> bool:
    """Whether what a task's file does not hold is to be removed."""
    return task.options.mode == "mirror"
