"""The pages in a real browser: its security policy lets them work, and the script improves what works without it.

No server: the browser's requests are answered from here, the origin of the pages by `render`, the rest by the tests.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from freehold.login import assets, views
from freehold.login.pages import View, mail_document, render
from freehold.login.views import PageContext
from tests.login.examples import EXAMPLES, FORM, context

pytestmark = pytest.mark.browser

ISSUER, APP = "https://login.example.com", "https://app.example.com"


class Stage:
    """A browser page whose network is this object; what the browser complained about is in `complaints`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.posted: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        self.foreign: dict[str, str] = {}
        self.mail = "<p>mail</p>"
        self.views: dict[str, tuple[View, PageContext]] = {}
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    async def answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if route.request.method == "POST":
            self.posted.append((route.request.url, parse_qs(route.request.post_data or ""), route.request.headers))
            await route.fulfill(body="<!doctype html><title>posted</title>", content_type="text/html")
        elif f"{url.scheme}://{url.netloc}" != ISSUER:
            await route.fulfill(body=self.foreign.get(url.path, ""), content_type="text/html")
        elif (asset := assets.find_asset(url.path.removeprefix(assets.PREFIX))) is not None:
            await route.fulfill(body=asset.body, headers=dict(asset.headers))
        elif url.path in self.views:
            answer = render(*self.views[url.path])
            await route.fulfill(body=answer.body, status=answer.status, headers=dict(answer.headers))
        else:
            mail = mail_document(self.mail)
            await route.fulfill(body=mail.body, headers=dict(mail.headers))

    async def open(self, view: View, **changes: Any) -> Page:
        self.views["/page"] = (view, context(**changes))
        await self.page.goto(f"{ISSUER}/page")
        return self.page


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> AsyncIterator[Stage]:
    async with on_stage(browser) as stage:
        yield stage


@asynccontextmanager
async def on_stage(browser: Browser, *, script: bool = True) -> AsyncIterator[Stage]:
    context = await browser.new_context(java_script_enabled=script, locale="en-US")
    context.set_default_timeout(15_000)
    stage = Stage(await context.new_page())
    await context.route("**/*", stage.answer)
    yield stage
    await context.close()


SHOWN = [name for name in EXAMPLES if name not in ("form-post", "web-message")]


async def test_no_page_breaks_its_own_policy_or_is_wider_than_a_small_screen(stage: Stage) -> None:
    await stage.page.set_viewport_size({"width": 320, "height": 640})
    for name in SHOWN:
        page = await stage.open(EXAMPLES[name], language="de")  # the longer words of the two
        assert await page.evaluate("document.documentElement.scrollWidth") == 320, name
        assert await page.evaluate("getComputedStyle(document.querySelector('.card')).paddingTop") != "0px"
    # A page that answers with an error status is one complaint in Chromium; any other would be about us.
    assert [text for text in stage.complaints if "Failed to load resource" not in text] == []


async def test_long_words_do_not_widen_a_page(stage: Stage) -> None:
    long = "Donaudampfschifffahrtsgesellschaft" * 4
    await stage.page.set_viewport_size({"width": 320, "height": 640})
    problem = views.Problem("x", "password", text=long)

    for view in (
        views.Login(form=FORM, value=long, problems=(problem, views.Problem("y", text=long))),
        views.LoginPassword(form=FORM, value=long, edit_url="/x"),
        views.Consent(form=FORM, scopes=(views.Scope(long),), user_name=long),
        views.ErrorDetails(error=long, description=long, tracking=long),
        views.Landing(issuer=f"https://{long}/"),
    ):
        page = await stage.open(view, client_name=long, brand=views.Brand(name=long))
        assert await page.evaluate("document.documentElement.scrollWidth") == 320, type(view)


async def test_signing_in_needs_the_keyboard_only(stage: Stage) -> None:
    page = await stage.open(EXAMPLES["login"])

    await page.keyboard.type("ada@example.com")
    await page.keyboard.press("Tab")
    await page.keyboard.type("s3cret")
    await page.keyboard.press("Enter")
    await page.wait_for_function("document.title === 'posted'")

    url, form, headers = stage.posted[0]
    assert url == f"{ISSUER}/u/login?state=st4te"
    assert form == {
        "state": ["st4te"],
        "_csrf": ["t0ken"],
        "username": ["ada@example.com"],
        "password": ["s3cret"],
        "action": ["default"],
    }
    assert headers["origin"] == ISSUER


async def test_the_form_works_without_a_script(browser: Browser) -> None:
    async with on_stage(browser, script=False) as stage:
        page = await stage.open(EXAMPLES["login"])

        await page.fill("[name=username]", "ada@example.com")
        await page.fill("[name=password]", "s3cret")
        assert await page.locator("button:visible").count() == 1
        await page.click("button")

        assert stage.posted[0][1]["password"] == ["s3cret"]


async def test_the_password_can_be_shown_and_is_sent_as_a_password(stage: Stage) -> None:
    page = await stage.open(EXAMPLES["login"])
    await page.fill("#password", "s3cret")

    await page.get_by_role("button", name="Show password").click()
    assert await page.get_attribute("#password", "type") == "text"
    await page.get_by_role("button", name="Hide password").click()
    assert await page.get_attribute("#password", "type") == "password"


