"""Administrators move with their tenant: after a restore they sign in with the password and the app they had."""

import time
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tests.support.administrators import PASSWORD, code_at
from tests.support.commands import freehold
from tests.support.server import LiveServer, start_server

EMAIL = "root@example.com"


def session_of(http: httpx.Client, **given: str) -> httpx.Response:
    return http.post("/admin/api/sessions", json={"email": EMAIL, "password": PASSWORD, **given})


def enrol(server: LiveServer) -> tuple[str, str]:
    """The first administrator, with an authenticator; its secret and a session's token."""
    with server.client() as http:
        token = server.facts["dashboard"]["invitation_url"].partition("token=")[2]
        given = {"token": token, "email": EMAIL, "name": "Root", "password": PASSWORD}
        assert http.post("/admin/api/invitations/accept", json=given).status_code == 201
        http.headers["authorization"] = f"Bearer {session_of(http).json()['token']}"
        secret = str(http.post("/admin/api/me/totp", json={}).json()["secret"])
        done = http.post("/admin/api/me/totp/confirm", json={"otp": code_at(secret, datetime.now(UTC))})
        assert done.status_code == 200, done.text
        return secret, str(done.json()["token"])


def next_code(secret: str) -> str:
    """A code of a later step than any that was used: apps and servers may differ by one step."""
    return code_at(secret, datetime.fromtimestamp(time.time() + 30, UTC))


def test_a_restored_administrator_signs_in_and_old_sessions_do_not_count(tmp_path: Path) -> None:
    archive, sealed = tmp_path / "tenant.tar.gz", tmp_path / "vault.tar.gz"
    with start_server(tmp_path / "here") as server:
        secret, token = enrol(server)
        freehold("export", "--output", str(archive), beside=server)
        freehold("vault", "export", "--output", str(sealed), "--plaintext", "--yes", beside=server)
    freehold("restore", str(archive), "--vault", str(sealed), "--data", str(tmp_path / "there"))
    with start_server(tmp_path / "there") as moved, moved.client() as http:
        assert moved.facts["dashboard"]["invitation_url"] is None
        assert http.get("/admin/api/me", headers={"authorization": f"Bearer {token}"}).status_code == 401
        assert session_of(http).json()["errorCode"] == "code_required"
        answer = session_of(http, otp=next_code(secret))
        assert answer.status_code == 201, answer.text
        assert answer.json()["session"]["mfa_at"]


def test_restored_without_its_vault_a_tenant_lets_nobody_in_without_the_operator(tmp_path: Path) -> None:
    archive = tmp_path / "tenant.tar.gz"
    with start_server(tmp_path / "here") as server:
        enrol(server)
        freehold("export", "--output", str(archive), beside=server)
    freehold("restore", str(archive), "--data", str(tmp_path / "there"))
    with start_server(tmp_path / "there") as moved, moved.client() as http:
        assert session_of(http).json()["errorCode"] == "invalid_credentials"
        freehold("admins", "reset-mfa", EMAIL, beside=moved)
        assert "token=" in freehold("admins", "reset-password", EMAIL, beside=moved).stdout
