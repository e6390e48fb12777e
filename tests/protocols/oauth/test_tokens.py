"""What tokens say, and where they are taken (keys-and-tokens; threats: tokens taken for others)."""

import base64
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from tests.support.applications import Application, User, make_application, read_claims, read_header
from tests.support.in_process import Installation


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


@pytest.fixture(scope="module")
def ada(app: Application) -> User:
    return app.add_user(
        given_name="Ada", family_name="Lovelace", name="Ada Lovelace", nickname="ada", email_verified=True,
        picture="https://example.com/ada.png",
    )  # fmt: skip


# --- ID tokens -----------------------------------------------------------------------------------------------------


def test_an_id_token_is_verified_by_the_published_key(app: Application, ada: User) -> None:
    token = app.log_in(ada, nonce="n")["id_token"]
    with app.http() as http:
        published = http.get("/.well-known/jwks.json").json()

    decoded = jwt.decode(token, KeySet.import_key_set(published), algorithms=["RS256"])

    assert decoded.header == {"alg": "RS256", "typ": "JWT", "kid": published["keys"][0]["kid"]}
    claims = decoded.claims
    assert claims["iss"] == app.issuer
    assert claims["aud"] == app.client_id
    assert claims["sub"] == ada.user_id
    assert claims["exp"] - claims["iat"] == 36_000
    assert claims["nonce"] == "n"
    assert claims["sid"]


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ("openid", set()),
        ("openid email", {"email", "email_verified"}),
        ("openid profile", {"name", "given_name", "family_name", "nickname", "picture", "updated_at"}),
    ],
)
def test_the_profile_is_in_the_id_token_and_at_userinfo(
    app: Application, ada: User, scope: str, names: set[str]
) -> None:
    tokens = app.log_in(ada, scope=scope)
    claims = read_claims(tokens["id_token"])
    assert set(claims) == {"iss", "aud", "sub", "iat", "exp", "sid"} | names
    told = app.userinfo(tokens["access_token"]).json()
    assert told == {"sub": ada.user_id} | {name: claims[name] for name in names}
    assert next(iter(told)) == "sub"


def test_updated_at_is_a_text(app: Application, ada: User) -> None:
    claims = read_claims(app.log_in(ada, scope="openid profile")["id_token"])
    assert claims["updated_at"].endswith("Z")
    assert claims["picture"] == "https://example.com/ada.png"


def test_a_client_may_want_hs256_under_its_secret(installation: Installation) -> None:
    app = make_application(installation, jwt_configuration={"alg": "HS256", "lifetime_in_seconds": 60})
    token = app.log_in(app.add_user())["id_token"]

    decoded = jwt.decode(token, OctKey.import_key(app.client_secret or ""), algorithms=["HS256"])

    assert decoded.claims["exp"] - decoded.claims["iat"] == 60
    assert "kid" not in decoded.header


def test_a_public_client_never_gets_hs256(installation: Installation) -> None:
    app = make_application(
        installation, app_type="spa", token_endpoint_auth_method="none", jwt_configuration={"alg": "HS256"}
    )
    assert read_header(app.log_in(app.add_user())["id_token"])["alg"] == "RS256"


@pytest.mark.parametrize("alg", ["PS256", "RS512"])
def test_a_client_may_want_another_algorithm(installation: Installation, alg: str) -> None:
    app = make_application(installation, jwt_configuration={"alg": alg})
    with installation.settings(flags={"remove_alg_from_jwks": True}), app.http() as http:
        published = KeySet.import_key_set(http.get("/.well-known/jwks.json").json())
    token = app.log_in(app.add_user())["id_token"]
    assert jwt.decode(token, published, algorithms=[alg]).claims["aud"] == app.client_id


# --- access tokens -------------------------------------------------------------------------------------------------


def test_a_token_for_an_api_names_it_and_userinfo(app: Application, ada: User) -> None:
    tokens = app.log_in(ada, audience=app.audience, scope="openid email read:orders")
    claims = read_claims(tokens["access_token"])

    assert claims["aud"] == [app.audience, f"{app.issuer}userinfo"]
    assert (claims["azp"], claims["scope"], claims["sub"]) == (
        app.client_id, "openid email read:orders", ada.user_id,
    )  # fmt: skip
    assert "permissions" not in claims
    assert app.userinfo(tokens["access_token"]).json()["email"] == ada.email


