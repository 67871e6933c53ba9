"""Debian's chromium, driven by playwright. Where there is none it is installed, or the test says how."""

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from playwright import sync_api

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "chromium")
# It asks nobody but the page under test, and needs no graphics.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SHOTS = pathlib.Path(__file__).resolve().parent.parent.parent / "build" / "console"


def executable() -> str:
    """The browser; skips where it is not there and cannot be had."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(["apt-get", "update"], env=environment, check=True, capture_output=True, timeout=120)
            subprocess.run(INSTALL, env=environment, check=True, capture_output=True, timeout=300)
    return shutil.which("chromium") or pytest.skip(
        "The console is tested in Chromium: install it (Debian: apt-get install chromium), or name one: CHROMIUM=/path"
    )


@contextlib.contextmanager
def running() -> Iterator[sync_api.Browser]:
    """A browser, for as long as the block."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and what went wrong in it: errors of scripts, and what its Content-Security-Policy refused."""

    def __init__(self, page: sync_api.Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)
        page.set_default_timeout(20_000)

    def _heard(self, message: Any) -> None:
        # Answers that are no success are shown to the reader in words; the browser notes them, too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.errors.append(message.text)


@contextlib.contextmanager
def page(browser: sync_api.Browser, **context: Any) -> Iterator[sync_api.Page]:
    """A page in a context of its own, in which nothing may go wrong."""
    with browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}) as made:
        watched = Watched(made.new_page())
        yield watched.page
        assert watched.errors == []


def shot(seen: sync_api.Page, name: str) -> None:
    """Keep a picture of the page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    seen.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)


def overflow(seen: sync_api.Page) -> int:
    """CSS pixels by which the page is wider than its window."""
    wide: int = seen.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide
