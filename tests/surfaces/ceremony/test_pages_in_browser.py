"""The ceremony in a real browser: two administrators and an executive with passkeys, from the request to the file.

People with authenticator apps do the same in `test_in_browser`, which is quick.
"""

import io
import tarfile
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page
from pysequoia import decrypt

from freehold.domain.ceremonies.verify import verify_bundle
from tests.support.ceremonies import key_of
from tests.support.ceremony_pages import RELAXED, Stage, opened, unnamed_and_wide
from tests.support.server import LiveServer, start_server
from tests.surfaces.dashboard.test_in_browser import invited

pytestmark = pytest.mark.browser
ADA, BOB, GRACE = "ada@example.com", "bob@example.com", "grace@example.com"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose rules let strangers export at once."""
    with start_server(tmp_path_factory.mktemp("ceremony") / "data", env=RELAXED) as live:
        yield live


@pytest.mark.slow
async def test_a_whole_ceremony_by_passkeys(browser: Browser, own_server: LiveServer) -> None:
    problems: list[str] = []

    async def look(name: str, page: Page) -> None:
        for width, colours in ((1280, "light"), (375, "dark")):
            await page.set_viewport_size({"width": width, "height": 800})
            await page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
            unnamed, wider = await unnamed_and_wide(page)
            problems.extend(f"{name} at {width}: {found}" for found in unnamed)
            if wider > 0:
                problems.append(f"{name} is {wider} wider than {width}")

    stage = Stage(own_server, look)
    async with opened(browser) as ada, opened(browser) as bob, opened(browser) as grace:
        for page in (ada, bob, grace):
            page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
        await stage.join(ada, ADA, "Ada Lovelace", invited(own_server, ADA, "admin"))
        await stage.join(bob, BOB, "Bob Bishop", invited(own_server, BOB, "admin"))
        await stage.enrol(ada, "Grace Hopper", "CSO", GRACE)
        await stage.set_up_executive(grace)
        await stage.ask(ada, ADA, "Grace Hopper, CSO")
        await stage.possess(ada, ADA)
        await stage.authorize(ada)
        await stage.approve(bob)
        await stage.ask_executive(ada)
        await stage.sign(grace)
        await stage.wait_for_file(ada)
        file = await stage.fetch(ada)
        async with ada.expect_download() as begun:
            await ada.get_by_role("link", name="Download the receipt").click()
        receipt = (await (await begun.value).path()).read_bytes()
        await ada.goto(f"{own_server.base_url}/admin/guide/pgp")
        await look("guide", ada)
    message = decrypt(file, decryptor=key_of(ADA).decryptor()).bytes
    assert message is not None
    with tarfile.open(fileobj=io.BytesIO(message)) as tar:
        assert "manifest.json" in tar.getnames()
    report = await verify_bundle(receipt)
    assert (report.state, report.complete) == ("downloaded", True)
    assert problems == []
