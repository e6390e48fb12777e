"""The edge: what every answer carries, how errors become answers, and what a request must have to be handled at all."""

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from freehold.kernel import log
from freehold.kernel.errors import Conflict, FreeholdError, NotFound, TooManyRequests
from freehold.kernel.http import Edge, Request, Response, Router, empty, html, redirect, stream, text
from freehold.kernel.http import json as json_response
from tests.support.asgi import ask, http_scope


@dataclass
class Tenant:
    name: str


TENANT = Tenant("acme")


async def resolve(host: str) -> Tenant | None:
    return TENANT if host in {"tenant.example.com", "localhost:3000"} else None


def management_error(error: FreeholdError, request: Request) -> Response:
    return json_response({"statusCode": error.status, "message": error.message, "errorCode": error.code}, error.status)


def page_error(error: FreeholdError, request: Request) -> Response:
    return html(f"<h1>{error.status}</h1>", error.status)


class Lines(io.StringIO):
    """The log, as the events in it."""

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def lines() -> Any:
    stream = Lines()
    log.configure(log_format="json", stream=stream)
    yield stream
    log.configure()


@pytest.fixture
def router() -> Router:
    return Router()


@pytest.fixture
def observed() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def edge(router: Router, observed: list[tuple[str, int]]) -> Edge:
    return Edge(
        router,
        resolve_tenant=resolve,
        errors={"management": management_error, "page": page_error},
        services="the services",
        observe=lambda route, status, seconds: observed.append((route, status)),
    )


def answering(router: Router, response: Any, pattern: str = "/x", method: str = "GET", **meta: Any) -> None:
    async def handler(_request: Request) -> Response:
        if isinstance(response, Exception):
            raise response
        made: Response = response() if callable(response) else response
        return made

    router.add(method, pattern, handler, name=f"{method} {pattern}", **meta)


async def test_a_handler_gets_tenant_services_route_and_parameters(edge: Edge, router: Router) -> None:
    async def handler(request: Request) -> Response:
        assert request.route is not None
        return json_response([request.tenant.name, request.services, request.route.name, dict(request.params)])

    router.add("GET", "/users/{id}", handler, name="users.get")

    reply = await ask(edge, "GET", "/users/auth0%7Cabc")

    assert reply.json() == ["acme", "the services", "users.get", {"id": "auth0|abc"}]


async def test_every_answer_carries_the_security_headers(edge: Edge, router: Router) -> None:
    answering(router, json_response({}), "/json")
    answering(router, NotFound("No"), "/error", family="management")

    for path in ("/json", "/error", "/nowhere"):
        reply = await ask(edge, "GET", path)
        assert reply.header("x-content-type-options") == "nosniff"
        assert reply.header("referrer-policy") == "same-origin"
        assert reply.header("cache-control") == "no-store"
        assert reply.header("strict-transport-security") == "max-age=31536000"
        assert len(reply.header("x-request-id") or "") == 20


async def test_browsers_are_not_told_to_refuse_plain_http_on_localhost(edge: Edge, router: Router) -> None:
    answering(router, empty)

    assert (await ask(edge, "GET", "/x", host="localhost:3000")).header("strict-transport-security") is None
    assert (await ask(edge, "GET", "/x", scheme="http")).header("strict-transport-security") is None


async def test_a_response_may_be_cached_when_it_says_so(edge: Edge, router: Router) -> None:
    answering(router, Response(200, b"{}", cache_control="public, max-age=15"))

    assert (await ask(edge, "GET", "/x")).header("cache-control") == "public, max-age=15"


async def test_a_page_cannot_be_framed_unless_it_says_so(edge: Edge, router: Router) -> None:
    answering(router, lambda: html("<p>login"), "/login")
    answering(router, lambda: html("<p>message", csp="script-src 'nonce-1'", framing="any"), "/message")

    login, message = await ask(edge, "GET", "/login"), await ask(edge, "GET", "/message")

    assert (login.header("content-security-policy") or "").endswith("; frame-ancestors 'none'")
    assert login.header("x-frame-options") == "DENY"
    assert message.header("content-security-policy") == "script-src 'nonce-1'"
    assert message.header("x-frame-options") is None


