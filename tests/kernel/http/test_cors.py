"""Who may read an answer from a page of another origin."""

import pytest

from freehold.kernel.errors import FreeholdError, Unauthorized
from freehold.kernel.http import Edge, Request, Response, Router, json
from tests.support.asgi import Reply, ask

APP = "https://app.example.com"


async def resolve(host: str) -> str:
    return host


async def is_listed(_request: Request, origin: str) -> bool:
    # The policy of a careless tenant: even then `null` and lists are never named.
    return origin in {APP, "http://localhost:3000", "null", f"{APP}, {APP}", f"{APP} x", "https://ü.example.com"}


def render(error: FreeholdError, _request: Request) -> Response:
    return json({"error": error.code}, error.status)


@pytest.fixture
def edge() -> Edge:
    async def handler(_request: Request) -> Response:
        return json({})

    async def refusing(_request: Request) -> Response:
        raise Unauthorized("No")

    router = Router()
    router.add("GET", "/open", handler, name="open", cors="any")
    router.add("POST", "/oauth/token", handler, name="token", cors="client")
    router.add("GET", "/userinfo", refusing, name="userinfo", cors="client")
    router.add("POST", "/u/login", handler, name="login")
    return Edge(router, resolve_tenant=resolve, errors={"page": render}, cors=is_listed)


def allowed(reply: Reply) -> tuple[str | None, str | None]:
    return reply.header("access-control-allow-origin"), reply.header("access-control-allow-credentials")


async def test_what_is_open_is_open_to_all_without_credentials(edge: Edge) -> None:
    for origin in (APP, "https://evil.test", "null"):
        assert allowed(await ask(edge, "GET", "/open", headers=[("origin", origin)])) == ("*", None)


async def test_a_listed_origin_is_named_with_credentials(edge: Edge) -> None:
    reply = await ask(edge, "POST", "/oauth/token", headers=[("origin", APP)])

    assert allowed(reply) == (APP, "true")
    assert reply.header("vary") == "origin"
    assert "dpop-nonce" in (reply.header("access-control-expose-headers") or "")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.test",
        "null",
        f"{APP}, {APP}",
        f"{APP} x",
        "https://app.example.com.evil.test",
        "",
        "https://",
        "http://app.example.com",
        "https://APP.example.com",
        "app.example.com",
        "https://ü.example.com",
    ],
)
async def test_no_other_origin_is_ever_named(edge: Edge, origin: str) -> None:
    reply = await ask(edge, "POST", "/oauth/token", headers=[("origin", origin)])

    assert reply.status == 200
    assert allowed(reply) == (None, None)
    assert reply.header("vary") == "origin"


async def test_a_page_may_read_errors_too(edge: Edge) -> None:
    reply = await ask(edge, "GET", "/userinfo", headers=[("origin", APP)])

    assert reply.status == 401
    assert allowed(reply) == (APP, "true")


async def test_a_route_without_a_policy_is_for_no_other_origin(edge: Edge) -> None:
    reply = await ask(edge, "POST", "/u/login", headers=[("origin", APP)])

    assert allowed(reply) == (None, None)


def preflight(method: str, origin: str = APP) -> list[tuple[str, str]]:
    return [("origin", origin), ("access-control-request-method", method), ("access-control-request-headers", "dpop")]


async def test_a_preflight_tells_method_and_headers(edge: Edge) -> None:
    reply = await ask(edge, "OPTIONS", "/oauth/token", headers=preflight("POST"))

    assert reply.status == 204
    assert allowed(reply) == (APP, "true")
    assert reply.header("access-control-allow-methods") == "POST"
    headers = (reply.header("access-control-allow-headers") or "").split(", ")
    assert {"content-type", "authorization", "auth0-client", "dpop"} <= set(headers)
    assert int(reply.header("access-control-max-age") or 0) > 0


async def test_a_preflight_of_a_stranger_allows_nothing(edge: Edge) -> None:
    for path, headers in [
        ("/oauth/token", preflight("POST", "https://evil.test")),
        ("/oauth/token", preflight("POST", "null")),
        ("/u/login", preflight("POST")),
    ]:
        reply = await ask(edge, "OPTIONS", path, headers=headers)
        assert reply.status == 204
        assert not any(name.startswith("access-control-") for name, _ in reply.headers)


async def test_a_preflight_for_what_does_not_exist_says_so(edge: Edge) -> None:
    assert (await ask(edge, "OPTIONS", "/oauth/token", headers=preflight("DELETE"))).status == 405
    assert (await ask(edge, "OPTIONS", "/nowhere", headers=preflight("GET"))).status == 404


async def test_a_policy_that_fails_opens_nothing() -> None:
    async def handler(_request: Request) -> Response:
        return json({"secret": 1})

    async def failing(_request: Request, _origin: str) -> bool:
        raise ZeroDivisionError

    router = Router()
    router.add("GET", "/x", handler, name="x", cors="client")
    edge = Edge(router, resolve_tenant=resolve, errors={"page": render}, cors=failing)

    reply = await ask(edge, "GET", "/x", headers=[("origin", APP)])

    assert (reply.status, allowed(reply)) == (500, (None, None))
