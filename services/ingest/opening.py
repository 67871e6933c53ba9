"""A task's source and plan, opened: to split it, or to read rows again."""

import dataclasses
from collections.abc import Collection, Iterator

from services.ingest import finding, ledger_client, options, plan, sources, split, staging


@dataclasses.dataclass(frozen=True)
class Opened:
    """What every chunk of a task is a pure function of."""

    source: sources.Source
    pinned: sources.Pinned
    plan: plan.Plan
    context: split.Context
    pairs: split.Pairs

    def chunks(self, wanted: Collection[int]) -> Iterator[split.Chunk]:
        """Split these chunks, in order. Blocking."""
        return split.split(
            self.source,
            self.pinned,
            self.plan,
            self.context,
            self.pairs,
            first_chunk=min(wanted),
            only=wanted.__contains__,
        )

    def rows(self, first_row: int, count: int) -> Iterator[split.Rebuilt]:
        """Read rows again, with what became of them. Blocking."""
        return split.rebuild(
            self.source, self.pinned, self.plan, self.context, self.pairs, first_row=first_row, rows=count
        )


def opened(
    record: ledger_client.Record,
    made: plan.Plan,
    find: finding.Sources,
    stage: staging.Staging,
    defaults: options.Defaults,
) -> Opened:
    """Open a scanned task."""
    pinned = sources.Pinned.from_proto(record.source)
    context = split.Context(
        task_id=record.task_id,
        options=options.Options.from_request(record.request, defaults),
        source=record.request.data_source,
        s3_key=record.request.s3_key or pinned.display_name,
        processed_at=record.created_at.ToJsonString(),
    )
    return Opened(find.of_pin(pinned), pinned, made, context, stage.pairs(record.plan_uri))