async def test_error_pages_cannot_be_framed(edge: Edge) -> None:
    reply = await ask(edge, "GET", "/nowhere")

    assert reply.header("x-frame-options") == "DENY"


async def test_request_ids_are_ours_and_differ(edge: Edge, router: Router) -> None:
    answering(router, empty)

    replies = [await ask(edge, "GET", "/x", headers=[("x-request-id", "theirs")]) for _ in range(3)]

    assert len({reply.header("x-request-id") for reply in replies}) == 3
    assert all("theirs" not in (reply.header("x-request-id") or "") for reply in replies)


@pytest.mark.parametrize("host", ["other.example.com", "tenant.example.com.evil.test", "tenant.example.com:1", "[::1]"])
@pytest.mark.parametrize("path", ["/x", "/nowhere", "/%ff"])
async def test_an_unknown_host_is_not_found_whatever_the_path(edge: Edge, router: Router, host: str, path: str) -> None:
    answering(router, empty)

    reply = await ask(edge, "GET", path, host=host)

    assert (reply.status, reply.body) == (404, b"Not Found")


@pytest.mark.parametrize("host", ["TENANT.example.COM", "tenant.example.com"])
async def test_the_host_is_found_in_any_case(edge: Edge, router: Router, host: str) -> None:
    answering(router, empty)

    assert (await ask(edge, "GET", "/x", host=host)).status == 204


async def test_a_request_without_a_host_or_with_two_is_refused(edge: Edge, router: Router) -> None:
    answering(router, empty)

    assert (await ask(edge, "GET", "/x", host=None)).status == 400
    assert (await ask(edge, "GET", "/x", headers=[("host", "tenant.example.com")])).status == 400


async def test_what_serves_the_operator_answers_on_any_host(edge: Edge, router: Router) -> None:
    answering(router, lambda: text("ok"), "/health", tenant=False)

    assert (await ask(edge, "GET", "/health", host="10.0.0.7:8443")).status == 200


async def test_an_expected_refusal_is_rendered_by_the_routes_family(edge: Edge, router: Router) -> None:
    answering(router, Conflict("Taken", code="role_exists"), "/api/v2/roles", family="management")
    answering(router, Conflict("Taken"), "/login")

    api, page = await ask(edge, "GET", "/api/v2/roles"), await ask(edge, "GET", "/login")

    assert api.json() == {"statusCode": 409, "message": "Taken", "errorCode": "role_exists"}
    assert (page.status, page.body) == (409, b"<h1>409</h1>")


async def test_a_path_without_a_route_is_rendered_like_its_neighbours(edge: Edge, router: Router) -> None:
    answering(router, empty, "/api/v2/roles/{id}", family="management")

    missing, method = await ask(edge, "GET", "/api/v2/nope"), await ask(edge, "POST", "/api/v2/roles/1")

    assert missing.json()["statusCode"] == 404
    assert (method.status, method.header("allow")) == (405, "GET, HEAD")
    assert (await ask(edge, "GET", "/nowhere")).body == b"<h1>404</h1>"


async def test_a_bug_is_a_500_that_tells_nothing_and_a_log_line_that_tells_all(
    edge: Edge, router: Router, lines: Lines
) -> None:
    answering(router, KeyError("secret detail"), "/api/v2/x", family="management")

    reply = await ask(edge, "GET", "/api/v2/x")

    assert (reply.status, reply.json()["errorCode"]) == (500, "server_error")
    assert b"detail" not in reply.body
    (event,) = lines.events()
    assert event["request_id"] == reply.header("x-request-id")
    assert (event["event"], event["tenant"], event["route"], event["error"]) == (
        "unhandled_error",
        "acme",
        "GET /api/v2/x",
        "KeyError",
    )


