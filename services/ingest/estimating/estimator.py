"""Answers estimates: finds or stages the source, counts in a thread, asks the ledger about the namespace."""

import asyncio
import contextlib
import pathlib
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator

import structlog
from vectorline.v1 import ingest_pb2

from services.ingest import failures, ledger_client, sources
from services.ingest.estimating import estimate
from services.ingest.request import options
from services.ingest.sources import named
from services.ingest.sources.metabase import export as metabase_export
from services.runtime import errors

log = structlog.get_logger()

# Each is a thread that computes all the time: more of them would only make the tasks of this process late.
AT_ONCE = 2


class Estimator:
    """Makes estimates; nothing is bought, and nothing written but the export of a question.

    Args:
        find: Finds sources.
        asked: Stages questions.
        ledger: Knows what namespaces hold.
        terms: What buying costs.
        seconds: An estimate that takes longer is refused.
        scratch: For the scan's temporary files.
    """

    def __init__(
        self,
        find: named.Sources,
        asked: metabase_export.Questions,
        ledger: ledger_client.Ledger,
        *,
        terms: estimate.Terms,
        seconds: float,
        scratch: pathlib.Path | None,
    ) -> None:
        self._sources = find
        self._questions = asked
        self._ledger = ledger
        self._terms = terms
        self._seconds = seconds
        self._scratch = scratch
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def of(
        self, chosen: options.Options, pinned: sources.Pinned | None, owner: str
    ) -> ingest_pb2.EstimateResponse:
        """The estimate of a request.

        Args:
            chosen: The request.
            pinned: Its source, if that is pinned already (an upload).
            owner: Who may use what is staged for it.

        Raises:
            errors.InvalidArgument: The source is none that a task could load; its reason is the task's.
            errors.NotFound: There is no such source.
            errors.Conflict: It changed meanwhile.
            errors.Unavailable: Something does not answer now.
        """
        upload_id = chosen.upload_id
        with _told(upload_id if pinned else ""):
            try:
                async with asyncio.timeout(self._seconds), self._slots:
                    if pinned is None and chosen.data_source == "metabase":
                        upload_id = str(uuid.uuid4())
                        pinned = await self._questions.stage(chosen, upload_id, owner, patient=False)
                    found = await self._counted(chosen, pinned)
            except TimeoutError as error:
                raise errors.InvalidArgument(
                    f"The source cannot be counted within {self._seconds:g} s; process it without an estimate, or "
                    "estimate a part of it.",
                    reason="ESTIMATE_TOO_LONG",
                    metadata={"upload_id": upload_id} if upload_id else {},
                ) from error
        answer = _answer(found, self._terms)
        answer.namespace_check.CopyFrom(await self._check(chosen.namespace))
        if upload_id:
            answer.upload_id = upload_id
        log.info("Estimated.", action="estimated", rows=answer.rows, tokens=answer.tokens)
        return answer

    async def _counted(self, chosen: options.Options, pinned: sources.Pinned | None) -> estimate.Estimate:
        """Count in a thread, which ends soon after this call was given up."""
        given_up = threading.Event()

        def check(_progress: object) -> None:
            if given_up.is_set():
                raise _GivenUp

        def count() -> estimate.Estimate:
            source = self._sources.of_pin(pinned) if pinned else self._sources.of_request(chosen)
            with tempfile.TemporaryDirectory(prefix="vectorline-", dir=self._scratch) as folder:
                return estimate.estimate(
                    source, pinned or source.pin(), chosen, pathlib.Path(folder), terms=self._terms, check=check
                )

        began = time.monotonic()
        try:
            found = await asyncio.to_thread(count)
        finally:
            given_up.set()
        if chosen.data_source == "metabase":
            self._questions.check_rows(found.plan.rows_total)
        log.info("Counted.", action="counted", seconds=round(time.monotonic() - began, 3))
        return found

    async def _check(self, namespace: str) -> ingest_pb2.NamespaceCheck:
        held = await self._ledger.check_namespace(namespace, self._terms.model, self._terms.dimension)
        return ingest_pb2.NamespaceCheck(
            namespace=namespace,
            holds_model=held.model,
            holds_dimension=held.dimension,
            index_dimension=held.index_dimension,
            dimension=self._terms.dimension or held.index_dimension,
            problem=held.problem,
        )


class _GivenUp(Exception):
    """Nobody waits for the count any more."""


@contextlib.contextmanager
def _told(upload_id: str) -> Iterator[None]:
    """Tell the caller what a task would have failed with; a file that was stored can be tried again by its id."""
    try:
        yield
    except failures.Failure as failure:
        metadata = {"upload_id": upload_id} if upload_id else {}
        raise _refusal(failure)(failure.message, reason=failure.reason, metadata=metadata) from failure
    except failures.SourceUnavailable as error:
        raise errors.Unavailable(error.message, reason="SOURCE_UNAVAILABLE", retry_seconds=5.0) from error


def _refusal(failure: failures.Failure) -> type[errors.ServiceError]:
    known: dict[str, type[errors.ServiceError]] = {
        "SOURCE_NOT_FOUND": errors.NotFound,
        "SOURCE_CHANGED": errors.Conflict,
        metabase_export.UNAVAILABLE: errors.Unavailable,
    }
    return known.get(failure.reason, errors.InvalidArgument)


def _answer(found: estimate.Estimate, terms: estimate.Terms) -> ingest_pb2.EstimateResponse:
    made = found.plan
    return ingest_pb2.EstimateResponse(
        rows=made.rows_total,
        usable=found.usable,
        skipped=found.skipped,
        rejected=found.rejected,
        rejects=[_group(reason, group) for reason, group in found.rejects.items()],
        tokens=found.tokens,
        billed_tokens=found.billed_tokens,
        price_usd=terms.price(found.billed_tokens),
        tokens_per_text=ingest_pb2.TokenProfile(
            min=found.profile.min,
            median=found.profile.median,
            p95=found.profile.p95,
            max=found.profile.max,
            mean=found.profile.mean,
        ),
        requests=found.requests,
        duration_seconds=terms.seconds(found.requests, found.billed_tokens),
        chunks=made.chunks_total,
        model=terms.model,
        encoding=made.dialect.encoding,
        delimiter=made.dialect.delimiter,
        newline=made.dialect.newline,
        gzip=made.dialect.gzip,
        columns=[ingest_pb2.Column(name=name, type=kind) for name, kind in zip(made.columns, made.types, strict=True)],
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        warnings=[each.to_proto() for each in found.warnings],
        encoding_guessed=made.dialect.encoding_guessed,
        quoting=made.dialect.quoting,
    )


def _group(reason: str, group: estimate.Rejects) -> ingest_pb2.RejectGroup:
    samples = [
        ingest_pb2.RejectSample(row_number=number, reason=reason, message=message) for number, message in group.samples
    ]
    return ingest_pb2.RejectGroup(reason=reason, rows=group.rows, samples=samples)
