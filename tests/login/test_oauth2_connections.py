"""Signing in through a custom OAuth 2.0 connection, with a published OAuth server at the other end."""

import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.applications import Application, make_application, read_claims
from tests.support.hosted_pages import BrowserSession, Page
from tests.support.programs import JS_CLIENTS, find_node
from tests.support.server import LiveServer, start_server

pytestmark = pytest.mark.node
FETCH = """function fetchUserProfile(accessToken, ctx, callback) {
    fetch('%s/me', { headers: { authorization: 'Bearer ' + accessToken } }).then((answer) => answer.json()).then((me) =>
        callback(null, { user_id: me.sub, email: me.email, email_verified: me.email_verified, name: me.name,
            has_id_token: Boolean(ctx.id_token) }), callback);
}"""


@dataclass
class Provided:
    """An application whose users sign in at the provider."""

    app: Application
    connection: str
    connection_id: str
    provider: str

    def leave(self, browser: BrowserSession, **params: Any) -> Page:
        """As far as the provider's own address."""
        return browser.open(self.app.authorize_url(connection=self.connection, **params))

    def at_provider(self, page: Page) -> str:
        """Through the provider's pages; where it sends the browser in the end."""
        url = page.url
        with httpx.Client() as http:
            for _ in range(10):
                if not url.startswith(self.provider):
                    return url
                answer = http.get(url)
                assert answer.is_redirect, answer.text
                url = str(answer.next_request.url) if answer.next_request else ""
        raise AssertionError("the provider sends the browser in a circle")

    def change(self, **options: Any) -> None:
        known = self.app.manage("GET", f"/connections/{self.connection_id}")["options"]
        self.app.manage("PATCH", f"/connections/{self.connection_id}", {"options": {**known, **options}})


@pytest.fixture(scope="module")
def provided_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, str]]:
    """A server, and a provider that calls it back: each has to know the other's address beforehand."""
    node = find_node()
    assert node is not None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    callback = f"https://localhost:{port}/login/callback"
    provider = subprocess.Popen(
        [node, "provider.mjs", callback], cwd=JS_CLIENTS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert provider.stdout is not None
        issuer = provider.stdout.readline().strip()
        place = urlsplit(issuer).netloc
        env = {"FREEHOLD_OUTBOUND_ALLOW": place, "FREEHOLD_SANDBOX_OUTBOUND_ALLOW": place}
        folder: Path = tmp_path_factory.mktemp("oauth2")
        with start_server(folder / "data", "--port", str(port), env=env) as live:
            yield live, issuer
    finally:
        provider.terminate()
        provider.wait()


@pytest.fixture
def provided(provided_server: tuple[LiveServer, str]) -> Provided:
    server, issuer = provided_server
    app = make_application(server)
    options = {
        "client_id": "freehold", "client_secret": "provider-secret-of-the-test", "authorizationURL": f"{issuer}/auth",
        "tokenURL": f"{issuer}/token", "scope": "openid email profile", "pkce_enabled": True,
        "upstream_params": {"login_hint": {"alias": "login_hint"}, "state": {"value": "chosen"}},
        "scripts": {"fetchUserProfile": FETCH % issuer},
    }  # fmt: skip
    name = f"provider-{app.client_id[:8].lower()}"
    made = app.manage(
        "POST",
        "/connections",
        {"name": name, "strategy": "oauth2", "options": options, "enabled_clients": [app.client_id]},
    )
    return Provided(app, name, made["id"], issuer)


def test_a_user_of_the_provider_signs_in(provided: Provided) -> None:
    browser = provided.app.browser()

    left = provided.leave(browser, login_hint="grace@example.com")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(left.url).query).items()}
    done = browser.open(provided.at_provider(left))
    tokens = provided.app.redeem(done)

    assert (asked["response_type"], asked["code_challenge_method"], asked["login_hint"]) == (
        "code", "S256", "grace@example.com",
    )  # fmt: skip
    assert asked["state"] != "chosen"
    assert tokens.status_code == 200, tokens.text
    claims = read_claims(tokens.json()["id_token"])
    assert claims["sub"] == f"oauth2|{provided.connection}|grace"
    assert (claims["email"], claims["email_verified"], claims["name"]) == ("grace@example.com", True, "Grace")
    user = provided.app.manage("GET", f"/users/{claims['sub']}")
    (identity,) = user["identities"]
    assert identity.pop("access_token")
    assert identity.pop("expires_in") > 0
    assert identity == {
        "connection": provided.connection,
        "user_id": f"{provided.connection}|grace",
        "provider": "oauth2",
        "isSocial": True,
    }
    assert user["logins_count"] == 1


