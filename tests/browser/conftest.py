"""One line and one browser for all tests of the console."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api

from services.runtime import keys
from tests.support import browser as browsers
from tests.support import line as lines

PEPPER = "pepper-pepper-pepper"


def entry(key_id: str, *scopes: str, **allow: list[str]) -> dict[str, Any]:
    return {"id": key_id, "hash": keys.digest(f"{key_id}-secret", PEPPER).hex(), "scopes": list(scopes), "allow": allow}


KEYS = [
    entry("reader", "read", namespaces=["shop-*"]),
    entry("loader", "ingest"),
    entry("shop", "read", "ingest", namespaces=["shop-1"], questions=["7"]),
    entry("leaver", "read", "ingest"),
]


@pytest.fixture(scope="package")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lines.Line]:
    folder = tmp_path_factory.mktemp("console")
    (folder / "keys.json").write_text(json.dumps(KEYS))
    chosen = {"API_KEYS": str(folder / "keys.json"), "API_KEY_PEPPER": PEPPER, "OPENAI_RATE_LIMIT": "0"}
    with lines.running(folder / "line", **chosen) as running:
        yield running


# While it is there, playwright's event loop runs in this thread: no asynchronous test can run before it has ended.
@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with browsers.running() as running:
        yield running
