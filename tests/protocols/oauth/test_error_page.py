"""A tenant's own page for errors that cannot be told to an application (`error_page.url` of the settings)."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.applications import Application
from tests.support.in_process import Installation


@pytest.fixture
def error_page(installation: Installation) -> Iterator[str]:
    url = "https://help.example.com/sign-in?from=idp#top"
    with installation.management() as api:
        assert api.patch("/tenants/settings", json={"error_page": {"url": url}}).status_code == 200
        yield url
        api.patch("/tenants/settings", json={"error_page": {"url": ""}})


def test_a_request_of_nobody_goes_to_the_error_page(installation: Installation, error_page: str) -> None:
    with installation.client() as http:
        answer = http.get("/authorize?client_id=unknown&response_type=code", headers={"accept-language": "de"})

    assert answer.status_code == 302
    target = urlsplit(answer.headers["location"])
    assert (target.scheme, target.netloc, target.path, target.fragment) == (
        "https",
        "help.example.com",
        "/sign-in",
        "top",
    )
    told = parse_qs(target.query)
    assert told.pop("tracking")[0] == answer.headers["x-request-id"]
    assert told == {
        "from": ["idp"],
        "client_id": ["unknown"],
        "lang": ["de"],
        "error": ["invalid_request"],
        "error_description": ["Unknown client: unknown"],
    }


def test_so_does_a_sign_in_that_is_over(app: Application, error_page: str) -> None:
    with app.http() as http:
        for path in ("/u/login?state=gone", "/authorize/resume?state=gone"):
            answer = http.get(path)
            assert answer.status_code == 302
            assert answer.headers["location"].startswith("https://help.example.com/sign-in?from=idp&")


def test_what_concerns_the_application_still_goes_to_it(app: Application, error_page: str) -> None:
    with app.http() as http:
        answer = http.get(app.authorize_url(prompt="none"))

    assert answer.headers["location"].startswith(f"{app.callback}?error=login_required")


def test_without_an_error_page_ours_is_shown(installation: Installation) -> None:
    with installation.client() as http:
        answer = http.get("/authorize?client_id=unknown&response_type=code")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


@pytest.mark.parametrize("url", ["app:errors", "javascript:alert(1)", "/relative"])
def test_only_a_web_address_is_taken(installation: Installation, url: str) -> None:
    with installation.management() as api:
        assert api.patch("/tenants/settings", json={"error_page": {"url": url}}).status_code == 400
