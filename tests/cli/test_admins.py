"""`freehold admins`, beside a running server, and the first invitation that `freehold up` prints."""

import json
from pathlib import Path
from typing import Any

from tests.support.commands import freehold
from tests.support.hosted_pages import BrowserSession
from tests.support.server import start_server

PASSWORD = "seven-green-Teapots"


def test_the_first_administrator_comes_by_the_ready_file_and_the_operator_helps(tmp_path: Path) -> None:
    with start_server(tmp_path / "data") as server:
        first = server.facts["dashboard"]["invitation_url"]
        assert server.facts["dashboard"]["url"] == f"{server.issuer}admin"
        with server.client() as http:
            browser = BrowserSession(http)
            page = browser.open(first)
            page = browser.submit(
                page, email="Root@example.com", name="Root", password=PASSWORD, password_again=PASSWORD
            )
            assert page.path == "/admin/security"
            assert BrowserSession(http).open(first).status == 410

        def admins(*words: str) -> Any:
            return json.loads(freehold("admins", *words, "--json", beside=server).stdout)

        url = admins("invite", "second@example.com", "--role", "editor")["url"]
        assert url.startswith(f"{server.issuer}admin/invitation?token=")
        listed = admins("list")
        assert [(one["email"], one["role"], one["created_by"]) for one in listed["administrators"]] == [
            ("root@example.com", "admin", "operator")
        ]
        assert [one["email"] for one in listed["invitations"]] == ["second@example.com"]
        again = freehold("admins", "invite", "ROOT@example.com", beside=server, check=False)
        assert (again.returncode, "already" in again.stderr) == (1, True)
        last = freehold("admins", "block", "root@example.com", beside=server, check=False)
        assert "last administrator" in last.stderr

        with server.client() as http:
            token = url.partition("token=")[2]
            given = {"token": token, "name": "Second", "password": PASSWORD}
            assert http.post("/admin/api/invitations/accept", json=given).status_code == 201
            opened = http.post("/admin/api/sessions", json={"email": "second@example.com", "password": PASSWORD})
            bearer = {"authorization": f"Bearer {opened.json()['token']}"}
            assert http.get("/admin/api/me", headers=bearer).status_code == 200
            admins("block", "second@example.com")
            assert http.get("/admin/api/me", headers=bearer).status_code == 401
            admins("unblock", "second@example.com")
            admins("reset-mfa", "second@example.com")
            link = admins("reset-password", "second@example.com")["url"]
            old = http.post("/admin/api/sessions", json={"email": "second@example.com", "password": PASSWORD})
            assert old.json()["errorCode"] == "invalid_credentials"
            assert "Set a new password" in BrowserSession(http).open(link).text

        said = server.log.read_text()
        assert not [secret for secret in (PASSWORD, token, url, first, link) if secret in said]

    with start_server(tmp_path / "data") as server:
        assert server.facts["dashboard"]["invitation_url"] is None
        reset = freehold("tenants", "reset", "main", "--yes", beside=server)
        assert reset.returncode == 0
        assert "root@example.com" in freehold("admins", "list", beside=server).stdout
        assert freehold("audit", "verify", beside=server).returncode == 0
