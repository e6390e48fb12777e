"""A ceremony in headless Chromium: two administrators and an executive, each with a browser and a device of their own.

Tests drive it, and the script that takes the pictures for the documentation, so it knows nothing of pytest. Whoever
looks on gets each screen by its name.
"""

import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, Page
from pysequoia import decrypt

from tests.support.administrators import PASSWORD
from tests.support.ceremonies import armored, key_of
from tests.support.server import LiveServer

RELAXED = {
    "FREEHOLD_CEREMONY_REQUESTER_MIN_AGE_H": "0",
    "FREEHOLD_CEREMONY_EXECUTIVE_MIN_AGE_H": "0",
    "FREEHOLD_CEREMONY_SECOND_PERSON_MIN_AGE_H": "0",
    "FREEHOLD_CEREMONY_COOL_DOWN_H": "0",
    "FREEHOLD_CEREMONY_WAITING_FOR": "",
    "FREEHOLD_CEREMONY_ALLOW_MODERN_KEYS": "true",
}
"""What a server is told that nobody can wait for days."""
_DEVICE = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip
Look = Callable[[str, Page], Awaitable[None]]


async def _nobody_looks(_name: str, _page: Page) -> None:
    return


@asynccontextmanager
async def opened(browser: Browser, **options: Any) -> AsyncIterator[Page]:
    """A browser profile of its own, with a fingerprint reader that says yes."""
    context = await browser.new_context(ignore_https_errors=True, locale="en-US", accept_downloads=True, **options)
    context.set_default_timeout(20_000)
    page = await context.new_page()
    device = await context.new_cdp_session(page)
    await device.send("WebAuthn.enable")
    await device.send("WebAuthn.addVirtualAuthenticator", {"options": _DEVICE})
    yield page
    await context.close()


