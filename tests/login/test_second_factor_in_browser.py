"""Setting up a second factor and being asked for it in a real browser, against a server in a process of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.support.applications import Application, make_application, read_claims
from tests.support.second_factors import App
from tests.support.server import LiveServer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app(server: LiveServer) -> Application:
    return make_application(server)


@pytest.fixture
def always(app: Application) -> Iterator[None]:
    factors = ("otp", "recovery-code")
    for name in factors:
        app.manage("PUT", f"/guardian/factors/{name}", {"enabled": True})
    app.manage("PUT", "/guardian/policies", ["all-applications"])
    yield
    app.manage("PUT", "/guardian/policies", [])
    for name in factors:
        app.manage("PUT", f"/guardian/factors/{name}", {"enabled": False})


async def arriving(page: Page, app: Application) -> dict[str, str]:
    """Press Continue, which leads to the application; what its callback is given."""
    async with page.expect_request(lambda request: request.url.startswith(app.callback)) as arrival:
        await page.get_by_role("button", name="Continue", exact=True).click()
    request = await arrival.value
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


async def sign_in(page: Page, app: Application, email: str, password: str, state: str) -> None:
    await page.goto(app.authorize_url(state=state))
    await page.get_by_label("Email address").fill(email)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Continue", exact=True).click()


@pytest.mark.usefixtures("always")
async def test_setting_up_an_app_and_signing_in_with_it(page: Page, app: Application) -> None:
    ada, complaints = app.add_user(), []
    page.on("console", lambda message: complaints.append(message.text))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await sign_in(page, app, ada.email, ada.password, "s-1")

    picture = page.get_by_role("img", name="QR code to scan with the app")
    box = await picture.bounding_box()
    assert box is not None
    assert box["width"] > 150
    assert abs(box["width"] - box["height"]) < 4
    held = App(await page.locator(".key code").inner_text())
    await page.get_by_label("One-time code").fill(held.code(datetime.now(UTC)))
    await page.get_by_role("button", name="Continue", exact=True).click()

    code = await page.locator(".key code").inner_text()
    await page.get_by_role("button", name="Copy").click()
    await page.get_by_role("button", name="Copied").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == code
    for _ in range(2):
        async with page.expect_download() as saving:
            await page.get_by_role("button", name="Save as a file").click()
        assert (await (await saving.value).path()).read_text() == f"{code}\n"
    await page.get_by_role("button", name="Continue", exact=True).click()
    assert "mfa-recovery-code-enrollment" in page.url  # the browser itself asks for the box
    await page.get_by_label("I have kept this code in a safe place").check()
    answer = await arriving(page, app)
    tokens = app.token(
        "authorization_code", code=answer["code"], redirect_uri=app.callback, code_verifier=app.verifiers["s-1"]
    )
    assert read_claims(tokens.json()["id_token"])["amr"] == ["mfa"]

    await page.context.clear_cookies()
    await sign_in(page, app, ada.email, ada.password, "s-2")
    await expect(page.get_by_label("One-time code")).to_be_focused()
    await page.get_by_label("One-time code").fill("000000")
    await page.get_by_role("button", name="Continue", exact=True).click()
    await page.get_by_role("alert").get_by_text("That code is not right").wait_for()
    await page.get_by_label("Do not ask again in this browser for 30 days").check()
    await page.get_by_label("One-time code").fill(held.code(datetime.now(UTC) + timedelta(seconds=30)))
    assert "code" in await arriving(page, app)
    assert [text for text in complaints if "400" not in text and "ERR_" not in text] == []


@pytest.mark.usefixtures("always")
async def test_the_recovery_code_stands_in_for_a_lost_app(page: Page, app: Application) -> None:
    ada = app.add_user()
    body = {"type": "totp", "totp_secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}
    app.manage("POST", f"/users/{ada.user_id}/authentication-methods", body)
    code = app.manage("POST", f"/users/{ada.user_id}/recovery-code-regeneration", {})["recovery_code"]
    await sign_in(page, app, ada.email, ada.password, "s-3")
    await page.get_by_role("link", name="Use your recovery code").click()
    await page.get_by_label("Recovery code").fill(f"{code[:12].lower()} {code[12:]}")
    await page.get_by_role("button", name="Continue", exact=True).click()
    assert await page.locator(".key code").inner_text() != code
    await page.get_by_label("I have kept this code in a safe place").check()
    assert "code" in await arriving(page, app)


@pytest.mark.usefixtures("always")
async def test_the_pages_fit_a_phone(page: Page, app: Application) -> None:
    ada = app.add_user()
    await page.set_viewport_size({"width": 320, "height": 640})
    await sign_in(page, app, ada.email, ada.password, "s-4")
    await page.locator(".key code").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
