"""The grants of the token endpoint: one file each, and this list."""

from freehold.protocols.oauth.exchange import Grant
from freehold.protocols.oauth.grants.authorization_code import AUTHORIZATION_CODE
from freehold.protocols.oauth.grants.client_credentials import CLIENT_CREDENTIALS
from freehold.protocols.oauth.grants.mfa_oob import MFA_OOB
from freehold.protocols.oauth.grants.mfa_otp import MFA_OTP
from freehold.protocols.oauth.grants.mfa_recovery_code import MFA_RECOVERY_CODE
from freehold.protocols.oauth.grants.password import PASSWORD, PASSWORD_REALM
from freehold.protocols.oauth.grants.refresh_token import REFRESH_TOKEN

GRANTS: dict[str, Grant] = {
    grant.grant_type: grant
    for grant in (
        AUTHORIZATION_CODE,
        CLIENT_CREDENTIALS,
        MFA_OOB,
        MFA_OTP,
        MFA_RECOVERY_CODE,
        PASSWORD,
        PASSWORD_REALM,
        REFRESH_TOKEN,
    )
}
