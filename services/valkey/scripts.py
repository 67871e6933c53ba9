"""Loads Lua files. EVALSHA with a reload on NOSCRIPT, so a flushed script cache is no event.

A script begins with the line ``-- flags: allow-oom``: a full Valkey still runs it, for it frees memory, or frees what
will. Or with ``-- flags: none``: a full Valkey refuses it as a whole, before anything is written.
"""

import importlib.resources
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import redis.asyncio

_FLAGS = re.compile(r"-- flags: (none|[a-z-]+(?:,[a-z-]+)*)(?=[\s,.])")


def _alone(_name: str) -> Sequence[str]:
    return ()


def source(room: str, name: str, shared: Sequence[str] = ()) -> str:
    """The text of a script: its flags (first line), what it shares with others, its body.

    Args:
        room: The package whose folder ``lua`` holds it.
        name: Its file's name without ``.lua``.
        shared: Names of the files that stand before it.

    Raises:
        ValueError: The file does not say its flags.
    """
    folder = importlib.resources.files(room) / "lua"
    body = (folder / f"{name}.lua").read_text()
    said = _FLAGS.match(body)
    if said is None:
        raise ValueError(f"{room}/lua/{name}.lua: its first line must say its flags, as in '-- flags: allow-oom'.")
    shebang = "#!lua" if said[1] == "none" else f"#!lua flags={said[1]}"
    return "\n".join([shebang, *((folder / f"{part}.lua").read_text() for part in shared), body])


class Scripts:
    """The scripts of one room.

    Args:
        client: From ``connection.connect``; not closed here.
        room: The package whose folder ``lua`` holds them.
        shared: Which files stand before a script, by its name.
    """

    def __init__(self, client: redis.asyncio.Redis, room: str, shared: Callable[[str], Sequence[str]] = _alone) -> None:
        self._client = client
        self._room = room
        self._shared = shared
        self._registered: dict[str, Any] = {}

    async def run(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int | float]) -> Any:
        """Run a script and return its raw reply; raises what the client library raises (see ``errors``)."""
        script = self._registered.get(name)
        if script is None:
            text = source(self._room, name, self._shared(name))
            script = self._registered[name] = self._client.register_script(text)
        return cast(Any, await script(keys=keys, args=args))
