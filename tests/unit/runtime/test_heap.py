"""What stays for good is not searched for garbage; garbage is still found."""

import gc
import weakref

from services.runtime import heap


class Node:
    """Something that can be in a cycle."""

    other: "Node"


def test_a_cycle_made_later_is_still_found() -> None:
    before = gc.get_threshold()
    gc.unfreeze()
    try:
        heap.keep()
        assert gc.get_freeze_count() > 10_000
        node = Node()
        node.other = node
        # It tells when it goes: to ask for the node would hold it just when Python 3.12 and later search, after a call.
        gone: list[weakref.ref[Node]] = []
        seen = weakref.ref(node, gone.append)
        del node
        kept = []
        while not gone and len(kept) < 100 * heap.GARBAGE_OBJECTS:
            kept.append([None])  # an object more that is not freed
        assert gone == [seen]
    finally:
        gc.set_threshold(*before)