def test_without_openid_a_token_is_for_its_api_alone(app: Application, ada: User) -> None:
    tokens = app.log_in(ada, audience=app.audience, scope="read:orders")
    assert read_claims(tokens["access_token"])["aud"] == app.audience
    assert app.userinfo(tokens["access_token"]).status_code == 401


def test_without_an_api_a_token_is_opaque(app: Application, ada: User) -> None:
    token = app.log_in(ada)["access_token"]
    assert "." not in token
    assert ada.email not in str(base64.urlsafe_b64decode(token + "=="))
    assert app.userinfo(token).status_code == 200


def test_the_tenants_default_api_counts_where_none_is_named(
    app: Application, ada: User, installation: Installation
) -> None:
    with installation.settings(default_audience=app.audience):
        tokens = app.log_in(ada, scope="openid read:orders")
    assert app.audience in read_claims(tokens["access_token"])["aud"]


@pytest.mark.parametrize("dialect", ["access_token_authz", "rfc9068_profile_authz", "access_token"])
def test_permissions_of_roles_and_users(installation: Installation, dialect: str) -> None:
    app = make_application(installation)
    ada = app.add_user()
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    app.manage("PATCH", f"/resource-servers/{api['id']}", {"enforce_policies": True, "token_dialect": dialect})
    role = app.manage("POST", "/roles", {"name": f"readers of {app.audience}"})
    named = {"resource_server_identifier": app.audience, "permission_name": "read:orders"}
    app.manage("POST", f"/roles/{role['id']}/permissions", {"permissions": [named]})
    app.manage("POST", f"/roles/{role['id']}/users", {"users": [ada.user_id]})

    tokens = app.log_in(ada, audience=app.audience, scope="openid read:orders write:orders")
    claims = read_claims(tokens["access_token"])

    assert tokens["scope"] == claims["scope"] == "openid read:orders"
    assert claims.get("permissions") == (["read:orders"] if dialect.endswith("_authz") else None)


def test_users_never_get_management_scopes(app: Application, ada: User) -> None:
    """A user's token can work on the user's own account and on nothing else."""
    audience = f"{app.issuer}api/v2/"
    browser = app.browser()
    page = app.sign_in(
        ada, browser=browser, audience=audience, scope="openid read:users update:users read:current_user delete:clients"
    )
    tokens = app.redeem(browser.submit(page, button="accept")).json()

    assert tokens["scope"] == "openid read:current_user"
    with app.http(headers={"authorization": f"Bearer {tokens['access_token']}"}) as http:
        assert http.get(f"/api/v2/users/{ada.user_id}").status_code == 200
        other = app.add_user()
        assert http.get(f"/api/v2/users/{other.user_id}").status_code == 403
        assert http.get("/api/v2/clients").status_code == 403


@pytest.mark.parametrize(
    ("policy", "grant", "scope"),
    [("allow_all", None, "openid read:orders write:orders"), ("require_client_grant", ["read:orders"],
     "openid read:orders"), ("require_client_grant", None, None), ("deny_all", ["read:orders"], None)],
)  # fmt: skip
def test_an_api_says_which_clients_may_ask_users_for_what(
    installation: Installation, policy: str, grant: list[str] | None, scope: str | None
) -> None:
    app = make_application(installation)
    ada = app.add_user()
    [api] = [one for one in app.manage("GET", "/resource-servers") if one["identifier"] == app.audience]
    authorization = {"user": {"policy": policy}, "client": {"policy": "require_client_grant"}}
    app.manage("PATCH", f"/resource-servers/{api['id']}", {"subject_type_authorization": authorization})
    if grant is not None:
        body = {"client_id": app.client_id, "audience": app.audience, "scope": grant, "subject_type": "user"}
        app.manage("POST", "/client-grants", body)
    url = app.authorize_url(audience=app.audience, scope="openid read:orders write:orders")

    page = app.browser().sign_in(url, ada.email, ada.password) if scope else app.browser().open(url)

    if scope:
        assert app.redeem(page).json()["scope"] == scope
    else:
        assert page.query["error"] == "invalid_request"
        assert page.query["error_description"].startswith(f'Client "{app.client_id}" is not authorized')


# --- /userinfo -----------------------------------------------------------------------------------------------------


