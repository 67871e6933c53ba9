"""What a request was billed for is paid by the batches whose texts were in it: all of it, once."""

import pytest

from services.billing import spend
from services.embedder.buying import charging
from services.embedder.buying.pending_batch import PendingBatch, Piece
from services.embedder.openai import answers
from services.embedder.openai import errors as openai_errors
from tests.support import buying, embeddings, virtual_time


def batch(*tokens: int) -> PendingBatch:
    return PendingBatch([f"text {number}" for number in range(len(tokens))], list(tokens), lambda: None)


def pieces(*batches: PendingBatch) -> list[Piece]:
    return [Piece(each, index) for each in batches for index in range(len(each.texts))]


@pytest.mark.parametrize("billed", [1, 7, 30, 31, 1_000_003])
def test_shares_add_up_to_the_last_token(billed: int) -> None:
    one, other = batch(10, 10), batch(7, 3)
    charging.charge(pieces(one, other), billed, [True, True, True, False])
    assert one.paid.tokens + other.paid.tokens == billed
    assert abs(one.paid.tokens - billed * 2 / 3) <= 1
    assert (one.paid.texts_bought, other.paid.texts_bought) == (2, 1)


def test_shares_are_the_counts_where_these_were_exact() -> None:
    one, other = batch(11, 9), batch(7)
    charging.charge(pieces(one, other), 27, [True] * 3)
    assert (one.paid.tokens, other.paid.tokens) == (20, 7)


def test_a_batch_that_left_pays_through_whom_it_left_it_to() -> None:
    gone, told = batch(5, 5), list[spend.Spend]()
    charging.charge(pieces(gone)[:1], 5, [True])
    gone.leave(told.append)
    charging.charge(pieces(gone)[1:], 6, [True])  # its answer was under way
    assert told == [spend.Spend(tokens=5, texts_bought=1), spend.Spend(tokens=6, texts_bought=1)]


def paid_after(*failures: Exception, billed: int | None = 9) -> spend.Spend:
    source = embeddings.FakeEmbeddings()
    source.billed = lambda _texts: billed
    source.script = list(failures)

    async def work() -> spend.Spend:
        async with buying.opened(source) as desk:
            made = desk.batch(["one", "two"])
            await buying.complete(made)
            return made.paid

    return virtual_time.run(work())


def test_what_the_server_says_is_what_was_paid() -> None:
    assert paid_after() == spend.Spend(tokens=9, texts_bought=2)


def test_a_server_that_does_not_say_is_counted_by_the_model() -> None:
    assert paid_after(billed=None) == spend.Spend(tokens=2, texts_bought=2)


def test_an_answer_that_never_came_may_have_been_billed() -> None:
    assert paid_after(openai_errors.Unanswered("reset")) == spend.Spend(tokens=9, tokens_doubtful=2, texts_bought=2)
    assert paid_after(openai_errors.Failed("HTTP 503")) == spend.Spend(tokens=9, texts_bought=2)


def test_an_answer_that_is_half_of_use_was_billed_whole() -> None:
    half = openai_errors.Partial("NaN", [embeddings.vector("one"), None], tokens=5)
    assert paid_after(half) == spend.Spend(tokens=14, texts_bought=2)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ('{"prompt_tokens": 8, "total_tokens": 8}', 8),
        ('{"prompt_tokens": 8}', 8),
        ('{"prompt_tokens": 0, "total_tokens": 0}', None),
        ("null", None),
        ('"8"', None),
    ],
)
def test_an_answers_usage_is_read_where_it_is_one(usage: str, tokens: int | None) -> None:
    decoder = answers.Decoder(1, 1)
    decoder.feed(b'{"data": [{"index": 0, "embedding": "AACAPw=="}], "usage": ' + usage.encode() + b"}")
    assert decoder.finish().tokens == tokens
