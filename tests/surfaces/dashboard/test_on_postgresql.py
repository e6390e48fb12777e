"""The dashboard on PostgreSQL: every statement of its ordinary ways."""

from pathlib import Path

import pytest

from tests.support.administrators import accept, form_to, form_with, make_administrator
from tests.support.databases import create_database, drop_database, with_database
from tests.support.in_process import started


@pytest.mark.postgres
def test_the_ordinary_ways_work(postgresql_server: str, tmp_path: Path) -> None:
    name = create_database(postgresql_server)
    with started(tmp_path / "data", database_url=with_database(postgresql_server, name)) as installation:
        root = make_administrator(installation, "root@example.com")
        browser, page = root.sign_in(at="/admin/administrators")
        page = browser.submit(page, form=form_to(page, "/admin/administrators/invite"), email="two@example.com")
        link = page.response.text.partition('id="invitation-url">')[2].partition("<")[0]
        two = accept(installation, link.partition("token=")[2], "two@example.com").enrol()
        at = f"/admin/administrators/{two.id}"
        page = browser.open("/admin/administrators")
        page = browser.submit(page, form=form_to(page, f"{at}/role"), role="admin")
        for action in ("block", "unblock", "reset-factors", "reset-password"):
            page = browser.submit(page, form=form_to(page, f"{at}/{action}"))
            assert page.status == 200, page.text
        with installation.client() as http:
            wrong = {"email": root.email, "password": "wrong"}
            assert http.post("/admin/api/sessions", json=wrong).status_code == 401
            asked = root.browser()
            assert asked.submit(asked.open("/admin/forgotten-password"), email=root.email).status == 200
        installation.work()
        for where in ("/admin", "/admin/audit", "/admin/audit?before=5", "/admin/security"):
            assert browser.open(where).status == 200
        page = browser.open("/admin/security")
        page = browser.submit(page, form=form_to(page, "/admin/security/recovery-code"))
        assert "Your recovery code" in page.text
        page = browser.open("/admin/administrators")
        page = browser.submit(page, form=form_to(page, f"{at}/remove"))
        assert "two@example.com" not in page.text
        actions = [entry["action"] for entry in root.api().get("/admin/api/audit").json()]
        assert {"administrator.sign_in_failed", "administrator.password_asked", "administrator.removed"} <= {*actions}
        other, page = root.sign_in()
        other.submit(page, form=form_to(page, "/admin/sign-out"))
        assert form_with(other.open("/admin"), "email")
    drop_database(postgresql_server, name)
