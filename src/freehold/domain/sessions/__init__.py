"""What signing in leaves behind: sessions, refresh tokens, codes, sign-ins under way, device credentials."""

from freehold.domain.sessions import device_credentials, operations
from freehold.domain.sessions.codes import Code, CodeOutcome, consume_code, find_code, issue_code
from freehold.domain.sessions.login_transactions import (
    LoginTransaction,
    begin_login,
    find_login,
    finish_login,
    has_run_out,
    save_login,
)
from freehold.domain.sessions.refresh_tokens import (
    Exchange,
    Outcome,
    RefreshPolicy,
    RefreshToken,
    belonged_to_deleted_user,
    exchange_refresh_token,
    find_refresh_token,
    is_grant_revoked,
    issue_refresh_token,
    refresh_token_by_id,
    refresh_tokens_of,
    remember_tokens_of,
    revoke_grant,
    revoke_refresh_token,
    revoke_refresh_tokens_of,
    revoked_token,
)
from freehold.domain.sessions.sessions import (
    Device,
    Lifetimes,
    Session,
    add_method,
    create_session,
    end_session,
    end_sessions_of,
    find_session,
    find_session_by_id,
    reauthenticate,
    touch_session,
)
from freehold.domain.sessions.tables import TABLES
from freehold.domain.sessions.tokens import hashed
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="sessions",
    declarations=(*TABLES, device_credentials.DEVICE_CREDENTIALS),
    operations=(*operations.OPERATIONS, *device_credentials.OPERATIONS),
)

__all__ = [
    "PACKAGE",
    "Code",
    "CodeOutcome",
    "Device",
    "Exchange",
    "Lifetimes",
    "LoginTransaction",
    "Outcome",
    "RefreshPolicy",
    "RefreshToken",
    "Session",
    "add_method",
    "begin_login",
    "belonged_to_deleted_user",
    "consume_code",
    "create_session",
    "end_session",
    "end_sessions_of",
    "exchange_refresh_token",
    "find_code",
    "find_login",
    "find_refresh_token",
    "find_session",
    "find_session_by_id",
    "finish_login",
    "has_run_out",
    "hashed",
    "is_grant_revoked",
    "issue_code",
    "issue_refresh_token",
    "reauthenticate",
    "refresh_token_by_id",
    "refresh_tokens_of",
    "remember_tokens_of",
    "revoke_grant",
    "revoke_refresh_token",
    "revoke_refresh_tokens_of",
    "revoked_token",
    "save_login",
    "touch_session",
]
