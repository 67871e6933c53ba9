"""The control API for tests, under ``/_sandbox/``: what came in, and what shall go wrong. It asks for no key."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from sandbox.openai import faults, journal


class Control:
    """Handlers over one journal and one script."""

    def __init__(self, log: journal.Journal, script: faults.Script) -> None:
        self._log = log
        self._script = script

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            web.get("/_sandbox/requests", self.show_requests),
            web.delete("/_sandbox/requests", self.reset_requests),
            web.get("/_sandbox/faults", self.show_faults),
            web.put("/_sandbox/faults", self.set_faults),
            web.delete("/_sandbox/faults", self.clear_faults),
        ]

    async def show_requests(self, request: web.Request) -> web.Response:
        """Answer ``{"summary", "requests"}``; ``?limit=0`` leaves the log out, ``?since=n`` begins after number n."""
        try:
            since = int(request.query.get("since", "0"))
            limit = int(request.query["limit"]) if "limit" in request.query else None
        except ValueError:
            return _json({"error": "since and limit are whole numbers"}, 400)
        visits = [] if limit == 0 else self._log.visits(since, limit)
        return _json({"summary": self._log.summary(), "requests": visits})

    async def reset_requests(self, _request: web.Request) -> web.Response:
        """Forget the log and its sums."""
        self._log.reset()
        return web.Response(status=204)

    async def show_faults(self, _request: web.Request) -> web.Response:
        """Answer ``{"rules": [...]}``, each with the number of times it ``fired``."""
        return _json({"rules": [rule.describe() for rule in self._script.rules]})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replace the rules by those in the body: a list, or ``{"rules": [...], "seed": n}``. 400 says why not."""
        try:
            body = orjson.loads(await request.read())
            fields = body if isinstance(body, dict) else {"rules": body}
            rules = [faults.Rule.parse(rule) for rule in fields["rules"]]
            seed = int(fields.get("seed", 0))
        except (KeyError, TypeError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        self._script.load(rules, seed)
        return await self.show_faults(request)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """Drop all rules."""
        self._script.load([])
        return web.Response(status=204)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
