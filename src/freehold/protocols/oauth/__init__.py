"""OAuth 2.0 and OpenID Connect as Auth0's Authentication API speaks them."""

from freehold.kernel.http.router import Router
from freehold.protocols.oauth import discovery, token
from freehold.protocols.oauth.cors import allows_origin
from freehold.protocols.oauth.errors import render_oauth_error


def add_routes(router: Router) -> None:
    """Put the endpoints into the router."""
    for name in ("openid-configuration", "oauth-authorization-server"):
        path = f"/.well-known/{name}"
        router.add("GET", path, discovery.configuration, name=f"discovery.{name}", family="oauth", cors="any")
    router.add("GET", "/.well-known/jwks.json", discovery.jwks, name="discovery.jwks", family="oauth", cors="any")
    router.add("POST", "/oauth/token", token.token_endpoint, name="oauth.token", family="oauth", cors="client")


__all__ = ["add_routes", "allows_origin", "render_oauth_error"]