def test_userinfo_takes_the_token_in_three_places(app: Application, ada: User) -> None:
    token = app.log_in(ada)["access_token"]
    with app.http() as http:
        bearer = {"authorization": f"Bearer {token}"}
        for answer in (
            http.get("/userinfo", headers=bearer),
            http.post("/userinfo", headers=bearer),
            http.get("/userinfo", headers={"authorization": f"bearer {token}"}),
            http.get("/userinfo", params={"access_token": token}),
            http.post("/userinfo", data={"access_token": token}),
        ):
            assert answer.status_code == 200
            assert answer.json()["sub"] == ada.user_id
            assert answer.headers["cache-control"] == "no-store"
        twice = http.get("/userinfo", params={"access_token": token}, headers=bearer)
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")


def test_without_a_token_userinfo_is_unauthorized(app: Application) -> None:
    with app.http() as http:
        answer = http.get("/userinfo")
        basic = http.get("/userinfo", headers={"authorization": "Basic eDp5"})
    assert answer.status_code == basic.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer realm=")
    assert "error=" not in answer.headers["www-authenticate"]


def test_a_token_that_has_expired_is_refused(installation: Installation) -> None:
    app = make_application(installation)
    ada = app.add_user()
    opaque = app.log_in(ada)["access_token"]
    signed = app.log_in(ada, audience=app.audience, scope="openid")["access_token"]
    assert app.userinfo(signed).status_code == 200
    installation.advance(86_400)
    for token in (opaque, signed):
        answer = app.userinfo(token)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_token_without_openid_does_not_suffice(app: Application, ada: User) -> None:
    token = app.log_in(ada, scope="email")["access_token"]
    answer = app.userinfo(token)
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")


def test_no_other_token_passes_for_an_access_token(app: Application, ada: User) -> None:
    """auth0-PHP CVE-2025-68129"""
    tokens = app.log_in(ada, scope="openid offline_access")
    for token in (tokens["id_token"], tokens["refresh_token"], "x", "a.b.c", "ä", "x" * 20_000):
        with app.http() as http:
            answer = http.get("/userinfo", params={"access_token": token[:8000]})
        assert answer.status_code == 401, token[:20]


def test_a_changed_token_is_refused(app: Application, ada: User) -> None:
    signed = app.log_in(ada, audience=app.audience, scope="openid")["access_token"]
    opaque = app.log_in(ada)["access_token"]
    header, claims, signature = signed.split(".")

    def encoded(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    kid = read_header(signed)["kid"]
    for token in (
        f"{header}.{claims}.",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        f"{header}.{claims}.{signature}=",
        f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': kid})}.{claims}.",
        f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{claims}.{signature}",
        f"{header}.{encoded({**read_claims(signed), 'sub': 'auth0|other'})}.{signature}",
        opaque[:-1],
        opaque + "A",
        opaque + "=",
        opaque[:40] + ("A" if opaque[40] != "A" else "B") + opaque[41:],
    ):
        assert app.userinfo(token).status_code == 401, token[-20:]


def test_a_blocked_or_deleted_users_token_tells_nothing(app: Application) -> None:
    bob, eve = app.add_user(), app.add_user()
    blocked, deleted = app.log_in(bob)["access_token"], app.log_in(eve)["access_token"]
    assert app.userinfo(blocked).status_code == app.userinfo(deleted).status_code == 200
    app.manage("PATCH", f"/users/{bob.user_id}", {"blocked": True})
    app.manage("DELETE", f"/users/{eve.user_id}")
    assert app.userinfo(blocked).status_code == app.userinfo(deleted).status_code == 401


def test_userinfo_is_open_to_pages(app: Application) -> None:
    with app.http() as http:
        answer = http.get("/userinfo", headers={"origin": "https://anywhere.example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


# --- keys ----------------------------------------------------------------------------------------------------------


def test_tokens_of_the_previous_key_hold_until_it_is_revoked(installation: Installation) -> None:
    app = make_application(installation)
    ada = app.add_user()
    token = app.log_in(ada, audience=app.audience, scope="openid")["access_token"]
    kid = read_header(token)["kid"]
    assert app.userinfo(token).status_code == 200

    app.manage("POST", "/keys/signing/rotate")

    assert app.userinfo(token).status_code == 200
    newer = app.log_in(ada, audience=app.audience, scope="openid")["access_token"]
    assert read_header(newer)["kid"] != kid
    app.manage("PUT", f"/keys/signing/{kid}/revoke")
    assert app.userinfo(token).status_code == 401
    assert app.userinfo(newer).status_code == 200
    with app.http() as http:
        assert kid not in {key["kid"] for key in http.get("/.well-known/jwks.json").json()["keys"]}
