"""What administrators may do about each other, by page and by JSON, and who may not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.administrators import (
    PASSWORD,
    Person,
    accept,
    form_to,
    form_with,
    invite,
    make_administrator,
)
from tests.support.in_process import Installation


@pytest.fixture(scope="module")
def root(installation: Installation) -> Person:
    return make_administrator(installation, "root@example.com")


@pytest.fixture(scope="module")
def editor(installation: Installation) -> Person:
    return make_administrator(installation, "editor@example.com", "editor")


@pytest.fixture(scope="module")
def viewer(installation: Installation) -> Person:
    return make_administrator(installation, "viewer@example.com", "viewer")


def error_of(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"statusCode", "error", "message", "errorCode"}
    assert body["statusCode"] == answer.status_code
    return answer.status_code, body["errorCode"]


@contextmanager
def changed_settings(installation: Installation, **changes: Any) -> Iterator[None]:
    """Run with other settings for a while."""
    import msgspec

    services = installation.services
    before = services.settings
    services.settings = msgspec.structs.replace(before, **changes)
    try:
        yield
    finally:
        services.settings = before


# --- by page -----------------------------------------------------------------------------------------------------


def test_inviting_on_the_page_needs_a_fresh_confirmation_and_shows_the_link_once(
    installation: Installation, root: Person
) -> None:
    browser, page = root.sign_in(at="/admin/administrators")
    installation.advance(301)
    fields = {"email": "guest@example.com"}
    stale = browser.submit(page, form=form_to(page, "/admin/administrators/invite"), **fields)
    assert stale.path == "/admin/authenticate"
    page = root.confirm(browser, stale)
    assert page.path == "/admin"
    page = browser.open("/admin/administrators")
    page = browser.submit(page, form=form_to(page, "/admin/administrators/invite"), **fields)
    link = page.response.text.partition('id="invitation-url">')[2].partition("<")[0]
    assert "guest@example.com" in page.text
    assert link not in browser.open("/admin/administrators").response.text
    guest = accept(installation, link.partition("token=")[2], "guest@example.com")

    page = browser.open("/admin/administrators")
    at = f"/admin/administrators/{guest.id}"
    page = browser.submit(page, form=form_to(page, f"{at}/role"), role="editor")
    assert page.path == "/admin/administrators"
    for action, seen in (("block", "blocked"), ("unblock", "Guest"), ("reset-factors", "set up new ones")):
        page = browser.submit(page, form=form_to(page, f"{at}/{action}"))
        assert seen in page.text
    page = browser.submit(browser.open("/admin/administrators"), form=form_to(page, f"{at}/remove"))
    assert "guest@example.com" not in page.text


def test_the_last_administrator_stays(installation: Installation, root: Person) -> None:
    browser, page = root.sign_in(at="/admin/administrators")
    page = browser.submit(page, form=form_to(page, f"/admin/administrators/{root.id}/role"), role="viewer")
    assert page.status == 409
    assert "last administrator" in page.alerts[0]
    http = root.api()
    assert error_of(http.patch(f"/admin/api/administrators/{root.id}", json={"blocked": True})) == (
        409, "last_administrator",
    )  # fmt: skip
    assert error_of(http.delete(f"/admin/api/administrators/{root.id}")) == (409, "last_administrator")


def test_others_look_and_change_nothing(viewer: Person, editor: Person) -> None:
    for person in (viewer, editor):
        browser, page = person.sign_in(at="/admin/administrators")
        assert "Invite somebody" not in page.text
        token = page.forms[0].values["csrf_token"]
        answer = browser.http.post(
            "/admin/administrators/invite", data={"csrf_token": token, "email": "x@example.com", "role": "admin"}
        )
        assert answer.status_code == 403


def test_a_name_is_shown_as_text(installation: Installation, root: Person) -> None:
    token = invite(installation, "script@example.com", "viewer")
    with installation.client() as http:
        given = {"token": token, "name": "<script>alert(1)</script>", "password": PASSWORD}
        assert http.post("/admin/api/invitations/accept", json=given).status_code == 201
    _, page = root.sign_in(at="/admin/administrators")
    assert "<script>alert" not in page.response.text
    assert "<script>alert(1)</script>" in page.text


# --- by JSON -----------------------------------------------------------------------------------------------------

CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "invitations", {"email": "more@example.com", "role": "admin"}),
    ("DELETE", "invitations/adl_none", None),
    ("PATCH", "administrators/{id}", {"role": "admin"}),
    ("DELETE", "administrators/{id}", None),
    ("POST", "administrators/{id}/reset-factors", {}),
    ("POST", "administrators/{id}/reset-password", {}),
)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_only_the_role_admin_changes_who_administers(
    viewer: Person, editor: Person, root: Person, method: str, path: str, body: Any
) -> None:
    for person in (viewer, editor):
        answer = person.api().request(method, f"/admin/api/{path.format(id=root.id)}", json=body)
        assert error_of(answer) == (403, "insufficient_role")


@pytest.mark.parametrize(("method", "path", "body"), [*CHANGES, ("GET", "me", None), ("GET", "audit", None)])
def test_machine_tokens_are_nobody(installation: Installation, root: Person, method: str, path: str, body: Any) -> None:
    with installation.management() as api:
        bearer = api.headers["authorization"]
    with installation.client(headers={"authorization": bearer}) as http:
        answer = http.request(method, f"/admin/api/{path.format(id=root.id)}", json=body)
    assert error_of(answer) == (401, "sign_in_required")


def test_a_machine_token_beside_a_cookie_counts_and_not_the_cookie(installation: Installation, root: Person) -> None:
    browser, _ = root.sign_in()
    with installation.management() as api:
        headers = {"authorization": api.headers["authorization"]}
    assert browser.http.get("/admin/api/me").status_code == 200
    assert browser.http.get("/admin/api/me", headers=headers).status_code == 401


def test_a_cookie_needs_the_form_token_to_change_something(installation: Installation, root: Person) -> None:
    browser, page = root.sign_in()
    given = {"email": "by-cookie@example.com", "role": "viewer"}
    assert browser.http.post("/admin/api/invitations", json=given).status_code == 403
    headers = {"x-csrf-token": page.forms[0].values["csrf_token"]}
    made = browser.http.post("/admin/api/invitations", json=given, headers=headers)
    assert made.status_code == 201
    http = root.api()
    assert http.delete(f"/admin/api/invitations/{made.json()['id']}").status_code == 204
    with installation.client() as anybody:
        token = made.json()["url"].partition("token=")[2]
        answer = anybody.post("/admin/api/invitations/accept", json={"token": token, "name": "x", "password": PASSWORD})
    assert error_of(answer) == (410, "link_over")


def test_sensitive_changes_need_a_fresh_confirmation_and_renew_the_token(
    installation: Installation, root: Person
) -> None:
    http = root.api()
    installation.advance(301)
    given = {"email": "fresh@example.com", "role": "viewer"}
    assert error_of(http.post("/admin/api/invitations", json=given)) == (403, "fresh_authentication_required")
    assert error_of(http.post("/admin/api/sessions/fresh", json={"password": root.password})) == (403, "code_required")
    wrong = {"password": "wrong", "otp": root.code()}
    assert error_of(http.post("/admin/api/sessions/fresh", json=wrong)) == (401, "invalid_credentials")
    answer = http.post("/admin/api/sessions/fresh", json={"password": root.password, "otp": root.code()})
    assert answer.status_code == 200
    assert http.get("/admin/api/me").status_code == 401
    http.headers["authorization"] = f"Bearer {answer.json()['token']}"
    assert http.post("/admin/api/invitations", json=given).status_code == 201


def test_an_invitation_is_void_once_its_sender_may_not_invite(installation: Installation, root: Person) -> None:
    sender = make_administrator(installation, "sender@example.com")
    made = sender.api().post("/admin/api/invitations", json={"email": "late@example.com", "role": "admin"})
    token = made.json()["url"].partition("token=")[2]
    root.api().patch(f"/admin/api/administrators/{sender.id}", json={"role": "viewer"})
    with installation.client() as http:
        answer = http.post("/admin/api/invitations/accept", json={"token": token, "name": "Late", "password": PASSWORD})
    assert error_of(answer) == (410, "link_over")


def test_an_invitation_is_accepted_once_however_many_try(installation: Installation) -> None:
    token = invite(installation, "Twice@example.com", "viewer")
    given = {"token": token, "name": "Twice", "password": PASSWORD}
    with installation.client() as http:
        answers = [http.post("/admin/api/invitations/accept", json=given).status_code for _ in range(2)]
    assert answers == [201, 410]
    late = invite(installation, "Slow@example.com", "viewer")
    installation.advance(72 * 3600 + 1)
    with installation.client() as http:
        answer = http.post("/admin/api/invitations/accept", json={"token": late, "name": "x", "password": PASSWORD})
    assert error_of(answer) == (410, "link_over")


def test_an_address_belongs_to_one_administrator_however_it_is_written(root: Person) -> None:
    answer = root.api().post("/admin/api/invitations", json={"email": "ROOT@Example.COM", "role": "admin"})
    assert error_of(answer) == (409, "administrator_exists")


def test_whoever_is_blocked_is_out_at_once(installation: Installation, root: Person) -> None:
    person = make_administrator(installation, "out@example.com", "editor")
    http, (browser, _) = person.api(), person.sign_in()
    root.api().patch(f"/admin/api/administrators/{person.id}", json={"blocked": True})
    assert http.get("/admin/api/me").status_code == 401
    assert browser.open("/admin").path == "/admin/sign-in"
    page = browser.open("/admin/sign-in")
    page = browser.submit(page, form=form_with(page, "email"), email=person.email, password=person.password)
    assert "is blocked" in page.alerts[0]
    page = browser.submit(page, form=form_with(page, "email"), email=person.email, password="wrong")
    assert "is wrong" in page.alerts[0]


def test_factors_are_reset_by_another_and_set_up_again(installation: Installation, root: Person) -> None:
    person = make_administrator(installation, "lost@example.com", "editor")
    http = person.api()
    assert root.api().post(f"/admin/api/administrators/{root.id}/reset-factors", json={}).status_code == 400
    assert root.api().post(f"/admin/api/administrators/{person.id}/reset-factors", json={}).status_code == 204
    assert http.get("/admin/api/me").status_code == 401
    person.secret = ""
    again = person.api()
    assert error_of(again.get("/admin/api/administrators")) == (403, "second_factor_required")
    assert again.get("/admin/api/me").json()["administrator"]["factors"] == {"totp": False, "passkeys": 0}
    person.enrol()
    assert person.api().get("/admin/api/administrators").status_code == 200
    installation.work()
    with installation.client(ip="127.0.0.1") as outbox:
        mails = [mail for mail in outbox.get("/outbox.json").json() if mail["to"] == person.email]
    assert any("All second factors were taken away by root@example.com" in mail["text"] for mail in mails)


def test_the_only_factor_cannot_be_removed_while_one_is_needed(installation: Installation) -> None:
    person = make_administrator(installation, "only@example.com")
    browser, _ = person.sign_in()
    page = browser.open("/admin/security")
    page = browser.submit(page, form=form_to(page, "/admin/security/remove", factor="totp"))
    assert (page.status, "only second factor" in page.alerts[0]) == (403, True)
    with changed_settings(installation, admin_mfa_required=False):
        page = browser.open("/admin/security")
        browser.submit(page, form=form_to(page, "/admin/security/remove", factor="totp"))
        person.secret = ""
        http = person.api()
        assert http.get("/admin/api/administrators").status_code == 200
        given = {"email": "n@example.com", "role": "viewer"}
        assert error_of(http.post("/admin/api/invitations", json=given)) == (403, "second_factor_required")


def test_a_session_without_its_factor_cannot_set_up_another(installation: Installation) -> None:
    """A password alone, or a session left open, is not enough to add a factor beside the one there is."""
    person = make_administrator(installation, "careful@example.com")
    browser, _ = person.sign_in()
    http = person.api()
    installation.advance(301)
    assert browser.open("/admin/security/authenticator").path == "/admin/authenticate"
    assert error_of(http.post("/admin/api/me/totp", json={})) == (403, "fresh_authentication_required")


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"null", b'{"email": 1}', b'{"email": "a@b.c", "email": "a@b.c"}', b'{"email": "\\ud800"}',
])  # fmt: skip
def test_rubbish_is_refused_in_one_shape(installation: Installation, body: bytes) -> None:
    with installation.client() as http:
        answer = http.post("/admin/api/sessions", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in {400, 401}
        error_of(answer)
        assert error_of(http.get("/admin/api/nothing-here"))[0] == 404
        assert error_of(http.put("/admin/api/me", json={}))[0] == 405


def test_tokens_are_of_one_tenant(installation: Installation, root: Person) -> None:
    services = installation.services
    from freehold.domain.tenants import lifecycle

    installation.run(lifecycle.create(services.store, services.tenants, "other", "other.example.com"))
    bearer = root.api().headers["authorization"]
    with installation.client() as http:
        answer = http.get("https://other.example.com/admin/api/me", headers={"authorization": bearer})
    assert answer.status_code == 401


def test_what_happened_is_in_the_audit_log(root: Person) -> None:
    http = root.api()
    entries = http.get("/admin/api/audit", params={"limit": "200"}).json()
    actions = {entry["action"] for entry in entries}
    assert actions >= {
        "administrator.invited", "administrator.accepted", "administrator.signed_in", "administrator.role_changed",
        "administrator.blocked", "administrator.unblocked", "administrator.removed", "administrator.factors_reset",
        "administrator.factor_enrolled", "administrator.factor_removed", "administrator.authenticated",
    }  # fmt: skip
    changed = next(entry for entry in entries if entry["action"] == "administrator.role_changed")
    assert changed["actor"]["email"] == root.email
    assert changed["actor"]["session_id"].startswith("ads_")
    assert changed["actor"]["mfa_at"]
    older = http.get("/admin/api/audit", params={"before": str(entries[-1]["seq"]), "limit": "1"}).json()
    assert not older or older[0]["seq"] < entries[-1]["seq"]
    assert PASSWORD not in str(entries)
    assert http.get("/admin/api/audit", params={"before": "x"}).status_code == 400


def test_scripts_see_and_end_sessions_of_their_own_person_only(root: Person, editor: Person) -> None:
    http, other = root.api(), root.api()
    theirs = editor.api().get("/admin/api/sessions").json()
    mine = http.get("/admin/api/sessions").json()
    assert [one["current"] for one in mine].count(True) == 1
    assert not {one["id"] for one in mine} & {one["id"] for one in theirs}
    current = next(one["id"] for one in other.get("/admin/api/sessions").json() if one["current"])
    assert error_of(http.delete(f"/admin/api/sessions/{theirs[0]['id']}")) == (404, "inexistent_session")
    assert http.delete(f"/admin/api/sessions/{current}").status_code == 204
    assert other.get("/admin/api/me").status_code == 401
    assert http.delete("/admin/api/sessions/current").status_code == 204
    assert http.get("/admin/api/me").status_code == 401


def test_a_browsers_value_is_no_token_and_a_token_no_cookie(installation: Installation, root: Person) -> None:
    browser, _ = root.sign_in()
    cookie = browser.http.cookies["__Host-freehold-admin"]
    with installation.client(headers={"authorization": f"Bearer {cookie}"}) as http:
        assert http.get("/admin/api/me").status_code == 401
    token = root.api().headers["authorization"].removeprefix("Bearer ")
    with installation.client() as http:
        http.cookies.set("__Host-freehold-admin", token)
        assert http.get("/admin/api/me").status_code == 401


def test_nothing_that_opens_anything_is_stored_as_it_is(installation: Installation, root: Person) -> None:
    """Tokens, links and codes are in the database as hashes, authenticator secrets sealed."""
    token = root.api().headers["authorization"].removeprefix("Bearer ")
    link = invite(installation, "stored@example.com", "viewer")
    services = installation.services

    async def everything() -> str:
        rows = []
        for table in services.registry.tables:
            if table.name != "mails":  # local copies for developers, never exported
                rows += await services.store.all(f"select * from {table.name}")
        return repr(rows)

    kept = installation.run(everything())
    for secret in (token, link, root.secret, root.recovery_code, root.password):
        assert secret
        assert secret not in kept