@dataclass
class Stage:
    """Where it takes place."""

    server: LiveServer
    look: Look = _nobody_looks
    at: str = ""
    """The address of the ceremony."""
    names: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.server.base_url

    async def go(self, page: Page, path: str) -> None:
        await page.goto(self.url + path)

    async def join(self, page: Page, email: str, name: str, invitation: str) -> None:
        """Accept an invitation, and set up a passkey."""
        await page.goto(invitation)
        await page.get_by_label("Your name").fill(name)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_label("The same password again").fill(PASSWORD)
        await page.get_by_role("button", name="Accept the invitation").click()
        await page.wait_for_url("**/admin/security")
        await page.get_by_role("button", name="Add a passkey").click()
        await page.get_by_role("link", name="I have kept it").click()
        await page.wait_for_url("**/admin")
        self.names[email] = name

    def mailed(self, part: str) -> str:
        """The link in the newest mail that has one with this in it."""
        with self.server.client() as http:
            listed = http.get("/outbox").text
            for mail in dict.fromkeys(re.findall(r'href="(/outbox/[^"?]+)"', listed)):
                found = re.search(rf"https://[^\s\"'<>]*{re.escape(part)}[^\s\"'<>]*", http.get(mail).text)
                if found:
                    return html.unescape(found[0])
        raise AssertionError(f"no mail with {part}")

    # --- the steps ---------------------------------------------------------------------------------------------------

    async def enrol(self, page: Page, name: str, title: str, email: str) -> None:
        """Enrol an executive, who gets a link for a passkey."""
        await self.go(page, "/admin/executives")
        await page.get_by_label("Name", exact=True).first.fill(name)
        await page.get_by_label("Position").fill(title)
        await page.get_by_label("Email address").fill(email)
        await page.get_by_label("By passkey").check()
        await page.get_by_role("button", name="Enrol", exact=True).click()
        await page.get_by_role("cell", name=email).wait_for()
        await self.look("executives", page)

    async def set_up_executive(self, page: Page) -> None:
        """Follow the link, and set up the passkey."""
        await page.goto(self.mailed("/admin/executive/passkey"))
        await self.look("executive-passkey", page)
        await page.get_by_role("button", name="Set up the passkey").click()
        await page.get_by_role("heading", name="Your passkey is set up").wait_for()

    async def ask(self, page: Page, email: str, executive: str) -> None:
        """Fill in the request, save the draft and submit it."""
        await self.go(page, "/admin/exports")
        await self.look("exports-empty", page)
        await page.get_by_role("link", name="Ask for an export").click()
        for kind in ("Password hashes", "Second factors"):
            await page.get_by_label(kind).check()
        await page.get_by_label("What it is for").fill("We move our customers' sign-in to our own data centre.")
        await page.get_by_label("Your OpenPGP public key").fill(armored(email))
        await page.get_by_label("Signed by").select_option(label=executive)
        await self.look("request", page)
        await page.get_by_role("button", name="Save the draft").click()
        await page.wait_for_url("**/admin/exports/cer_*")
        self.at = page.url
        await page.get_by_role("button", name="Submit the request").click()
        await page.get_by_role("button", name="Check the word").wait_for()

    async def possess(self, page: Page, email: str) -> None:
        """Decrypt the word, and type it."""
        await self.look("word", page)
        message = await page.locator("textarea[readonly]").input_value()
        opened_bytes = decrypt(message.encode(), decryptor=key_of(email).decryptor()).bytes
        assert opened_bytes is not None
        await page.get_by_label("The word that").fill(opened_bytes.decode())
        await page.get_by_role("button", name="Check the word").click()
        await page.get_by_role("button", name="Authorize the export").wait_for()

    async def authorize(self, page: Page, tenant: str = "main") -> None:
        """Type the tenant's name, and accept the sentence."""
        await page.get_by_label("Type the tenant's name").fill(tenant)
        await page.get_by_label("I authorize the export").check()
        await page.get_by_role("button", name="Authorize the export").click()
        await page.get_by_role("button", name="Authorize the export").wait_for(state="detached")

    async def approve(self, page: Page) -> None:
        """The other administrator confirms with a passkey."""
        await page.goto(f"{self.at}/decision")
        await self.look("decision", page)
        await page.get_by_role("button", name="Confirm with a passkey").click()
        await page.get_by_role("heading", name="Who did what").wait_for()

    async def ask_executive(self, page: Page) -> None:
        """Have the executive mailed a link to the form."""
        await page.goto(self.at)
        await self.look("checklist", page)
        await page.get_by_role("button", name="Mail a link to sign by passkey").click()
        await page.wait_for_url("**#ask-executive")

    async def sign(self, page: Page) -> None:
        """The executive reads the form and signs it."""
        await page.goto(self.mailed("/admin/executive/sign"))
        await self.look("executive-sign", page)
        await page.get_by_role("button", name="Sign with the passkey").click()
        await page.get_by_role("heading", name="Signed").wait_for()

    async def wait_for_file(self, page: Page) -> None:
        """Reload until the file is there."""
        button = page.get_by_role("button", name="Download the file now")
        for _ in range(120):
            await page.goto(self.at)
            if await button.count():
                await self.look("ready", page)
                return
            await page.wait_for_timeout(500)
        raise AssertionError(await page.locator("main").inner_text())

    async def fetch(self, page: Page) -> bytes:
        """Download the file."""
        async with page.expect_download() as begun:
            await page.get_by_role("button", name="Download the file now").click()
        download = await begun.value
        return (await download.path()).read_bytes()


async def unnamed_and_wide(page: Page) -> tuple[list[str], int]:
    """Inputs, links and buttons that nothing names, and by how much the page is wider than its window."""
    unnamed: list[str] = await page.evaluate(
        """[...document.querySelectorAll("input:not([type=hidden]):not([hidden]), textarea, select, button, a")]
        .filter((e) => e.checkVisibility() && !(e.labels && e.labels.length) && !e.getAttribute("aria-label")
            && !e.textContent.trim()).map((e) => e.outerHTML)"""
    )
    wider: int = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return unnamed, wider