async def test_the_rules_of_the_password_tick_themselves_off(stage: Stage) -> None:
    page = await stage.open(views.SignUp(form=FORM, password=views.PASSWORD_HINTS["excellent"]))

    await page.fill("#password", "aaaB1")
    assert await page.locator("[data-min-length]").get_attribute("data-state") == "open"
    assert await page.locator("[data-kinds]").get_attribute("data-state") == "met"
    assert await page.locator("[data-no-repeats]").get_attribute("data-state") == "open"
    await page.fill("#password", "aabB1abcdef")
    assert await page.locator("[data-min-length]").get_attribute("data-state") == "met"
    assert await page.locator("[data-no-repeats]").get_attribute("data-state") == "met"
    assert "(done)" in await page.locator("[data-min-length]").inner_text()


async def test_a_form_is_sent_once_however_often_one_clicks(stage: Stage) -> None:
    page = await stage.open(EXAMPLES["login"])
    await page.fill("#username", "ada@example.com")
    await page.fill("#password", "s3cret")

    await page.evaluate("{ const b = document.querySelector('[name=action]'); b.click(); b.click(); b.click() }")
    await page.wait_for_function("document.title === 'posted'")

    assert len(stage.posted) == 1


async def test_form_post_submits_itself_to_the_application(stage: Stage) -> None:
    fields = (("code", "c0de"), ("state", "a&b"), ("submit", "x"), ("action", "y"))

    await stage.page.goto("about:blank")
    await stage.open(views.FormPost(redirect_uri=f"{APP}/callback", fields=fields))
    await stage.page.wait_for_function("document.title === 'posted'")

    url, form, headers = stage.posted[0]
    assert url == f"{APP}/callback"
    assert form == {name: [value] for name, value in fields}
    assert headers["origin"] == ISSUER
    assert stage.complaints == []


async def test_a_form_post_waits_for_a_click_without_a_script(browser: Browser) -> None:
    async with on_stage(browser, script=False) as stage:
        page = await stage.open(EXAMPLES["form-post"])

        await page.get_by_role("button", name="Continue").click()

        assert stage.posted[0][0] == f"{APP}/callback"


LISTEN = "<script>addEventListener('message', e => { window.got = [e.origin, e.data] })</script>"
MESSAGE = {"type": "authorization_response", "response": {"code": "c0de", "state": "</script>", "expires_in": 60}}


async def test_a_web_message_reaches_the_page_that_framed_it(stage: Stage) -> None:
    stage.views["/authorize"] = (EXAMPLES["web-message"], context())
    stage.foreign["/"] = f"{LISTEN}<iframe src='{ISSUER}/authorize'></iframe>"

    await stage.page.goto(f"{APP}/")
    await stage.page.wait_for_function("window.got")

    assert await stage.page.evaluate("got") == [ISSUER, MESSAGE]
    assert stage.complaints == []


async def test_a_web_message_reaches_the_page_that_opened_it(stage: Stage) -> None:
    stage.views["/authorize"] = (EXAMPLES["web-message"], context())
    stage.foreign["/"] = LISTEN
    await stage.page.goto(f"{APP}/")

    async with stage.page.expect_popup():
        await stage.page.evaluate(f"void open('{ISSUER}/authorize')")
    await stage.page.wait_for_function("window.got")

    assert await stage.page.evaluate("got") == [ISSUER, MESSAGE]


async def test_a_web_message_reaches_nobody_else(stage: Stage) -> None:
    stage.views["/authorize"] = (EXAMPLES["web-message"], context())
    stage.foreign["/"] = f"{LISTEN}<iframe src='{ISSUER}/authorize'></iframe>"

    await stage.page.goto("https://evil.example/")
    await stage.page.frame_locator("iframe").get_by_role("heading").wait_for()
    await stage.page.evaluate("new Promise(done => setTimeout(done))")

    assert await stage.page.evaluate("window.got") is None


async def test_a_sign_in_page_refuses_to_be_framed(stage: Stage) -> None:
    stage.views["/login"] = (EXAMPLES["login"], context())
    stage.foreign["/"] = f"<iframe src='{ISSUER}/login'></iframe>"

    await stage.page.goto("https://evil.example/")

    assert any("frame-ancestors" in text or "refused to connect" in text for text in stage.complaints)


async def test_a_mail_in_the_outbox_is_shown_and_runs_nothing(stage: Stage) -> None:
    stage.mail = "<p>mail</p><script>document.body.textContent = 'evil'; top.document.title = 'evil'</script>"
    page = await stage.open(EXAMPLES["outbox-mail"])

    await page.frame_locator("iframe").get_by_text("mail").wait_for()

    assert await page.title() == "Set a new password | Outbox"
    assert await page.frame_locator("iframe").locator("body").inner_text() == "mail"


async def test_dark_screens_get_dark_pages(stage: Stage) -> None:
    page = await stage.open(EXAMPLES["login"], brand=views.Brand(name="x", primary="#1b1035"))
    card = "getComputedStyle(document.querySelector('.card')).backgroundColor"

    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(card) == "rgb(255, 255, 255)"
    await page.emulate_media(color_scheme="dark")
    assert await page.evaluate(card) == "rgb(23, 25, 30)"
