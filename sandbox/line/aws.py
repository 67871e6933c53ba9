"""ministack as the line runs it: ``python -m sandbox.line.aws``, configured by ministack's own variables.

ministack writes its state when it stops. DynamoDB forgets nothing, so here it is written about once a second as well:
a stand-in that is killed loses a second, not the ledger.

ministack puts the parts of an upload together on its event loop; DynamoDB would say nothing for half a minute after a
gigabyte. Here that is done in a thread. And it hands an object to its server in one piece, which then copies a gigabyte
on that loop, for two seconds; here it gets a megabyte at a time, as fast as the reader takes it.
"""

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import ministack.app as ministack  # type: ignore[import-untyped]
from ministack.core import persistence  # type: ignore[import-untyped]
from ministack.services import s3  # type: ignore[import-untyped]

PAUSE_SECONDS = 1.0
SHARE = 0.05  # of the time that writing may take
HEAVY_BYTES = 1 << 20
PIECE_BYTES = 1 << 20
SERVICES = ("dynamodb", "s3", "secretsmanager", "cloudformation")

_writing = threading.Lock()
_ministack = ministack.app


def _write_again_and_again() -> None:
    while True:
        began = time.monotonic()
        with _writing:
            persistence.save_all({name: get for name, get in _states().items() if name in SERVICES})
        time.sleep(max(PAUSE_SECONDS, (time.monotonic() - began) / SHARE))


def _states() -> dict[str, Callable[[], Any]]:
    states: dict[str, Callable[[], Any]] = ministack._build_persistence_save_dict()  # noqa: SLF001 - it has no other
    return states


def _write_at_the_end(states: dict[str, Callable[[], Any]]) -> None:
    _writing.acquire()  # for good: nothing is written after the last time
    persistence.save_all(states)


Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]
S3Request = Callable[..., Coroutine[Any, Any, tuple[int, dict[str, str], bytes]]]


def _heavy(method: str, body: bytes, query: Mapping[str, Any]) -> bool:
    return len(body) > HEAVY_BYTES or (method == "POST" and "uploadId" in query)


def _threaded(handle: S3Request) -> S3Request:
    """Handle heavy requests in a thread, so that the loop answers others meanwhile."""

    @functools.wraps(handle)
    async def request(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any], **more: Any
    ) -> tuple[int, dict[str, str], bytes]:
        answer = handle(method, path, headers, body, query_params, **more)
        if not _heavy(method, body, query_params):
            return await answer
        context = contextvars.copy_context()  # the request's account is in it
        return await asyncio.get_running_loop().run_in_executor(None, context.run, asyncio.run, answer)

    return request


async def _app(scope: dict[str, Any], receive: Callable[..., Any], send: Send) -> None:
    """Ministack's application, its large answers cut into pieces."""

    async def in_pieces(event: dict[str, Any]) -> None:
        body = event.get("body", b"") if event["type"] == "http.response.body" else b""
        if len(body) <= PIECE_BYTES:
            await send(event)
            return
        for start in range(0, len(body), PIECE_BYTES):
            more = event.get("more_body", False) or start + PIECE_BYTES < len(body)
            await send({**event, "body": body[start : start + PIECE_BYTES], "more_body": more})

    await _ministack(scope, receive, in_pieces)


def main() -> None:
    """Run the server until SIGTERM."""
    s3.handle_request = _threaded(s3.handle_request)
    ministack.save_all = _write_at_the_end
    ministack.app = _app
    threading.Thread(target=_write_again_and_again, daemon=True).start()
    ministack.main()


if __name__ == "__main__":
    main()
