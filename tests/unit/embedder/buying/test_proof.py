"""Whose fault is a refusal? No row fails for the account, no account is blocked for a row, whoever asks."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from services.embedder.buying import interactive, packing, pending_batch, proof
from services.embedder.buying.pending_batch import Reason
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from services.runtime import errors
from tests.support import embeddings, virtual_time
from tests.support.buying import Buying, assert_delivered, complete, opened

SMALL = packing.RequestSize(100, 100_000)


def probes(source: embeddings.FakeEmbeddings) -> int:
    return sum(texts == [openai_client.PROBE_TEXT] for _, texts in source.requests)


def searching(buying: Buying) -> interactive.Interactive:
    return interactive.Interactive(buying.source, buying.permits, buying.limiter)


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: openai_errors.Refused("HTTP 400: Budget has been exceeded!"),
        lambda: openai_errors.Refused("HTTP 400: API key not valid. Please pass a valid API key."),
        lambda: openai_errors.Refused("HTTP 403: Forbidden"),
        lambda: openai_errors.TooLarge("HTTP 413: No room for any batch."),
    ],
)
def test_a_refusal_of_everything_after_much_was_bought_fails_no_row(refusal: Callable[[], Exception]) -> None:
    """Row 300 of 1,000 is bought, the budget runs out: 700 rows were rejected, 2,000 requests spent on it."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        async with opened(source, rate=5.0, pack=SMALL) as buying:
            first = buying.batch([f"good {number}" for number in range(300)])
            await complete(first)
            asked = len(source.requests)
            source.rule = lambda texts: refusal()
            rest = [buying.batch([f"{each} {number}" for number in range(100)]) for each in range(7)]
            await complete(*rest)
            assert not any(batch.refusals for batch in rest)
            assert all(batch.dropped is not None and batch.dropped.reason is Reason.ACCOUNT_REFUSED for batch in rest)
            assert str(refusal()) in await buying.limiter.blocked()
            # One said to be too large is first made smaller, down to one text, by each of the seven.
            assert len(source.requests) - asked <= (60 if isinstance(refusal(), openai_errors.TooLarge) else 15)

    virtual_time.run(work())


def test_a_403_about_one_text_is_no_account() -> None:
    """A web firewall that disliked one row stood the whole line still for a minute, again and again."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.rule = lambda texts: openai_errors.Refused("HTTP 403: Forbidden") if "<script>" in texts else None
        async with opened(source, rate=5.0, pack=SMALL) as buying:
            batches = [buying.batch([f"{tenant} {number}" for number in range(50)]) for tenant in range(5)]
            bad = buying.batch(["before", "<script>", "after"])
            await complete(*batches, bad)
            assert await buying.limiter.blocked() == ""
            for batch in [*batches, bad]:
                assert batch.dropped is None
                assert_delivered(batch)
            assert {bad.texts[index] for index in bad.refusals} == {"<script>"}

    virtual_time.run(work())


def test_a_refusal_is_pinned_only_on_what_was_bought_after_it_began() -> None:
    """Purchases from before the refusal say nothing of now."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        async with opened(source) as buying:
            await complete(buying.batch(["good"]))
            assert probes(source) == 0
            source.bad_texts = {"bad"}
            batch = buying.batch(["bad"])
            await complete(batch)
            assert probes(source) == 1
            assert batch.refusals[0].reason == pending_batch.REFUSED
            assert_delivered(batch)

    virtual_time.run(work())


def test_what_others_bought_meanwhile_is_proof_enough() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        async with opened(source, pack=packing.RequestSize(1, 100)) as buying:
            source.bad_texts = {"bad"}
            source.seconds = 2.0
            bad = buying.batch(["bad"])
            await asyncio.sleep(1.0)
            source.seconds = 0.1
            await complete(bad, buying.batch(["good"]))
            assert probes(source) == 0
            assert bad.refusals

    virtual_time.run(work())


@pytest.mark.parametrize(
    "failure", [openai_errors.Failed("HTTP 503"), openai_errors.Throttled(5.0, tokens_exceeded=False)]
)
def test_where_nobody_can_tell_the_text_waits(failure: Exception) -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        down = True

        def rule(texts: Sequence[str]) -> Exception | None:
            if "bad" in texts:
                return openai_errors.Refused("HTTP 400")
            return failure if down else None

        source.rule = rule
        async with opened(source) as buying:
            batch = buying.batch(["bad"])
            with pytest.raises(TimeoutError):
                await complete(batch, seconds=300)
            assert not batch.refusals
            assert batch.dropped is None
            down = False
            await complete(batch)
            assert batch.refusals

    virtual_time.run(work())


def test_a_search_never_blocks_the_line_for_its_text() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.rule = lambda texts: openai_errors.Refused("HTTP 403: Forbidden") if "<script>" in texts else None
        async with opened(source) as buying:
            with pytest.raises(errors.InvalidArgument, match="refuses the text: HTTP 403"):
                await searching(buying).embed(["<script>"])
            assert await buying.limiter.blocked() == ""
            await complete(buying.batch(["a row"]))

    virtual_time.run(work())


def test_a_search_that_finds_everything_refused_spares_the_rows_the_same() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.rule = lambda texts: openai_errors.Refused("HTTP 400: API key not valid.")
        async with opened(source) as buying:
            with pytest.raises(errors.Unavailable) as caught:
                await searching(buying).embed(["a question"])
            assert caught.value.reason == "ACCOUNT_REFUSED"
            assert "API key not valid" in await buying.limiter.blocked()

    virtual_time.run(work())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (openai_errors.Refused("HTTP 400: no"), "Every text is refused: HTTP 400"),
        (openai_errors.WrongWidth("Embeddings of 3 values came"), "EMBEDDING_DIMENSIONS"),
        (openai_errors.Invalid("a page of HTML"), "No answer holds embeddings: a page of HTML"),
    ],
)
def test_a_server_that_never_answers_with_embeddings_is_the_accounts_affair(answer: Exception, words: str) -> None:
    """It was asked, and paid, for ever."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.rule = lambda texts: answer
        async with opened(source, rate=5.0) as buying:
            batch = buying.batch(["one", "two"])
            await complete(batch)
            assert not batch.refusals
            assert words in await buying.limiter.blocked()
            assert len(source.requests) <= 4 + proof.PROBES

    virtual_time.run(work())


def test_one_strange_answer_to_the_probe_blocks_nothing() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Invalid("a page of HTML")] * 4
        async with opened(source) as buying:
            batch = buying.batch(["text"])
            await complete(batch)
            assert_delivered(batch)
            assert batch.dropped is None
            assert await buying.limiter.blocked() == ""

    virtual_time.run(work())


def test_a_probe_finds_out_one_parameter_after_the_other() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Adapted("without base64"), openai_errors.Adapted("without dimensions")]
        permits = 0

        async def permit() -> None:
            nonlocal permits
            permits += 1

        await proof.probe(source, permit)  # type: ignore[arg-type]
        assert permits == 3, "each request has a permit of its own"
        source.rule = lambda texts: openai_errors.Adapted("again")
        with pytest.raises(openai_errors.Failed):
            await proof.probe(source, permit)  # type: ignore[arg-type]

    virtual_time.run(work())
