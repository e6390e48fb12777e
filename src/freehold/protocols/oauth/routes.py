"""The endpoints of the Authentication API and where they answer."""

from freehold import login
from freehold.kernel.http.router import Handler, Router
from freehold.protocols.oauth import (
    authorize,
    certificates,
    client_script,
    databases,
    discovery,
    logout,
    mfa,
    revoke,
    token,
    userinfo,
)
from freehold.protocols.oauth.authorize_request import PageError


def own_page(handler: Handler) -> Handler:
    """A handler whose refusals that lead nowhere are shown by the tenant's error page, where it has one."""
    return login.with_error_page(handler, PageError)


def add_routes(router: Router) -> None:
    """Put the endpoints into the router."""
    for name in ("openid-configuration", "oauth-authorization-server"):
        path = f"/.well-known/{name}"
        router.add("GET", path, discovery.configuration, name=f"discovery.{name}", family="oauth", cors="any")
    router.add("GET", "/.well-known/jwks.json", discovery.jwks, name="discovery.jwks", family="oauth", cors="any")
    for form in certificates.FORMS:
        router.add("GET", f"/{form}", certificates.download(form), name=f"certificates.{form}", family="oauth")
    router.add("GET", "/client/{file}", client_script.script, name="oauth.client_script", family="oauth")
    for method in ("GET", "POST"):
        suffix = method.lower()
        router.add(method, "/authorize", own_page(authorize.authorize), name=f"oauth.authorize.{suffix}", family="page")
        router.add(method, "/continue", own_page(authorize.come_back), name=f"oauth.continue.{suffix}", family="page")
        router.add(method, "/userinfo", userinfo.userinfo, name=f"oauth.userinfo.{suffix}", family="oauth", cors="any")
        router.add(method, "/oidc/logout", logout.oidc_logout, name=f"oauth.logout.{suffix}", family="page")
    router.add("GET", "/authorize/resume", own_page(authorize.resume), name="oauth.resume", family="page")
    router.add("GET", "/v2/logout", logout.v2_logout, name="oauth.v2_logout", family="page")
    router.add("POST", "/oauth/token", token.token_endpoint, name="oauth.token", family="oauth", cors="client")
    router.add("POST", "/oauth/revoke", revoke.revoke, name="oauth.revoke", family="oauth", cors="client")
    router.add("POST", "/mfa/challenge", mfa.challenge, name="mfa.challenge", family="oauth", cors="client")
    router.add("POST", "/mfa/associate", mfa.associate, name="mfa.associate", family="oauth", cors="client")
    router.add("GET", "/mfa/authenticators", mfa.list_authenticators, name="mfa.list", family="oauth", cors="client")
    router.add(
        "DELETE", "/mfa/authenticators/{id}", mfa.delete_authenticator, name="mfa.delete", family="oauth",
        cors="client",
    )  # fmt: skip
    router.add(
        "POST", "/dbconnections/signup", databases.sign_up, name="databases.signup", family="oauth", cors="client"
    )
    router.add(
        "POST", "/dbconnections/change_password", databases.change_password, name="databases.change_password",
        family="oauth", cors="client",
    )  # fmt: skip
