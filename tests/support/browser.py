"""A headless Chromium for tests marked `browser`.

The tests drive Debian's Chromium, not a download of Playwright's. A page trusts every certificate: that the local
authority is a proper one is for the tests of TLS to say. Everything runs on the test's own event loop, beside a
server that the test may have started there.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.support.programs import MARKERS, find_chromium, find_node


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start a browser; `page` is what most tests want."""
    async with started_browser() as started:
        yield started


@asynccontextmanager
async def started_browser() -> AsyncIterator[Browser]:
    """Start a browser, or skip the test: for fixtures that share one among the tests of a module."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(MARKERS["browser"].missing)
    # Chromium's own sandbox refuses to run as root, and containers seldom have the shared memory it wants.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with pytest.MonkeyPatch.context() as environment:
        if node := find_node():  # Playwright's own copy wants a library that a bare Debian does not have
            environment.setenv("PLAYWRIGHT_NODEJS_PATH", str(node))
        async with async_playwright() as playwright:
            started = await playwright.chromium.launch(executable_path=chromium, args=arguments)
            yield started
            await started.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Open an empty page in a profile of its own: no cookies, nothing stored."""
    context = await browser.new_context(ignore_https_errors=True, locale="en-US")
    context.set_default_timeout(15_000)
    # The application is nowhere: an error page in its place would come when it likes, and interrupt what is next.
    await context.route("https://app.example.com/**", lambda route: route.fulfill(body="The application."))
    yield await context.new_page()
    await context.close()
