"""The grants of the token endpoint: one file each, and this list."""

from freehold.protocols.oauth.grants.client_credentials import CLIENT_CREDENTIALS
from freehold.protocols.oauth.token import Grant

GRANTS: dict[str, Grant] = {grant.grant_type: grant for grant in (CLIENT_CREDENTIALS,)}
