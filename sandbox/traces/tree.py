"""Spans put together: a request's trace, and behind each published chunk, by its link, the chunk's own."""

import dataclasses
from collections.abc import Iterator, Sequence

from sandbox.traces import sink

NS_A_MS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Node:
    """A span with what it led to, in the order of beginning. `linked`: across the queue, not as a part."""

    span: sink.Span
    parts: tuple["Node", ...]
    linked: bool = False

    def walk(self) -> Iterator["Node"]:
        """It, and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def named(self, name: str) -> list["Node"]:
        """Those below it (or it) whose name ends so."""
        return [node for node in self.walk() if node.span.name.endswith(name)]


def of(spans: Sequence[sink.Span], root: sink.Span) -> Node:
    """The tree below a span."""
    return _node(spans, root, linked=False)


def _node(spans: Sequence[sink.Span], span: sink.Span, *, linked: bool) -> Node:
    parts = [(each, False) for each in spans if each.parent_id == span.span_id]
    parts += [(each, True) for each in spans if span.span_id in each.links]
    parts.sort(key=lambda part: part[0].began)
    return Node(span, tuple(_node(spans, each, linked=link) for each, link in parts), linked)


def roots(spans: Sequence[sink.Span]) -> list[sink.Span]:
    """The first spans of traces that are not linked to another."""
    ids = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id not in ids and not span.links]


def only_chunk(node: Node, chunk: int) -> Node:
    """The tree without the other chunks that the request published."""
    parts = [
        only_chunk(part, chunk)
        for part in node.parts
        if part.span.name != "publish" or part.span.attributes.get("chunk") == chunk
    ]
    return Node(node.span, tuple(parts), node.linked)


def lines(node: Node) -> Iterator[str]:
    """As text: when each span began after the first, how long it took, and where, in milliseconds."""
    yield f"{'began':>9} {'took ms':>9}"
    yield from _lines(node, node.span.began, "", "", "")


def _lines(node: Node, zero: int, stem: str, fork: str, below: str) -> Iterator[str]:
    span = node.span
    began, took = (span.began - zero) / NS_A_MS, (span.ended - span.began) / NS_A_MS
    arrow = "⇢ " if node.linked else ""
    told = " ".join(f"{name}={value}" for name, value in span.attributes.items() if name in _TOLD)
    failed = " FAILED" if span.failed else ""
    where = span.service.removeprefix("vectorline-")
    yield f"{began:9.1f} {took:9.1f}  {stem}{fork}{arrow}{span.name}  [{where}]{failed}{f'  {told}' if told else ''}"
    for part in node.parts:
        last = part is node.parts[-1]
        yield from _lines(part, zero, stem + below, "└ " if last else "├ ", "  " if last else "│ ")


_TOLD = frozenset({"chunk", "end", "texts", "vectors"})
