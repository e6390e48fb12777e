"""Sign-in, sign-up and a new password by mail in a real browser, against a server in a process of its own."""

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page, expect

from tests.support.applications import Application, make_application
from tests.support.server import LiveServer

pytestmark = pytest.mark.browser
NEW_PASSWORD = "Another-horse-5-battery"


@pytest.fixture(scope="module")
def app(server: LiveServer) -> Application:
    return make_application(server)


async def arriving(page: Page, app: Application, button: str) -> dict[str, str]:
    """Press a button that leads to the application; what its callback is given."""
    async with page.expect_request(lambda request: request.url.startswith(app.callback)) as arrival:
        await page.get_by_role("button", name=button).press("Enter")
    request = await arrival.value
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


async def test_signing_in_with_the_keyboard(page: Page, app: Application) -> None:
    ada = app.add_user()
    await page.goto(app.authorize_url(state="s-1"))
    await expect(page.get_by_label("Email address")).to_be_focused()
    await page.keyboard.type(ada.email)
    await expect(page.get_by_label("Email address")).to_have_value(ada.email)
    await page.get_by_label("Password", exact=True).fill(ada.password)
    answer = await arriving(page, app, "Continue")

    assert answer["state"] == "s-1"
    tokens = app.token(
        "authorization_code", code=answer["code"], redirect_uri=app.callback, code_verifier=app.verifiers["s-1"]
    )
    assert tokens.status_code == 200


async def test_signing_up_and_setting_a_new_password(page: Page, app: Application) -> None:
    await page.goto(app.authorize_url(screen_hint="signup"))
    await page.get_by_label("Email address").fill("browser@example.com")
    await page.get_by_label("Password", exact=True).fill("Correct-horse-4-battery")
    assert "code" in await arriving(page, app, "Continue")

    await page.context.clear_cookies()
    await page.goto(app.authorize_url())
    await page.get_by_role("link", name="Forgot password?").click()
    await page.get_by_label("Email address").fill("browser@example.com")
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_text("Check your email").first.wait_for()
    link = None
    while link is None:
        with app.http() as http:
            found = [mail for mail in http.get("/outbox.json").json() if mail["template"] == "reset_email"]
        link = next((word for mail in found for word in mail["text"].split() if "ticket=" in word), None)
    await page.goto(link)
    fields = page.locator("input[type=password]")
    await fields.nth(0).fill(NEW_PASSWORD)
    await fields.nth(1).fill(NEW_PASSWORD)
    await page.locator("button[type=submit]").click()
    await page.get_by_role("heading").first.wait_for()

    await page.goto(app.authorize_url())
    await page.get_by_label("Email address").fill("browser@example.com")
    await page.get_by_label("Password", exact=True).fill(NEW_PASSWORD)
    assert "code" in await arriving(page, app, "Continue")
