"""A headless Chromium for tests marked `browser`.

The tests drive Debian's Chromium, not a download of Playwright's. A page trusts every certificate: that the local
authority is a proper one is for the tests of TLS to say. One browser serves the session, because starting it takes
longer than most tests; it lives on the session's event loop, where tests marked `browser` run therefore, and their
asynchronous fixtures have to as well.
"""

import os
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from freehold.kernel.crypto.x509 import LocalAuthority
from tests.support.programs import MARKERS, find_chromium, find_node

APPLICATIONS = ("app.example.com", "shop.acme.example")
"""Where the tests' applications say that they are."""
PATIENCE_MS = 60_000
"""How long a test waits for what has to come; a busy machine is no failure."""
expect.set_options(timeout=PATIENCE_MS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests with a browser run where it lives."""
    for item in items:
        if item.get_closest_marker("browser") is not None and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The session's browser; `page` is what most tests want."""
    async with started_browser() as started:
        yield started


@asynccontextmanager
async def started_browser() -> AsyncIterator[Browser]:
    """Start a browser, or skip the test."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(MARKERS["browser"].missing)
    # Chromium's own sandbox refuses to run as root, and containers seldom have the shared memory it wants.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with pytest.MonkeyPatch.context() as environment, application() as port:
        # The application has to be somewhere: an error page in its place would come when it likes, and interrupt what
        # is next.
        rules = ",".join(f"MAP {name}:443 127.0.0.1:{port}" for name in APPLICATIONS)
        arguments.append(f"--host-resolver-rules={rules}")
        if node := find_node():  # Playwright's own copy wants a library that a bare Debian does not have
            environment.setenv("PLAYWRIGHT_NODEJS_PATH", str(node))
        async with async_playwright() as playwright:
            started = await playwright.chromium.launch(executable_path=chromium, args=arguments)
            yield started
            await started.close()


@contextmanager
def application() -> Iterator[int]:
    """A server in the place of the application that people come back to; its port."""
    with tempfile.TemporaryDirectory() as folder:
        known = LocalAuthority.load_or_create(Path(folder), datetime.now(UTC)).server_certificate(
            APPLICATIONS, now=datetime.now(UTC)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(known.certificate_file, known.key_file)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Application)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, name="application")
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Application(BaseHTTPRequestHandler):
    """Answers whatever is asked with a page."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Application</title><p>The application."
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Say nothing."""


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Open an empty page in a profile of its own: no cookies, nothing stored."""
    context = await browser.new_context(ignore_https_errors=True, locale="en-US")
    context.set_default_timeout(PATIENCE_MS)
    yield await context.new_page()
    await context.close()
