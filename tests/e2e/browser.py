"""A real browser, headless, in front of a gateway's console."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page, async_playwright, expect
from tests.e2e.gateway import MASTER
from tests.e2e.sdk_programs import javascript_file

_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Chromium's own hint for password managers; nothing of ours is wrong.
_HINTS = ("Password forms should have",)


def _program() -> str:
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert found is not None, f"install one of {', '.join(_NAMES)} to test the console"
    return found


@asynccontextmanager
async def browsing(expected: tuple[str, ...] = (), **options: Any) -> AsyncIterator[Page]:
    """A page of a browser of its own. What it complains of is an error, unless it begins as
    `expected`.
    """
    complaints: list[str] = []

    def note(text: str) -> None:
        if not text.startswith((*_HINTS, *expected)):
            complaints.append(text)

    async with async_playwright() as playwright:
        # Chromium's sandbox does not start for root, as whom containers run.
        browser = await playwright.chromium.launch(
            executable_path=_program(), args=["--no-sandbox"]
        )
        try:
            page = await (await browser.new_context(**options)).new_page()
            page.on("console", lambda message: note(message.text) if message.type in _BAD else None)
            page.on("pageerror", lambda error: note(str(error)))
            yield page
        finally:
            await browser.close()
    assert complaints == []


_BAD = ("error", "warning")
REFUSED = ("Failed to load resource: the server responded with a status of 4",)
"""What Chromium says of a page that is answered with 4xx."""


async def sign_in(page: Page, url: str, key: str = MASTER) -> None:
    """Sign in by the form."""
    await page.goto(f"{url}/ui")
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_selector("text=Sign out")


async def faults_for_readers(page: Page) -> list[str]:
    """What axe finds wrong with the page for whoever uses a keyboard or a screen reader."""
    await page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    # Not until the network is idle: a page may hold a stream of events open.
    await expect(page.locator(".htmx-request")).to_have_count(0)
    await page.evaluate(javascript_file("axe-core/axe.min.js").read_text(encoding="utf-8"))
    found: list[str] = await page.evaluate(
        "axe.run().then(it => it.violations.map(each => `${each.impact} ${each.id}: "
        "${each.nodes.map(node => node.html).join(' | ')}`))"
    )
    return found
