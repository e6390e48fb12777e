"""What a handler reads of a request: each part lazily, within limits, and with one meaning."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from freehold.kernel.errors import BadRequest, FreeholdError, PayloadTooLarge
from freehold.kernel.http.refusals import ClientDisconnected, UnsupportedMediaType
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import empty
from freehold.kernel.http.router import Route
from tests.support.asgi import http_scope

FORM = ("content-type", "application/x-www-form-urlencoded")
JSON = ("content-type", "application/json; charset=utf-8")
MULTIPART = ("content-type", "multipart/form-data; boundary=b")


def request(
    *headers: tuple[str, str],
    body: bytes | Sequence[bytes | None] = b"",
    target: str = "/x",
    max_body: int | None = None,
) -> Request:
    pieces = [body] if isinstance(body, bytes) else list(body)

    async def receive() -> dict[str, Any]:
        if not pieces:
            raise AssertionError("read on after the end")
        piece = pieces.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    found = Request(http_scope("POST", target, [("host", "Tenant.Example.com:8443"), *headers]), receive)
    if max_body is not None:

        async def handler(_request: Request) -> Any:
            return empty()

        found.route = Route("POST", "/x", handler, name="x", meta={"max_body": max_body})
    return found


def test_headers_are_found_by_lower_case_name() -> None:
    found = request(("X-One", "1"), ("Accept", "a"), ("accept", "b"), ("Cookie", "a=1"), ("Cookie", "b=2"))

    assert found.headers["x-one"] == "1"
    assert found.headers.get("x-two") is None
    assert found.headers.get("x-two", "none") == "none"
    assert found.headers["accept"] == "a, b"
    assert found.cookies == {"a": "1", "b": "2"}
    assert "x-one" in found.headers
    assert set(found.headers) == {"host", "x-one", "accept", "cookie"}
    assert "1" not in repr(found.headers)


@pytest.mark.parametrize("name", ["host", "authorization", "content-type", "content-length", "origin", "dpop"])
def test_a_second_header_of_one_meaning_is_noticed_and_not_read(name: str) -> None:
    found = request((name, "first"), (name, "second")).headers

    assert found.repeated == name
    assert "second" not in found[name]
    assert request(("accept", "a"), ("accept", "b")).headers.repeated is None


def test_the_host_is_compared_in_lower_case() -> None:
    assert request().host == "tenant.example.com:8443"
    assert request().origin == "https://tenant.example.com:8443"


def test_path_and_query_are_decoded_when_asked_for() -> None:
    found = request(target="/a%7Cb/c?x=1&y=%20")

    assert found.path == ["a|b", "c"]
    assert found.query.single() == {"x": "1", "y": " "}


async def test_the_body_is_read_once_and_kept() -> None:
    found = request(body=[b"a", b"", b"b"])

    assert await found.body() == b"ab"
    assert await found.body() == b"ab"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("content-length", "11")], b"x" * 11),
        ([], b"x" * 11),
        ([], [b"x" * 6, b"x" * 5]),
        ([("content-length", "9" * 30)], b""),
    ],
)
async def test_a_body_over_the_limit_is_refused_in_auth0s_words(
    headers: list[tuple[str, str]], body: bytes | list[bytes]
) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        await request(*headers, body=body, max_body=10).body()

    assert refused.value.message == "Payload content length greater than maximum allowed: 10."


async def test_the_default_limit_is_auth0s_and_a_caller_may_set_another() -> None:
    assert await request(body=b"x" * 512_000).body()
    with pytest.raises(PayloadTooLarge, match="512000"):
        await request(body=b"x" * 512_001).body()
    assert await request(body=b"x" * 11, max_body=10).body(limit=11)


async def test_a_declared_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    found = request(("content-length", "11"), body=[], max_body=10)

    with pytest.raises(PayloadTooLarge):
        await found.body()


async def test_a_client_that_goes_away_is_not_an_error_of_its_request() -> None:
    with pytest.raises(ClientDisconnected):
        await request(body=[b"half", None]).body()


async def test_a_compressed_body_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        await request(("content-encoding", "gzip"), body=b"\x1f\x8b").body()


async def test_json_is_read_strictly() -> None:
    assert await request(JSON, body=b'{"a": 1}').json() == {"a": 1}
    assert await request(("content-type", "application/scim+json"), body=b"[]").json() == []
    assert await request(body=b"{}").json_bytes() == b"{}"
    with pytest.raises(UnsupportedMediaType):
        await request(FORM, body=b"a=1").json_bytes()
    with pytest.raises(BadRequest):
        await request(JSON, body=b'{"a": 1, "a": 2}').json()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([FORM], b"grant_type=client_credentials&scope=a+b"),
        ([JSON], b'{"grant_type": "client_credentials", "scope": "a b"}'),
        (
            [MULTIPART],
            b'--b\r\ncontent-disposition: form-data; name="grant_type"\r\n\r\nclient_credentials\r\n'
            b'--b\r\ncontent-disposition: form-data; name="scope"\r\n\r\na b\r\n--b--\r\n',
        ),
    ],
)
async def test_a_body_means_the_same_as_json_and_as_a_form(headers: list[tuple[str, str]], body: bytes) -> None:
    found = request(*headers, body=body)

    assert await found.body_params() == {"grant_type": "client_credentials", "scope": "a b"}
    assert await found.body_params() == {"grant_type": "client_credentials", "scope": "a b"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([FORM], b"a=1&a=1"),
        ([FORM], b"a=%ff"),
        ([JSON], b'{"a": 1, "a": 1}'),
        ([JSON], b"[]"),
        ([JSON], b'"a=1"'),
        ([JSON], b"a=1"),
        ([("content-type", "text/plain")], b"a=1"),
        ([], b"a=1"),
        ([MULTIPART], b"a=1"),
    ],
)
async def test_a_body_without_one_clear_meaning_is_an_invalid_request(
    headers: list[tuple[str, str]], body: bytes
) -> None:
    with pytest.raises(FreeholdError) as refused:
        await request(*headers, body=body).body_params()

    assert refused.value.status == 400


async def test_no_body_is_no_parameters() -> None:
    assert await request().body_params() == {}
    assert len(await request().form()) == 0


async def test_a_form_of_another_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        await request(JSON, body=b"{}").form()


async def test_a_body_can_be_taken_piece_by_piece_in_flat_memory() -> None:
    def endless() -> Any:
        for _ in range(500):
            yield b"x" * 100_000

    found = Request(http_scope("POST", "/x", [("host", "h")]), receive_from(endless()))
    tracemalloc.start()
    size = 0
    async for chunk in found.chunks(limit=1 << 30):
        size += len(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert size == 50_000_000
    assert peak < 2_000_000


def receive_from(pieces: Any) -> Any:
    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return receive
