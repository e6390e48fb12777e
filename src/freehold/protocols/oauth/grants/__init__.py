"""The grants of the token endpoint: one file each, and this list."""

from freehold.protocols.oauth.exchange import Grant
from freehold.protocols.oauth.grants.authorization_code import AUTHORIZATION_CODE
from freehold.protocols.oauth.grants.client_credentials import CLIENT_CREDENTIALS
from freehold.protocols.oauth.grants.password import PASSWORD, PASSWORD_REALM
from freehold.protocols.oauth.grants.refresh_token import REFRESH_TOKEN

GRANTS: dict[str, Grant] = {
    grant.grant_type: grant
    for grant in (AUTHORIZATION_CODE, CLIENT_CREDENTIALS, PASSWORD, PASSWORD_REALM, REFRESH_TOKEN)
}
