"""Take the pictures of the export ceremony: python -m scripts.pictures_of_exports docs/images

A ceremony is really held, on a server of its own with relaxed rules, in headless Chromium. Screens are taken in light,
in dark and on a phone's width, as the guide shows them, and reduced to 256 colours.
"""

import asyncio
import json
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import Page

from tests.support.browser import started_browser
from tests.support.ceremony_pages import RELAXED, Stage, opened
from tests.support.server import start_server

DESKTOP, PHONE = (1080, 900), (390, 844)
TAKEN = {
    "executives": ("light",),
    "request": ("light",),
    "word": ("light",),
    "decision": ("phone",),
    "checklist": ("light", "dark"),
    "executive-sign": ("phone",),
    "ready": ("light", "dark"),
}
TALLEST = 2400


async def take(folder: Path) -> None:
    """Hold the ceremony, and write the pictures."""

    async def look(name: str, page: Page) -> None:
        for variant in TAKEN.get(name, ()):
            width, height = PHONE if variant == "phone" else DESKTOP
            await page.set_viewport_size({"width": width, "height": height})
            await page.emulate_media(color_scheme="dark" if variant == "dark" else "light")
            tall = await page.evaluate("document.documentElement.scrollHeight")
            shot = await page.screenshot(
                full_page=True, clip={"x": 0, "y": 0, "width": width, "height": min(tall, TALLEST)}
            )  # fmt: skip
            write(shot, folder / f"export-{name}-{variant}.png")
        await page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        await page.emulate_media(color_scheme="light")

    with tempfile.TemporaryDirectory() as scratch, start_server(Path(scratch) / "data", env=RELAXED) as server:
        stage = Stage(server, look)

        def invited(email: str) -> str:
            return str(json.loads(server.freehold("admins", "invite", email, "--json").stdout)["url"])

        async with (
            started_browser() as browser,
            opened(browser) as ada,
            opened(browser) as bob,
            opened(browser) as grace,
        ):
            await stage.join(ada, "ada@example.com", "Ada Lovelace", invited("ada@example.com"))
            await stage.join(bob, "bob@example.com", "Bob Bishop", invited("bob@example.com"))
            await stage.enrol(ada, "Grace Hopper", "CSO", "grace@example.com")
            await stage.set_up_executive(grace)
            await stage.ask(ada, "ada@example.com", "Grace Hopper, CSO")
            await stage.possess(ada, "ada@example.com")
            await stage.authorize(ada)
            await stage.approve(bob)
            await stage.ask_executive(ada)
            await stage.sign(grace)
            await stage.wait_for_file(ada)


def write(shot: bytes, path: Path) -> None:
    """A picture with as few bytes as its colours need."""
    with Image.open(BytesIO(shot)) as picture:
        reduced = picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        reduced.save(path, optimize=True)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
