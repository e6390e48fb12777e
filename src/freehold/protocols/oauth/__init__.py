"""OAuth 2.0 and OpenID Connect as Auth0's Authentication API speaks them."""