async def test_a_renderer_that_fails_still_gives_an_answer(router: Router, lines: Lines) -> None:
    def broken(error: FreeholdError, request: Request) -> Response:
        raise ZeroDivisionError

    edge = Edge(router, resolve_tenant=resolve, errors={"page": broken})

    reply = await ask(edge, "GET", "/nowhere")

    assert (reply.status, reply.body) == (500, b"Internal Server Error")
    assert lines.events()[0]["event"] == "error_renderer_failed"


async def test_a_family_without_a_renderer_falls_back_to_its_surroundings(edge: Edge, router: Router) -> None:
    answering(router, NotFound("No"), family="unheard of")

    assert (await ask(edge, "GET", "/x")).body == b"<h1>404</h1>"


async def test_a_header_that_cannot_be_sent_is_an_error_and_never_two_headers(
    edge: Edge, router: Router, lines: Lines
) -> None:
    answering(router, lambda: Response(200, b"", [("x-name", "a\r\nset-cookie: b=c")]))

    reply = await ask(edge, "GET", "/x")

    assert reply.status == 500
    assert reply.header("set-cookie") is None
    assert lines.events()[0]["event"] == "unhandled_error"


async def test_too_many_requests_say_when_to_come_back(edge: Edge, router: Router) -> None:
    answering(router, TooManyRequests("Slow down", retry_after_s=7))

    reply = await ask(edge, "GET", "/x")

    assert (reply.status, reply.header("retry-after")) == (429, "7")


async def test_headers_set_on_the_way_go_out_with_the_error_too(edge: Edge, router: Router) -> None:
    async def handler(request: Request) -> Response:
        request.response_headers.append(("x-ratelimit-remaining", "9"))
        raise NotFound("No")

    router.add("GET", "/x", handler, name="x")

    assert (await ask(edge, "GET", "/x")).header("x-ratelimit-remaining") == "9"


async def test_head_is_answered_like_get(edge: Edge, router: Router) -> None:
    answering(router, lambda: text("four"))

    reply = await ask(edge, "HEAD", "/x")

    assert (reply.status, reply.header("content-length")) == (200, "4")


async def test_options_names_the_methods(edge: Edge, router: Router) -> None:
    answering(router, empty)
    answering(router, empty, method="PATCH")

    reply = await ask(edge, "OPTIONS", "/x")

    assert (reply.status, reply.header("allow")) == (204, "GET, HEAD, PATCH, OPTIONS")
    assert (await ask(edge, "OPTIONS", "/nowhere")).status == 404


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_no_length(edge: Edge, router: Router, status: int) -> None:
    answering(router, lambda: empty(status))

    assert (await ask(edge, "GET", "/x")).header("content-length") is None


async def test_a_redirect_has_the_target_and_no_type(edge: Edge, router: Router) -> None:
    answering(router, lambda: redirect("https://app.example.com/cb?code=1"))

    reply = await ask(edge, "GET", "/x")

    assert (reply.status, reply.header("location")) == (302, "https://app.example.com/cb?code=1")
    assert reply.header("content-type") is None


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/x?" + "a" * 20_000, [], 414),
        ("/" + "a" * 20_000, [], 414),
        ("/x", [(f"x-{i}", "1") for i in range(101)], 431),
        ("/%zz", [], 400),
        ("/x%00", [], 400),
    ],
)
async def test_a_request_out_of_bounds_is_refused(
    edge: Edge, router: Router, target: str, headers: list[tuple[str, str]], status: int
) -> None:
    answering(router, empty)

    assert (await ask(edge, "GET", target, headers=headers)).status == status


