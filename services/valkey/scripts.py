"""Loads the Lua files. EVALSHA with a reload on NOSCRIPT, so a flushed script cache is no event."""

import importlib.resources
from collections.abc import Sequence
from typing import Any, cast

import redis.asyncio

from services.chunks import errors

_NEEDS_ADMIT = ("take", "reclaim")


def source(name: str) -> str:
    """The text of a script: its flags (first line), the prelude, its body."""
    folder = importlib.resources.files("services.chunks") / "lua"
    body = (folder / f"{name}.lua").read_text()
    flags = "#!lua flags=allow-oom" if body.startswith("-- flags: allow-oom") else "#!lua"
    parts = ["prelude", "admit"] if name in _NEEDS_ADMIT else ["prelude"]
    return "\n".join([flags, *((folder / f"{part}.lua").read_text() for part in parts), body])


class Scripts:
    """The scripts of one client.

    Only ``publish`` may be refused for lack of memory: everything else frees memory, or frees what will.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._registered: dict[str, Any] = {}

    async def run(self, name: str, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Run a script and return its raw reply.

        Raises:
            errors.QueueUnavailable: Valkey does not serve now.
        """
        script = self._registered.get(name)
        if script is None:
            script = self._registered[name] = self._client.register_script(source(name))
        with errors.translated():
            return cast(Any, await script(keys=keys, args=args))
