"""Servers that nobody here wrote: whatever they do, rows end in the right way, and none for another's fault."""

import asyncio
import base64
import socket
import struct
from typing import Any

import pytest
from aiohttp import web

from services.embedder.buying import pending_batch
from services.embedder.buying.pending_batch import Reason
from tests.support.buying import complete
from tests.support.strangers import Handler, Stranger, assert_right, buying_from, rows, vector, wrong


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.embedder.buying.trials.RETRY_LONGEST_SECONDS", 0.05)
    monkeypatch.setattr("services.runtime.breaker.FIRST_SECONDS", 0.05)
    monkeypatch.setattr("services.runtime.breaker.LONGEST_SECONDS", 0.1)


async def takes_ten(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    return wrong(400, "Too many.") if len(question["input"]) > 10 else self.good(question)


async def takes_ten_and_says_so(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    if len(question["input"]) > 10:
        return web.json_response({"detail": "batch size must be at most 10"}, status=422)
    return self.good(question)


async def throttles_without_headers(
    self: Stranger, request: web.Request, question: dict[str, Any]
) -> web.StreamResponse:
    self.state["asked"] = self.state.get("asked", 0) + 1
    return web.Response(status=429) if self.state["asked"] % 3 == 1 else self.good(question)


async def names_a_limit(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    asked = 1_000 * len(question["input"])
    return wrong(429, f"Limit 40000, Requested {asked}") if asked > 40_000 else self.good(question)


async def is_slow_with_many(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(5.0 if len(question["input"]) > 64 else 0.0)
    return self.good(question)


async def resets_in_mid_body(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    self.state["asked"] = self.state.get("asked", 0) + 1
    if self.state["asked"] > 3:
        return self.good(question)
    response = web.StreamResponse()
    response.content_length = 100_000
    await response.prepare(request)
    await response.write(b'{"data": [')
    assert request.transport is not None
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
    return response


async def compresses(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    response = self.good(question)
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def shows_pages_of_html(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    self.state["asked"] = self.state.get("asked", 0) + 1
    page = "<html><title>502 Bad Gateway</title></html>"
    return (
        web.Response(status=502, text=page, content_type="text/html")
        if self.state["asked"] <= 3
        else self.good(question)
    )


async def errs_in_a_200(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    self.state["asked"] = self.state.get("asked", 0) + 1
    busy = web.json_response({"error": {"message": "The model is loading", "code": 503}})
    return busy if self.state["asked"] <= 3 else self.good(question)


async def shuffles(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    data = [{"index": n, "embedding": vector(text)} for n, text in enumerate(question["input"])]
    return web.json_response({"data": data[::-1]})


async def mixes_forms(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    packed = [base64.b64encode(struct.pack("<3f", *vector(text))).decode() for text in question["input"]]
    data = [{"embedding": each if n % 2 else vector(question["input"][n])} for n, each in enumerate(packed)]
    return web.json_response({"data": data})


async def refuses_the_format(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    if set(question) - {"model", "input"}:
        return wrong(422, f"Extra inputs are not permitted: {sorted(set(question) - {'model', 'input'})}")
    return self.good(question)


async def refuses_the_format_without_a_word(
    self: Stranger, request: web.Request, question: dict[str, Any]
) -> web.StreamResponse:
    return wrong(400, "Bad request") if set(question) - {"model", "input"} else self.good(question)


async def answers_nothing_to_base64(
    self: Stranger, request: web.Request, question: dict[str, Any]
) -> web.StreamResponse:
    return web.json_response({"data": []}) if "encoding_format" in question else self.good(question)


@pytest.mark.parametrize(
    "handler",
    [
        takes_ten,
        takes_ten_and_says_so,
        throttles_without_headers,
        is_slow_with_many,
        resets_in_mid_body,
        compresses,
        shows_pages_of_html,
        errs_in_a_200,
        shuffles,
        mixes_forms,
        refuses_the_format,
        refuses_the_format_without_a_word,
        answers_nothing_to_base64,
    ],
)
async def test_every_row_is_bought(handler: Handler) -> None:
    async with buying_from(handler) as (buying, _):
        batches = [buying.batch(rows(200, str(number))) for number in range(3)]
        await complete(*batches, seconds=120)
        for batch in batches:
            assert_right(batch)


async def leaves_out_what_is_over_its_limit(
    self: Stranger, request: web.Request, question: dict[str, Any]
) -> web.StreamResponse:
    return self.good({"input": question["input"][:10]})


async def gives_null_for_what_is_over_its_limit(
    self: Stranger, request: web.Request, question: dict[str, Any]
) -> web.StreamResponse:
    data = [{"index": n, "embedding": vector(text) if n < 10 else None} for n, text in enumerate(question["input"])]
    return web.json_response({"data": data})


@pytest.mark.parametrize("handler", [leaves_out_what_is_over_its_limit, gives_null_for_what_is_over_its_limit])
async def test_a_limit_that_is_kept_to_in_silence_is_paid_for_once_or_twice(handler: Handler) -> None:
    async with buying_from(handler) as (buying, stranger):
        batches = [buying.batch(rows(200, str(number))) for number in range(3)]
        await complete(*batches, seconds=120)
        for batch in batches:
            assert_right(batch)
        sent = [len(question["input"]) for question in stranger.questions]
        assert sum(sent) <= 3 * 600
        assert len(sent) <= 100


async def test_what_is_no_answer_is_not_asked_for_again_and_again() -> None:
    """Each of them may have been paid for."""

    async def logs_in(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
        return web.Response(text="<html><title>Sign in to the proxy</title></html>", content_type="text/html")

    async with buying_from(logs_in) as (buying, stranger):
        batch = buying.batch(rows(500))
        await complete(batch, seconds=60)
        assert batch.dropped is not None
        assert batch.dropped.reason is Reason.ACCOUNT_REFUSED
        assert 'It says "Sign in to the proxy"' in await buying.limiter.blocked()
        assert sum(len(question["input"]) for question in stranger.questions) <= 3 * 500


async def test_a_limit_named_in_words_alone_is_kept_to() -> None:
    async with buying_from(names_a_limit) as (buying, stranger):
        buying.limiter._clock = lambda: 1_000 * asyncio.get_running_loop().time()  # a minute's limit in 60 ms
        batch = buying.batch(rows(200))
        batch.tokens[:] = [1_000] * 200
        await complete(batch, seconds=120)
        assert_right(batch)
        assert sum(len(question["input"]) > 40 for question in stranger.questions) == 1


def failing(status: int) -> Handler:
    async def fails_for_one(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
        return wrong(status, "Internal.") if "row 7" in question["input"] else self.good(question)

    return fails_for_one


def useless(embedding: Any) -> Handler:
    async def useless_for_one(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
        data = [
            {"index": n, "embedding": embedding if text == "row 7" else vector(text)}
            for n, text in enumerate(question["input"])
        ]
        return web.json_response({"data": data})

    return useless_for_one


async def leaves_one_out(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    left = [text for text in question["input"] if text != "row 7"]
    return self.good({"input": left})


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (failing(500), pending_batch.UNUSABLE),
        (failing(400), pending_batch.REFUSED),
        (failing(403), pending_batch.REFUSED),
        (failing(413), pending_batch.REFUSED),
        (failing(422), pending_batch.REFUSED),
        (useless(None), pending_batch.UNUSABLE),
        (useless([]), pending_batch.UNUSABLE),
        (useless(""), pending_batch.UNUSABLE),
        (useless([float("nan"), 1.0, 1.0]), pending_batch.UNUSABLE),
        (useless([0.0, 0.0, 0.0]), pending_batch.UNUSABLE),
        (leaves_one_out, pending_batch.UNUSABLE),
    ],
)
async def test_one_text_alone_is_rejected(handler: Handler, reason: str) -> None:
    async with buying_from(handler) as (buying, stranger):
        batch, other = buying.batch(rows(100)), buying.batch(rows(100, "other"))
        await complete(batch, other, seconds=120)
        assert_right(batch, "row 7")
        assert_right(other)
        assert [each.reason for each in batch.refusals.values()] == [reason]
        assert sum("row 7" in question["input"] for question in stranger.questions) <= 40
        assert await buying.limiter.blocked() == ""


async def always(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
    status, words = self.state["answer"]
    return wrong(status, words) if status != 200 else web.Response(text=words, content_type="text/html")


@pytest.mark.parametrize(
    ("status", "words", "told"),
    [
        (400, "Something is wrong with the account", "Something is wrong with the account"),
        (401, "Unauthorized", "HTTP 401 from http://127.0.0.1"),
        (402, "Insufficient Balance", "HTTP 402 from http://127.0.0.1"),
        (403, "Forbidden", "Forbidden"),
        (404, "Not Found", "/v1/embeddings: Not Found"),
        (405, "Method Not Allowed", "HTTP 405"),
        (410, "Gone", "HTTP 410"),
        (501, "This server does not support embeddings. Start it with `--embeddings`", "Start it with"),
        (200, "<html>Please log in</html>", "No answer holds embeddings"),
    ],
)
async def test_what_no_row_can_help_blocks_after_some_were_bought(status: int, words: str, told: str) -> None:
    async def turns(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
        return await always(self, request, question) if "answer" in self.state else self.good(question)

    async with buying_from(turns) as (buying, stranger):
        first = buying.batch(rows(100))
        await complete(first, seconds=60)
        assert_right(first)
        stranger.state["answer"] = (status, words)
        rest = [buying.batch(rows(100, str(number))) for number in range(3)]
        await complete(*rest, seconds=60)
        for batch in rest:
            assert not batch.refusals
            assert batch.dropped is not None
            assert batch.dropped.reason is Reason.ACCOUNT_REFUSED
        assert told in await buying.limiter.blocked()
        assert len(stranger.questions) <= 20


async def test_another_path_blocks_and_names_it() -> None:
    async with buying_from(takes_ten, path="/embeddings") as (buying, _):
        batch = buying.batch(rows(10))
        await complete(batch, seconds=60)
        assert not batch.refusals
        blocked = await buying.limiter.blocked()
        assert "HTTP 404 from http://127.0.0.1" in blocked
        assert "/v1/embeddings" in blocked


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_on_the_same_server_is_followed_once_and_remembered(status: int) -> None:
    async with buying_from(_moved(status, "/v1/embeddings/new"), path="/v1/{path:.*}") as (buying, stranger):
        batches = [buying.batch(rows(10)), buying.batch(rows(10, "more"))]
        await complete(*batches, seconds=60)
        for batch in batches:
            assert_right(batch)
        assert stranger.state["moved"] == 1


@pytest.mark.parametrize(
    ("status", "target"), [(301, "/v1/embeddings/new"), (302, "/login"), (308, "http://localhost:1/v1/embeddings")]
)
async def test_a_redirect_that_would_change_the_question_or_give_the_key_away_blocks(status: int, target: str) -> None:
    async with buying_from(_moved(status, target), path="/v1/{path:.*}") as (buying, stranger):
        batch = buying.batch(rows(10))
        await complete(batch, seconds=60)
        assert not batch.refusals
        blocked = await buying.limiter.blocked()
        assert f"HTTP {status} from" in blocked
        assert target in blocked
        assert "OPENAI_BASE_URL" in blocked
        assert stranger.state["moved"] == 1


def _moved(status: int, target: str) -> Handler:
    async def moved(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
        if request.path == target:
            return self.good(question)
        self.state["moved"] = self.state.get("moved", 0) + 1
        return web.Response(status=status, headers={"Location": target})

    return moved


async def test_a_server_that_hangs_for_all_is_waited_for() -> None:
    async def hangs(self: Stranger, request: web.Request, question: dict[str, Any]) -> web.StreamResponse:
        if not self.state.get("well"):
            await asyncio.sleep(60)
        return self.good(question)

    async with buying_from(hangs, openai_timeout_seconds=0.2) as (buying, stranger):
        batch = buying.batch(rows(100))
        with pytest.raises(TimeoutError):
            await complete(batch, seconds=4)
        assert not batch.refusals
        assert batch.dropped is None
        stranger.state["well"] = True
        await complete(batch, seconds=30)
        assert_right(batch)