async def test_a_body_over_the_routes_limit_is_413(edge: Edge, router: Router) -> None:
    async def handler(request: Request) -> Response:
        return json_response(len(await request.body()))

    router.add("POST", "/x", handler, name="x", max_body=10, family="management")

    kept = await ask(edge, "POST", "/x", body=b"x" * 11, headers=[("content-length", "11")])
    closed = await ask(edge, "POST", "/x", body=[b"x" * 11, b"x"])

    assert kept.json()["message"] == "Payload content length greater than maximum allowed: 10."
    assert kept.header("connection") is None
    assert (closed.status, closed.header("connection")) == (413, "close")


async def test_a_client_that_goes_away_is_no_error(edge: Edge, router: Router, lines: Lines) -> None:
    async def handler(request: Request) -> Response:
        return json_response(len(await request.body()))

    router.add("POST", "/x", handler, name="x")

    reply = await ask(edge, "POST", "/x", body=[b"half", None])  # type: ignore[list-item]

    assert (reply.status, lines.events()) == (0, [])


async def test_uploads_are_gone_when_the_answer_is_sent(edge: Edge, router: Router) -> None:
    files = []

    async def handler(request: Request) -> Response:
        files.append((await request.multipart()).files["f"].file)
        assert not files[0].closed
        return empty()

    router.add("POST", "/x", handler, name="x")
    body = b'--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\nx\r\n--b--\r\n'

    reply = await ask(edge, "POST", "/x", headers=[("content-type", "multipart/form-data; boundary=b")], body=body)

    assert reply.status == 204
    assert files[0].closed


async def test_every_answer_is_counted_by_the_routes_name(
    edge: Edge, router: Router, observed: list[tuple[str, int]]
) -> None:
    answering(router, empty, "/users/{id}")

    for path in ("/users/1", "/users/2", "/nowhere"):
        await ask(edge, "GET", path)

    assert observed == [("GET /users/{id}", 204), ("GET /users/{id}", 204), ("unmatched", 404)]


async def test_the_access_log_names_the_route_and_not_the_url(router: Router, lines: Lines) -> None:
    edge = Edge(router, resolve_tenant=resolve, errors={"page": page_error}, access_log=True)
    answering(router, empty, "/users/{id}")

    await ask(edge, "GET", "/users/auth0%7Ccanary?access_token=canary")

    (event,) = lines.events()
    assert (event["event"], event["route"], event["status"]) == ("request", "GET /users/{id}", 204)
    assert event["client_ip"] == "192.0.2.7"
    assert "canary" not in lines.getvalue()


async def test_a_stream_is_sent_as_it_comes(edge: Edge, router: Router) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d\n" % number

    answering(router, lambda: stream(numbers(), content_type="application/x-ndjson"))

    reply = await ask(edge, "GET", "/x", body=[b""])

    assert reply.header("content-length") is None
    assert reply.header("content-type") == "application/x-ndjson"


async def test_a_failing_stream_never_looks_complete(edge: Edge, router: Router, lines: Lines) -> None:
    async def numbers() -> AsyncIterator[bytes]:
        yield b"0\n"
        raise ZeroDivisionError

    answering(router, lambda: stream(numbers()))
    sent = []

    async def receive() -> dict[str, Any]:
        import asyncio

        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await edge(http_scope("GET", "/x", [("host", "tenant.example.com")]), receive, send)

    assert [message.get("body") for message in sent[1:]] == [b"0\n"]
    assert sent[-1]["more_body"] is True
    assert lines.events()[0]["event"] == "stream_failed"


async def test_a_stream_ends_when_the_client_goes_away_and_cleans_up(edge: Edge, router: Router) -> None:
    import asyncio

    cleaned = asyncio.Event()
    sent: list[bytes] = []
    first = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    answering(router, lambda: stream(endless()))

    async def receive() -> dict[str, Any]:
        await first.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            sent.append(message["body"])
            first.set()

    await asyncio.wait_for(edge(http_scope("GET", "/x", [("host", "tenant.example.com")]), receive, send), timeout=5)

    assert sent == [b"first"]
    assert cleaned.is_set()