def test_the_sign_in_page_has_a_button(provided: Provided) -> None:
    browser = provided.app.browser()
    page = browser.open(provided.app.authorize_url())

    left = browser.open(next(link for link in page.links if "/u/login/provider" in link))

    assert left.url.startswith(provided.provider)
    assert browser.open(provided.at_provider(left)).url.startswith(provided.app.callback)


def test_an_account_follows_the_provider(provided: Provided) -> None:
    browser = provided.app.browser()
    browser.open(provided.at_provider(provided.leave(browser)))
    path = f"/users/oauth2|{provided.connection}|grace"
    provided.app.manage("PATCH", path, {"name": "Somebody", "user_metadata": {"colour": "red"}})

    other = provided.app.browser()
    other.open(provided.at_provider(provided.leave(other)))

    user = provided.app.manage("GET", path)
    assert (user["name"], user["user_metadata"], user["logins_count"]) == ("Grace", {"colour": "red"}, 2)


def test_an_answer_holds_for_the_browser_that_asked_and_once(provided: Provided) -> None:
    browser, thief = provided.app.browser(), provided.app.browser()
    thief.open(provided.app.authorize_url())
    answer = provided.at_provider(provided.leave(browser))

    assert thief.open(answer).status == 400
    assert browser.open(answer).url.startswith(provided.app.callback)
    assert browser.open(answer).status == 400


@pytest.mark.parametrize("state", ["", "x", "made.up", "."])
def test_an_answer_that_nobody_asked_for(provided: Provided, state: str) -> None:
    browser = provided.app.browser()
    provided.leave(browser)

    assert browser.open(f"/login/callback?code=1&state={state}").status == 400


@pytest.mark.parametrize("options", [
    {"client_secret": "another"},
    {"tokenURL": "http://127.0.0.1:1/token"},
    {"tokenURL": "http://169.254.169.254/token"},
    {"scripts": {"fetchUserProfile": "function f(t, c, callback) { callback(new Error('secret of 10.0.0.7')); }"}},
    {"scripts": {"fetchUserProfile": "function f(t, c, callback) { callback(null, { email: 'a@example.com' }); }"}},
])  # fmt: skip
def test_what_goes_wrong_is_not_told(provided: Provided, options: dict[str, Any]) -> None:
    provided.change(**options)
    browser = provided.app.browser()

    page = browser.open(provided.at_provider(provided.leave(browser)))

    assert page.alerts == ["Signing in did not work. Please try again."]
    assert "10.0.0.7" not in page.text


def test_a_user_who_says_no_comes_back_to_the_sign_in_page(provided: Provided) -> None:
    browser = provided.app.browser()
    left = provided.leave(browser)
    state = parse_qs(urlsplit(left.url).query)["state"][0]

    page = browser.open(f"/login/callback?error=access_denied&error_description=No&state={state}")

    assert page.alerts == ["Signing in did not work. Please try again."]


def test_a_blocked_user_does_not_get_in(provided: Provided) -> None:
    browser = provided.app.browser()
    browser.open(provided.at_provider(provided.leave(browser)))
    provided.app.manage("PATCH", f"/users/oauth2|{provided.connection}|grace", {"blocked": True})

    other = provided.app.browser()
    page = other.open(provided.at_provider(provided.leave(other)))
    assert page.alerts == ["Signing in did not work. Please try again."]


def signed_in(provided: Provided, browser: BrowserSession | None = None) -> str:
    """The id of the user whom the provider knows."""
    browser = browser or provided.app.browser()
    done = browser.open(provided.at_provider(provided.leave(browser)))
    return str(read_claims(provided.app.redeem(done).json()["id_token"])["sub"])


def test_the_provider_s_token_works_and_few_see_it(provided: Provided, provided_server: tuple[LiveServer, str]) -> None:
    server, issuer = provided_server
    user_id = signed_in(provided)

    token = provided.app.manage("GET", f"/users/{user_id}")["identities"][0]["access_token"]

    me = httpx.get(f"{issuer}/me", headers={"authorization": f"Bearer {token}"})
    assert (me.status_code, me.json()["email"]) == (200, "grace@example.com")
    app, audience = provided.app, server.facts["management"]["audience"]
    app.manage("POST", "/client-grants", {"client_id": app.client_id, "audience": audience, "scope": ["read:users"]})
    narrow = app.token("client_credentials", audience=audience).json()["access_token"]
    with server.client() as http:
        shown = http.get(f"/api/v2/users/{user_id}", headers={"authorization": f"Bearer {narrow}"}).json()
    assert "access_token" not in shown["identities"][0]
    assert shown["email"] == "grace@example.com"
    kept = b"".join(path.read_bytes() for path in server.data.glob("*.db*"))
    assert kept
    assert token.encode() not in kept


