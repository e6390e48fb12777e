"""Forms that only our own page in the same browser can submit."""

import pytest

from freehold.kernel.http.csrf import CrossSiteRequest, form_token, verify_form
from freehold.kernel.http.request import Request
from tests.support.asgi import http_scope

SECRET = "the transaction's secret"


def posted(*headers: tuple[str, str]) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    return Request(http_scope("POST", "/u/login", [("host", "tenant.example.com:8443"), *headers]), receive)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("origin", "https://tenant.example.com:8443"),),
        (("origin", "https://tenant.example.com:8443"), ("sec-fetch-site", "same-origin")),
        (("sec-fetch-site", "none"),),
    ],
)
def test_a_form_of_our_own_page_is_accepted(headers: tuple[tuple[str, str], ...]) -> None:
    request = posted(*headers)
    verify_form(request, transaction=SECRET, token=form_token(SECRET))
    assert request.origin == "https://tenant.example.com:8443"


@pytest.mark.parametrize(
    "headers",
    [
        (("origin", "https://evil.test"),),
        (("origin", "null"),),
        (("origin", "http://tenant.example.com:8443"),),
        (("origin", "https://tenant.example.com"),),
        (("sec-fetch-site", "cross-site"),),
        (("sec-fetch-site", "same-site"),),
        (("origin", "https://tenant.example.com:8443"), ("sec-fetch-site", "cross-site")),
    ],
)
def test_a_form_from_elsewhere_is_refused_even_with_the_token(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(CrossSiteRequest):
        verify_form(posted(*headers), transaction=SECRET, token=form_token(SECRET))


@pytest.mark.parametrize(
    ("transaction", "token"),
    [
        (SECRET, None),
        (SECRET, ""),
        (SECRET, form_token("another")),
        (SECRET, form_token(SECRET)[:-1]),
        (SECRET, form_token(SECRET) + "A"),
        (SECRET, "é"),
        (None, form_token("")),
        ("", form_token("")),
    ],
)
def test_a_token_that_is_missing_or_of_another_transaction_is_refused(
    transaction: str | None, token: str | None
) -> None:
    with pytest.raises(CrossSiteRequest):
        verify_form(posted(), transaction=transaction, token=token)


def test_the_token_does_not_tell_the_secret() -> None:
    assert SECRET not in form_token(SECRET)
    assert form_token(SECRET) == form_token(SECRET)
