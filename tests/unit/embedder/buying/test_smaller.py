"""Nothing is tried for ever at one size: requests become smaller without blame, a lone text is given up in the end."""

import asyncio
from collections.abc import Sequence

import pytest

from services.embedder.buying import packing, pending_batch, request_attempts, trials
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from tests.support import embeddings, virtual_time
from tests.support.buying import assert_delivered, complete, opened

FULL = packing.RequestSize(2_048, 300_000)


def rows(count: int, name: str = "row") -> list[str]:
    return [f"{name} {number}" for number in range(count)]


@pytest.mark.parametrize("most", [1, 10, 32, 96, 100, 1_000])
@pytest.mark.parametrize("named", [True, False])
def test_the_size_that_a_server_takes_is_learned_and_kept_to(most: int, named: bool) -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)

        def rule(texts: Sequence[str]) -> Exception | None:
            limit = most if named else 0
            return openai_errors.TooLarge("HTTP 413: too many", inputs=limit) if len(texts) > most else None

        source.rule = rule
        async with opened(source, pack=FULL) as buying:
            first = buying.batch(rows(2_000, "first"))
            await complete(first)
            refused = len(source.requests)
            second = buying.batch(rows(2_000, "second"))
            await complete(second)
            for batch in (first, second):
                assert not batch.refusals
                assert_delivered(batch)
            assert sorted(source.bought) == sorted([*first.texts, *second.texts]), "nothing is paid twice"
            sizes = [len(texts) for _, texts in source.requests[refused:]]
            assert max(sizes) <= most, "packing keeps to what was learned"
            if named:
                assert len(source.requests) <= 2 * -(-2_000 // most) + 2
            else:
                assert min(max(sizes), most) > most / 2 - 1

    virtual_time.run(work())


def test_what_one_half_found_out_the_other_need_not() -> None:
    """Requests over 64 texts time out: each larger part was waited for in vain, whatever its neighbours had shown."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        source.rule = lambda texts: openai_errors.TimedOut("no answer") if len(texts) > 64 else None
        async with opened(source, pack=FULL) as buying:
            batch = buying.batch(rows(1_000))
            await complete(batch)
            assert not batch.refusals
            in_vain = [len(texts) for _, texts in source.requests if len(texts) > 64]
            assert in_vain == [1_000, 500, 250, 125, 125]

    virtual_time.run(work())


def test_what_was_learned_is_tried_again_after_a_while() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        most = 100
        source.rule = lambda texts: openai_errors.TooLarge("no", inputs=most) if len(texts) > most else None
        async with opened(source, pack=FULL) as buying:
            await complete(buying.batch(rows(1_000)))
            most = 10_000
            await asyncio.sleep(6 * 600)
            begun = len(source.requests)
            await complete(buying.batch(rows(2_000, "later")))
            assert [len(texts) for _, texts in source.requests[begun:]] == [2_000]

    virtual_time.run(work())


def test_a_request_that_a_429_calls_too_large_is_made_smaller_at_once() -> None:
    """1,000 texts of 100 tokens against 40,000 a minute: 577 requests in 24 hours, nothing bought."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()

        def rule(texts: Sequence[str]) -> Exception | None:
            asked = 100 * len(texts)
            if asked <= 40_000:
                return None
            return openai_errors.Throttled(1.0, tokens_exceeded=True, limit_per_minute=40_000, excess=asked / 40_000)

        source.rule = rule
        async with opened(source, pack=FULL) as buying:
            batch = buying.batch(rows(1_000))
            batch.tokens[:] = [100] * 1_000
            await complete(batch, seconds=600)
            assert_delivered(batch)
            assert len(source.requests) - len([1 for _, texts in source.requests if len(texts) <= 13]) == 1

    virtual_time.run(work())


def test_a_text_that_alone_is_over_the_limit_is_given_up() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        too_large = openai_errors.Throttled(1.0, tokens_exceeded=True, limit_per_minute=1_000, excess=2.0)
        source.rule = lambda texts: too_large if "huge" in texts else None
        async with opened(source, pack=FULL) as buying:
            batch = buying.batch(["a", "huge", "b"])
            await complete(batch)
            assert {batch.texts[n]: each.reason for n, each in batch.refusals.items()} == {
                "huge": pending_batch.UNUSABLE
            }
            assert_delivered(batch)

    virtual_time.run(work())


def test_a_request_that_takes_too_long_is_made_smaller_and_the_size_remembered() -> None:
    """A model that needs 70 s for 2,048 texts was asked for the same 2,048 for ever, and worked each time."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=1.0)
        source.rule = lambda texts: openai_errors.TimedOut("No answer within 60 s.") if len(texts) > 500 else None
        async with opened(source, pack=FULL) as buying:
            batches = [buying.batch(rows(2_000, str(number))) for number in range(10)]
            await complete(*batches, seconds=600)
            for batch in batches:
                assert not batch.refusals
                assert_delivered(batch)
            slow = [tuple(texts) for _, texts in source.requests if len(texts) > 500]
            assert len(slow) == len(set(slow)), "what was too slow once is not asked again as it was"
            begun = len(source.requests)
            last = buying.batch(rows(2_000, "last"))
            await complete(last)
            assert max(len(texts) for _, texts in source.requests[begun:]) <= 500

    virtual_time.run(work())


def test_one_timeout_makes_no_later_request_smaller() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        async with opened(source, pack=FULL) as buying:
            source.script = [openai_errors.TimedOut("No answer within 60 s.")]
            await complete(buying.batch(rows(2_000)))
            begun = len(source.requests)
            await complete(buying.batch(rows(2_000, "later")))
            assert [len(texts) for _, texts in source.requests[begun:]] == [2_000]

    virtual_time.run(work())


def test_in_an_outage_requests_keep_their_size_and_nothing_is_given_up() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.TimedOut("No answer within 60 s.")
        async with opened(source, pack=FULL) as buying:
            batches = [buying.batch(rows(2_000)), buying.batch(["alone"])]
            await asyncio.sleep(3_600)
            assert not source.bought
            source.refusal = None
            begun = len(source.requests)
            await complete(*batches, seconds=60)
            assert len(source.requests) - begun <= 4
            assert not any(batch.refusals for batch in batches)

    virtual_time.run(work())


@pytest.mark.parametrize("failure", [openai_errors.Failed("HTTP 500: NaN"), openai_errors.Invalid("0 embeddings came")])
def test_a_text_that_always_fails_is_given_up_after_bounded_tries(failure: Exception) -> None:
    """430 requests in an hour, and 0 of 300 of another task's texts that shared the request."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.rule = lambda texts: failure if "bad" in texts else None
        async with opened(source, pack=FULL) as buying:
            batch, neighbour = buying.batch([*rows(300), "bad"]), buying.batch(rows(300, "other task"))
            await complete(batch, neighbour, seconds=300)
            assert_delivered(batch)
            assert_delivered(neighbour)
            assert not neighbour.refusals
            ((index, refusal),) = batch.refusals.items()
            assert batch.texts[index] == "bad"
            assert refusal.reason == pending_batch.UNUSABLE
            assert str(failure) in refusal.words
            asked = sum("bad" in texts for _, texts in source.requests)
            assert asked <= trials.PATIENCE + 2 * 10 + request_attempts.TRIES_ALONE
            assert len(source.requests) <= 80

    virtual_time.run(work())


def test_an_embedding_that_cannot_be_used_costs_its_neighbours_nothing() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()

        def rule(texts: Sequence[str]) -> Exception | None:
            if "bad" not in texts:
                return None
            if len(texts) == 1:
                return openai_errors.Invalid("An embedding holds NaN or infinity.")
            vectors = [None if text == "bad" else embeddings.vector(text) for text in texts]
            return openai_errors.Partial("An embedding holds NaN or infinity.", vectors)

        source.rule = rule
        async with opened(source, pack=FULL) as buying:
            batch = buying.batch([*rows(500), "bad", *rows(500, "more")])
            await complete(batch, seconds=120)
            assert_delivered(batch)
            assert [each.reason for each in batch.refusals.values()] == [pending_batch.UNUSABLE]
            bought = [text for text in source.bought if text != openai_client.PROBE_TEXT]
            assert len(bought) == 1_000, "the neighbours are paid once"
            assert sum("bad" in texts for _, texts in source.requests) <= request_attempts.TRIES_ALONE + 1

    virtual_time.run(work())


def test_bad_texts_never_stop_an_embedder() -> None:
    """With 8 of them, as many as it has slots, 0 of 50 good ones were bought in an hour."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.rule = lambda texts: openai_errors.Failed("HTTP 500") if texts[0].startswith("bad") else None
        async with opened(source, pack=packing.RequestSize(1, 100), in_flight=8) as buying:
            bad = [buying.batch([f"bad {number}"]) for number in range(20)]
            good = [buying.batch([f"good {number}"]) for number in range(50)]
            await complete(*good, seconds=60)
            await complete(*bad, seconds=1_200)
            assert all(batch.refusals for batch in bad)

    virtual_time.run(work())


def test_where_every_other_request_fails_no_text_is_given_up() -> None:
    """Outages never fail rows: here each text fails up to five times in a row by accident."""

    async def work() -> None:
        source = embeddings.FakeEmbeddings(seconds=0.01)
        number = 0

        def rule(texts: Sequence[str]) -> Exception | None:
            nonlocal number
            number += 1
            return openai_errors.Failed("HTTP 500") if number * 7_919 % 97 < 48 else None

        source.rule = rule
        async with opened(source, pack=packing.RequestSize(3, 100)) as buying:
            batches = [buying.batch(rows(3, str(each))) for each in range(60)]
            await complete(*batches, seconds=7_200)
            assert not any(batch.refusals for batch in batches)

    virtual_time.run(work())


def test_failures_of_an_outage_do_not_count_against_a_text_that_fails_once_more_after_it() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.refusal = openai_errors.Failed("HTTP 503")
        async with opened(source) as buying:
            batch = buying.batch(["alone"])
            await asyncio.sleep(600)
            source.refusal = None
            unlucky = 3

            def rule(texts: Sequence[str]) -> Exception | None:
                nonlocal unlucky
                unlucky -= texts == ["alone"]
                return openai_errors.Failed("HTTP 500") if texts == ["alone"] and unlucky >= 0 else None

            source.rule = rule
            await complete(batch)
            assert not batch.refusals
            assert_delivered(batch)

    virtual_time.run(work())


def test_a_request_whose_form_the_server_does_not_take_is_asked_again_at_once() -> None:
    async def work() -> None:
        source = embeddings.FakeEmbeddings()
        source.script = [openai_errors.Adapted("without base64"), openai_errors.Adapted("without dimensions")]
        async with opened(source) as buying:
            began = asyncio.get_running_loop().time()
            await complete(buying.batch(["text"]))
            assert asyncio.get_running_loop().time() - began < 1.0

    virtual_time.run(work())
