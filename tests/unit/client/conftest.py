"""A fake line and both clients on it."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import vectorline_client
from tests.unit.cli import fake_line


@pytest.fixture
def line() -> Iterator[fake_line.FakeLine]:
    made = fake_line.FakeLine()
    yield made
    made.close()


@pytest.fixture
def client(line: fake_line.FakeLine) -> Iterator[vectorline_client.Client]:
    with vectorline_client.Client(line.address, api_key="test-key") as made:
        yield made


@pytest.fixture
async def asynchronous(line: fake_line.FakeLine) -> AsyncIterator[vectorline_client.AsyncClient]:
    async with vectorline_client.AsyncClient(line.address, api_key="test-key") as made:
        yield made


Do = Callable[..., Any]


@pytest.fixture(params=["Client", "AsyncClient"])
def do(request: pytest.FixtureRequest, line: fake_line.FakeLine) -> Do:
    """Calls a method of either client by its name, waits for it, and makes a list of what it yields.

    A function in place of a name is given the client, and what it answers is treated likewise.
    """

    async def whole(found: Any) -> Any:
        if inspect.isawaitable(found):
            found = await found
        return [each async for each in found] if hasattr(found, "__anext__") else found

    async def by_async(what: Any, *args: Any, **named: Any) -> Any:
        async with vectorline_client.AsyncClient(line.address, api_key="test-key") as made:
            return await whole(what(made) if callable(what) else getattr(made, what)(*args, **named))

    def call(what: Any, *args: Any, **named: Any) -> Any:
        if request.param == "AsyncClient":
            return asyncio.run(by_async(what, *args, **named))
        with vectorline_client.Client(line.address, api_key="test-key") as made:
            found = what(made) if callable(what) else getattr(made, what)(*args, **named)
            return list(found) if hasattr(found, "__next__") else found

    return call
