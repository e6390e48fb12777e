"""The dashboard in a real browser, with an authenticator that Chromium plays, against a server of its own."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import CDPSession, Page

from tests.support.administrators import PASSWORD, code_at
from tests.support.server import LiveServer, start_server

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server without administrators."""
    with start_server(tmp_path_factory.mktemp("dashboard") / "data") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="session")
async def device(page: Page) -> CDPSession:
    """A device with a fingerprint reader, in the browser of `page`."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    return session


async def plug_in(device: CDPSession, **changes: Any) -> str:
    """Give the browser an authenticator."""
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    answer = await device.send("WebAuthn.addVirtualAuthenticator", {"options": {**options, **changes}})
    return str(answer["authenticatorId"])


def invited(server: LiveServer, email: str, role: str = "admin") -> str:
    return str(json.loads(server.freehold("admins", "invite", email, "--role", role, "--json").stdout)["url"])


async def accept(page: Page, url: str) -> None:
    await page.goto(url)
    await page.get_by_label("Your name").fill("Ada Admin")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("The same password again").fill(PASSWORD)
    await page.get_by_role("button", name="Accept the invitation").click()
    await page.wait_for_url("**/admin/security")


async def sign_out(page: Page) -> None:
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/admin/sign-in")


async def test_a_passkey_is_added_signs_in_and_confirms(page: Page, device: CDPSession, own_server: LiveServer) -> None:
    await plug_in(device)
    await accept(page, invited(own_server, "ada@example.com"))
    await page.get_by_label("Name", exact=True).fill("Fingerprint")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_text("Your recovery code").wait_for()
    await page.get_by_role("link", name="I have kept it").click()
    await page.wait_for_url("**/admin")
    await page.goto(f"{own_server.base_url}/admin/security")
    assert await page.get_by_role("cell", name="Fingerprint", exact=True).count() == 1
    await sign_out(page)

    await page.get_by_role("button", name="Continue with a passkey").click()
    await page.wait_for_url("**/admin")
    await page.goto(f"{own_server.base_url}/admin/authenticate?return_to=/admin/audit")
    await page.get_by_role("button", name="Confirm with a passkey").click()
    await page.get_by_text("administrator.authenticated", exact=True).first.wait_for()
    assert page.url == f"{own_server.base_url}/admin/audit"
    await sign_out(page)

    await page.get_by_label("Email address").fill("ada@example.com")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.get_by_role("button", name="Use a passkey").click()
    await page.wait_for_url("**/admin")


async def test_a_device_that_does_not_check_its_holder_is_refused(
    page: Page, device: CDPSession, own_server: LiveServer
) -> None:
    await plug_in(device, hasUserVerification=False, isUserVerified=False)
    await accept(page, invited(own_server, "careless@example.com"))
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_text("That did not work").wait_for()
    assert page.url.endswith("/admin/security")


async def test_somebody_elses_passkey_opens_ones_own_account_only(
    page: Page, device: CDPSession, own_server: LiveServer
) -> None:
    await plug_in(device)
    await accept(page, invited(own_server, "first@example.com"))
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_role("link", name="I have kept it").click()
    await page.wait_for_url("**/admin")
    await sign_out(page)
    await accept(page, invited(own_server, "second@example.com"))
    # The browser holds a passkey for this host, but the question names none of hers: it has nothing to answer with.
    token = await page.locator("input[name=csrf_token]").first.get_attribute("value")
    answer = await page.evaluate(
        """async (token) => {
            const asked = await fetch("/admin/passkey-options", {method: "POST",
                headers: {"content-type": "application/json", "x-csrf-token": token},
                body: JSON.stringify({purpose: "authenticate"})});
            const options = await asked.json();
            const signed = await get({...options, allowCredentials: []});
            const form = new URLSearchParams({csrf_token: token, passkey: JSON.stringify(signed)});
            const sent = await fetch("/admin/authenticate", {method: "POST", body: form});
            return [sent.status, await sent.text()];
        }""",
        token,
    )
    assert answer[0] == 403
    assert "could not be accepted" in answer[1]


async def test_an_answer_is_taken_once_and_for_its_question_only(
    page: Page, device: CDPSession, own_server: LiveServer
) -> None:
    await plug_in(device)
    await accept(page, invited(own_server, "replay@example.com"))
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_role("link", name="I have kept it").click()
    await page.wait_for_url("**/admin")
    answers = await page.evaluate(
        """async () => {
            const token = () => document.querySelector("input[name=csrf_token]").value;
            const asked = await fetch("/admin/passkey-options", {method: "POST",
                headers: {"content-type": "application/json", "x-csrf-token": token()},
                body: JSON.stringify({purpose: "authenticate"})});
            const signed = await get(await asked.json());
            const send = async (passkey, csrf) => {
                const form = new URLSearchParams({csrf_token: csrf, passkey: JSON.stringify(passkey)});
                const sent = await fetch("/admin/authenticate", {method: "POST", body: form});
                return [sent.status, new URL(sent.url).pathname];
            };
            const other = structuredClone(signed);
            other.response.clientDataJSON = btoa(atob(signed.response.clientDataJSON.replace(/-/g, "+")
                .replace(/_/g, "/")).replace("webauthn.get", "webauthn.new"));
            const first = await send(signed, token());
            const page = await (await fetch("/admin/security")).text();
            const fresh = page.match(/name="csrf_token" value="([^"]+)"/)[1];
            return [first, await send(signed, fresh), await send(other, fresh)];
        }"""
    )
    assert answers == [[200, "/admin"], [403, "/admin/authenticate"], [403, "/admin/authenticate"]]


async def test_an_authenticator_app_is_set_up_on_a_phones_width(page: Page, own_server: LiveServer) -> None:
    await page.set_viewport_size({"width": 375, "height": 740})
    await page.emulate_media(color_scheme="dark")
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    await accept(page, invited(own_server, "phone@example.com", "viewer"))
    await page.get_by_role("link", name="Set up an authenticator app").click()
    await page.get_by_text("I cannot scan it").click()
    secret = (await page.locator("#totp-secret").inner_text()).replace(" ", "")
    await page.get_by_label("Code from your authenticator app").fill(code_at(secret, datetime.now(UTC)))
    await page.get_by_role("button", name="Set up").click()
    await page.get_by_role("link", name="I have kept it").click()
    await page.wait_for_url("**/admin")
    for at in ("/admin", "/admin/administrators", "/admin/audit", "/admin/security", "/admin/security/authenticator"):
        await page.goto(own_server.base_url + at)
        wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, at
        unnamed = await page.evaluate(
            """[...document.querySelectorAll("input:not([type=hidden]):not([hidden]), select, button, a")]
            .filter((e) => e.checkVisibility() && !(e.labels && e.labels.length) && !e.getAttribute("aria-label")
                && !e.textContent.trim()).map((e) => e.outerHTML)"""
        )
        assert unnamed == [], at
    assert problems == []


def test_no_page_of_the_dashboard_answers_without_a_session(own_server: LiveServer) -> None:
    with own_server.client() as http:
        for at in (
            "/admin",
            "/admin/administrators",
            "/admin/audit",
            "/admin/security",
            "/admin/security/authenticator",
        ):
            answer: httpx.Response = http.get(at)
            assert (answer.status_code, answer.headers["location"].startswith("/admin/sign-in")) == (303, True)
