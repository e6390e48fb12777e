"""Routes are found by dictionary, whatever their number; no two of them answer the same request."""

import pytest

from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.http.refusals import MethodNotAllowed
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, empty
from freehold.kernel.http.router import Router


async def answer(_request: Request) -> Response:
    return empty()


@pytest.fixture
def router() -> Router:
    router = Router()
    for method, pattern, family in [
        ("GET", "/", "page"),
        ("GET", "/userinfo", "oauth"),
        ("POST", "/oauth/token", "oauth"),
        ("GET", "/api/v2/users", "management"),
        ("POST", "/api/v2/users", "management"),
        ("GET", "/api/v2/users/{id}", "management"),
        ("PATCH", "/api/v2/users/{id}", "management"),
        ("GET", "/api/v2/users/{user_id}/roles", "management"),
        ("POST", "/api/v2/jobs/users-exports", "management"),
        ("GET", "/api/v2/jobs/{id}", "management"),
        ("GET", "/api/v2/prompts/{prompt}/custom-text/{language}", "management"),
    ]:
        router.add(method, pattern, answer, name=f"{method} {pattern}", family=family)
    return router


@pytest.mark.parametrize(
    ("method", "path", "name", "params"),
    [
        ("GET", "/", "GET /", {}),
        ("POST", "/oauth/token", "POST /oauth/token", {}),
        ("POST", "/oauth/tok%65n", "POST /oauth/token", {}),
        ("GET", "/api/v2/users/auth0%7C1", "GET /api/v2/users/{id}", {"id": "auth0|1"}),
        ("HEAD", "/api/v2/users/auth0%7C1", "GET /api/v2/users/{id}", {"id": "auth0|1"}),
        ("GET", "/api/v2/users/a%2Froles", "GET /api/v2/users/{id}", {"id": "a/roles"}),
        ("GET", "/api/v2/users/a/roles", "GET /api/v2/users/{user_id}/roles", {"user_id": "a"}),
        ("POST", "/api/v2/jobs/users-exports", "POST /api/v2/jobs/users-exports", {}),
        ("GET", "/api/v2/jobs/users-exports", "GET /api/v2/jobs/{id}", {"id": "users-exports"}),
        (
            "GET",
            "/api/v2/prompts/login/custom-text/en",
            "GET /api/v2/prompts/{prompt}/custom-text/{language}",
            {"prompt": "login", "language": "en"},
        ),
    ],
)
def test_a_request_finds_its_route(router: Router, method: str, path: str, name: str, params: dict[str, str]) -> None:
    route, found = router.match(method, path)

    assert route.name == name
    assert found == params


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/api",
        "/api/v2/users/",
        "/api/v2/users//roles",
        "/API/v2/users",
        "//",
        "/oauth/token/",
        "/oauth/token;x",
        "/oauth%2Ftoken",
        "/oauth/token.css",
        "/oauth/token%20",
        "oauth/token",
        "*",
        "",
        "/a" * 500,
    ],
)
def test_any_other_path_is_not_found(router: Router, path: str) -> None:
    with pytest.raises(NotFound):
        router.match("GET", path)


@pytest.mark.parametrize("path", ["/api/v2/users/%ff", "/api/v2/users/%00", "/api/v2/../v2/users", "/api/%2e%2e/v2"])
def test_a_malformed_path_is_refused(router: Router, path: str) -> None:
    with pytest.raises(BadRequest):
        router.match("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/oauth/token", ("POST",)),
        ("DELETE", "/userinfo", ("GET", "HEAD")),
        ("PUT", "/api/v2/users/1", ("GET", "HEAD", "PATCH")),
        ("DELETE", "/api/v2/jobs/users-exports", ("GET", "HEAD", "POST")),
        ("TRACE", "/", ("GET", "HEAD")),
        ("get", "/", ("GET", "HEAD")),
    ],
)
def test_another_method_is_told_the_allowed_ones(
    router: Router, method: str, path: str, allow: tuple[str, ...]
) -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        router.match(method, path)

    assert refused.value.allow == allow


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/api/v2/nope", "management"),
        ("/api/nope/deeper", "management"),
        ("/oauth/nope", "oauth"),
        ("/nope", "fallback"),
        ("/userinfo/more", "oauth"),
    ],
)
def test_a_path_without_a_route_belongs_to_the_family_around_it(router: Router, path: str, family: str) -> None:
    assert router.family_of(path, default="fallback") == family


@pytest.mark.parametrize(
    ("method", "pattern", "name"),
    [
        ("GET", "/userinfo", "new"),
        ("GET", "/api/v2/users/{other}", "new"),
        ("GET", "/new", "GET /userinfo"),
        ("GET", "no-slash", "new"),
        ("GET", "/a%20b", "new"),
        ("GET", "/{a}/{a}", "new"),
        ("GET", "/x-{a}", "new"),
        ("GET", "/{a b}", "new"),
    ],
)
def test_a_clash_or_a_mistake_is_refused_at_start(router: Router, method: str, pattern: str, name: str) -> None:
    with pytest.raises(ValueError):
        router.add(method, pattern, answer, name=name)


def test_metadata_is_kept_and_the_known_words_are_checked(router: Router) -> None:
    route = router.add("GET", "/x", answer, name="x", scopes=("read:x",), cors="any", max_body=10, tenant=False)

    assert route.meta["scopes"] == ("read:x",)
    assert (route.cors, route.max_body, route.tenant, route.family) == ("any", 10, False, "page")
    assert route in router.routes()
    with pytest.raises(ValueError):
        router.add("GET", "/y", answer, name="y", cors="everybody")
