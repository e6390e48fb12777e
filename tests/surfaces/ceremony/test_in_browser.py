"""The whole ceremony in headless Chromium by people with authenticator apps: a key of the guide's by the real `gpg`, a
PDF signed by certificate, and at the end the user who signs in elsewhere with password and code.

Administrators join, and the executive is enrolled, before that by JSON. Passkeys are in `test_pages_in_browser`.
"""

import asyncio
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from freehold.demo import auth0_export
from freehold.demo.administrator import Administrator, Authenticator
from freehold.demo.ceremony import RELAXED
from freehold.demo.executive import AUTHORITY, Executive
from freehold.demo.gnupg import GnuPG, key_holder
from freehold.demo.servers import CALLBACK, Server
from freehold.kernel.crypto.otp import new_totp_secret
from tests.support.browser import PATIENCE_MS
from tests.support.commands import freehold

pytestmark = [pytest.mark.browser, pytest.mark.gnupg]
ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("in-browser")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    data = folder / "first"
    data.mkdir(mode=0o700)
    policy = data / "freehold.toml"
    policy.touch(0o600)
    policy.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in RELAXED.items()))
    running = Server.start(data, 0, folder / "first.json")
    yield running
    running.stop()


async def sign_in(page: Page, server: Server, person: Administrator, at: str) -> None:
    await page.goto(server.base_url + at)
    await page.get_by_label("Email address").fill(person.email)
    await page.get_by_label("Password", exact=True).fill(person.password)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await page.get_by_label("Code from your authenticator app").fill(person.app.code())
    await page.get_by_label("Code from your authenticator app").press("Enter")
    await page.wait_for_url(f"**{at}")


async def profile(browser: Browser) -> Page:
    context = await browser.new_context(ignore_https_errors=True, locale="en-US", accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    return await context.new_page()


async def fetched(page: Page, role: str, name: str) -> bytes:
    async with page.expect_download() as begun:
        await page.get_by_role(role, name=name).click()  # type: ignore[arg-type]
    return Path(await (await begun.value).path()).read_bytes()


async def test_from_the_request_to_the_sign_in_elsewhere(browser: Browser, server: Server, folder: Path) -> None:
    export = auth0_export.write_export(folder / "auth0", users=3, callback=CALLBACK, cost=4)
    secret = new_totp_secret()
    with export.factors.open("a") as file:
        file.write(json.dumps({"user_id": export.person["user_id"], "type": "otp", "otp_secret": secret}) + "\n")
    freehold(
        "import", "auth0", "--data", str(folder / "first"), "--users", str(export.users), "--hashes",
        str(export.hashes), "--mfa", str(export.factors), "--config", str(export.config), "--yes",
    )  # fmt: skip
    with server.management() as api:
        assert api.put("/api/v2/guardian/factors/otp", json={"enabled": True}).status_code == 200
        assert api.put("/api/v2/guardian/policies", json=["all-applications"]).status_code == 200
    ada = Administrator.join(server, server.facts["dashboard"]["invitation_url"], ADA, "Ada Lovelace")
    invitation = ada.call("POST", "invitations", {"email": BOB, "role": "admin"}, status=201)
    bob = Administrator.join(server, invitation["url"], BOB, "Bob Bishop")
    executive = Executive("Grace Hopper", "CISO", "grace@example.com")
    ada.call("POST", "trust-anchors", {"name": AUTHORITY, "certificate": executive.authority_pem}, status=201)
    person = {"name": executive.name, "title": executive.title, "email": executive.email}
    ada.call("POST", "executives", person, status=201)

    with key_holder("Ada Lovelace", ADA) as holder:
        assert isinstance(holder, GnuPG)
        hers, his = await profile(browser), await profile(browser)
        await sign_in(hers, server, ada, "/admin/exports")
        await hers.get_by_role("link", name="Ask for an export").click()
        for kind in ("Password hashes", "Second factors", "Private keys", "Stored secrets"):
            await hers.get_by_label(kind).check()
        await hers.get_by_label("What it is for").fill("We move to a server of our own.")
        await hers.get_by_label("Your OpenPGP public key").fill(holder.public_key)
        await hers.get_by_label("Signed by").select_option(label="Grace Hopper, CISO")
        await hers.get_by_role("button", name="Save the draft").click()
        await hers.wait_for_url("**/admin/exports/cer_*")
        address = hers.url.partition("?")[0].partition("#")[0]
        await hers.get_by_role("button", name="Submit the request").click()
        word = holder.read(await hers.locator("textarea[readonly]").input_value())
        await hers.get_by_label("The word that").fill(word)
        await hers.get_by_role("button", name="Check the word").click()
        await hers.get_by_label("Type the tenant's name").fill("main")
        await hers.get_by_label("I authorize the export").check()
        await hers.get_by_role("button", name="Authorize the export").click()
        await hers.get_by_role("button", name="Authorize the export").wait_for(state="detached")

        await sign_in(his, server, bob, address.removeprefix(server.base_url) + "/decision")
        groups = " ".join((await his.locator(".groups span").all_inner_texts())[:6])
        await his.get_by_label("Type the six groups of the digest").first.fill(groups)
        await his.get_by_label("Code from your authenticator app").first.fill(bob.app.code())
        await his.get_by_role("button", name="Confirm", exact=True).click()
        await his.get_by_role("heading", name="Who did what").wait_for()

        await hers.goto(address)
        form = await fetched(hers, "link", "Download the form (PDF)")
        signed = await asyncio.to_thread(executive.sign, form)
        chosen = {"name": "signed.pdf", "mimeType": "application/pdf", "buffer": signed}
        await hers.get_by_label("The signed form, or the signature").set_input_files(chosen)  # type: ignore[arg-type]
        await hers.get_by_role("button", name="Hand it in").click()
        for _ in range(240):
            await hers.goto(address)
            if await hers.get_by_role("button", name="Download the file now").count():
                break
            await hers.wait_for_timeout(500)
        (folder / "export.pgp").write_bytes(await fetched(hers, "button", "Download the file now"))
        (folder / "receipt.zip").write_bytes(await fetched(hers, "link", "Download the receipt"))
        holder.open(folder / "export.pgp", folder / "export.tar")
    freehold("ceremony", "verify", str(folder / "receipt.zip"))
    with tarfile.open(folder / "export.tar") as tar:
        lines = tar.extractfile("mfa-secrets.ndjson")
        assert lines is not None
        assert json.loads(lines.readline())["otp_secret"] == secret

    archive, second = folder / "main.tar.gz", folder / "second"
    freehold("export", "--data", str(folder / "first"), "--output", str(archive))
    ada.http.close()
    bob.http.close()
    server.stop()
    freehold("restore", "--data", str(second), str(archive), "--vault", str(folder / "export.tar"))
    elsewhere = Server.start(second, server.port, folder / "second.json")
    try:
        page = await profile(browser)
        client = auth0_export.WEB_CLIENT
        await page.goto(
            f"{elsewhere.base_url}/authorize?response_type=code&client_id={client}&scope=openid&redirect_uri={CALLBACK}"
        )
        await page.get_by_label("Email address").fill(export.person["email"])
        await page.get_by_label("Password", exact=True).fill(export.password)
        await page.get_by_role("button", name="Continue", exact=True).click()
        await page.get_by_label("One-time code").fill(Authenticator(secret).code())
        await page.get_by_role("button", name="Continue", exact=True).click()
        await page.wait_for_url(f"{CALLBACK}?code=*")
    finally:
        elsewhere.stop()