def test_a_token_goes_with_its_identity(provided: Provided) -> None:
    user_id = signed_in(provided)
    ada = provided.app.add_user()
    provider, _, own_id = user_id.partition("|")
    provided.app.manage("POST", f"/users/{ada.user_id}/identities", {"provider": provider, "user_id": own_id})

    identities = provided.app.manage("GET", f"/users/{ada.user_id}")["identities"]
    assert ["access_token" in identity for identity in identities] == [False, True]
    provided.app.manage("DELETE", f"/users/{ada.user_id}")
    assert signed_in(provided) == user_id


def test_attributes_are_mapped_kept_and_left_out(provided: Provided) -> None:
    fetch = """function (token, ctx, callback) {
        callback(null, { sub: 'ada', mail: 'ada@example.com', department: 'R&D', salary: 7, nickname: 'A' }); }"""
    provided.change(
        scripts={"fetchUserProfile": fetch}, fieldsMap={"user_id": "sub", "email": "mail"},
        non_persistent_attrs=["salary", "nickname"],
    )  # fmt: skip

    user = provided.app.manage("GET", f"/users/{signed_in(provided)}")

    assert (user["user_id"], user["email"]) == (f"oauth2|{provided.connection}|ada", "ada@example.com")
    assert user["department"] == "R&D"
    assert "salary" not in user
    assert user["nickname"] != "A"


@pytest.mark.parametrize(("spec", "scope"), [(True, "openid email repo user"), (False, "openid,email,repo,user")])
def test_an_application_asks_for_more_of_the_provider(provided: Provided, spec: bool, scope: str) -> None:
    provided.change(scope="openid email", useOauthSpecScope=spec, upstream_params={"app": {"alias": "client_id"}})

    left = provided.leave(provided.app.browser(), connection_scope="repo,user")

    asked = {name: values[0] for name, values in parse_qs(urlsplit(left.url).query).items()}
    assert (asked["scope"], asked["app"]) == (scope, provided.app.client_id)


LOGOUT = """function (context, callback) {
    callback(null, '%s/session/end?client_id=' + context.client_id + '&state=' + encodeURIComponent(context.returnTo));
}"""


def sign_out(provided: Provided, browser: BrowserSession, **params: str) -> str:
    """Where the browser is sent when it signs out."""
    provided.app.change(allowed_logout_urls=["https://app.example.com/bye"])
    query = {"client_id": provided.app.client_id, "returnTo": "https://app.example.com/bye", **params}
    answer = browser.http.get("/v2/logout", params=query)
    assert answer.status_code == 302
    return str(answer.headers["location"])


def test_signing_out_of_the_provider_too(provided: Provided) -> None:
    provided.change(scripts={"fetchUserProfile": FETCH % provided.provider, "getLogoutUrl": LOGOUT % provided.provider})
    browser = provided.app.browser()
    signed_in(provided, browser)

    target = sign_out(provided, browser, federated="")

    assert target == f"{provided.provider}/session/end?client_id=freehold&state=https%3A%2F%2Fapp.example.com%2Fbye"
    assert httpx.get(target).status_code == 200
    over = browser.open(provided.app.authorize_url(prompt="none"))
    assert over.query["error"] == "login_required"


def test_a_logout_url_without_a_script(provided: Provided) -> None:
    provided.change(logoutUrl=f"{provided.provider}/session/end")
    browser = provided.app.browser()
    signed_in(provided, browser)

    assert sign_out(provided, browser) == "https://app.example.com/bye"
    signed_in(provided, browser)
    target = sign_out(provided, browser, federated="")
    assert target == f"{provided.provider}/session/end?returnTo=https%3A%2F%2Fapp.example.com%2Fbye"


def test_signing_out_of_the_provider_by_a_form(provided: Provided) -> None:
    provided.change(logoutUrl=f"{provided.provider}/session/end")
    browser = provided.app.browser()
    signed_in(provided, browser)
    with provided.app.installation.management() as api:
        api.patch("/tenants/settings", json={"sessions": {"oidc_logout_prompt_enabled": False}})

    form = {"client_id": provided.app.client_id, "federated": ""}
    answer = browser.http.post("/oidc/logout", data=form, headers={"origin": browser.origin})

    with provided.app.installation.management() as api:
        api.patch("/tenants/settings", json={"sessions": {"oidc_logout_prompt_enabled": True}})
    assert answer.headers["location"] == f"{provided.provider}/session/end"


@pytest.mark.parametrize("script", [
    "function (c, cb) { cb(new Error('x')); }", "function (c, cb) { cb(null, 'javascript:alert(1)'); }",
    "function (c, cb) { cb(null, 7); }",
])  # fmt: skip
def test_a_logout_script_that_says_nothing_good(provided: Provided, script: str) -> None:
    provided.change(scripts={"fetchUserProfile": FETCH % provided.provider, "getLogoutUrl": script})
    browser = provided.app.browser()
    signed_in(provided, browser)

    assert sign_out(provided, browser, federated="") == "https://app.example.com/bye"
