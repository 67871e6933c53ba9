"""Two runs and their bills: this line, LangChain's index(), and a plain re-upsert, on the same stand-ins.

LangChain itself is not installed. `Indexed` does what `langchain_core.indexing.index(cleanup="incremental")` does over
a `PineconeVectorStore` (langchain-core 1.x, langchain-pinecone 0.2): batches of 100 documents, the key a SHA-1 of
content and metadata, what the record manager knows is passed over, the rest is embedded and upserted by 32 records,
then recorded; after each batch the records of the same sources that were not seen are deleted. It has no look at the
index: what somebody else deleted there stays away. `Plain` embeds and upserts every row each time.
"""

import base64
import csv
import functools
import hashlib
import itertools
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import httpx
import numpy as np

from benchmarks import files, line
from benchmarks.figures import Figure, Run

ROWS = 10_000
CHANGED_EACH = 100
MODEL, QUESTION = "text-embedding-3-small", 1
# US dollars a million, as docs/bill.md says.
OPENAI_DOLLARS, WRITE_DOLLARS, READ_DOLLARS = 0.02, 4.0, 16.0
DOCUMENTS, UPSERTED, EMBEDDED = 100, 32, 1_000
Row = dict[str, str]
T = TypeVar("T")


def peers(run: Run) -> Iterator[Figure]:
    """The dollars of a first and of a second run of which one row in a hundred has changed."""
    path = files.of(run.folder, ROWS)
    later = changed(path, run.folder / f"later-{ROWS}.csv")
    with line.running(OPENAI_RATE_LIMIT="0", EMBEDDERS="1") as running:
        running.warm_up(files.of(run.folder, 1_000))
        ways: dict[str, Plain | Indexed] = {
            "LangChain's index()": Indexed(running, "langchain"),
            "a plain re-upsert": Plain(running, "plain"),
        }
        for number, file in enumerate((path, later)):
            which = ("first", "second")[number]
            if number:
                time.sleep(line.TURN_SECONDS)
            yield _told(running, f"the line, {which} run", "line", functools.partial(_load, running, file))
            for name, way in ways.items():
                yield _told(running, f"{name}, {which} run", way.namespace, functools.partial(way.load, file))


def changed(path: pathlib.Path, to: pathlib.Path, each: int = CHANGED_EACH) -> pathlib.Path:
    """A later state of a file: one row in so many has another text."""
    with path.open(encoding="utf-8") as before, to.open("w", encoding="utf-8") as after:
        after.write(next(before))
        for number, row in enumerate(before):
            after.write(row.replace("Article", "Item", 1) if number % each == 0 else row)
    return to


def _load(running: line.Line, path: pathlib.Path) -> None:
    running.over(running.upload(path, namespace="line"))


def _told(running: line.Line, name: str, namespace: str, load: Callable[[], None]) -> Figure:
    written, read = running.units(namespace)
    running.forget()
    began = time.monotonic()
    load()
    seconds = time.monotonic() - began
    now_written, now_read = running.units(namespace)
    tokens = (running.purchases() or {}).get("summary", {}).get("tokens_bought", 0)
    written, read = now_written - written, now_read - read
    dollars = (tokens * OPENAI_DOLLARS + written * WRITE_DOLLARS + read * READ_DOLLARS) / 1e6
    detail = {"tokens": tokens, "write_units": written, "read_units": read, "seconds": round(seconds, 1)}
    return Figure(f"bill of {ROWS:,} rows, {name}", dollars * 100, "cents", None, detail=detail)


class _Client:
    """Embeds and writes as a small program does, one call after the other."""

    def __init__(self, running: line.Line, namespace: str) -> None:
        self.namespace = namespace
        self._openai = f"{running.openai}/v1/embeddings"
        self._index, headers = running.index()
        self._http = httpx.Client(timeout=120, headers=headers)

    def write(self, ids: Sequence[str], rows: Sequence[Row], size: int) -> None:
        """Embed rows and upsert them, so many at a time."""
        texts = [row["formatted_text"] for row in rows]
        vectors = [each for some in _batches(texts, EMBEDDED) for each in self._embedded(some)]
        made: Iterator[object] = (
            {"id": id_, "values": values, "metadata": row | {"text": row["formatted_text"]}}
            for id_, row, values in zip(ids, rows, vectors, strict=True)
        )
        for some in _batches(made, size):
            self._call("upsert", {"vectors": some, "namespace": self.namespace})

    def delete(self, ids: Sequence[str]) -> None:
        """Delete records."""
        for some in _batches(ids, 1_000):
            self._call("delete", {"ids": some, "namespace": self.namespace})

    def _call(self, method: str, body: object) -> None:
        self._http.post(f"{self._index}/vectors/{method}", content=json.dumps(body)).raise_for_status()

    def _embedded(self, texts: Sequence[str]) -> list[list[float]]:
        body = {"model": MODEL, "input": texts, "encoding_format": "base64"}
        answer = self._http.post(self._openai, json=body, headers={"Authorization": "Bearer sandbox"})
        answer.raise_for_status()
        found = (base64.b64decode(each["embedding"]) for each in answer.json()["data"])
        return [np.frombuffer(each, dtype="<f4").tolist() for each in found]


class Plain(_Client):
    """Every row, each time."""

    def load(self, path: pathlib.Path) -> None:
        """Load a file."""
        for rows in _batches(_rows(path), EMBEDDED):
            self.write([f"{QUESTION}.{row['id']}" for row in rows], rows, 100)


class Indexed(_Client):
    """See the module's docstring; the record manager is in memory."""

    def __init__(self, running: line.Line, namespace: str) -> None:
        super().__init__(running, namespace)
        # Key to its source and when it was last seen.
        self._records: dict[str, tuple[str, float]] = {}

    def load(self, path: pathlib.Path) -> None:
        """Load a file."""
        began = time.time()
        for rows in _batches(_rows(path), DOCUMENTS):
            keyed = {_key(row): row for row in rows}
            fresh = {key: row for key, row in keyed.items() if key not in self._records}
            self.write(list(fresh), list(fresh.values()), UPSERTED)
            for key, row in keyed.items():
                self._records[key] = (row["id"], time.time())
            sources = {row["id"] for row in rows}
            old = [key for key, (source, at) in self._records.items() if source in sources and at < began]
            self.delete(old)
            for key in old:
                del self._records[key]


def _key(row: Row) -> str:
    return hashlib.sha1(json.dumps(row, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _rows(path: pathlib.Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _batches(found: Iterable[T], size: int) -> Iterator[list[T]]:
    each = iter(found)
    while some := list(itertools.islice(each, size)):
        yield some
