"""Prepared bytes are answered with a validator, and not again to who has them."""

import pytest

from freehold.kernel.http.prepared import Prepared
from freehold.kernel.http.request import Request
from tests.support.asgi import http_scope

KEYS = Prepared(b'{"keys":[]}', content_type="application/json", cache_control="public, max-age=15")


def asked(*headers: tuple[str, str]) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    return Request(http_scope("GET", "/.well-known/jwks.json", [("host", "h"), *headers]), receive)


def test_the_first_answer_holds_the_bytes_and_their_tag() -> None:
    response = KEYS.answer(asked())

    assert (response.status, response.body) == (200, b'{"keys":[]}')
    assert response.headers == [("etag", KEYS.etag)]
    assert response.cache_control == "public, max-age=15"


@pytest.mark.parametrize("known", [KEYS.etag, f"W/{KEYS.etag}", f'"other", {KEYS.etag}', "*"])
def test_who_has_the_bytes_gets_none(known: str) -> None:
    response = KEYS.answer(asked(("if-none-match", known)))

    assert (response.status, response.body, response.headers) == (304, b"", [("etag", KEYS.etag)])


@pytest.mark.parametrize("known", ['"other"', KEYS.etag[:-2] + '"', ""])
def test_who_has_other_bytes_gets_these(known: str) -> None:
    assert KEYS.answer(asked(("if-none-match", known))).status == 200


def test_other_bytes_have_another_tag() -> None:
    assert Prepared(b"{}", content_type="application/json", cache_control="no-store").etag != KEYS.etag
